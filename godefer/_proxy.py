"""Decorated callable objects: a transparent proxy with deferred calls for each of its calls.

This is a separate module, since it imports wrapt. That takes longer than to import all of godefer,
and few programs decorate an object.
"""

from __future__ import annotations

import copy
from types import MethodType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FunctionType


class DeferringObject(wrapt.ObjectProxy[Any]):
    """A proxy that acts as the wrapped object in every way, except that its calls can defer.

    Args:
        wrapped: The object.
        call: Its ``__call__``, decorated.
        decorate: `with_defers`, to decorate copies of the object.
    """

    def __init__(self, wrapped: Any, call: FunctionType, decorate: Callable[[Any], Any]) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_decorate = decorate

    @property
    def __call__(self) -> MethodType:
        # A property and not a method: the call has no frame of godefer, and `self` is the object.
        return MethodType(self._self_call, self.__wrapped__)

    def __copy__(self) -> Any:
        return self._self_decorate(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._self_decorate(copy.deepcopy(self.__wrapped__, memo))

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        """Pickle the wrapped object, and decorate it again. A proxy of wrapt must define this."""
        return self._self_decorate, (self.__wrapped__,)

    def __reduce_ex__(self, _: Any) -> tuple[Any, tuple[Any]]:
        return self.__reduce__()
