"""The decision on how a decorated function is run, as a constant of its code.

Go's compiler also decides for each function, and prints the decision with ``-gcflags=-d=defer``.

The code of a decorated function has the decision as its last constant, which no instruction uses.
So the decision goes along if the function is pickled by value, as by cloudpickle. Rejected: an
attribute of the function, since ``functools.wraps`` copies attributes to other functions.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    Plan = tuple[tuple[int, str, str], ...]
    Result = str | tuple[str, ...] | None
    Exits = tuple[int, int]
    Lowered = tuple[CodeType, Plan, Exits]  # its runtime objects are marks (`constants`)


class Decision:
    """How a function is run: open-coded, with a ``plan``; or the runtime way, for a ``reason``.

    Args:
        original: The original code. For an open-coded function it is a copy, and is not pickled:
            in another process its names could have no meaning.
        result: The named results.
        reason: The reason why the function is run the runtime way.
        plan: The line, name and shape of each statement of an open-coded function.
        exits: Two bit sets of instructions of open code: those that make deferred calls at exits,
            and among them those that run because of an exception. Bit ``f_lasti >> 1`` stands for
            an instruction. Numbers are quick to read from the cache and to copy.
        file: The cache file of the code; empty if it was compiled in this process.
    """

    def __init__(  # noqa: PLR0913  # its attributes
        self,
        original: CodeType | None,
        result: Result = None,
        *,
        reason: str = "",
        plan: Plan | None = None,
        exits: Exits = (0, 0),
        file: str = "",
    ) -> None:
        self.original = original
        self.result = result
        self.reason = reason
        self.plan = plan
        self.exits, self.failing_exits = exits
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        original = self.original if self.plan is None else None
        exits = self.exits, self.failing_exits
        return _unpickled, (original, self.result, self.reason, self.plan, exits)


def _unpickled(
    original: CodeType | None, result: Result, reason: str, plan: Plan | None, exits: Exits
) -> Decision:
    return Decision(original, result, reason=reason, plan=plan, exits=exits)


def decision_on(code: CodeType) -> Decision | None:
    """Return the decision on the function with *code*; None if it is not decorated."""
    mark = code.co_consts[-1] if code.co_consts else None
    return mark if isinstance(mark, Decision) else None


def wraps(wrapper: CodeType, body: CodeType) -> bool:
    """Return whether *wrapper* is the code of a wrapper for *body*."""
    decision = decision_on(wrapper)
    return decision is not None and decision.plan is None and decision.original is body
