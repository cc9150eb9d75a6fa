"""From a function to its open code: verified source (`source`), lowered (`lower`) and compiled.

A function that is defined anew on every call of another has the same code object each time. So
the outcome is kept by the *identity* of the code, together with what its names meant, which may
differ. Equal code objects may come from two files.
"""

from __future__ import annotations

import ast
import re
import sys
from _weakref import ref  # weakref imports more than is needed here
from opcode import opmap
from types import CoroutineType, GeneratorType

from godefer._compiler.lower import NESTING, lower
from godefer._compiler.sites import Names
from godefer._compiler.source import find
from godefer._decision import Decision
from godefer._resolve import resolve_attribute, resolve_names
from godefer._runtime.context_managers import aenter, enter
from godefer._runtime.exceptions import raise_again
from godefer._runtime.exits import (
    ago_on,
    go_on,
    going_on,
    list_record,
    none,
    noop,
    passing,
    raised,
)
from godefer._runtime.recovery import recoveries, take
from godefer._runtime.results import awaitable, awaited, drop
from godefer._runtime.unwind import aunwind, unwind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._compiler.lower import Plan, Range
    from godefer._compiler.source import Source
    from godefer._decision import Exits, Result
    from godefer._resolve import ResolvedNames

# The names in the shapes that are not a function's own; they become constants of its code.
_RUNTIME: dict[str, Any] = {
    "@BaseException": BaseException,
    "@aenter": aenter,
    "@ago_on": ago_on,
    "@aunwind": aunwind,
    "@awaitable": awaitable,
    "@awaited": awaited,
    "@coroutine": CoroutineType,
    "@dict": dict,
    "@drop": drop,
    "@enter": enter,
    "@exception": sys.exception,
    "@generator": GeneratorType,
    "@getframe": sys._getframe,
    "@go_on": go_on,
    "@going_on": going_on,
    "@hasattr": hasattr,
    "@list_record": list_record,
    "@none": none,
    "@noop": noop,
    "@passing": passing,
    "@raise_again": raise_again,
    "@raised": raised,
    "@recoveries": recoveries,
    "@take": take,
    "@type": type,
    "@unwind": unwind,
}
_MARK = re.compile(f"'({'|'.join(_RUNTIME)})'")
_ASYNC_GENERATOR = 0x200  # inspect.CO_ASYNC_GENERATOR

_outcomes: dict[int, tuple[ref[CodeType], ResolvedNames, Result, CodeType | str]] = {}


def open_code(fn: FunctionType, meant: ResolvedNames, result: Result = None) -> CodeType | str:
    """Return the open-coded code of *fn*; or the reason why there is none.

    Args:
        fn: The function.
        meant: What its names mean (`resolve_names`).
        result: Its named results.
    """
    original = fn.__code__
    key = id(original)
    known = _outcomes.get(key)
    if known is not None and known[0]() is original and known[1:3] == (meant, result):
        return known[3]
    outcome = _open_code(fn, meant, result)
    forget = _outcomes.pop  # by itself: at the end of the program globals are None
    here = ref(original, lambda _: forget(key, None))
    _outcomes[key] = here, meant, result, outcome
    return outcome


def _open_code(fn: FunctionType, meant: ResolvedNames, result: Result) -> CodeType | str:
    code = fn.__code__
    if any(isinstance(const, str) and const in _RUNTIME for const in code.co_consts):
        return "it holds a string that is one of the marks of lowered code"
    outcome = lowered(code, fn.__globals__, meant, result, want_text=False)
    if isinstance(outcome, str):
        return outcome
    made = outcome.code
    consts = tuple(
        _RUNTIME.get(const, const) if type(const) is str else const for const in made.co_consts
    )
    # A copy of the original: what was made of it is kept as long as it lives, and must not keep it.
    decision = Decision(code.replace(), result, plan=outcome.plan, exits=outcome.exits)
    # The flags of both: PyPy closes a generator that is dropped only if its code has a `yield`
    # inside of a `try`, which lowering adds.
    return made.replace(co_consts=(*consts, decision), co_flags=made.co_flags | code.co_flags)


def lowered_text(fn: FunctionType, decision: Decision) -> str:
    """Return the lowered source of the open-coded *fn*; or a comment, if its source is gone."""
    if decision.original is None:
        return "# it was compiled in another process"
    meant = resolve_names(fn, decision.original)
    outcome = lowered(decision.original, fn.__globals__, meant, decision.result)
    return f"# {outcome}" if isinstance(outcome, str) else outcome.text


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
    meant: ResolvedNames,
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


def names_of(meant: ResolvedNames, shift: int) -> Names:
    """What the scanner needs to know of what the names mean."""
    statements, modules = dict(meant[0]), dict(meant[1])
    return Names(
        statements, frozenset(modules), lambda path: resolve_attribute(modules, path), shift
    )


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
