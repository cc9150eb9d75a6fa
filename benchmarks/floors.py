"""The least that a deferred call can cost without compiling its function: what the budgets of the runtime way and of `defer_scope` are held against.

Two ways that leave out all that can be left out and still make the calls: one that finds its list by the frame of its caller, as the runtime way
does, and one whose list is handed about, as that of `defer_scope` is. Neither of them is right: the first call that raises ends them, nothing can
be recovered, no traceback shows the `defer`, an interrupt loses calls, and what is misplaced is not noticed. A call that they defer is a tuple, for which
the interpreter has a free list of its own; that is what is left when the pool of `_defer` nodes is taken away, too.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from benchmarks.group import Recorded, fails, nothing

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Run = Callable[[], Any]

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


def floors(call: Any = nothing) -> dict[str, dict[str, Run]]:
    """What is done -> the least that does it, and ExitStack."""
    found: dict[str, dict[str, Run]] = {}
    for fails_too in (False, True):
        for n in (1, 8):
            name = f"{'exception' if fails_too else 'return'}, {n} call{'s'[: n > 1]}"
            ways = {"runtime": _least, "defer_scope": _least_scope, "ExitStack": _stack}
            runs = {way: make(call, n, fails_too) for way, make in ways.items()}
            found[name] = {way: fails(run) for way, run in runs.items()} if fails_too else runs
    return found


def _end(fails_too: bool) -> str:
    if fails_too:
        raise LookupError
    return "done"


def _least(call: Any, n: int, fails_too: bool) -> Run:
    if n == 1:

        @with_least
        def run() -> str:
            least_defer(call, 1)
            return _end(fails_too)

    else:

        @with_least
        def run() -> str:
            least_defer(call, 1)
            least_defer(call, 2)
            least_defer(call, 3)
            least_defer(call, 4)
            least_defer(call, 5)
            least_defer(call, 6)
            least_defer(call, 7)
            least_defer(call, 8)
            return _end(fails_too)

    return run


def _least_scope(call: Any, n: int, fails_too: bool) -> Run:
    if n == 1:

        def run() -> str:
            with LeastScope() as defer:
                defer(call, 1)
                return _end(fails_too)

    else:

        def run() -> str:
            with LeastScope() as defer:
                defer(call, 1)
                defer(call, 2)
                defer(call, 3)
                defer(call, 4)
                defer(call, 5)
                defer(call, 6)
                defer(call, 7)
                defer(call, 8)
                return _end(fails_too)

    return run


def _stack(call: Any, n: int, fails_too: bool) -> Run:
    if n == 1:

        def run() -> str:
            with ExitStack() as stack:
                stack.callback(call, 1)
                return _end(fails_too)

    else:

        def run() -> str:
            with ExitStack() as stack:
                stack.callback(call, 1)
                stack.callback(call, 2)
                stack.callback(call, 3)
                stack.callback(call, 4)
                stack.callback(call, 5)
                stack.callback(call, 6)
                stack.callback(call, 7)
                stack.callback(call, 8)
                return _end(fails_too)

    return run


def check() -> None:
    """Each makes the calls, last in, first out, whatever way it ends."""
    recorded = Recorded()
    for name, ways in floors(recorded).items():
        for way, run in ways.items():
            recorded.calls.clear()
            assert run() == ("done" if name.startswith("return") else LookupError), way
            assert recorded.calls == list(range(8 if "8" in name else 1, 0, -1)), way
