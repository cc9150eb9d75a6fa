"""Decorated callable objects: a transparent proxy whose call has defers of its own.

In a module of its own because wrapt takes longer to import than all of godefer, and few programs decorate an object.
"""

from __future__ import annotations

import copy
from types import FunctionType, MethodType
from typing import Any

import wrapt


class DeferringObject(wrapt.ObjectProxy[Any]):
    """The object itself for every use but calling it."""

    def __init__(self, wrapped: Any, call: FunctionType) -> None:
        super().__init__(wrapped)
        self._self_call = call

    @property
    def __call__(self) -> MethodType:
        # A property, not a method: the call then needs no frame of its own, and `self` is the real object.
        return MethodType(self._self_call, self.__wrapped__)

    def __copy__(self) -> Any:
        return _decorate(copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return _decorate(copy.deepcopy(self.__wrapped__, memo))

    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        """Pickled as what it is: the object, to be decorated again (wrapt leaves this to each proxy)."""
        return _decorate, (self.__wrapped__,)

    def __reduce_ex__(self, _: Any) -> tuple[Any, tuple[Any]]:
        return self.__reduce__()


def _decorate(thing: Any) -> Any:
    from godefer import with_defers  # noqa: PLC0415  # this module is imported by it

    return with_defers(thing)
