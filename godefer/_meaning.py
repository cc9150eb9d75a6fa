"""What the names in a function mean: which of them are statements of godefer.

Decided by identity when the function is decorated, so an alias counts (``from godefer import defer as later``), a closure variable too, and
somebody else's `defer` does not.
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

    Meaning = tuple[tuple[tuple[str, str], ...], tuple[tuple[str, ModuleType], ...]]

_STATEMENTS: dict[int, str] = {
    id(_statements.defer): "defer",
    id(_statements.errdefer): "errdefer",
    id(_statements.okdefer): "okdefer",
    id(_statements.using): "using",
    id(_statements.ausing): "ausing",
}


def meaning(fn: FunctionType, code: CodeType | None = None) -> Meaning:
    """The names of *fn* that are statements, with what they are called here; and those that are modules.

    Equal for two functions exactly if their names mean the same. *code* is the original code of an open-coded *fn*.
    """
    statements, modules = [], []
    for name in _outer_names(code or fn.__code__):
        value = _value(fn, name)
        statement = _STATEMENTS.get(id(value))
        if statement is not None:
            statements.append((name, statement))
        elif isinstance(value, ModuleType):
            modules.append((name, value))
    return tuple(statements), tuple(modules)


def attribute(modules: dict[str, ModuleType], path: tuple[str, ...]) -> str | None:
    """The statement that the dotted name *path*, beginning with one of *modules*, is; None if it is none."""
    value: Any = modules[path[0]]
    for name in path[1:]:
        if not isinstance(value, ModuleType):
            return None
        value = value.__dict__.get(name)
    return _STATEMENTS.get(id(value))


def mentions_godefer(fn: FunctionType) -> bool:
    """Does *fn* name a statement of godefer, or godefer itself?"""
    statements, modules = meaning(fn)
    return (
        bool(statements)
        or "godefer" in fn.__code__.co_names
        or any(module.__name__ == "godefer" for _, module in modules)
    )


def _outer_names(code: CodeType) -> Iterator[str]:
    """The names that *code*, or a comprehension in it, does not bind itself."""
    own = {*code.co_varnames, *code.co_cellvars}
    yield from (name for name in (*code.co_names, *code.co_freevars) if name not in own)
    for const in code.co_consts:
        if isinstance(const, CodeType) and const.co_name in COMPREHENSIONS:
            yield from (name for name in _outer_names(const) if name not in own)


def _value(fn: FunctionType, name: str) -> object:
    """What *name* means in *fn*: a closure variable, a global or a builtin; None if it means nothing yet."""
    if name in fn.__code__.co_freevars and fn.__closure__ is not None:
        try:
            return fn.__closure__[fn.__code__.co_freevars.index(name)].cell_contents
        except ValueError:  # not filled yet
            return None
    if name in fn.__globals__:
        return fn.__globals__[name]
    return getattr(builtins, name, None)
