"""Whether a function is open-coded: found out once, remembered, and told to `explain`.

Go's compiler decides this for each function too, and prints what it decided with ``-gcflags=-d=defer``.

A function that is defined anew on every call of another has the same code object each time. So what was decided is kept by the
*identity* of the code (equal code objects may come from two files), together with what its names meant, which may differ.

Open code holds its decision itself, as its last constant, which no instruction uses. So it is known for what it is in every process that
it is taken to by value, as cloudpickle does it. The wrapper's last constant is the body, and tells as much; only the reason is left behind.

The compiler itself (`_compile` and all that it imports) is imported when the first function needs it: a program that turns open coding
off, or decorates nothing, does not pay for `ast`.
"""

from __future__ import annotations

import os
from _weakref import ref  # weakref imports more than is needed here
from types import FunctionType

from godefer._names import meaning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    Plan = tuple[tuple[int, str, str], ...]
    Result = str | tuple[str, ...] | None
    Exits = tuple[frozenset[int], frozenset[int]]


class Decision:
    """How a function is run: open-coded, with a ``plan``; or the runtime way, for a ``reason``.

    ``exits`` are the instructions of open code that make deferred calls at its exits, and ``failing_exits``
    those of them that are run because of an exception.

    It holds the original code, or an equal copy of it; never the code that was made of it. In another process than the
    one that decorated the function, open code comes without the original: its names could mean nothing there.
    """

    def __init__(
        self,
        original: CodeType | None,
        result: Result = None,
        *,
        reason: str = "",
        plan: Plan | None = None,
        exits: Exits = (frozenset(), frozenset()),
    ) -> None:
        self.original = original
        self.result = result
        self.reason = reason
        self.plan = plan
        self.exits, self.failing_exits = exits

    def __reduce__(self) -> tuple[Any, ...]:
        return _pickled, (self.result, self.plan, (self.exits, self.failing_exits))


def _pickled(result: Result, plan: Plan | None, exits: Exits) -> Decision:
    """The decision that open code from another process holds."""
    return Decision(None, result, plan=plan, exits=exits)


class _ByIdentity:
    """A dictionary whose keys are code objects, by identity, held weakly; its values must not hold them."""

    def __init__(self) -> None:
        self._items: dict[int, tuple[ref[CodeType], Any]] = {}

    def get(self, code: CodeType) -> Any:
        item = self._items.get(id(code))
        return item[1] if item is not None and item[0]() is code else None

    def set(self, code: CodeType, value: Any) -> None:
        key = id(code)
        self._items[key] = (ref(code, lambda _: self._items.pop(key, None)), value)


_cache = (
    _ByIdentity()
)  # the original code -> (what its names meant, result, the open code or the reason)
_decisions = _ByIdentity()  # the code of a wrapper -> Decision

_ELSEWHERE = "it is run so in the process that decorated it"


def enabled() -> bool:
    """Does the environment allow open coding? ``GODEFER_OPEN_CODED=0`` turns it off (R4)."""
    return os.environ.get("GODEFER_OPEN_CODED") != "0"


def remember(code: CodeType, decision: Decision) -> None:
    """Let `decision_on` find why the function whose wrapper has *code* is run the runtime way."""
    _decisions.set(code, decision)


def decision_on(code: CodeType) -> Decision | None:
    """How the decorated function with *code* is run; None if it is not decorated."""
    mark = code.co_consts[-1] if code.co_consts else None
    if isinstance(mark, Decision):
        return mark
    if not isinstance(mark, ref):  # see `_statements.wraps`
        return None
    decision: Decision | None = _decisions.get(code)
    if decision is None:
        body = mark()
        if isinstance(body, FunctionType):
            decision = Decision(body.__code__, reason=_ELSEWHERE)
    return decision


def open_code(fn: FunctionType, result: Result = None) -> CodeType | str:
    """The open-coded code of *fn*; or the reason why there is none."""
    meant = meaning(fn)
    cached = _cache.get(fn.__code__)
    if cached is not None and cached[0] == meant and cached[1] == result:
        outcome: CodeType | str = cached[2]
        return outcome
    if result is None and not any(
        meant
    ):  # without the names there is no statement, and no need to look at the source
        outcome = "there is no defer statement in its body"
    else:
        from godefer._compile import compile_lowered  # noqa: PLC0415  # see above

        made = compile_lowered(fn, meant, result)
        if isinstance(made, str):
            outcome = made
        else:
            # A copy: the cache keeps the open code as long as the original lives, which this must not prolong.
            code, plan, exits = made
            decision = Decision(fn.__code__.replace(), result, plan=plan, exits=exits)
            outcome = code.replace(co_consts=(*code.co_consts, decision))
    _cache.set(fn.__code__, (meant, result, outcome))
    return outcome


def lowered_text(fn: FunctionType, decision: Decision) -> str:
    """The lowered source of the open-coded *fn*, made once more; a comment says so if its source is gone by now."""
    if decision.original is None:
        return "# it was compiled in another process"
    from godefer._compile import lowered  # noqa: PLC0415  # see above

    outcome = lowered(
        decision.original, fn.__globals__, meaning(fn, decision.original), decision.result
    )
    return f"# {outcome}" if isinstance(outcome, str) else outcome.text
