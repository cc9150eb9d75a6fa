"""Compile a function to its lowered code: find its source, lower it and compile it.

`with_defers` calls `compile_function` if the function is not in the cache (`godefer._cache`). Then
it replaces the marks in the lowered code by the runtime's objects (`constants.fill`), and builds a
function with that code (`godefer._function`).
"""

from __future__ import annotations

import _ast as ast
from opcode import opmap

from godefer._compiler import tree
from godefer._compiler.lower import NESTING, lower
from godefer._compiler.nodes import NOWHERE
from godefer._compiler.sites import Meanings
from godefer._compiler.source import find_source
from godefer._resolve import outer_names, resolve_attribute, resolve_names
from godefer._runtime.constants import OBJECTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._compiler.lower import Range
    from godefer._compiler.sites import Function
    from godefer._compiler.source import Source
    from godefer._decision import Decision, Exits, Lowered, Plan, Result
    from godefer._resolve import Attributes, ResolvedNames

_ASYNC_GENERATOR = 0x200  # inspect.CO_ASYNC_GENERATOR


def compile_function(
    code: CodeType, module_globals: dict[str, Any], resolved: ResolvedNames, result: Result = None
) -> tuple[Lowered | str, Attributes | None]:
    """Compile a function again, with its deferred calls at its exits.

    Args:
        code: The function's code.
        module_globals: Its globals.
        resolved: Its names (`resolve_names`).
        result: Its named results.

    Returns:
        The lowered code, or the reason why there is none; and the dotted names that were looked
        up. Instead of the names, None means that the reason holds only while the source is missing.
    """
    if any(isinstance(const, str) and const in OBJECTS for const in code.co_consts):
        return "it holds a string that is one of the marks of lowered code", None
    attributes: Attributes = {}
    outcome = _lower_code(code, module_globals, resolved, result, attributes)
    if isinstance(outcome, _NoSource):
        return str(outcome), None
    if isinstance(outcome, str):
        return outcome, attributes
    # Keep the flags of both codes. On PyPy, one of them says that a `yield` is inside of a `try`,
    # and only then is a dropped generator closed. Lowering adds that `try`.
    lowered = outcome.code.replace(co_flags=outcome.code.co_flags | code.co_flags)
    return (lowered, outcome.plan, outcome.exits), attributes


def lowered_text(fn: FunctionType, decision: Decision) -> str:
    """Return the lowered source of the open-coded *fn*, or a comment with the reason for none."""
    original = decision.original
    if original is None:
        return "# it was compiled in another process"
    resolved = resolve_names(fn, original)
    try:
        outcome = _lower_code(original, fn.__globals__, resolved, decision.result, want_text=True)
    except RecursionError:
        return "# it is nested too deeply to be shown"
    return f"# {outcome}" if isinstance(outcome, str) else outcome.text


class _NoSource(str):
    """A reason that holds only as long as the source is missing."""

    __slots__ = ()


class _LoweredCode:
    """The lowered code of a function, with marks for the runtime's objects, and its text."""

    def __init__(self, code: CodeType, plan: Plan, exits: Exits, text: str) -> None:
        self.code = code
        self.plan = plan
        self.exits = exits
        self.text = text


def _lower_code(  # noqa: PLR0913  # all are needed
    code: CodeType,
    module_globals: dict[str, Any],
    resolved: ResolvedNames,
    result: Result,
    attributes: Attributes | None = None,
    *,
    want_text: bool = False,
) -> _LoweredCode | str:
    """Return the lowered code of a function; or the reason why there is none."""
    reason = ""
    # If the function's own blocks leave no room for that many nested slots, try fewer. Each attempt
    # needs a new AST, because `lower` changes it.
    for nesting in (NESTING, 6, 5, 4, 3, 2, 1):
        source = find_source(code, module_globals)
        if isinstance(source, str):
            return _NoSource(source)
        outcome = lower(
            source.node,
            meanings_of(code, resolved, source.shift, attributes),
            asynchronous_generator=bool(code.co_flags & _ASYNC_GENERATOR),
            result=result,
            nesting=nesting,
        )
        if isinstance(outcome, str):
            return outcome
        text = text_of(source.node) if want_text else ""
        _keep_cells(source.node, code)
        try:
            lowered, exits = _compile(source, outcome.exits)
        except SyntaxError as e:
            reason = f"its lowered source does not compile: {e.msg}"
            continue
        if lowered.co_freevars != code.co_freevars:
            return "its lowered code would take other names from outside"
        return _LoweredCode(lowered, outcome.plan, exits, text)
    return reason


def text_of(node: ast.AST) -> str:
    """Return lowered source as text, with ``@name`` for each marked object."""
    # Slow to import, and only `explain` needs them.
    import re  # noqa: PLC0415
    from ast import unparse  # noqa: PLC0415

    marked = r"'(@\w+)' if True else None"  # as by `nodes.marked`
    return re.sub(rf"\({marked}\)|{marked}", r"\1\2", unparse(node))


def _compile(source: Source, calls: set[Range]) -> tuple[CodeType, Exits]:
    """Compile lowered source, and find the instructions of *calls* by their positions."""
    shift = source.shift
    code = source.compile()
    places = {(line + shift, end + shift, start, stop) for line, end, start, stop in calls}
    exits = [i for i, place in enumerate(code.co_positions()) if place in places]
    if calls and not exits:  # -X no_debug_ranges: code has lines only
        exits = _exits_without_columns(source, code, calls)
    ops = code.co_code[::2]
    failing = [i for i in exits if _is_handling(ops, i)]
    return code, (sum(1 << i for i in exits), sum(1 << i for i in failing))


def _exits_without_columns(source: Source, code: CodeType, calls: set[Range]) -> list[int]:
    """Find the instructions of *calls*: compile again, with the calls on lines of their own."""
    marked = [
        node
        for node in {id(node): node for node in tree.walk(source.node)}.values()
        if isinstance(node, ast.expr)
        and (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset) in calls
    ]
    _move(marked, _FAR_DOWN)
    again = source.compile()
    _move(marked, -_FAR_DOWN)
    if again.co_code != code.co_code:
        msg = "its calls cannot be found without the columns of code (-X no_debug_ranges)"
        raise SyntaxError(msg)
    lines = enumerate(again.co_positions())
    return [i for i, (line, *_) in lines if line is not None and line >= _FAR_DOWN]


_FAR_DOWN = 10_000_000  # more lines than a file has


def _move(nodes: list[ast.expr], lines: int) -> None:
    for node in nodes:
        node.lineno += lines
        node.end_lineno = (node.end_lineno or 0) + lines


def _is_handling(ops: bytes, place: int) -> bool:
    """Return whether the code is handling an exception at a place in its instructions.

    The interpreter's compiler copies a `finally` for each way out of its `try`. The copy for an
    exception begins with PUSH_EXC_INFO. The code of a handler is contiguous, and ends with the
    instruction that pops the exception or raises it again.
    """
    begun = ops.rfind(_PUSH_EXC_INFO, 0, place)
    return begun >= 0 and all(ops.find(end, begun, place) < 0 for end in _ENDS_HANDLING)


_PUSH_EXC_INFO = bytes([opmap["PUSH_EXC_INFO"]])
_ENDS = ("POP_EXCEPT", "RERAISE", "RAISE_VARARGS", "RETURN_VALUE", "RETURN_CONST")
_ENDS_HANDLING = [bytes([opmap[name]]) for name in _ENDS if name in opmap]


def meanings_of(
    code: CodeType, resolved: ResolvedNames, shift: int, attributes: Attributes | None = None
) -> Meanings:
    """Return the meanings of a function's names.

    Args:
        code: The function's code.
        resolved: Its names (`resolve_names`).
        shift: The number to add to the lines of its nodes.
        attributes: A dict, to which the dotted names that are looked up are added.
    """
    statements, modules = dict(resolved[0]), dict(resolved[1])
    seen = attributes if attributes is not None else {}

    def attribute(path: tuple[str, ...]) -> str | None:
        return seen.setdefault(path, resolve_attribute(modules, path))

    return Meanings(statements, frozenset(outer_names(code)), attribute, shift)


def _keep_cells(node: Function, code: CodeType) -> None:
    """Mention all closure variables, so that the function keeps the cells of unused ones, too."""
    kept: list[ast.stmt] = [
        ast.Expr(ast.Name(name, ast.Load(), **NOWHERE), **NOWHERE)
        for name in code.co_freevars
        if name != "__class__"
    ]
    if kept:
        node.body.append(ast.If(ast.Constant(0, **NOWHERE), kept, [], **NOWHERE))
