"""`godefer.aio` on asyncio and uvloop, with or without anyio: a task for the call, and a waiter.

Two designs were tried.

*Rejected: the same task.* The caller's task drives the coroutine of the call itself. It wraps each
future that the call awaits in another future, which absorbs cancellations. The call keeps the task,
the stack and the handled exception of its caller, and costs 2 µs. But an `asyncio.timeout` or a
task group *in* the call also cancels the current task, and a cancellation does not name its origin:
a clean-up with a time limit of 0.05 s took 0.5 s. A context variable can mark the timers of the
call, but it marks the call's other callbacks as well. A server that cancels its handler when the
handler has closed the connection would still interrupt the clean-up.

*Chosen: a task for the call.* It costs 7 µs. Now the cancelled task shows the origin: the timeouts
of the call cancel the call's task, and everything else cancels the caller's. `_Waiter` notes a
cancellation of the caller's task and does not wake it, so a cancellation costs 0.1 µs and no turn
of the loop. Three things of the caller's task are passed to the call:

- the same context object (`contextvars`), so that `ContextVar.reset` works;
- the exception being handled, for `sys.exception()` and the chain of the call's exceptions;
- the end of the loop. `asyncio.run` cancels all tasks at its end, and waits for them. It must
  cancel only the caller, so the call's task is not in `asyncio.all_tasks()`.

`asyncio.current_task()` is not the caller's task, since the timeouts of the call need the call's.
So the call cannot leave a scope of anyio that the caller has entered.

*anyio.* In each turn of the loop anyio delivers the cancellation of a scope again, to each task in
the scope (`CancelScope._deliver_cancellation`). Until the call ends, the loop would spin and use a
whole core. So the caller waits in a scope with a shield, which the cancellation does not enter.
"""

from __future__ import annotations

import asyncio
import sys

from godefer._errors import not_in_time
from godefer._runtime.exceptions import raise_again, set_context, set_traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context
    from types import TracebackType
    from typing import Any, Self

_CANCELLED = float("-inf")  # the effective deadline in a cancelled scope of anyio


class _Task(asyncio.Task[None]):
    """The task of the call.

    Attributes:
        being_cancelled: Whether `cancel` is under way. It may reach the caller's task by itself, if
            the call awaits that.
    """

    being_cancelled = False

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the task, for example at its time limit."""
        self.being_cancelled = True
        try:
            return super().cancel(msg)
        finally:
            self.being_cancelled = False


class _Waiter(asyncio.Future[None]):
    """The future that the caller's task awaits. It is never cancelled.

    It is done when the call has ended, or when the cancelled call awaits the caller's task.

    Attributes:
        task: The task of the call.
        returned: The result of the call.
        error: The exception of the call.
        cancelled_error: The error for the first cancellation of the caller's task during the call.
    """

    task: _Task | None = None
    returned: Any = None
    error: BaseException | None = None
    cancelled_error: asyncio.CancelledError | None = None

    def __init__(self, fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._limit = fn, seconds
        self._coroutine = self._run(fn, call, seconds, sys.exception())

    def cancel(self, msg: Any = None) -> bool:
        """Note a cancellation of the caller's task. The task itself has counted it (`cancelling`).

        Returns:
            True, so that the task does not cancel itself in another way.
        """
        if self._comes_from_the_call() and not self.done():
            # The call was awaiting the caller's task. Without this, neither task would end.
            fn, seconds = self._limit
            self.error = asyncio.CancelledError() if seconds is None else not_in_time(fn, seconds)
            self.set_result(None)
        elif self.cancelled_error is None:
            self.cancelled_error = asyncio.CancelledError(*(() if msg is None else (msg,)))
        return True

    def _comes_from_the_call(self) -> bool:
        """Return whether a cancellation of the call's task is what cancels this."""
        task = self.task
        if task is None:
            return False
        # A running task is cancelled when it next awaits something.
        running = asyncio.current_task(self.get_loop()) is task
        return task.being_cancelled or (running and task._must_cancel)  # type: ignore[attr-defined]

    def add_done_callback(
        self, fn: Callable[[Self], object], /, *, context: Context | None = None
    ) -> None:
        """Begin the call in *context*, the context of the caller's task.

        A task passes its context to the future that it awaits. Before Python 3.12 there is no other
        way to get it.
        """
        super().add_done_callback(fn, context=context)
        if self.task is None:
            # Not the loop's task factory: an eager task would enter the context at once, and the
            # caller is still in it.
            self.task = _Task(self._coroutine, loop=self.get_loop(), context=context)
            asyncio._unregister_task(self.task)

    async def _run(
        self,
        fn: Callable[..., Any],
        call: Awaitable[Any],
        seconds: float | None,
        handled: BaseException | None,
    ) -> None:
        """Make the call while *handled* is being handled, and keep its result or its exception.

        No exception leaves this task, since the caller's task raises it. A KeyboardInterrupt that
        left both tasks would stop the loop twice.
        """
        try:
            if handled is None:
                self.returned = await _limited(fn, call, seconds)
            else:
                traceback = handled.__traceback__
                try:
                    raise_again(handled)
                except BaseException:
                    set_traceback(handled, traceback)
                    self.returned = await _limited(fn, call, seconds)
        except BaseException as exc:
            set_traceback(exc, _without_our_frames(exc.__traceback__))
            if not self.done():
                self.error = exc
        finally:
            handled = None
            if not self.done() and not self.get_loop().is_closed():
                self.set_result(None)


async def _limited(fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None) -> Any:
    """Await *call*, and cancel it after so many seconds."""
    if seconds is None:
        return await call
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await call
    except TimeoutError as exc:
        if limit.expired() and not exc.args:
            exc.args = not_in_time(fn, seconds).args
        raise


def _without_our_frames(tb: TracebackType | None) -> TracebackType | None:
    """Return *tb* without the frames of this module at its beginning."""
    while tb is not None and tb.tb_frame.f_code.co_filename == _limited.__code__.co_filename:
        tb = tb.tb_next
    return tb


def _put_below(exc: BaseException, cancelled: BaseException, handled: BaseException | None) -> None:
    """Put *cancelled* into the chain of *exc*, just before *handled*, or at its end."""
    link, seen = exc, {id(exc)}
    while (below := link.__context__) is not None and below is not handled:
        if id(below) in seen:
            return
        seen.add(id(below))
        link = below
    if below is not None:
        set_context(cancelled, below)
    set_context(link, cancelled)


async def to_the_end(fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None) -> Any:
    """Await *call* in a task of its own; then raise its exception, else the caller's cancellation.

    Args:
        fn: The function that was called, for the message.
        call: Its awaitable result.
        seconds: The limit, or None.

    Returns:
        The result of the call.

    Raises:
        BaseException: The exception of the call.
        CancelledError: The caller's task was cancelled while it waited; the call has not raised.
    """
    waiter = _Waiter(fn, call, seconds)
    # If anyio's backend is not imported, the program has not entered a scope of anyio on asyncio.
    anyio = sys.modules["anyio"] if "anyio._backends._asyncio" in sys.modules else None
    cancelled_before = anyio is not None and anyio.current_effective_deadline() == _CANCELLED
    try:
        if anyio is None:
            await waiter
        else:
            with anyio.CancelScope(shield=True):
                await waiter
    finally:
        if waiter.task is not None and not waiter.done() and not waiter.get_loop().is_closed():
            waiter.task.cancel()  # the caller was closed, so no task awaits the call
    error, waiter.error = waiter.error, None
    cancelled, waiter.cancelled_error = waiter.cancelled_error, None
    try:
        if error is not None:
            if cancelled is not None:
                _put_below(error, cancelled, sys.exception())
            raise_again(error)
        if cancelled is not None:
            raise cancelled
    finally:
        del error, cancelled
    if anyio is not None and not cancelled_before:
        await anyio.lowlevel.checkpoint_if_cancelled()
    return waiter.returned
