"""panic, and the exception that it raises. Everything else about panics concerns exceptions of every kind, and is in `_unwind`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class Panic(RuntimeError):  # noqa: N818  # Go's name
    """What `panic` raises: a Go panic, with the value it was given as ``value`` (P1).

    Args:
        value: Any object, None too.

    Attributes:
        value: That object.

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

    A panic is a Python exception like any other (P1): deferred calls run, and one of them may `recover` it.

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
    if isinstance(value, BaseException) or (isinstance(value, type) and issubclass(value, BaseException)):
        raise value
    raise Panic(value)
