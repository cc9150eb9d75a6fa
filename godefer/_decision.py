"""The decision on a decorated function: how it is run. Its code leads to the decision.

Go's compiler decides for each function, too, and prints that with ``-gcflags=-d=defer``.

Every decorated function holds its decision as the last constant of its code, which no instruction
uses. So it is known in every process that it is taken to by value, as cloudpickle does it, and
nothing that can be copied to another function, as ``functools.wraps`` copies attributes, tells.
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
        original: The original code. That of an open-coded function is a copy, and stays behind
            when it is pickled: in another process its names could mean nothing.
        result: The named results.
        reason: Why it is run the runtime way.
        plan: The line, name and shape of each statement of an open-coded function.
        exits: The instructions of open code that make deferred calls at its exits, and those of
            them that run because of an exception. Each is a number that has bit ``f_lasti >> 1``
            set: of a small function it is read from the cache, and copied, in no time.
        file: The cache file that the code is from; empty if it was compiled in this process.
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
    """Return how the decorated function with *code* is run; None if it is not decorated."""
    mark = code.co_consts[-1] if code.co_consts else None
    return mark if isinstance(mark, Decision) else None


def wraps(wrapper: CodeType, body: CodeType) -> bool:
    """Return whether *wrapper* is the code of a wrapper for *body*."""
    decision = decision_on(wrapper)
    return decision is not None and decision.plan is None and decision.original is body
