"""The records of the runtime way: the `_defer` node, the frame record, and the free list.

Go keeps them in ``runtime/runtime2.go``. Where Go hangs one list of `_defer` nodes on each goroutine and tells the
functions apart by `sp`, here each *invocation* of a decorated function has a frame record with a list of its own: a
suspended generator, a task or a thread can then never see another's calls (rule D4).

What became of each field of Go's `_defer`:

- ``fn``: kept; with ``args`` and ``kwargs``, since Python has no closure over evaluated arguments (D1).
- ``link``: kept; the node that was deferred before this one, or, in nobody's list, None.
- ``pc``: kept; where the `defer` statement stands, as the index of its last instruction in the code (`f_lasti`); in
  the nodes made for an open-coded function that is failing, minus its line, or 0 if the function's frame shows it.
- ``sp``: moved to the frame record, which has one for all its nodes; a node has its own only in a scope (`_scope`), where any function
  may defer: the code of that function.
- ``_panic``: kept as ``panic``; the exception because of which the call is running, None at any other time. `recover` takes it.
- ``started``: became the frame record's ``running``: one call runs at a time, so one field for all nodes is enough.
- ``heap``: gone; every Python object is on the heap.
- ``openDefer``: gone; an open-coded function has no node at all (rule R1).
- new ``when``: on which exits the call runs (D10), or that it is a context manager's exit (D11).

The frame record is a plain list, since Python makes no other object as fast; it has four items::

    frame[0]  link     the last call deferred: the head of the list
    frame[1]  sp       whose calls they are: the code of the body; of an open-coded function that is failing, its frame
    frame[2]  running  the call under way
    frame[3]  outcome  None while the body runs. Of an async function: () when it has ended, and (exception or None,) when
                       `agopanic` or `adeferreturn` has, for want of a reader of what they return when they are closed

An object with these as attributes costs 80 to 200 ns more for each call that defers, and reads no faster.

The free list is one bounded deque: `pop` and `append` are atomic with the GIL and on free-threaded builds, and `maxlen`
keeps the bound exactly, whatever the threads do (R5). A list checked against its length overshoots by a node a
thread, and a linked free list, as Go has it, needs a lock here. A pooled node costs eight to nine tenths of a
fresh one on 3.11 to 3.13 (docs/benchmarks.md); a tuple, with the interpreter's free list, costs less than either.
"""

from __future__ import annotations

import sys
from _collections import deque  # type: ignore[import-not-found]  # collections takes longer to import than godefer

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, TracebackType
    from typing import Any

    Frame = list[Any]  # the frame record
    Saved = tuple[BaseException | None, BaseException | None, TracebackType | None]

# _defer.when
ALWAYS = 0  # defer
FAILING = 1  # errdefer
RETURNING = 2  # okdefer
EXIT = 3  # using: fn is __exit__
ASYNC_EXIT = 4  # ausing: fn is __aexit__

POOL_SIZE = 1024  # nodes kept for reuse; at most, in bytes: about 100 times this
BATCH = 31  # fresh nodes put there when it is empty


class _defer:
    """One deferred call. Clean, that is as `__init__` leaves it, whenever it is in the pool."""

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


# Assignments that no class can refuse: a frozen dataclass has a `__setattr__` of its own that does.
set_traceback = BaseException.with_traceback
set_context = BaseException.__dict__["__context__"].__set__


def attributes(exc: BaseException) -> dict[str, Any]:
    """What *exc* has for attributes, past what its class says of them: it may have all that is asked for, as a proxy of another object does."""
    return object.__getattribute__(exc, "__dict__")  # type: ignore[no-any-return]


def save(exc: BaseException) -> Saved:
    """What raising *exc* once more would overwrite: its ``__context__``, the link by which it is in the handled one's chain, its traceback.

    The interpreter puts the exception being handled at the end of that chain, and, lest there be a cycle, cuts the chain of the handled
    one where it leads to *exc* (`_PyErr_SetObject`). Both were done right when *exc* was raised for the first time.
    """
    handled, seen = sys.exception(), set()
    while handled is not None and handled is not exc and id(handled) not in seen:
        if handled.__context__ is exc:
            return exc.__context__, handled, exc.__traceback__
        seen.add(id(handled))
        handled = handled.__context__
    return exc.__context__, None, exc.__traceback__


def restore(exc: BaseException, saved: Saved) -> None:
    """Undo what raising *exc* once more has done."""
    restore_context(exc, saved)
    set_traceback(exc, saved[2])


def restore_context(exc: BaseException, saved: Saved) -> None:
    """Undo what raising *exc* once more has done to ``__context__``; its traceback shall lead through here."""
    if (
        exc.__context__ is not saved[0]
    ):  # where None was assigned, needed or not, PyPy sets no context any more
        set_context(exc, saved[0])
    if saved[1] is not None:
        set_context(saved[1], exc)


pool: deque[_defer] = deque(maxlen=POOL_SIZE)


def refill() -> _defer:
    """The pool is empty: put a batch of fresh nodes there, and give one more. Each time that it is found empty costs more than a node does.

    Go: ``newdefer`` then takes a batch from the list of the whole program.
    """
    pool.extend([_defer() for _ in range(BATCH)])
    return _defer()


def newdefer(_pop: Callable[[], _defer] = pool.pop) -> _defer:
    """A clean node, from the pool if there is one. Go: ``newdefer`` in ``runtime/panic.go``."""
    try:
        d = _pop()
    except IndexError:
        return refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    return d


def freedefer(d: _defer, _append: Callable[[_defer], None] = pool.append) -> None:
    """Clean the node, then pool it. Go: ``freedefer`` in ``runtime/panic.go``.

    In this order, since dropping a reference may run a ``__del__`` that defers: the node is in no list while it does.
    """
    d.fn = d.kwargs = d.link = d.panic = d.sp = None
    d.args = ()
    d.when = ALWAYS
    _append(d)
