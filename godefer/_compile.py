"""The compiler of open-coded functions: verified source, lowered and compiled."""

from __future__ import annotations

import ast
import re
from opcode import opmap

from godefer._lower import NESTING, lower
from godefer._names import attribute
from godefer._panicking import RUNTIME
from godefer._scan import Names
from godefer._source import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._lower import Plan, Range
    from godefer._names import Meaning
    from godefer._open import Exits, Result
    from godefer._source import Source

_MARK = re.compile(f"'({'|'.join(RUNTIME)})'")
_ASYNC_GENERATOR = 0x200  # inspect.CO_ASYNC_GENERATOR


def compile_lowered(
    fn: FunctionType, meant: Meaning, result: Result
) -> tuple[CodeType, Plan, Exits] | str:
    """Return the open-coded code of *fn*, its plan and its exits; or why there is none."""
    code = fn.__code__
    if any(isinstance(const, str) and const in RUNTIME for const in code.co_consts):
        return "it holds a string that is one of the marks of lowered code"
    outcome = lowered(code, fn.__globals__, meant, result, want_text=False)
    if isinstance(outcome, str):
        return outcome
    made = outcome.code
    consts = tuple(
        RUNTIME.get(const, const) if type(const) is str else const for const in made.co_consts
    )
    # The flags of both: PyPy closes a generator that is dropped only if its code has a `yield`
    # inside of a `try`, which lowering adds.
    made = made.replace(co_consts=consts, co_flags=made.co_flags | code.co_flags)
    return made, outcome.plan, outcome.exits


class LoweredCode:
    """The lowered code of a function, its marks not yet replaced; its plan, exits, and source."""

    def __init__(self, code: CodeType, plan: Plan, exits: Exits, text: str) -> None:
        self.code = code
        self.plan = plan
        self.exits = exits
        self.text = text


def lowered(
    code: CodeType,
    module_globals: dict[str, Any],
    meant: Meaning,
    result: Result,
    *,
    want_text: bool = True,
) -> LoweredCode | str:
    """Return the lowered code of a function; or the reason why there is none."""
    reason = ""
    for nesting in (
        NESTING,
        6,
        5,
        4,
        3,
        2,
        1,
    ):  # fewer, if the function's own blocks leave no room for more
        source = find(code, module_globals)
        if isinstance(source, str):
            return source
        outcome = lower(
            source.node,
            names_of(meant, source.shift),
            asynchronous_generator=bool(code.co_flags & _ASYNC_GENERATOR),
            result=result,
            nesting=nesting,
        )
        if isinstance(outcome, str):
            return outcome
        text = _MARK.sub(r"\1", ast.unparse(source.node)) if want_text else ""
        _keep_names(source.node, code)
        try:
            made, exits = _compile(source, outcome.exits)
        except SyntaxError as e:
            reason = f"its lowered source does not compile: {e.msg}"
            continue
        if made.co_freevars != code.co_freevars:
            return "its lowered code would take other names from outside"
        return LoweredCode(made, outcome.plan, exits, text)
    return reason


def _compile(source: Source, calls: set[Range]) -> tuple[CodeType, Exits]:
    """Compile lowered source, and find the instructions of *calls* by their positions."""
    shift = source.shift
    made = source.compile()
    places = {(line + shift, end + shift, start, stop) for line, end, start, stop in calls}
    exits = [i for i, place in enumerate(made.co_positions()) if place in places]
    if calls and not exits:  # -X no_debug_ranges: code has lines only
        exits = _exits_without_columns(source, made, calls)
    handling = _handling(made)
    failing = frozenset(i * 2 for i in exits if handling[i])
    return made, (frozenset(i * 2 for i in exits), failing)


def _exits_without_columns(source: Source, code: CodeType, calls: set[Range]) -> list[int]:
    """Find the instructions of *calls* in equal code that has them on lines of their own."""
    marked = [
        node
        for node in {id(node): node for node in ast.walk(source.node)}.values()
        if isinstance(node, ast.expr)
        and (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) in calls
    ]
    _move(marked, _MARKED)
    again = source.compile()
    _move(marked, -_MARKED)
    if again.co_code != code.co_code:
        msg = "its calls cannot be found without the columns of code (-X no_debug_ranges)"
        raise SyntaxError(msg)
    lines = enumerate(again.co_positions())
    return [i for i, (line, *_) in lines if line is not None and line >= _MARKED]


def _handling(code: CodeType) -> list[bool]:
    """Return, for each instruction, whether the code is handling an exception there.

    The compiler copies a `finally`, for each way out. The copy for an exception begins with PUSH_EXC_INFO,
    and the code of a handler is in one piece: it ends where the exception is popped or raised again.
    """
    handling = False
    found = []
    for op in code.co_code[::2]:
        if op == _PUSH_EXC_INFO:
            handling = True
        elif op in _ENDS_HANDLING:
            handling = False
        found.append(handling)
    return found


_PUSH_EXC_INFO = opmap["PUSH_EXC_INFO"]
_ENDS = ("POP_EXCEPT", "RERAISE", "RAISE_VARARGS", "RETURN_VALUE", "RETURN_CONST")
_ENDS_HANDLING = {opmap[name] for name in _ENDS if name in opmap}

_MARKED = 10_000_000  # more lines than a file has


def _move(nodes: list[ast.expr], lines: int) -> None:
    for node in nodes:
        node.lineno += lines
        node.end_lineno = (node.end_lineno or 0) + lines


def names_of(meant: Meaning, shift: int) -> Names:
    """What the scanner needs to know of what the names mean."""
    statements, modules = dict(meant[0]), dict(meant[1])
    return Names(statements, frozenset(modules), lambda path: attribute(modules, path), shift)


def _keep_names(node: ast.FunctionDef | ast.AsyncFunctionDef, code: CodeType) -> None:
    """Mention the closure variables, so that the function keeps the cells of unused ones."""
    kept: list[ast.stmt] = [
        ast.Expr(ast.Name(name, ast.Load())) for name in code.co_freevars if name != "__class__"
    ]
    if kept:
        never = ast.If(
            ast.Constant(0), kept, [], lineno=-1, col_offset=-1, end_lineno=-1, end_col_offset=-1
        )
        node.body.append(ast.fix_missing_locations(never))
