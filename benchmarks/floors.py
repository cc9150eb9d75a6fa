"""The least that a deferred call can cost without compiling its function: what the budgets of the runtime way and of `defer_scope` are held against.

Two ways that leave out all that can be left out and still make the calls: one that finds its list by the frame of its caller, as the runtime way
does, and one whose list is handed about, as that of `defer_scope` is. Neither of them is right: the first call that raises ends them, nothing can
be recovered, no traceback shows the `defer`, an interrupt loses calls, and what is misplaced is not noticed. A call that they defer is a tuple, for which
the interpreter has a free list of its own; that is what is left when the pool of `_defer` nodes is taken away, too.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from benchmarks.exits import GROUPS as EXITS
from benchmarks.group import RUNTIME, SCOPE, STACK

if TYPE_CHECKING:
    from types import FrameType

    from benchmarks.group import Group, Make, Run

GROUPS = [
    g for g in EXITS if g.name in {"return, 1 call", "return, 8 calls", "exception, 1 call", "exception, 8 calls"}
]
_getframe = sys._getframe
_live: dict[FrameType | None, list[Any]] = {}


def least_defer(fn: Any, /, *args: Any, **kwargs: Any) -> None:
    """Put a call on the list of the function that calls this."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    frame[0] = (frame[0], fn, args, kwargs, sp.f_lasti)


def with_least(fn: Run) -> Run:
    """Run *fn*, then the calls on its list."""

    def wrapper() -> Any:
        me = _getframe()
        frame = _live[me] = [None]
        try:
            result = fn()
        except BaseException:
            del _live[me]
            while frame[0] is not None:
                frame[0], f, args, kwargs, _ = frame[0]
                f(*args, **kwargs)
            raise
        del _live[me]
        while frame[0] is not None:
            frame[0], f, args, kwargs, _ = frame[0]
            f(*args, **kwargs)
        return result

    return wrapper


class LeastScope:
    """A context manager with a list of calls."""

    __slots__ = ("calls",)

    def __enter__(self) -> Self:
        self.calls: Any = None
        return self

    def __call__(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        self.calls = (self.calls, fn, args, kwargs, _getframe(1).f_lasti)

    def __exit__(self, *_: object) -> None:
        while self.calls is not None:
            self.calls, f, args, kwargs, _ = self.calls
            f(*args, **kwargs)


def least(group: Group) -> dict[str, Make]:
    """The least that does what *group* does, and ExitStack: way -> how it is written."""
    scope: Any = group.scope
    return {
        RUNTIME: partial(group.deferring, with_least, least_defer),
        SCOPE: partial(scope, scope=LeastScope),
        STACK: group.stack,
    }


def floors() -> dict[str, dict[str, Run]]:
    """What is done -> the way -> a run of it, to be timed."""
    return {group.name: {way: group.timed_run(make) for way, make in least(group).items()} for group in GROUPS}


def check() -> None:
    """Each makes the calls, last in, first out, whatever way it ends."""
    for group in GROUPS:
        for make in least(group).values():
            group.check(make)
