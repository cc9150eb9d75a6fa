"""The records of the runtime way: the `_defer` node, the `_panic` record, the frame record, and the free list.

Go keeps them in ``runtime/runtime2.go``. Where Go hangs one list of `_defer` nodes on each goroutine and tells the
functions apart by `sp`, here each *invocation* of a decorated function has a frame record with a list of its own: a
suspended generator, a task or a thread can then never see another's calls (rule D4).

What became of each field of Go's `_defer`:

- ``fn``: kept; with ``args`` and ``kwargs``, since Python has no closure over evaluated arguments (D1).
- ``link``: kept; the node that was deferred before this one, or, in nobody's list, None.
- ``pc``: kept; where the `defer` statement stands, as the index of its last instruction in the code (`f_lasti`); in
  the nodes made for an open-coded function that is failing, minus its line, or 0 if the function's frame shows it.
- ``sp``: moved to the frame record, which has one for all its nodes: the frame whose `defer` statements belong to it.
- ``_panic``: kept as ``panic``; the panic because of which the call is running, None at any other time.
- ``started``: became the frame record's ``running``: one call runs at a time, so one field for all nodes is enough.
- ``heap``: gone; every Python object is on the heap.
- ``openDefer``: gone; an open-coded function has no node at all (rule R1).
- new ``when``: on which exits the call runs (D10), or that it is a context manager's exit (D11).

The free list is one bounded deque: `pop` and `append` are atomic with the GIL and on free-threaded builds, and `maxlen`
keeps the bound exactly, whatever the threads do (R5). A list checked against its length overshoots by a node a
thread, and a linked free list, as Go has it, needs a lock here. A pooled node costs about three quarters of a fresh
one on 3.11 to 3.13, measured with eight defers a call.
"""

from __future__ import annotations

import sys
from _collections import deque  # type: ignore[import-not-found]  # collections takes longer to import than godefer

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

    SavedContext = tuple[BaseException | None, BaseException | None]

# _defer.when
ALWAYS = 0  # defer
FAILING = 1  # errdefer
RETURNING = 2  # okdefer
EXIT = 3  # using: fn is __exit__
ASYNC_EXIT = 4  # ausing: fn is __aexit__

POOL_SIZE = 1024  # nodes kept for reuse; at most, in bytes: about 100 times this


class _defer:
    """One deferred call. Clean, that is as `__init__` leaves it, whenever it is in the pool."""

    __slots__ = ("args", "fn", "kwargs", "link", "panic", "pc", "when")

    fn: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    link: _defer | None
    panic: _panic | None
    pc: int
    when: int

    def __init__(self) -> None:
        self.fn = self.kwargs = self.link = self.panic = None
        self.args = ()
        self.pc = -1
        self.when = ALWAYS


class _panic:
    """An exception in flight through one invocation, as Go's `_panic` is a panic in flight through a goroutine.

    Go's ``link``, to the panics that this one aborted, is gone: what they were is on the exception's ``__context__``, and
    the one that may have to go on, on the exception itself (`_unwind.remember_exit`).
    """

    __slots__ = ("context", "exc", "recovered", "traceback")

    def __init__(self, exc: BaseException) -> None:
        self.exc: BaseException | None = exc
        self.recovered = False
        self.context: SavedContext | None = None
        self.traceback: TracebackType | None = None

    def save(self) -> None:
        """Keep what raising the exception once more would overwrite."""
        self.context = save_context(self.exc)  # type: ignore[arg-type]
        self.traceback = self.exc.__traceback__  # type: ignore[union-attr]

    def restore(self) -> None:
        """Put back what `save` kept."""
        restore_context(self.exc, self.context)  # type: ignore[arg-type]
        self.exc.__traceback__ = self.traceback  # type: ignore[union-attr]
        self.context = self.traceback = None

    def details(self) -> tuple[Any, Any, Any]:
        """The arguments of a context manager's exit (PEP 343)."""
        return type(self.exc), self.exc, self.exc.__traceback__  # type: ignore[union-attr]

    def take(self) -> BaseException | None:
        """Be done with this panic and hand its exception over: a finished panic must not keep it alive (D9)."""
        exc = self.exc
        self.exc = self.context = self.traceback = None
        return exc


def save_context(exc: BaseException) -> SavedContext:
    """What raising *exc* once more would overwrite: its ``__context__``, and the link by which it is in the handled one's chain.

    The interpreter puts the exception being handled at the end of that chain, and, lest there be a cycle, cuts the chain of the handled
    one where it leads to *exc* (`_PyErr_SetObject`). Both were done right when *exc* was raised for the first time.
    """
    handled, seen = sys.exception(), set()
    while handled is not None and handled is not exc and id(handled) not in seen:
        if handled.__context__ is exc:
            return exc.__context__, handled
        seen.add(id(handled))
        handled = handled.__context__
    return exc.__context__, None


def restore_context(exc: BaseException, saved: SavedContext) -> None:
    """Undo what raising *exc* once more has done to ``__context__``."""
    context, before = saved
    if exc.__context__ is not context:  # where None was assigned, needed or not, PyPy sets no context any more
        exc.__context__ = context
    if before is not None:
        before.__context__ = exc


class _frame:
    """The frame record: one invocation of a decorated function.

    Its defaults live on the class: an instance without ``__init__`` costs half of one with it, and a call that defers
    nothing writes none of them.
    """

    link: _defer | None = None  # the last call deferred: the head of the list
    sp: FrameType | None = None  # the frame of the body, once it has deferred; None again when its calls have run
    running: _defer | None = None  # the call under way
    outcome: tuple[BaseException | None] | None = (
        None  # what `agopanic` returned, for want of a reader when it is closed
    )
    ended: bool = False  # the body is over: nothing may be deferred here any more


pool: deque[_defer] = deque(maxlen=POOL_SIZE)


def newdefer(_pop: Callable[[], _defer] = pool.pop) -> _defer:
    """A clean node, from the pool if there is one. Go: ``newdefer`` in ``runtime/panic.go``."""
    try:
        d = _pop()
    except IndexError:
        return _defer()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    return d


def freedefer(d: _defer, _append: Callable[[_defer], None] = pool.append) -> None:
    """Clean the node, then pool it. Go: ``freedefer`` in ``runtime/panic.go``.

    In this order, since dropping a reference may run a ``__del__`` that defers: the node is in no list while it does.
    """
    d.fn = d.kwargs = d.link = d.panic = None
    d.args = ()
    d.when = ALWAYS
    _append(d)
