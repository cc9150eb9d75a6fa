"""`godefer.aio` on asyncio and uvloop, with or without anyio: a task for the call, and a waiter.

Two designs were tried.

*The same task.* The caller's task drives the coroutine of the call itself, and puts a future of
ours around each one that the call waits for. That future absorbs cancellations. The call then
keeps its caller's task, stack and exception, and costs 2 µs. But an `asyncio.timeout` or a task
group *in* the call cancels the current task, too, and a cancellation does not name its origin: a
clean-up with a time limit of 0.05 s took 0.5 s. A context variable can mark the timers of the call,
but it marks the call's other callbacks as well. A server that cancels its handler when the handler
has closed the connection would still interrupt the clean-up.

*A task of its own*, which is this module, for 7 µs. The task that a cancellation names tells the
two apart: the call's timeouts name the call's task, all others the caller's. `_Waiter` notes the
latter and does not even wake the caller: a cancellation costs 0.1 µs and no turn of the loop.
The call would lose three things with its caller's task, so they are handed on:

- its context (`contextvars`), the object itself, so that `ContextVar.reset` works;
- the exception being handled, for `sys.exception()` and the chain of the call's exceptions;
- the end of the loop: `asyncio.run` cancels all tasks at its end, and waits for them. It must
  cancel the caller alone, so the call's task is not among `asyncio.all_tasks()`.

`asyncio.current_task()` is not handed on: the call's timeouts need one that is theirs. So the call
cannot leave a scope of anyio's that the caller has entered.

anyio delivers the cancellation of a scope in each turn of the loop, to each task that is in it
(`CancelScope._deliver_cancellation`). A scope with a shield around the waiting takes the caller out
of it. Without that the loop would spin, and use all of a core.
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


class _Waiter(asyncio.Future[None]):
    """The future that the caller's task waits for: done when the call has ended, never cancelled.

    Attributes:
        task: The task of the call.
        returned: The result of the call.
        error: The exception of the call.
        cancelled_error: The error for the first cancellation of the caller's task meanwhile.
    """

    task: asyncio.Task[None] | None = None
    returned: Any = None
    error: BaseException | None = None
    cancelled_error: asyncio.CancelledError | None = None

    def __init__(self, fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self._limit = fn, seconds
        self._coroutine = self._run(fn, call, seconds, sys.exception())

    def cancel(self, msg: Any = None) -> bool:
        """Note a cancellation of the caller's task, whose ``cancel()`` has counted it already.

        Returns:
            True: the task need not be cancelled by other means.
        """
        if self.task is not None and self.task.cancelling() and not self.done():
            # The call waits for the caller. Its limit has expired, and the cancellation has come
            # back here, so neither would ever end.
            fn, seconds = self._limit
            self.error = asyncio.CancelledError() if seconds is None else not_in_time(fn, seconds)
            self.set_result(None)
        elif self.cancelled_error is None:
            self.cancelled_error = asyncio.CancelledError(*(() if msg is None else (msg,)))
        return True

    def add_done_callback(
        self, fn: Callable[[Self], object], /, *, context: Context | None = None
    ) -> None:
        """Begin the call in *context*: a task tells its own to the future that it waits for.

        Before Python 3.12 a task tells it to nobody else.
        """
        super().add_done_callback(fn, context=context)
        if self.task is None:
            # Not by the loop's task factory: an eager task would enter the context at once, and
            # the caller is still in it.
            self.task = asyncio.Task(self._coroutine, loop=self.get_loop(), context=context)
            asyncio._unregister_task(self.task)

    async def _run(
        self,
        fn: Callable[..., Any],
        call: Awaitable[Any],
        seconds: float | None,
        handled: BaseException | None,
    ) -> None:
        """Make the call while *handled* is being handled, and keep its result or its exception.

        Every exception is for the caller's task to raise. As the end of this task, too,
        KeyboardInterrupt would stop the loop twice.
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
    """Return *tb* without the frames at its beginning that are this module's."""
    while tb is not None and tb.tb_frame.f_code.co_filename == _limited.__code__.co_filename:
        tb = tb.tb_next
    return tb


def _put_below(exc: BaseException, cancelled: BaseException, handled: BaseException | None) -> None:
    """Put *cancelled* into the chain of *exc*, above *handled*: it came before *exc* was raised."""
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
    """Await *call* in a task of its own, and deliver the caller's cancellation when it has ended.

    Args:
        fn: The function that was called, for the message.
        call: Its awaitable result.
        seconds: The limit, or None.

    Returns:
        The result of the call.

    Raises:
        CancelledError: The caller's task was cancelled while it waited.
        BaseException: The exception of the call.
    """
    waiter = _Waiter(fn, call, seconds)
    # Until its backend is imported, nobody can have entered a scope of anyio's on asyncio.
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
            waiter.task.cancel()  # the caller was closed, and nobody waits for the call
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
