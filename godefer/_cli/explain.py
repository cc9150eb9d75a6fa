"""Build the text of ``python -m godefer explain``: find functions by name, and explain them."""

from __future__ import annotations

import importlib
import linecache
from types import ModuleType

from godefer._decision import decision_on
from godefer._errors import DECORATE_NEXT_TO_DEF
from godefer._explain import decorated_functions, explain, static_attribute
from godefer._resolve import resolve_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType

    from godefer._cli.colours import Paint
    from godefer._decision import Decision
    from godefer._explain import Explanation

_COMMAND = "python -m godefer explain"


class NothingToExplainError(Exception):
    """The target cannot be explained. The message has the reason and a remedy."""


def report(target: str, paint: Paint, *, with_lowered: bool = False) -> str:
    """Return the text for *target*; for a module or a class, list the functions that it defines.

    Args:
        target: ``pkg.mod`` or ``pkg.mod:qualname``.
        paint: Colours the text.
        with_lowered: Show the lowered source too, or the wrapper's.

    Raises:
        NothingToExplainError: The module cannot be imported, it has no such name, or the name does
            not lead to a decorated function.
    """
    name, _, qualname = target.partition(":")
    module = _import(name)
    found = _find(module, qualname) if qualname else module
    if isinstance(found, (type, ModuleType)):
        functions = _listed(found)
        if not with_lowered:
            return "\n".join(_summary(explain(function), paint) for function in functions)
    else:
        functions = list(decorated_functions(found))
    if not functions and not (callable(found) or hasattr(found, "__get__")):
        raise NothingToExplainError(
            f"{qualname} of {name} is no function, but of type {type(found).__name__}; "
            f"`{_COMMAND} {name}` lists the functions that are decorated"
        )
    if not functions:
        raise NothingToExplainError(
            f"{qualname} of {name} is not decorated; {DECORATE_NEXT_TO_DEF}; "
            f"`{_COMMAND} {name}` lists the functions that are"
        )
    return "\n\n".join(
        _in_full(function, paint, with_lowered=with_lowered) for function in functions
    )


def _in_full(function: FunctionType, paint: Paint, *, with_lowered: bool) -> str:
    explanation = explain(function)
    parts = [_summary(explanation, paint)]
    source = _source(function, explanation, paint)
    if source:
        parts.append(source)
    shapes = dict.fromkeys(site.shape for site in explanation.defers)
    if shapes:
        width = max(map(len, shapes))
        parts.append(
            "\n".join(f"  {paint('33', f'{shape:{width}}')}  {_SHAPES[shape]}" for shape in shapes)
        )
    if with_lowered:
        title = "lowered source" if explanation.lowered else "the wrapper's source"
        parts += [
            f"{title} (names that begin with @ are godefer's):",
            _paint_added(explanation.lowered or explanation.wrapper, paint),
        ]
    return "\n\n".join(parts)


_SHAPES = {
    "inline": "the call is in the exits of the function, and nothing else is",
    "conditional": (
        "the call is in the exits of the function, with a test of whether the statement has run"
    ),
    "list": "each run of the statement links a call into a list, which the exits empty",
}


def _summary(explanation: Explanation, paint: Paint) -> str:
    head, *because = explanation.summary().splitlines()
    place, _, way = head.rpartition(" ")
    painted = f"{paint('1', place)} {paint('35' if because else '32', way)}"
    return "\n".join((painted, *because))


def _source(function: FunctionType, explanation: Explanation, paint: Paint) -> str:
    """Return the lines of the function, with the shape beside each statement.

    Return "" unless the source is certain to be that of the running code.
    """
    # Slow to import; a listing does not need them.
    from godefer._compiler.compile import meanings_of  # noqa: PLC0415
    from godefer._compiler.sites import find_uses  # noqa: PLC0415
    from godefer._compiler.source import find_source  # noqa: PLC0415

    decision: Decision = decision_on(function.__code__)  # type: ignore[assignment]  # not None
    code = decision.original or function.__code__
    source = find_source(code, function.__globals__)
    if isinstance(source, str):
        return ""
    last = (source.node.end_lineno or 0) + source.shift
    lines = linecache.getlines(code.co_filename, function.__globals__)[
        code.co_firstlineno - 1 : last
    ]
    lines = [line.rstrip().expandtabs() for line in lines]
    notes: dict[int, list[str]] = {}
    for site in explanation.defers:
        notes.setdefault(site.line, []).append(f"{site.statement}, {site.shape}")
    if explanation.way == "runtime":
        meanings = meanings_of(code, resolve_names(function, code), source.shift)
        for number, statement in find_uses(source.node.body, meanings):
            notes.setdefault(number, []).append(f"{statement}, at run time")
    return _with_notes(lines, code.co_firstlineno, notes, paint)


def _with_notes(lines: list[str], first: int, notes: dict[int, list[str]], paint: Paint) -> str:
    """Return *lines* with their numbers, from *first* on, and the notes in a column beside them."""
    width = max((len(lines[line - first]) for line in notes), default=0)
    gutter = len(str(first + len(lines) - 1))
    out = []
    for number, line in enumerate(lines, first):
        note = "; ".join(notes.get(number, ()))
        mark = " " * (width - len(line)) + paint("33", f"  <- {note}") if note else ""
        shown = paint("33" if note else "", line)
        out.append(f"  {paint('2', f'{number:{gutter}}')}  {shown}{mark}".rstrip())
    return "\n".join(out)


def _paint_added(text: str, paint: Paint) -> str:
    """Return *text*, with godefer's added lines in another colour."""
    return "\n".join(
        paint("36" if "@" in line.replace("@with_defers", "") else "", line)
        for line in text.splitlines()
    )


def _listed(holder: ModuleType | type) -> list[FunctionType]:
    name = holder.__name__ if isinstance(holder, ModuleType) else holder.__module__
    functions = list(_functions(holder, name))
    if not functions:
        raise NothingToExplainError(
            f"no function or method that {getattr(holder, '__qualname__', name)} itself defines "
            f"is decorated; {DECORATE_NEXT_TO_DEF}"
        )
    return sorted(functions, key=lambda function: ((found := explain(function)).file, found.line))


def _functions(holder: ModuleType | type, module: str) -> Iterator[FunctionType]:
    """Yield the decorated functions that *holder*, and the classes in it, define in *module*."""
    holders, seen = [vars(holder)], set()
    while holders:
        for value in list(holders.pop().values()):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, type):
                if value.__module__ == module:
                    holders.append(vars(value))  # type: ignore[arg-type]  # never written
                continue
            for function in decorated_functions(value):
                if function.__module__ == module and (
                    id(function) == id(value) or id(function) not in seen
                ):
                    seen.add(id(function))
                    yield function


def _import(name: str) -> ModuleType:
    if name.endswith(".py") or "/" in name or "\\" in name:
        dotted = name.removesuffix(".py").replace("\\", "/").strip("./").replace("/", ".")
        raise NothingToExplainError(f"{name} is a file; name the module as `import` does: {dotted}")
    if not all(part.isidentifier() for part in name.split(".")):
        raise NothingToExplainError(
            f"{name!r} is no module's name; write pkg.mod or pkg.mod:function"
        )
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if (
            isinstance(error, ModuleNotFoundError)
            and error.name
            and f"{name}.".startswith(f"{error.name}.")
        ):
            raise NothingToExplainError(_not_found(name, error.name)) from None
        raise NothingToExplainError(
            f"importing {name} failed with {type(error).__name__}: {error}; "
            f"`python -c 'import {name}'` shows where"
        ) from None


def _not_found(name: str, missing: str) -> str:
    parent = missing.rpartition(".")[0]
    if parent:
        attribute = name[len(parent) + 1 :]
        if attribute.partition(".")[0] in vars(_import(parent)):
            return f"{missing} is no module; write {parent}:{attribute}"
    return (
        f"there is no module named {missing}; run this where `python -c 'import {name}'` works: "
        f"in the directory above it, or with it installed"
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
            name = f"_{found.__name__.lstrip('_')}{part}"  # as the compiler mangles it
        path.append(part)
        try:
            found = static_attribute(found, name)
        except AttributeError:
            raise NothingToExplainError(
                f"{module.__name__} has no {'.'.join(path)}; "
                f"`{_COMMAND} {module.__name__}` lists its decorated functions"
            ) from None
    return found
