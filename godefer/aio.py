"""Clean-up that must finish, even if its task is cancelled (section X of the rules).

``import godefer`` does not import this module, and this module does not import an event loop. It
finds the running one in `sys.modules`; also anyio, which has its own cancel scopes on asyncio.

On trio a cancel scope with a shield is enough. `_on_asyncio` is for the other event loops.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._runtime.results import awaits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any, ParamSpec, TypeVar, overload

    P = ParamSpec("P")
    T = TypeVar("T")
else:

    def overload(_: object) -> None:
        """Replace `typing.overload`: the program may not have imported typing."""


__all__ = ["shielded", "shielded_for"]

_CANCELLED = float("-inf")  # the effective deadline in a cancelled scope, on trio and anyio


@overload
async def shielded(  # noqa: D103
    fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
@overload
async def shielded(  # noqa: D103, F811
    fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
async def shielded(  # noqa: F811
    fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call ``fn(*args, **kwargs)``, and await it to its end, even if the task is cancelled.

    If the task, or a cancel scope around it, is cancelled meanwhile, once or more often, the call
    goes on. When the call has ended, its own exception is raised, else the cancellation (section
    X). A cancellation that came before the call is not raised again: for example the one because of
    which a deferred call runs.

    On asyncio the call runs in a separate task, so timeouts and task groups in it work. It has the
    same context variables. But it cannot leave a cancel scope or a task group of anyio that the
    caller has entered: anyio requires the same task.

    Args:
        fn: The function to call, async or not.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The result of the call. `defer` drops it (D6).

    Raises:
        BaseException: The exception of the call. On asyncio, a cancellation of the task during the
            call is in its ``__context__`` chain.
        CancelledError: The task was cancelled during the call, and the call itself has not raised.
            On trio it is ``trio.Cancelled``.

    Example:
        >>> import asyncio
        >>> from godefer import defer, with_defers
        >>> from godefer.aio import shielded
        >>> async def close():
        ...     await asyncio.sleep(0.01)
        ...     print("closed")
        >>> @with_defers
        ... async def work():
        ...     defer(shielded, close)
        >>> async def main():
        ...     task = asyncio.create_task(work())
        ...     for _ in range(3):
        ...         await asyncio.sleep(0.001)
        ...         task.cancel()
        ...     await asyncio.wait([task])
        ...     print("cancelled:", task.cancelled())
        >>> asyncio.run(main())
        closed
        cancelled: True
    """
    result = fn(*args, **kwargs)
    return await _to_the_end(fn, result, None) if awaits(result, fn, args) else result


@overload
async def shielded_for(  # noqa: D103
    seconds: float, fn: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
@overload
async def shielded_for(  # noqa: D103, F811
    seconds: float, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T: ...
async def shielded_for(  # noqa: F811
    seconds: float, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Any:
    """Call as `shielded` does, but cancel the call after so many seconds (section X).

    Without an event loop there is no clock, and no limit.

    Args:
        seconds: The time limit, from the moment of the call.
        fn: The function to call, async or not. A function that does not await cannot be cancelled.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        The result of the call.

    Raises:
        TimeoutError: The call did not end in time, and was cancelled.
        BaseException: As from `shielded`.

    Example:
        >>> import asyncio
        >>> from godefer import defer, recover, with_defers
        >>> from godefer.aio import shielded_for
        >>> @with_defers
        ... async def work():
        ...     defer(lambda: print(recover(TimeoutError)))
        ...     defer(shielded_for, 0.01, asyncio.sleep, 60)
        >>> asyncio.run(work())
        sleep did not end within 0.01 seconds and was cancelled
    """
    result = fn(*args, **kwargs)
    return await _to_the_end(fn, result, seconds) if awaits(result, fn, args) else result


def _to_the_end(
    fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None
) -> Awaitable[Any]:
    """Return an awaitable that awaits *call* under the shield of the running event loop."""
    modules = sys.modules
    # asyncio comes first. While trio runs as a guest in its loop, asyncio has no current task. But
    # while asyncio runs in trio (trio-asyncio), trio has one.
    asyncio = modules.get("asyncio")
    if (
        asyncio is not None
        and asyncio._get_running_loop() is not None
        and asyncio.current_task() is not None
    ):
        from godefer._on_asyncio import to_the_end  # noqa: PLC0415  # it imports asyncio

        return to_the_end(fn, call, seconds)
    trio = modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return _on_trio(trio, fn, call, seconds)
    return call  # no event loop: no cancellation and no clock


async def _on_trio(
    trio: Any, fn: Callable[..., Any], call: Awaitable[Any], seconds: float | None
) -> Any:
    """Await *call* in a scope with a shield, which trio's cancellation does not enter."""
    cancelled_before = trio.current_effective_deadline() == _CANCELLED
    with trio.CancelScope(shield=True) as scope:
        if seconds is not None:
            scope.deadline = trio.current_time() + seconds
        result = await call
    if scope.cancelled_caught:
        raise _errors.not_in_time(fn, seconds)
    if not cancelled_before:
        await trio.lowlevel.checkpoint_if_cancelled()
    return result
