"""Find the decorators in the source of a function, for an error message (D3).

A function with `with_defers` in its source may run without it. Another decorator may have kept the
undecorated function, or compiled a new one from the source, as typeguard's `typechecked` does. Only
the source shows that.
"""

from __future__ import annotations

from types import FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    # The names of the decorators above `with_defers`, and of those below it.
    Around = tuple[list[str], list[str]]

# `with_defers` finds the function in these, so they may be below it.
_TRANSPARENT = {"staticmethod", "classmethod", "property", "cached_property"}


def around_with_defers(frame: FrameType) -> Around | None:
    """Return the other decorators of the function of *frame*; None if it has no `with_defers`."""
    names = _decorators(frame)
    for index, name in enumerate(names):
        if _is_with_defers(name, frame.f_globals):
            below = [n for n in names[index + 1 :] if n.rpartition(".")[2] not in _TRANSPARENT]
            return names[:index], below
    return None


def _decorators(frame: FrameType) -> list[str]:
    """Return the names of the decorators in the source, without their arguments."""
    import linecache  # noqa: PLC0415  # slow to import, and only needed for an error

    code = frame.f_code
    lines = linecache.getlines(code.co_filename, frame.f_globals)[code.co_firstlineno - 1 :]
    names: list[str] = []
    indent = lines[0][: -len(lines[0].lstrip())] if lines else ""
    for line in lines:
        if line.startswith((f"{indent}def ", f"{indent}async ", f"{indent}class ")):
            return names
        if line.startswith(f"{indent}@"):  # other lines continue its arguments
            names.append(line.strip().removeprefix("@").partition("(")[0].strip())
    return []


def _is_with_defers(name: str, names: dict[str, object]) -> bool:
    first, *attributes = name.split(".")
    value = names.get(first)
    for attribute in attributes:
        value = vars(value).get(attribute) if isinstance(value, ModuleType) else None
    if type(value) is FunctionType:
        return value.__module__ == "godefer" and value.__name__ == "with_defers"
    return value is None and name.rpartition(".")[2] == "with_defers"
