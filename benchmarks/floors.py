"""The least that a deferred call can cost without compiling its function: what the budgets of the runtime way and of `defer_scope` are held against.

Two ways that leave out all that can be left out and still make the calls: one that finds its list by the frame of its caller, as the runtime way
does, and one whose list is handed about, as that of `defer_scope` is. Neither of them is right: the first call that raises ends them, nothing can
be recovered, no traceback shows the `defer`, an interrupt loses calls, and what is misplaced is not noticed. A call that they defer is a tuple, for
which the interpreter has a free list of its own. Each is there once more with the nodes of godefer's pool in place of tuples: what that costs.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from benchmarks.exits import GROUPS as EXITS
from benchmarks.group import RUNTIME, SCOPE, STACK
from godefer._record import pool, refill

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from benchmarks.group import Group, Make, Run

GROUPS = [
    g for g in EXITS if g.name in {"return, 1 call", "return, 8 calls", "exception, 1 call", "exception, 8 calls"}
]
NODES = ", with nodes"
_getframe, _pop, _give_back = sys._getframe, pool.pop, pool.append
_live: dict[FrameType | None, list[Any]] = {}


def least_defer(fn: Any, /, *args: Any, **kwargs: Any) -> None:
    """Put a call on the list of the function that calls this."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    frame[0] = (frame[0], fn, args, kwargs, sp.f_lasti)


def drain(frame: list[Any]) -> None:
    """Make the calls."""
    while frame[0] is not None:
        frame[0], f, args, kwargs, _ = frame[0]
        f(*args, **kwargs)


def node_defer(fn: Any, /, *args: Any, **kwargs: Any) -> None:
    """`least_defer`, with a node from godefer's pool."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    try:
        d = _pop()
    except IndexError:
        d = refill()
    d.fn, d.args, d.kwargs, d.pc, d.link = fn, args, kwargs, sp.f_lasti, frame[0]
    frame[0] = d


def drain_nodes(frame: list[Any]) -> None:
    """`drain`, giving the nodes back."""
    while (d := frame[0]) is not None:
        frame[0] = d.link
        d.fn(*d.args, **d.kwargs)
        d.fn = d.args = d.kwargs = d.link = None
        _give_back(d)


def decorator(drain: Callable[[list[Any]], None]) -> Callable[[Run], Run]:
    """Run a function, then the calls on its list."""

    def decorate(fn: Run) -> Run:
        def wrapper() -> Any:
            me = _getframe()
            frame = _live[me] = [None]
            try:
                result = fn()
            except BaseException:
                del _live[me]
                drain(frame)
                raise
            del _live[me]
            drain(frame)
            return result

        return wrapper

    return decorate


class LeastScope:
    """A context manager with a list of calls."""

    __slots__ = ("frame",)

    def __enter__(self) -> Self:
        self.frame: list[Any] = [None]
        return self

    def __call__(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        frame = self.frame
        frame[0] = (frame[0], fn, args, kwargs, _getframe(1).f_lasti)

    def __exit__(self, *_: object) -> None:
        drain(self.frame)


class NodeScope(LeastScope):
    """`LeastScope`, with nodes from godefer's pool."""

    __slots__ = ()

    def __call__(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        frame = self.frame
        try:
            d = _pop()
        except IndexError:
            d = refill()
        d.fn, d.args, d.kwargs, d.pc, d.link = fn, args, kwargs, _getframe(1).f_lasti, frame[0]
        frame[0] = d

    def __exit__(self, *_: object) -> None:
        drain_nodes(self.frame)


def least(group: Group) -> dict[str, Make]:
    """The least that does what *group* does, and ExitStack: way -> how it is written."""
    scope: Any = group.scope
    return {
        RUNTIME: partial(group.deferring, decorator(drain), least_defer),
        f"{RUNTIME}{NODES}": partial(group.deferring, decorator(drain_nodes), node_defer),
        SCOPE: partial(scope, scope=LeastScope),
        f"{SCOPE}{NODES}": partial(scope, scope=NodeScope),
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
