"""What a call returned, and what becomes of it (D6, and the awaiting of D11)."""

from __future__ import annotations

from _collections_abc import Coroutine  # collections.abc would import all of collections
from types import GeneratorType

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, TypeGuard


def drop(result: object) -> None:
    """Drop what a deferred call returned; in a synchronous function a coroutine object is an error (D6)."""
    if isinstance(result, Coroutine) or is_generator_coroutine(result):
        result.close()
        error = _errors.coroutine_dropped(result)
        del result  # this frame will be in the traceback, and a coroutine that never began holds its arguments
        try:
            raise error
        finally:
            del error


def awaitable(result: object) -> bool:
    """Can *result* be awaited? As ``inspect.isawaitable``, whose module is too slow to import for it."""
    return hasattr(type(result), "__await__") or is_generator_coroutine(result)


def is_generator_coroutine(result: object) -> TypeGuard[GeneratorType[Any, Any, Any]]:
    """Is *result* a generator made by a function under ``types.coroutine``?"""
    return isinstance(result, GeneratorType) and bool(
        result.gi_code.co_flags & 0x100
    )  # CO_ITERABLE_COROUTINE


def awaited(method: str, received: object) -> Awaitable[Any]:
    """*received*, from *method* of an asynchronous context manager, if it can be awaited; else what ``async with`` raises."""
    if awaitable(received):
        return received  # type: ignore[return-value]
    raise _errors.not_awaitable(method, received)
