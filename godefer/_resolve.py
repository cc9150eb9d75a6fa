"""Find the names in a function that mean statements of godefer.

Names are looked up when the function is decorated, and the objects are compared by identity. So an
alias counts (``from godefer import defer as later``), and so does a closure variable. Another
library's `defer` does not.
"""

from __future__ import annotations

import builtins
from types import CodeType, ModuleType

from godefer import _statements
from godefer._runtime.frames import COMPREHENSIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType
    from typing import Any

    # Dotted names, with the statements that they mean, or None.
    Attributes = dict[tuple[str, ...], str | None]
    # Names with the statements that they mean, and names with the modules that they mean.
    ResolvedNames = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, ModuleType], ...]]

_STATEMENTS: dict[int, str] = {
    id(_statements.defer): "defer",
    id(_statements.errdefer): "errdefer",
    id(_statements.okdefer): "okdefer",
    id(_statements.using): "using",
    id(_statements.ausing): "ausing",
}


def resolve_names(fn: FunctionType, code: CodeType | None = None) -> ResolvedNames:
    """Return the names in *fn* that mean statements of godefer, and those that mean modules.

    Two functions with the same code can share the compiled code if the results for them are equal.

    Args:
        fn: The function.
        code: Its original code, if it is open-coded.
    """
    statements: list[tuple[str, str]] = []
    modules: list[tuple[str, Any]] = []
    for name in outer_names(code or fn.__code__):
        value = _look_up(fn, name)
        statement = _STATEMENTS.get(id(value))
        if statement is not None:
            statements.append((name, statement))
        elif _is_module(value):
            modules.append((name, value))
    return tuple(statements), tuple(modules)


class NameCheck:
    """A check that the names in another function with the same code mean the same as in *fn*.

    Args:
        fn: The function.
        attributes: The dotted names that were looked up, with the statements that they mean. None
            if the decision is valid only while no name means a statement or a module.
    """

    __slots__ = ("_attributes", "_cells", "_globals", "_strict")

    def __init__(self, fn: FunctionType, attributes: Attributes | None) -> None:
        code = fn.__code__
        self._strict = attributes is None
        self._attributes = tuple((attributes or {}).items())
        self._globals: list[tuple[str, object]] = []  # each with its statement, or None
        self._cells: list[tuple[int, object]] = []
        for name in dict.fromkeys(outer_names(code)):
            value = _look_up(fn, name)
            means = value if id(value) in _STATEMENTS else None
            if name in code.co_freevars:
                self._cells.append((code.co_freevars.index(name), means))
            else:
                self._globals.append((name, means))

    def holds(self, fn: FunctionType) -> bool:
        """Return whether the names in *fn* mean the same."""
        module_globals, strict = fn.__globals__, self._strict
        for name, means in self._globals:
            value = module_globals.get(name)
            if value is None and name not in module_globals:
                value = _BUILTINS.get(name)
            if value is not means and _differs(value, means, strict):
                return False
        for index, means in self._cells:
            try:
                value = fn.__closure__[index].cell_contents  # type: ignore[index]  # it has cells
            except ValueError:  # the cell is empty
                value = None
            if value is not means and _differs(value, means, strict):
                return False
        return all(
            resolve_attribute({path[0]: _look_up(fn, path[0])}, path) == statement
            for path, statement in self._attributes
        )


_BUILTINS = vars(builtins)


def _differs(value: object, means: object, strict: bool) -> bool:  # noqa: FBT001
    """Return whether *value*, found in place of the expected *means*, changes the decision."""
    return means is not None or id(value) in _STATEMENTS or (strict and _is_module(value))


def _is_module(value: object) -> bool:
    """Return whether *value* is a module. `isinstance` could run code of a lazy object."""
    return issubclass(type(value), ModuleType)


def resolve_attribute(modules: dict[str, Any], path: tuple[str, ...]) -> str | None:
    """Return the statement that *path* leads to, such as ``("godefer", "defer")``; else None."""
    value: Any = modules.get(path[0])
    for name in path[1:]:
        if not _is_module(value):
            return None
        value = value.__dict__.get(name)
    return _STATEMENTS.get(id(value))


def mentions_godefer(fn: FunctionType) -> bool:
    """Return whether *fn* names a statement of godefer, or godefer itself."""
    statements, modules = resolve_names(fn)
    return (
        bool(statements)
        or "godefer" in fn.__code__.co_names
        or any(module.__name__ == "godefer" for _, module in modules)
    )


def outer_names(code: CodeType) -> Iterator[str]:
    """Yield the names that *code*, or a comprehension in it, uses and does not bind.

    Attributes are among them, since a code object has both in `co_names`.
    """
    own = {*code.co_varnames, *code.co_cellvars}
    yield from (name for name in (*code.co_names, *code.co_freevars) if name not in own)
    for const in code.co_consts:
        if isinstance(const, CodeType) and const.co_name in COMPREHENSIONS:
            yield from (name for name in outer_names(const) if name not in own)


def _look_up(fn: FunctionType, name: str) -> object:
    """Return the closure variable, global or builtin *name* of *fn*; None if it is not set yet."""
    if name in fn.__code__.co_freevars and fn.__closure__ is not None:
        try:
            return fn.__closure__[fn.__code__.co_freevars.index(name)].cell_contents
        except ValueError:  # the cell is empty
            return None
    if name in fn.__globals__:
        return fn.__globals__[name]
    return getattr(builtins, name, None)
