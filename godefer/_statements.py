"""What stands in a decorated function's body: defer, errdefer, okdefer, using, ausing.

Each finds the frame record of the invocation it stands in, then puts one `_defer` node on its list; the two steps
together are Go's ``deferproc`` (``runtime/panic.go``).

Finding the record is Go's `sp` check. While its body runs, a wrapper (`_wrapper`) has its own frame and the invocation's record in
`live`. The caller's frame `sp` is the body of a decorated function exactly if the frame that called it is such a key, and
the record's code is `sp`'s. One step up and never further, so a helper cannot attach a call to some decorated function
that happens to be up the stack (D3), and there is no "current function" in a thread or a context that a suspended
generator, a child task or a greenlet could see (D4).

Rejected, measured with one defer on 3.11: reading the record from the wrapper's `f_locals`, which copies them all
before 3.13 (1.4 times this); entering the body's frame into the table instead, which must be kept beyond its end to be
removed again (1.3 times).
"""

from __future__ import annotations

import atexit
import sys
from _weakref import ref
from types import CodeType, FunctionType, MethodType

from godefer import _errors
from godefer._record import ASYNC_EXIT, EXIT, FAILING, RETURNING, _defer, newdefer, pool, refill
from godefer._results import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import FrameType
    from typing import Any, ParamSpec, TypeGuard, TypeVar

    from godefer._record import Frame

    P = ParamSpec("P")
    T = TypeVar("T")

_getframe = sys._getframe


class _Live(dict["FrameType | None", "Frame"]):
    """A frame -> the frame record of an invocation whose body runs.

    Wrappers hold it as a constant of their code, so it has a hash, and pickled with them by value it is still this
    module's own, not a copy.
    """

    __hash__ = object.__hash__  # type: ignore[assignment]

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> str:
        return self.name


live = _Live("live")  # by the frame of the wrapper
bodies = _Live("bodies")  # by the body's own, of an async generator: see `_wrapper`
# When the program ends, what is left is collected by the garbage collector, which cannot know that nothing else leads to this table: it is a
# constant of code, and code is not looked into. A suspended generator that has deferred would not be closed.
atexit.register(live.clear)
atexit.register(bodies.clear)
_find = live.get
_pop = pool.pop

# The loops of _unwind that run deferred calls, for the error when `defer` itself was deferred.
unwinders: set[CodeType] = set()

COMPREHENSIONS = frozenset({"<listcomp>", "<setcomp>", "<dictcomp>"})
# Does the `with` statement look up the exit before the entry?
EXIT_FIRST = sys.version_info >= (3, 14) or sys.implementation.name == "pypy"
MISSING = object()  # a special method that is None is there, and fails when it is called
ASYNC = 0x80 | 0x200  # inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def defer(fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function exits, however it exits.

    The callee and its arguments are evaluated now (D1); the calls run last in, first out, when this invocation of the
    function returns, raises, is cancelled or closed (D2), and all of them run whatever the others do (D5). What `fn`
    returns is dropped; in an async function an awaitable result is awaited (D6).

    Args:
        fn: What to call. Whether it is callable shows when it is called, as in Go (D7).
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
    sp = _getframe(1)
    frame = _find(sp.f_back)
    if frame is None or frame[1] is not sp.f_code:
        frame, sp = findframe("defer", sp)
    try:
        d = _pop()  # newdefer, written out: this function is the runtime way's cost
    except IndexError:
        d = refill()
    if d.panic is not None:
        raise _errors.pooled_with_panic()
    d.fn = fn
    d.args = args
    if kwargs:
        d.kwargs = kwargs
    d.pc = sp.f_lasti
    d.link = frame[0]
    frame[0] = d


def errdefer(fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function exits by an exception, and only then.

    Every BaseException counts, so a cancelled task and a closed generator are failures too (D10). What decides is the
    moment its turn comes: if a deferred call that ran earlier recovered, the function is returning; if one raised, it is failing.
    `sys.exception()` is the exception in flight. Otherwise it is as `defer`.

    Args:
        fn: What to call.
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
    _deferproc("errdefer", FAILING, fn, args, kwargs)


def okdefer(fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """Run ``fn(*args, **kwargs)`` when the decorated function returns, and only then.

    What decides is the moment its turn comes (D10), as for `errdefer`. Otherwise it is as `defer`.

    Args:
        fn: What to call.
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
    _deferproc("okdefer", RETURNING, fn, args, kwargs)


def using(cm: AbstractContextManager[T, bool | None]) -> T:
    """Enter a context manager now, and exit it when the decorated function exits.

    Equal to a ``with`` statement whose block is the rest of the function (D11): the exit gets the exception's details, in last-in-first-out
    order with the deferred calls, and a true result of it suppresses the exception.

    Args:
        cm: The context manager.

    Returns:
        What entering it gave.

    Raises:
        DeferError: This is not the body of a function decorated with `with_defers` (D3); nothing was entered.
        TypeError: *cm* is not a context manager, in the words of the ``with`` statement.

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
    frame, sp = findframe("using", _getframe(1))
    pc = sp.f_lasti
    enter, leave = special_pair(cm, "__enter__", "__exit__")
    if enter is MISSING or leave is MISSING:
        with cm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("using")
    value: T = enter()
    _push(frame, EXIT, leave, (), None, pc)
    return value


def ausing(acm: AbstractAsyncContextManager[T, bool | None]) -> Awaitable[T]:
    """Enter an asynchronous context manager now, and exit it when the decorated async function exits.

    Write ``conn = await ausing(pool.acquire())``. Equal to an ``async with`` statement whose block is the rest of the
    function (D11).

    Args:
        acm: The asynchronous context manager.

    Returns:
        An awaitable that enters *acm* and gives what entering it gave.

    Raises:
        DeferError: This is not the body of an async function decorated with `with_defers` (D3), or the awaitable was
            awaited after the function had exited; the context manager is then not left open.
        TypeError: *acm* is not an asynchronous context manager, in the words of the ``async with`` statement.

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
    frame, sp = findframe("ausing", _getframe(1))
    if not sp.f_code.co_flags & ASYNC:
        raise _errors.not_async(sp)
    return _enter_async(acm, frame, sp.f_lasti)


async def _enter_async(acm: Any, frame: Frame, pc: int) -> Any:
    if frame[3] is not None:
        raise _errors.awaited_too_late(acm)
    enter, leave = special_pair(acm, "__aenter__", "__aexit__")
    if enter is MISSING or leave is MISSING:
        async with acm:  # the interpreter's own TypeError, in the words of this version
            raise _errors.internal("ausing")
    value = await awaited("__aenter__", enter())
    if frame[3] is not None:  # handed to a task that outlived the function
        error = _errors.awaited_too_late(acm)
        try:
            await awaited("__aexit__", leave(type(error), error, None))
            raise error
        finally:
            del error  # it holds this frame by its traceback
    _push(frame, ASYNC_EXIT, leave, (), None, pc)
    return value


def special(thing: object, name: str) -> Any:
    """The special method *name* of *thing*, looked up and bound as the interpreter does it: on the type; or `MISSING`."""
    for base in type(thing).__mro__:
        if name in base.__dict__:
            return _bound(base.__dict__[name], thing)
    return MISSING


def special_pair(thing: object, enter: str, leave: str) -> tuple[Any, Any]:
    """The two special methods of a context manager, looked up in the order of this version's `with` statement."""
    for base in type(thing).__mro__:
        names = base.__dict__
        if (
            enter in names and leave in names
        ):  # the same class has both: one walk, which is most of what `using` costs
            if EXIT_FIRST:
                last = _bound(names[leave], thing)
                return _bound(names[enter], thing), last
            return _bound(names[enter], thing), _bound(names[leave], thing)
        if enter in names or leave in names:
            break
    if EXIT_FIRST:
        last = special(thing, leave)
        return special(thing, enter), last
    return special(thing, enter), special(thing, leave)


def _bound(found: Any, thing: object) -> Any:
    """What was *found* on the type of *thing*, as its attribute."""
    if type(found) is FunctionType:
        return MethodType(found, thing)
    bind = getattr(type(found), "__get__", None)
    return found if bind is None else bind(found, thing, type(thing))


def special_function(thing: object, name: str) -> FunctionType | None:
    """The Python function that is the special method *name* of *thing*, if it is one."""
    method = special(thing, name)
    return method.__func__ if isinstance(method, MethodType) and has_body(method.__func__) else None


def has_body(fn: object) -> TypeGuard[FunctionType]:
    """Is it a function that was written in Python? PyPy's built-in ones are functions too, with code of another type."""
    return isinstance(fn, FunctionType) and isinstance(fn.__code__, CodeType)


def _deferproc(
    statement: str, when: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    frame, sp = findframe(statement, _getframe(2))
    _push(frame, when, fn, args, kwargs or None, sp.f_lasti)


def _push(  # noqa: PLR0913, PLR0917  # the fields of the node
    frame: Frame, when: int, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None, pc: int
) -> None:
    d: _defer = newdefer()
    d.when = when
    d.fn = fn
    d.args = args
    d.kwargs = kwargs
    d.pc = pc
    d.link = frame[0]
    frame[0] = d


def findframe(statement: str, caller: FrameType) -> tuple[Frame, FrameType]:
    """The record of the invocation whose body *caller* is, or is a part of, and the body's frame; a DeferError if there is none (D3)."""
    sp = caller if caller.f_code.co_name not in COMPREHENSIONS else function_frame(caller)
    frame = _find(sp.f_back)
    if frame is not None and frame[1] is sp.f_code:
        return frame, sp
    frame = bodies.get(sp)
    if frame is not None:
        return frame, sp
    if at_exit(sp):
        raise _errors.deferred_statement(statement, f" at {_errors.place(sp.f_code, sp.f_lineno)}")
    if sp.f_code in unwinders:
        raise _errors.deferred_statement(statement, _where_deferred(sp))
    raise _errors.no_decorated_function(statement, sp)


def _where_deferred(unwinder: FrameType) -> str:
    """Return where the call that *unwinder* is making was deferred, for an error."""
    frame = local(unwinder, "frame")
    running: _defer | None = frame[2]  # None: a `__del__` between two calls
    if running is None or not isinstance(frame[1], CodeType):
        return ""
    return f" at {_errors.place(frame[1], _errors.line_at(frame[1], running.pc))}"


def function_frame(frame: FrameType) -> FrameType:
    """*frame*, or, before 3.12 (PEP 709), the frame in which the comprehension stands whose frame it is (D3)."""
    while frame.f_code.co_name in COMPREHENSIONS and frame.f_back is not None:
        frame = frame.f_back
    return frame


def at_exit(frame: FrameType | None) -> bool:
    """Return whether *frame* is an open-coded function that is making a deferred call at its exit.

    The last constant of its code is a `_open.Decision`, which knows these calls by their position.
    """
    if frame is None:
        return False
    consts = frame.f_code.co_consts
    return bool(consts) and frame.f_lasti in getattr(consts[-1], "exits", ())


def local(frame: FrameType, name: str) -> Any:
    """A local variable of *frame*; before 3.13, without leaving a copy of them all on it, which would keep what it lets go of (D9)."""
    variables = frame.f_locals
    value = variables[name]
    if sys.version_info < (3, 13):
        variables.clear()
    return value


def wraps(wrapper: CodeType, body: CodeType) -> bool:
    """Is *wrapper* the code of the wrapper made for *body*?"""
    consts = wrapper.co_consts
    if not consts or not isinstance(consts[-1], ref):
        return False
    fn = consts[-1]()
    return fn is not None and getattr(fn, "__code__", None) is body
