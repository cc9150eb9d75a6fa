"""The `_defer` node, the record of an invocation, and the free list of nodes.

Go declares the node in ``runtime/runtime2.go``. In Go each goroutine has one list of `_defer` nodes
for all of its functions, and `sp` tells the functions apart. Here each *invocation* of a decorated
function has a record with its own list. So a suspended generator, a task or a thread never sees the
calls of another (D4).

The fields of Go's `_defer`:

- ``fn``: kept, with ``args`` and ``kwargs``. A closure would evaluate the arguments late (D1).
- ``link``: kept. The node that was deferred before this one.
- ``pc``: kept. The instruction that called `defer` (`f_lasti`). A node for a list of an open-coded
  function (`exits`) has the negative line number instead, or 0.
- ``sp``: moved to the record, which has one for all its nodes. In a scope any function may defer.
  So a node of a scope has its own ``sp``: the code of the function that deferred it.
- ``_panic``: kept as ``panic``. The exception because of which the call is running; None at any
  other time. `recover` sets it to None.
- ``started``: became the record's ``running``, since one call runs at a time.
- ``heap``: dropped. Every Python object is on the heap.
- ``openDefer``: dropped. An open-coded function has no node (R1).
- ``when`` is new: on which exits of the function the call runs (D10), or that it is the exit of a
  context manager (D11).

The free list is a deque with a `maxlen` (R5). Its `pop` and `append` are atomic, with the GIL and
without. Rejected: a list with a check of its length, which each thread may exceed by a node; a
linked list, as in Go, which needs a lock here.
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
    """One deferred call. In the pool all fields but `pc` are as `__init__` sets them."""

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
    """The instructions of a body that are known to call a statement.

    A wrapper has this object as a constant of its code. A set has no hash, so it cannot be one. A
    subclass of set is slower, and each `defer` looks into the set.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: set[int | tuple[int, int]] = set()

    def __reduce__(self) -> tuple[type[CallSites], tuple[()]]:
        return CallSites, ()


class Record:
    """The pending calls of an invocation and the exception in flight: a state machine (`unwind`).

    Attributes:
        link: The call that was deferred last: the head of the list.
        sp: The owner of the calls: the code of the body, or the frame of an open-coded function.
        error: The exception in flight; None while the function is returning.
        running: The call under way.
        ended: Whether the body has ended. Only an async function sets it, for `ausing`.
        calls: The instructions of the body that are known to call a statement (`call_sites`).
            Only a wrapper sets it.

    It has no ``__init__``, which would double the cost of a record. The wrapper assigns the fields
    itself.
    """

    __slots__ = ("calls", "ended", "error", "link", "running", "sp")

    link: _defer | None
    sp: CodeType | FrameType | None
    error: BaseException | None
    running: _defer | None
    ended: bool
    calls: set[int | tuple[int, int]]

    def let_go(self) -> BaseException | None:
        """Return the exception in flight, for the caller to raise, and drop it here (D9)."""
        error, self.error = self.error, None
        return error


def newrecord() -> Record:
    """Return an empty record. A wrapper assigns the fields itself, which is faster."""
    record = Record()
    record.link = record.error = record.running = record.sp = None
    return record


pool: deque[_defer] = deque(maxlen=POOL_SIZE)
_pop = pool.pop


def refill() -> _defer:
    """Put a batch of fresh nodes into the empty pool, and return one more.

    To find the pool empty costs more than a new node, since `pop` raises. Go's ``newdefer`` also
    takes a batch, from a list that the whole program shares.
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

    The order matters. To drop a reference may run a ``__del__`` that defers, and the node must not
    be in the pool at that moment.
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
    try:  # newdefer, inlined: to call it would double the cost
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
