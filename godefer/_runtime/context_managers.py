"""Enter a context manager as the ``with`` statement does (D11; PEP 343, PEP 492)."""

from __future__ import annotations

import sys
from types import FunctionType, MethodType

from godefer import _errors
from godefer._runtime.results import awaited

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Method = Callable[..., Any]

# Whether this version's ``with`` statement looks up the exit before the entry.
_EXIT_FIRST = sys.version_info >= (3, 14) or sys.implementation.name == "pypy"

# Result of `special` for a method that does not exist. A method that is None exists, and calling
# it fails.
MISSING: Any = object()


def enter(cm: Any) -> tuple[Method, Any]:
    """Enter a context manager.

    Returns:
        Its exit method, and the value that entering it gave.

    Raises:
        TypeError: *cm* is not a context manager. The message is that of the ``with`` statement.
    """
    names = type(cm).__dict__
    entry: Any
    leave: Any
    try:  # the usual case: both are Python functions in the class itself
        entry, leave = names["__enter__"], names["__exit__"]
    except KeyError:
        entry = leave = None
    if type(entry) is FunctionType is type(leave):
        return MethodType(leave, cm), entry(cm)
    entry, leave = _special_pair(cm, "__enter__", "__exit__")
    if entry is MISSING or leave is MISSING:
        try:
            with cm:  # for the interpreter's own TypeError
                raise _errors.internal("enter")
        except TypeError as error:
            _errors.add_asynchronous(error, cm)
            raise
    return leave, entry()


async def aenter(acm: Any) -> tuple[Method, Any]:
    """Enter an asynchronous context manager, as `enter` does."""
    entry, leave = _special_pair(acm, "__aenter__", "__aexit__")
    if entry is MISSING or leave is MISSING:
        async with acm:  # for the interpreter's own TypeError
            raise _errors.internal("aenter")
    return leave, await awaited("__aenter__", entry())


def _special_pair(thing: object, entry: str, leave: str) -> tuple[Any, Any]:
    """Return the two special methods, looked up in the order of this version's ``with``."""
    if _EXIT_FIRST:
        last = special(thing, leave)
        return special(thing, entry), last
    return special(thing, entry), special(thing, leave)


def special(thing: object, name: str) -> Any:
    """Return a special method, looked up on the type and bound; `MISSING` if there is none."""
    for base in type(thing).__mro__:
        if name in base.__dict__:
            found = base.__dict__[name]
            if type(found) is FunctionType:
                return MethodType(found, thing)
            bind = getattr(type(found), "__get__", None)
            return found if bind is None else bind(found, thing, type(thing))
    return MISSING
