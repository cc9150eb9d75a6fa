"""The records of the runtime way: the `_defer` node, the record of an invocation, the free list.

Go keeps them in ``runtime/runtime2.go``. There, one list of `_defer` nodes hangs on each
goroutine, and `sp` tells its functions apart. Here each *invocation* of a decorated function has a
record with a list of its own, so that a suspended generator, a task or a thread can never see the
calls of another (D4).

The fields of Go's `_defer`:

- ``fn``: kept, with ``args`` and ``kwargs``: a closure would evaluate the arguments late (D1).
- ``link``: kept. The node that was deferred before this one.
- ``pc``: kept. The `defer` statement, as the index of its last instruction (`f_lasti`). A node
  made for a list of an open-coded function (`exits`) has minus the line instead, or 0.
- ``sp``: moved to the record, which has one for all its nodes. Only in a scope, where any function
  may defer, does a node have its own: the code of that function.
- ``_panic``: kept as ``panic``. The exception because of which the call is running, None at any
  other time. `recover` takes it.
- ``started``: became the record's ``running``, since one call runs at a time.
- ``heap``: gone. Every Python object is on the heap.
- ``openDefer``: gone. An open-coded function has no node (R1).
- ``when`` is new: the exits on which the call runs (D10), or that it is a context manager's exit
  (D11).

The free list is one bounded deque. Its `pop` and `append` are atomic, with the GIL and without,
and `maxlen` keeps the bound exactly, whatever the threads do (R5). A list that is checked against
its length overshoots by a node a thread; a linked free list, as in Go, needs a lock here.
"""

from __future__ import annotations

from _collections import deque  # type: ignore[import-not-found]  # collections is slow to import

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType
    from typing import Any

# _defer.when
ALWAYS = 0  # defer
FAILING = 1  # errdefer
RETURNING = 2  # okdefer
EXIT = 3  # using: fn is __exit__
ASYNC_EXIT = 4  # ausing: fn is __aexit__

POOL_SIZE = 1024  # nodes kept for reuse, of about 100 bytes each
BATCH = 31  # fresh nodes that an empty pool gets


class _defer:
    """One deferred call. In the pool it is clean, as `__init__` leaves it."""

    __slots__ = ("args", "fn", "kwargs", "link", "panic", "pc", "sp", "when")

    fn: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    link: _defer | None
    panic: BaseException | None
    pc: int
    sp: CodeType | None
    when: int

    def __init__(self) -> None:
        self.fn = self.kwargs = self.link = self.panic = self.sp = None
        self.args = ()
        self.pc = -1
        self.when = ALWAYS


class CallSites:
    """The instructions of a body that call a statement, as far as they are known.

    A wrapper has it as a constant of its code. A set itself has no hash, and a subclass of one is
    slower: each `defer` looks into it.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: set[int | tuple[int, int]] = set()

    def __reduce__(self) -> tuple[type[CallSites], tuple[()]]:
        return CallSites, ()


class Record:
    """The pending calls of one invocation, and the exception in flight: a state machine (`unwind`).

    Attributes:
        link: The last call deferred: the head of the list.
        sp: The owner of the calls: the code of the body, or the frame of an open-coded function.
        error: The exception in flight; None while the function is returning.
        running: The call under way.
        ended: Whether the body is over. Only an async function sets it, for `ausing`.
        calls: The instructions of the body that are known to call a statement (`call_sites`).
            Only a wrapper sets it.

    It has no ``__init__``, which would double the time that it takes to make one. The wrapper
    assigns the fields itself.
    """

    __slots__ = ("calls", "ended", "error", "link", "running", "sp")

    link: _defer | None
    sp: CodeType | FrameType | None
    error: BaseException | None
    running: _defer | None
    ended: bool
    calls: set[int | tuple[int, int]]

    def let_go(self) -> BaseException | None:
        """Return the exception in flight, to be raised, and hold it no longer (D9)."""
        error, self.error = self.error, None
        return error


def newrecord(sp: CodeType | FrameType | None = None, link: _defer | None = None) -> Record:
    """Return a record for calls that have no wrapper."""
    record = Record()
    record.sp = sp
    record.link = link
    record.error = record.running = None
    return record


pool: deque[_defer] = deque(maxlen=POOL_SIZE)
_pop = pool.pop


def refill() -> _defer:
    """Put a batch of fresh nodes into the empty pool, and return one more.

    To find the pool empty costs more than a node. Go's ``newdefer`` then takes a batch from the
    list of the whole program.
    """
    pool.extend([_defer() for _ in range(BATCH)])
    return _defer()


def newdefer(_pop: Callable[[], _defer] = pool.pop) -> _defer:
    """Return a clean node, from the pool if it has one. Go: ``newdefer``, ``runtime/panic.go``."""
    try:
        d = _pop()
    except IndexError:
        return refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    return d


def freedefer(d: _defer, _append: Callable[[_defer], None] = pool.append) -> None:
    """Clean a node, then pool it. Go: ``freedefer`` in ``runtime/panic.go``.

    In this order: to drop a reference may run a ``__del__`` that defers, and the node must be in
    no list while it does.
    """
    d.fn = d.kwargs = d.link = d.panic = d.sp = None
    d.args = ()
    d.when = ALWAYS
    _append(d)


def deferproc(  # noqa: PLR0913, PLR0917  # the fields of the node
    record: Record,
    when: int,
    fn: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    pc: int,
) -> None:
    """Put a call on the list of *record*. Go: ``deferproc`` in ``runtime/panic.go``."""
    try:  # newdefer, written out: a call costs as much as the rest
        d = _pop()
    except IndexError:
        d = refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    d.when = when
    d.fn = fn
    d.args = args
    d.kwargs = kwargs
    d.pc = pc
    d.link = record.link
    record.link = d
