"""Decide what to do with the results of deferred calls (D6) and async context managers (D11).

Async code awaits an awaitable result, and for sync code a coroutine is an error. Two kinds of
results are treated in another way:

- A container's method may return an awaitable that was stored in the container. That awaitable may
  never finish, so it is neither awaited nor reported.
- A generator function returns a generator, and its body has not begun. That is an error.

To tell these two kinds, the callee is needed. Only results of the types in question are tested.
"""

from __future__ import annotations

import sys
from _collections import deque  # type: ignore[import-not-found]  # as in `record`
from _collections_abc import (  # collections.abc would import all of collections
    Coroutine,
    MutableMapping,
    MutableSequence,
    MutableSet,
)
from types import (
    AsyncGeneratorType,
    BuiltinMethodType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, TypeGuard

# Methods of containers that return a stored object.
HAND_BACK = frozenset({"__getitem__", "get", "pop", "popitem", "popleft", "setdefault"})
# `_is_container` looks for these classes among the bases of a class. It compares ids, since classes
# with a metaclass of their own may have no hash. Rejected: `issubclass` with the abstract classes.
# It searches their registries and subclasses for each new class, and 3.13 crashed in such a search
# when memory had run out. (`drop` asks only `Coroutine`, and only about awaitable results.)
_CONTAINERS = frozenset(
    map(
        id,
        (
            MutableMapping,
            MutableSequence,
            MutableSet,
            MappingProxyType,
            deque,
            dict,
            list,
            set,
            tuple,
        ),
    )
)


def drop(result: object, callee: Any, arguments: tuple[Any, ...]) -> None:
    """Drop the result of a deferred call in a synchronous function.

    Args:
        result: The result.
        callee: The function that was called.
        arguments: Its positional arguments; the first one is enough.

    Raises:
        TypeError: *result* is a coroutine object, or the generator of a deferred generator
            function: nobody would run its body (D6).
    """
    # Most results are neither coroutine nor generator. This is the fastest test that excludes them.
    kind = type(result)
    error = None
    if hasattr(kind, "__await__") or kind is GeneratorType:
        coroutine = isinstance(result, Coroutine) or _is_generator_coroutine(result)
        if coroutine and not _handed_back(result, callee, arguments):
            result.close()  # type: ignore[attr-defined]
            error = _errors.coroutine_dropped(result)
    if error is None and (kind is GeneratorType or kind is AsyncGeneratorType):
        error = _generator_error(result, callee)
    # This frame will be in the traceback. It must not keep the coroutine, which has the arguments.
    del result, callee, arguments
    if error is not None:
        try:
            raise error
        finally:
            del error


def awaits(result: object, callee: Any, arguments: tuple[Any, ...]) -> bool:
    """Return whether an async function is to await the result of a deferred call.

    Args:
        result: The result.
        callee: The function that was called.
        arguments: Its positional arguments; the first one is enough.

    Raises:
        TypeError: *result* is the generator of a deferred generator function: nobody would run its
            body (D6).
    """
    if awaitable(result):
        return not _handed_back(result, callee, arguments)
    kind = type(result)
    if kind is not GeneratorType and kind is not AsyncGeneratorType:
        return False
    error = _generator_error(result, callee)
    del result, callee, arguments  # as in `drop`
    if error is not None:
        try:
            raise error
        finally:
            del error
    return False


def awaitable(result: object) -> bool:
    """Return whether *result* can be awaited, as ``inspect.isawaitable`` does.

    The inspect module is slow to import.
    """
    return hasattr(type(result), "__await__") or _is_generator_coroutine(result)


def _is_generator_coroutine(result: object) -> TypeGuard[GeneratorType[Any, Any, Any]]:
    """Return whether *result* is a generator made by a function under ``types.coroutine``."""
    return isinstance(result, GeneratorType) and bool(
        result.gi_code.co_flags & 0x100
    )  # CO_ITERABLE_COROUTINE


def _handed_back(result: object, callee: Any, arguments: tuple[Any, ...]) -> bool:
    """Return whether *callee* is a container's method that returned a stored object.

    A coroutine function is no such method, whatever its name: a class may have ``async def pop``.
    """
    kind: Any = type(callee)
    if kind is FunctionType and type(result) is CoroutineType and callee.__code__ is result.cr_code:
        return False  # the usual case
    while _is_partial(kind):
        callee, arguments = callee.func, (*callee.args, *arguments)
        kind = type(callee)
    if kind is not MethodType and kind is not FunctionType:  # PyPy has no others
        if kind is BuiltinMethodType or kind is MethodWrapperType:
            return callee.__name__ in HAND_BACK and _is_container(type(callee.__self__))
        if kind is MethodDescriptorType or kind is WrapperDescriptorType:  # dict.pop
            return callee.__name__ in HAND_BACK and _is_container(callee.__objclass__)
    if kind is MethodType:
        owner, callee = type(callee.__self__), callee.__func__
    elif arguments:  # MutableMapping.pop
        owner = type(arguments[0])
    else:
        return False
    return _is_container(owner) and _is_hand_back(owner, callee) and not _is_body_of(result, callee)


def _is_partial(kind: type) -> bool:
    functools: Any = sys.modules.get("functools")  # not imported: there is no partial
    return functools is not None and issubclass(kind, functools.partial)


# The next two functions use loops: a generator crashes 3.12 and 3.13 when memory runs out.
def _is_container(kind: type) -> bool:
    for base in type.__dict__["__mro__"].__get__(kind):
        if id(base) in _CONTAINERS or (base.__module__, base.__name__) == _WEAK_SET:
            return True
    return False


def _is_hand_back(owner: type, callee: object) -> bool:
    """Return whether *callee* is a method of *owner* that returns a stored object."""
    for base in type.__dict__["__mro__"].__get__(owner):
        for name in HAND_BACK:
            if base.__dict__.get(name) is callee:
                return True
    return False


_WEAK_SET = ("_weakrefset", "WeakSet")  # by name: its module need not be imported


def _generator_error(result: Any, callee: Any) -> TypeError | None:
    """Return the error if *result* is the generator of a deferred generator function; else None.

    A generator that has begun, or that the callee got from elsewhere, is a normal result.
    """
    prefix = "gi" if type(result) is GeneratorType else "ag"
    begun = getattr(result, f"{prefix}_suspended", False) or getattr(result, f"{prefix}_running")
    if begun or getattr(result, f"{prefix}_frame") is None or not _is_body_of(result, callee):
        return None
    return _errors.generator_dropped(result, asynchronous=prefix == "ag")


def _is_body_of(result: Any, callee: Any) -> bool:
    """Return whether *result* is the coroutine or the generator of the function in *callee*.

    The function may be below bound methods, partials and decorators that set ``__wrapped__``.
    """
    for prefix in ("cr", "gi", "ag"):
        code = getattr(result, f"{prefix}_code", None)
        if code is not None:
            break
    else:
        return False
    for _ in range(_DECORATORS):
        kind: Any = type(callee)
        if kind is FunctionType:
            if callee.__code__ is code:
                return True
            callee = callee.__dict__.get("__wrapped__")
        elif kind is MethodType:
            callee = callee.__func__
        elif _is_partial(kind):
            callee = callee.func
        else:
            call = getattr(callee, "__call__", None)  # noqa: B004  # an object's own method
            if type(call) is not MethodType:
                return False
            callee = call.__func__
    return False


_DECORATORS = 50  # the most layers to look through: their chain may be a circle


def awaited(method: str, received: object) -> Awaitable[Any]:
    """Return *received*, the result of an async context manager's *method*, if it is awaitable.

    Raises:
        TypeError: *received* cannot be awaited. The message is that of ``async with``.
    """
    if awaitable(received):
        return received  # type: ignore[return-value]
    raise _errors.not_awaitable(method, received)
