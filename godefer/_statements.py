"""The statements in a decorated function's body: defer, errdefer, okdefer, using, ausing.

Functions that are run the runtime way call these. Each finds the record of the invocation
(`invocation`), and puts a `_defer` node on its list. The two steps together are Go's ``deferproc``
(``runtime/panic.go``). In an open-coded function the statements are compiled, and these functions
are not called.
"""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._runtime.context_managers import aenter, enter
from godefer._runtime.frames import ASYNC
from godefer._runtime.invocation import find_record, live
from godefer._runtime.record import (
    ASYNC_EXIT,
    EXIT,
    FAILING,
    RETURNING,
    deferproc,
    pool,
    refill,
)
from godefer._runtime.results import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from typing import Any, ParamSpec, TypeVar

    from godefer._runtime.record import Record

    P = ParamSpec("P")
    T = TypeVar("T")

_getframe = sys._getframe
_find = live.get
_pop = pool.pop


def defer(fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function exits, however it exits.

    The callee and its arguments are evaluated now (D1). The calls run last in, first out, when
    this invocation of the function returns, raises, is cancelled or closed (D2). All of them run,
    whatever the others do (D5). The result is dropped; in an async function an awaitable result is
    awaited, unless a container's method hands it back (D6): ``defer(pending.pop, key)``.

    Args:
        fn: The function to call. If it is not callable, the call at the exit fails, as in Go (D7).
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Raises:
        DeferError: This is not the body of a function decorated with `with_defers` (D3).

    After Go's ``defer`` statement; ``deferproc`` in ``runtime/panic.go``.

    Example:
        >>> from godefer import defer, with_defers
        >>> @with_defers
        ... def greet(name):
        ...     defer(print, "bye", name)
        ...     print("hello", name)
        >>> greet("Ada")
        hello Ada
        bye Ada
    """
    try:
        sp = _getframe(1)
    except ValueError:
        raise _errors.no_caller("defer") from None
    record = _find(sp.f_back)
    pc = sp.f_lasti
    if record is None or pc not in record.calls or record.sp is not sp.f_code:
        record, sp = find_record("defer", sp)
        pc = sp.f_lasti
    try:  # deferproc and newdefer, inlined: this function is most of the runtime way's cost
        d = _pop()
    except IndexError:
        d = refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    d.fn = fn
    d.args = args
    if kwargs:
        d.kwargs = kwargs
    d.pc = pc
    d.link = record.link
    record.link = d


def errdefer(fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function exits by an exception, and only then.

    Every BaseException counts, so a cancelled task and a closed generator are failures, too (D10).
    Whether the call runs is decided when its turn comes. If a deferred call that ran earlier has
    recovered, the function is returning; if one has raised, it is failing. In the call,
    `sys.exception()` is the exception in flight. All else is as for `defer`.

    Args:
        fn: The function to call.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Raises:
        DeferError: This is not the body of a function decorated with `with_defers` (D3).

    After Zig's ``errdefer`` and D's ``scope(failure)``.

    Example:
        >>> from godefer import errdefer, with_defers
        >>> @with_defers
        ... def half(n):
        ...     errdefer(print, "no half of", n)
        ...     if n % 2:
        ...         raise ValueError(n)
        ...     return n // 2
        >>> half(4)
        2
        >>> try:
        ...     half(5)
        ... except ValueError as error:
        ...     print("ValueError:", error)
        no half of 5
        ValueError: 5
    """
    record, sp = find_record("errdefer", _getframe().f_back)
    deferproc(record, FAILING, fn, args, kwargs or None, sp.f_lasti)


def okdefer(fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function returns, and only then.

    Whether the call runs is decided when its turn comes (D10), as for `errdefer`. All else is as
    for `defer`.

    Args:
        fn: The function to call.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Raises:
        DeferError: This is not the body of a function decorated with `with_defers` (D3).

    After D's ``scope(success)``.

    Example:
        >>> from godefer import okdefer, with_defers
        >>> @with_defers
        ... def save(text):
        ...     okdefer(print, "saved")
        ...     return len(text)
        >>> save("abc")
        saved
        3
    """
    record, sp = find_record("okdefer", _getframe().f_back)
    deferproc(record, RETURNING, fn, args, kwargs or None, sp.f_lasti)


def using(cm: AbstractContextManager[T, bool | None]) -> T:
    """Enter a context manager now, and exit it when the decorated function exits.

    It equals a ``with`` statement around the rest of the function (D11): the exit gets the
    exception's details, in last-in-first-out order with the deferred calls, and suppresses the
    exception if its result is true.

    Args:
        cm: The context manager.

    Returns:
        The value that entering it gave.

    Raises:
        DeferError: This is not the body of a function decorated with `with_defers` (D3). Nothing
            was entered.
        TypeError: *cm* is not a context manager. The message is that of the ``with`` statement.

    After ``using`` of C# and JavaScript; PEP 343 defines the protocol.

    Example:
        >>> from godefer import using, with_defers
        >>> import io
        >>> @with_defers
        ... def first_line(text):
        ...     f = using(io.StringIO(text))
        ...     return f.readline(), f
        >>> line, f = first_line("one")
        >>> line, f.closed
        ('one', True)
    """
    try:
        sp = _getframe(1)
    except ValueError:
        raise _errors.no_caller("using") from None
    record = _find(sp.f_back)
    pc = sp.f_lasti
    if record is None or pc not in record.calls or record.sp is not sp.f_code:
        record, sp = find_record("using", sp)
        pc = sp.f_lasti
    value: T
    leave, value = enter(cm)
    try:  # as in `defer`
        d = _pop()
    except IndexError:
        d = refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    d.when = EXIT
    d.fn = leave
    d.pc = pc
    d.link = record.link
    record.link = d
    return value


def ausing(acm: AbstractAsyncContextManager[T, bool | None]) -> Awaitable[T]:
    """Enter an async context manager now, and exit it when the decorated async function exits.

    Write ``conn = await ausing(pool.acquire())``. It equals an ``async with`` statement around the
    rest of the function (D11).

    Args:
        acm: The asynchronous context manager.

    Returns:
        An awaitable that enters *acm* and gives the value that entering it gave.

    Raises:
        DeferError: This is not the body of an async function decorated with `with_defers` (D3), or
            the awaitable was awaited after the function had exited. *acm* is not left open.
        TypeError: *acm* is not an asynchronous context manager. The message is that of
            ``async with``.

    After `using`, with the prefix of ``contextlib.aclosing``; PEP 492 defines the protocol.

    Example:
        >>> import asyncio, contextlib
        >>> from godefer import ausing, with_defers
        >>> @contextlib.asynccontextmanager
        ... async def connection():
        ...     print("open")
        ...     yield "conn"
        ...     print("close")
        >>> @with_defers
        ... async def query():
        ...     conn = await ausing(connection())
        ...     print("query on", conn)
        >>> asyncio.run(query())
        open
        query on conn
        close
    """
    record, sp = find_record("ausing", _getframe().f_back)
    if not sp.f_code.co_flags & ASYNC:
        raise _errors.not_async(sp)
    entering = _enter_async(acm, record, sp.f_lasti)
    where = _errors.place(sp.f_code, sp.f_lineno)
    entering.__qualname__ = f"ausing at {where}"  # type: ignore[attr-defined]
    return entering


async def _enter_async(acm: Any, record: Record, pc: int) -> Any:
    """Enter *acm*. Its name is "ausing", for the warning about a coroutine never awaited."""
    if record.ended:
        raise _errors.awaited_too_late(acm)
    leave, value = await aenter(acm)
    if record.ended:  # a task that outlived the function has awaited this
        error = _errors.awaited_too_late(acm)
        try:
            await awaited("__aexit__", leave(type(error), error, None))
            raise error
        finally:
            del error  # its traceback holds this frame
    deferproc(record, ASYNC_EXIT, leave, (), None, pc)
    return value


_enter_async.__name__ = "ausing"
