"""Build a function that has new code and introspects like the original (section A of the rules).

The interpreter's MAKE_FUNCTION instruction builds it. A small factory contains a lambda, and is
compiled once for each shape of closure and defaults. The new code replaces the lambda's. Then the
factory is called with the original's closure cells and defaults. It has a lambda and not a `def`,
since the name of a `def` could be that of a closure variable.

Rejected: ``types.FunctionType(…)``, or assigning ``__code__``, ``__defaults__`` or
``__kwdefaults__``. Calls of such a function stay unspecialized for ever on 3.13: 33 instead of
26 ns a call.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Maker:
    """Builds functions with the same new code, for originals that share their code.

    Args:
        code: The new code.
        original: One of the originals.
    """

    __slots__ = ("_cells", "_factory", "_shape")

    def __init__(self, code: CodeType, original: FunctionType) -> None:
        factory, placeholder = _factory(original)
        consts = tuple(code if const is placeholder else const for const in factory.co_consts)
        self._factory = factory.replace(co_consts=consts)
        freevars = original.__code__.co_freevars
        self._cells = [freevars.index(name) for name in factory.co_freevars]
        self._shape = _shape(original)

    def fits(self, original: FunctionType) -> bool:
        """Return whether *original* has defaults of the same shape."""
        return _shape(original) == self._shape

    def make(self, original: FunctionType) -> FunctionType:
        """Return a function with the new code, and all other properties of *original*."""
        cells = original.__closure__
        closure = None if cells is None else tuple([cells[i] for i in self._cells])
        make = FunctionType(self._factory, original.__globals__, closure=closure)
        function: FunctionType = make(original.__defaults__, original.__kwdefaults__)
        copy_identity(original, function)
        return function


def _shape(original: FunctionType) -> tuple[int, tuple[str, ...]]:
    """Return the number of defaults, and the names of the keyword-only parameters with defaults."""
    return len(original.__defaults__ or ()), tuple(original.__kwdefaults__ or ())


def copy_identity(original: FunctionType, function: FunctionType) -> None:
    """Give *function* the name, place, documentation, annotations and attributes of *original*."""
    function.__name__ = original.__name__
    function.__qualname__ = original.__qualname__
    function.__module__ = original.__module__
    function.__doc__ = original.__doc__
    function.__dict__.update(original.__dict__)
    if sys.version_info >= (3, 14):
        function.__annotate__ = original.__annotate__  # PEP 649: copied, not evaluated
    else:
        function.__annotations__ = original.__annotations__
    if sys.version_info >= (3, 12):
        function.__type_params__ = original.__type_params__


def innermost(code: CodeType, depth: int) -> CodeType:
    """Return the code at a *depth* in *code*, which defines one function at each level."""
    for _ in range(depth):
        code = next(const for const in code.co_consts if isinstance(const, CodeType))
    return code


# Factories for functions without closure variables and with few defaults. They are compiled with
# this module: the first use of the compiler in a process takes a millisecond, and with a warm cache
# most programs do not need it.
_PLAIN: tuple[Any, ...] = (
    lambda _defaults, _kwdefaults: lambda: [None],
    lambda defaults, _kwdefaults: lambda _0=defaults[0]: [None],
    lambda defaults, _kwdefaults: lambda _0=defaults[0], _1=defaults[1]: [None],
)
_factories: dict[tuple[Any, ...], tuple[CodeType, CodeType]] = {}

_FACTORY = """\
def cells({cells}):
    def factory(_godefer_defaults, _godefer_kwdefaults):
        return lambda {parameters}: [{cells}]
"""


def _factory(original: FunctionType) -> tuple[CodeType, CodeType]:
    """Return a factory for functions with the shape of *original*, and the code of its lambda."""
    freevars = original.__code__.co_freevars
    defaults, keywords = _shape(original)
    if not freevars and not keywords and defaults < len(_PLAIN):
        plain: CodeType = _PLAIN[defaults].__code__
        return plain, innermost(plain, 1)
    shape = (freevars, defaults, keywords)
    if shape not in _factories:
        parameters = [f"_godefer_{i}=_godefer_defaults[{i}]" for i in range(defaults)]
        if keywords:
            parameters.append("*")
        parameters += [f"{name}=_godefer_kwdefaults[{name!r}]" for name in keywords]
        text = _FACTORY.format(cells=", ".join(freevars), parameters=", ".join(parameters))
        module = compile(text, "<godefer factory>", "exec", dont_inherit=True, optimize=0)
        _factories[shape] = innermost(module, 2), innermost(module, 3)
    return _factories[shape]
