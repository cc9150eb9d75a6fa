"""The result of a deferred call (D6), and the awaiting of a context manager (D11)."""

from __future__ import annotations

from _collections_abc import Coroutine  # collections.abc would import all of collections
from types import GeneratorType

from godefer import _errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable
    from typing import Any, TypeGuard


def drop(result: object) -> None:
    """Drop the result of a deferred call in a synchronous function.

    Raises:
        TypeError: It is a coroutine object, which would never have run (D6).
    """
    # Few results are one, and the first test is the fastest that tells so.
    if not hasattr(type(result), "__await__") and type(result) is not GeneratorType:
        return
    if isinstance(result, Coroutine) or _is_generator_coroutine(result):
        result.close()
        error = _errors.coroutine_dropped(result)
        # This frame will be in the traceback, and a coroutine that never began holds its arguments.
        del result
        try:
            raise error
        finally:
            del error


def awaitable(result: object) -> bool:
    """Return whether *result* can be awaited, as ``inspect.isawaitable`` does.

    Its module is too slow to import for that.
    """
    return hasattr(type(result), "__await__") or _is_generator_coroutine(result)


def _is_generator_coroutine(result: object) -> TypeGuard[GeneratorType[Any, Any, Any]]:
    """Return whether *result* is a generator made by a function under ``types.coroutine``."""
    return isinstance(result, GeneratorType) and bool(
        result.gi_code.co_flags & 0x100
    )  # CO_ITERABLE_COROUTINE


def awaited(method: str, received: object) -> Awaitable[Any]:
    """Return *received*, of *method* of an asynchronous context manager, to be awaited.

    Raises:
        TypeError: It cannot be awaited, in the words of ``async with``.
    """
    if awaitable(received):
        return received  # type: ignore[return-value]
    raise _errors.not_awaitable(method, received)
