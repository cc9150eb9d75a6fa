"""Resolve the names in a function: find those that are statements of godefer.

Names are looked up when the function is decorated, and compared by identity. So an alias is found
(``from godefer import defer as later``), and so is a closure variable. Another library's `defer`
is not.
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

    # Names with the statements that they are, and names with the modules that they are.
    ResolvedNames = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, ModuleType], ...]]

_STATEMENTS: dict[int, str] = {
    id(_statements.defer): "defer",
    id(_statements.errdefer): "errdefer",
    id(_statements.okdefer): "okdefer",
    id(_statements.using): "using",
    id(_statements.ausing): "ausing",
}


def resolve_names(fn: FunctionType, code: CodeType | None = None) -> ResolvedNames:
    """Return the names of *fn* that are statements of godefer, and those that are modules.

    Two functions of one code can share the compiled code if the results for them are equal.

    Args:
        fn: The function.
        code: Its original code, if it is open-coded.
    """
    statements, modules = [], []
    for name in outer_names(code or fn.__code__):
        value = _look_up(fn, name)
        statement = _STATEMENTS.get(id(value))
        if statement is not None:
            statements.append((name, statement))
        elif isinstance(value, ModuleType):
            modules.append((name, value))
    return tuple(statements), tuple(modules)


class NameCheck:
    """The names of a function; whether those of another function with its code mean the same."""

    __slots__ = ("_cells", "_globals")

    def __init__(self, fn: FunctionType, resolved: ResolvedNames) -> None:
        code = fn.__code__
        statements, modules = dict(resolved[0]), dict(resolved[1])
        self._globals: list[tuple[str, object]] = []  # each with what it means, or None
        self._cells: list[tuple[int, object]] = []
        for name in dict.fromkeys(outer_names(code)):
            means: object = modules.get(name)
            if name in statements:
                means = _look_up(fn, name)
            if name in code.co_freevars:
                self._cells.append((code.co_freevars.index(name), means))
            else:
                self._globals.append((name, means))

    def holds(self, fn: FunctionType) -> bool:
        """Return whether the names of *fn*, which has the same code, mean the same."""
        module_globals = fn.__globals__
        for name, means in self._globals:
            value = module_globals.get(name)
            if value is None and name not in module_globals:
                value = _BUILTINS.get(name)
            if value is not means and (means is not None or _has_meaning(value)):
                return False
        for index, means in self._cells:
            try:
                value = fn.__closure__[index].cell_contents  # type: ignore[index]  # it has cells
            except ValueError:  # the cell is empty
                value = None
            if value is not means and (means is not None or _has_meaning(value)):
                return False
        return True


_BUILTINS = vars(builtins)


def _has_meaning(value: object) -> bool:
    return id(value) in _STATEMENTS or isinstance(value, ModuleType)


def resolve_attribute(modules: dict[str, ModuleType], path: tuple[str, ...]) -> str | None:
    """Return the statement that *path* leads to, such as ``("godefer", "defer")``; else None."""
    value: Any = modules.get(path[0])
    for name in path[1:]:
        if not isinstance(value, ModuleType):
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

    Names of attributes are among them: code has both in one place.
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
