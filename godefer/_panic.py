"""panic and recover (section P of the rules)."""

from __future__ import annotations

import sys

from godefer import _errors
from godefer._runtime.exceptions import aborted_exit
from godefer._runtime.frames import function_frame
from godefer._runtime.record import _defer
from godefer._runtime.recovery import recoverable, recovered
from godefer._runtime.traceback import strip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeVar, overload

    E = TypeVar("E", bound=BaseException)
else:

    def overload(_: object) -> None:
        """Replace `typing.overload`: to import typing costs more than all of godefer."""


_exception, _getframe = sys.exception, sys._getframe


class Panic(RuntimeError):  # noqa: N818  # Go's name
    """A Go panic: the exception that `panic` raises (P1).

    Args:
        value: Any object, also None.

    Attributes:
        value: The same object.

    After Go's ``panic``; ``gopanic`` in ``runtime/panic.go``.

    Example:
        >>> from godefer import Panic
        >>> Panic(7).value
        7
    """

    def __init__(self, value: object = None) -> None:
        super().__init__(value)
        self.value = value


def panic(value: object) -> NoReturn:
    """Raise ``Panic(value)``; an exception given as *value* is raised as it is.

    A panic is an exception like any other (P1): deferred calls run, and one may `recover` it.

    Args:
        value: Any object; an exception, or an exception class, is raised itself.

    Raises:
        Panic: With *value* as its ``value``.

    After Go's ``panic``.

    Example:
        >>> from godefer import Panic, panic
        >>> try:
        ...     panic("no route")
        ... except Panic as e:
        ...     print(e.value)
        no route
    """
    if isinstance(value, BaseException) or (
        isinstance(value, type) and issubclass(value, BaseException)
    ):
        raise value
    raise Panic(value)


@overload
def recover() -> Exception | None: ...
@overload
def recover(*types: type[E]) -> E | None: ...  # noqa: F811
def recover(*types: type[BaseException]) -> BaseException | None:  # noqa: F811
    """Inside a deferred call: stop the exception in flight and return it.

    It must be called by the deferred function itself, and that must run because of the exception
    (P2). Otherwise it returns None: on a normal exit, in a helper, outside of deferred calls, or a
    second time. After a recovery the function returns to its caller (P4), with the value that a
    ``return`` had already evaluated, else with None. No type checker knows of that None: annotate
    the function ``-> X | None``, or give it a named result (N).

    Args:
        *types: The types to stop instead of every Exception. SystemExit, KeyboardInterrupt,
            GeneratorExit and CancelledError are only stopped if they are named (P3).

    Returns:
        The exception, or None.

    Raises:
        TypeError: One of *types* is not an exception type.

    After Go's ``recover``; ``gorecover`` in ``runtime/panic.go``.

    Example:
        >>> from godefer import defer, panic, recover, with_defers
        >>> @with_defers
        ... def safely():
        ...     def caught():
        ...         print("recovered:", recover())
        ...     defer(caught)
        ...     panic("out of tea")
        >>> safely()
        recovered: out of tea
    """
    if types and (error := _errors.not_exception_types(types)) is not None:
        raise error
    exc = _exception()
    if exc is not None and exc.__context__ is None and not recovered:
        # The usual case: an open-coded function handles it, and has called the deferred function.
        try:
            called_by, tb = _getframe(2), exc.__traceback__
            if (
                tb is not None
                and tb.tb_frame is called_by
                and called_by.f_code.co_consts[-1].failing_exits >> (called_by.f_lasti >> 1) & 1
            ):
                if isinstance(exc, types or Exception):
                    recovered[called_by] = exc
                    return exc
                return None
        except (AttributeError, IndexError, ValueError):
            pass  # not open-coded, or at the beginning of the stack
    caller = _getframe().f_back
    if caller is None:  # called by a thread, atexit or compiled code
        return None
    exc, noted_on = recoverable(function_frame(caller), exc)
    if exc is None or not isinstance(exc, types or Exception):
        return None
    if isinstance(noted_on, _defer):
        noted_on.panic = None
    elif noted_on is not None:
        aborted = aborted_exit(exc)
        recovered[noted_on] = exc if aborted is None else (exc, strip(aborted))
    return exc
