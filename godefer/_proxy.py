"""Decorated callable objects: a transparent proxy whose call has defers of its own.

In a module of its own because wrapt takes longer to import than all of godefer, and few programs
decorate an object.
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
    """The object itself for every use but calling it.

    Args:
        wrapped: The object.
        call: Its ``__call__``, decorated.
        decorate: `with_defers`, for its copies.
    """

    def __init__(self, wrapped: Any, call: FunctionType, decorate: Callable[[Any], Any]) -> None:
        super().__init__(wrapped)
        self._self_call = call
        self._self_decorate = decorate

    @property
    def __call__(self) -> MethodType:
        # A property, not a method: the call needs no frame of its own, and `self` is the object.
        return MethodType(self._self_call, self.__wrapped__)

    def __copy__(self) -> Any:
        return self._self_decorate(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._self_decorate(copy.deepcopy(self.__wrapped__, memo))

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        """Pickle as the object, to be decorated again. wrapt leaves this to each proxy."""
        return self._self_decorate, (self.__wrapped__,)

    def __reduce_ex__(self, _: Any) -> tuple[Any, tuple[Any]]:
        return self.__reduce__()
