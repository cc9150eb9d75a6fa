"""What `python -m godefer explain` prints: a module, or one of its functions, found by name and explained."""

from __future__ import annotations

import importlib

from godefer._errors import DECORATE_NEXT_TO_DEF
from godefer._explain import decorated_functions, explain, static_attribute

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType, ModuleType

    from godefer._explain import Explanation

_COMMAND = "python -m godefer explain"


class NothingToExplainError(Exception):
    """The target cannot be explained; the message says why, and what to write instead."""


def report(target: str) -> str:
    """The text for *target*: ``pkg.mod`` or ``pkg.mod:qualname``.

    Raises:
        NothingToExplainError: The module cannot be imported, has no such name, or what it names is not decorated.
    """
    name, _, qualname = target.partition(":")
    module = _import(name)
    if not qualname:
        return _listing(module)
    functions = list(decorated_functions(_find(module, qualname)))
    if not functions:
        raise NothingToExplainError(
            f"{qualname} of {name} is not decorated; {DECORATE_NEXT_TO_DEF}; "
            f"`{_COMMAND} {name}` lists the functions that are"
        )
    return "\n\n".join(_in_full(explain(function)) for function in functions)


def _in_full(explanation: Explanation) -> str:
    if not explanation.lowered:
        return str(explanation)
    return f"{explanation}\n\nlowered source (names that begin with @ are godefer's):\n\n{explanation.lowered}"


def _listing(module: ModuleType) -> str:
    explanations = [explain(function) for function in _functions(module)]
    if not explanations:
        raise NothingToExplainError(
            f"no function or method that {module.__name__} itself defines is decorated; {DECORATE_NEXT_TO_DEF}"
        )
    explanations.sort(key=lambda explanation: (explanation.file, explanation.line))
    return "\n".join(explanation.summary() for explanation in explanations)


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    """The decorated functions that *module* defines: its own, and those of its classes, however deep."""
    holders, seen = [vars(module)], set()
    while holders:
        for value in list(holders.pop().values()):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, type):
                if value.__module__ == module.__name__:
                    holders.append(vars(value))  # type: ignore[arg-type]  # a read-only dictionary, of which none is written
                continue
            for function in decorated_functions(value):
                if function.__module__ == module.__name__ and (id(function) == id(value) or id(function) not in seen):
                    seen.add(id(function))
                    yield function


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name or "\\" in name:
        dotted = name.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
        raise NothingToExplainError(f"{name} is a file; name the module as `import` does: {dotted}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise NothingToExplainError(f"{name!r} is no module's name; write pkg.mod or pkg.mod:function")
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            raise NothingToExplainError(_not_found(name, error.name)) from None
        raise NothingToExplainError(
            f"importing {name} failed with {type(error).__name__}: {error}; `python -c 'import {name}'` shows where"
        ) from None


def _not_found(name: str, missing: str) -> str:
    parent = missing.rpartition(".")[0]
    if parent:
        attribute = name[len(parent) + 1 :]
        if attribute.partition(".")[0] in vars(_import(parent)):
            return f"{missing} is no module; write {parent}:{attribute}"
    return (
        f"there is no module named {missing}; run this where `python -c 'import {name}'` works: in the directory above it, "
        f"or with it installed"
    )


def _find(module: ModuleType, qualname: str) -> object:
    found: object = module
    path: list[str] = []
    for part in qualname.split("."):
        name = part
        if part == "<locals>":
            raise NothingToExplainError(
                f"{qualname} is a local function, which exists only while {'.'.join(path)} runs; "
                f"call godefer.explain() on it there"
            )
        if isinstance(found, type) and part.startswith("__") and not part.endswith("__"):
            name = f"_{found.__name__.lstrip('_')}{part}"  # a private name, as the compiler writes it
        path.append(part)
        try:
            found = static_attribute(found, name)
        except AttributeError:
            raise NothingToExplainError(
                f"{module.__name__} has no {'.'.join(path)}; `{_COMMAND} {module.__name__}` lists its decorated functions"
            ) from None
    return found
