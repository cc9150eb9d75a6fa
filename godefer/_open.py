"""Open-coding a function: its source found, lowered and compiled; or the reason why not.

Go's compiler decides this for each function too (``cmd/compile``, ``openDefers``), and prints what it decided with
``-gcflags=-d=defer``; here `explain` does.

A function that is defined anew on every call of another has the same code object each time. So what was decided is kept by the
*identity* of the code (equal code objects may come from two files), together with what its names meant, which may differ.
"""

from __future__ import annotations

import ast
import os
import re
import weakref
from dataclasses import dataclass

from godefer._cold import RUNTIME
from godefer._lower import NESTING, Plan, lower
from godefer._names import meaning, names
from godefer._source import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._names import Meaning
    from godefer._source import Source

    Result = str | tuple[str, ...] | None

_ASYNC_GENERATOR = 0x200  # inspect.CO_ASYNC_GENERATOR


@dataclass(frozen=True)
class Decision:
    """How a function is run: open-coded, with ``code`` and ``plan``; or the runtime way, for a ``reason``."""

    original: CodeType
    result: Result = None
    reason: str = ""
    code: CodeType | None = None
    plan: Plan | None = None


class _ByIdentity:
    """A dictionary whose keys are code objects, by identity, held weakly."""

    def __init__(self) -> None:
        self._items: dict[int, tuple[weakref.ref[CodeType], Any]] = {}

    def get(self, code: CodeType) -> Any:
        item = self._items.get(id(code))
        return item[1] if item is not None and item[0]() is code else None

    def set(self, code: CodeType, value: Any) -> None:
        key = id(code)
        self._items[key] = (weakref.ref(code, lambda _: self._items.pop(key, None)), value)


_cache = _ByIdentity()  # the original code -> (what its names meant, result, Decision)
_decisions = _ByIdentity()  # the code of a decorated function -> Decision


def enabled() -> bool:
    """Does the environment allow open coding? ``GODEFER_OPEN_CODED=0`` turns it off (R4)."""
    return os.environ.get("GODEFER_OPEN_CODED") != "0"


def remember(code: CodeType, decision: Decision) -> None:
    """Let `decision_on` find how the decorated function with *code* is run."""
    _decisions.set(code, decision)


def decision_on(code: CodeType) -> Decision | None:
    """How the decorated function with *code* is run; None if it is not decorated."""
    decision: Decision | None = _decisions.get(code)
    return decision


def open_code(fn: FunctionType, result: Result = None) -> Decision:
    """Decide on *fn*, and compile it if it can be open-coded."""
    meant = meaning(fn)
    cached = _cache.get(fn.__code__)
    if cached is not None and cached[0] == meant and cached[1] == result:
        decision: Decision = cached[2]
        return decision
    outcome = _compile(fn, meant, result)
    if isinstance(outcome, str):
        decision = Decision(fn.__code__, result, reason=outcome)
    else:
        code, plan, _ = outcome
        decision = Decision(fn.__code__, result, code=code, plan=plan)
        remember(code, decision)
    _cache.set(fn.__code__, (meant, result, decision))
    return decision


def lowered_text(fn: FunctionType, decision: Decision) -> str:
    """The lowered source of the open-coded *fn*, made once more; a comment says so if its source is gone by now."""
    source = find(decision.original, fn.__globals__)
    if isinstance(source, str):
        return f"# {source}"
    outcome = _lowered(source, fn.__globals__, meaning(fn, decision.original), decision.result)
    return f"# {outcome}" if isinstance(outcome, str) else outcome[2]


def _compile(fn: FunctionType, meant: Meaning, result: Result) -> tuple[CodeType, Plan, str] | str:
    code = fn.__code__
    if result is None and not any(meant):  # without the names there is no site, and no need to look at the source
        return "there is no defer statement in its body"
    if any(isinstance(const, str) and const in RUNTIME for const in code.co_consts):
        return "it holds a string that is one of the marks of lowered code"
    source = find(code, fn.__globals__)
    if isinstance(source, str):
        return source
    outcome = _lowered(source, fn.__globals__, meant, result)
    if isinstance(outcome, str):
        return outcome
    lowered, plan, text = outcome
    consts = tuple(RUNTIME.get(c, c) if type(c) is str else c for c in lowered.co_consts)
    return lowered.replace(co_consts=consts), plan, text


def _lowered(
    source: Source, module_globals: dict[str, Any], meant: Meaning, result: Result
) -> tuple[CodeType, Plan, str] | str:
    """The code, its marks not yet replaced, the plan and the text."""
    code = source.code
    reason = ""
    for nesting in (NESTING, 3, 1):  # fewer, if the function's own blocks leave no room for more
        if reason:
            again = find(code, module_globals)
            if isinstance(again, str):
                return again
            source = again
        plan = lower(
            source.node,
            names(meant),
            asynchronous_generator=bool(code.co_flags & _ASYNC_GENERATOR),
            result=result,
            nesting=nesting,
        )
        if isinstance(plan, str):
            return plan
        text = re.sub(r"'(@\w+)'", r"\1", ast.unparse(source.node))
        _keep_names(source.node, code)
        try:
            lowered = source.compile()
        except SyntaxError as e:
            reason = f"its lowered source does not compile: {e.msg}"
            continue
        if lowered.co_freevars != code.co_freevars:
            return "its lowered code would take other names from outside"
        return lowered, plan, text
    return reason


def _keep_names(node: ast.FunctionDef | ast.AsyncFunctionDef, code: CodeType) -> None:
    """Mention the closure variables, of which `defer` itself may now be unused, so that the function keeps its cells."""
    kept: list[ast.stmt] = [ast.Expr(ast.Name(name, ast.Load())) for name in code.co_freevars if name != "__class__"]
    if kept:
        node.body.append(
            ast.fix_missing_locations(
                ast.If(ast.Constant(0), kept, [], lineno=-1, col_offset=-1, end_lineno=-1, end_col_offset=-1)
            )
        )
