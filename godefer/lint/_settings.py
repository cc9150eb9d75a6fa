"""Settings: the options of the command line, and ``[tool.godefer]`` in pyproject.toml."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from godefer.lint._check import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SELECTOR = re.compile(r"GDF[0-9]{0,3}\Z")
_LISTS = ("select", "ignore", "exclude")


class UsageError(ValueError):
    """An option, or a setting, that the checker does not understand."""


class Selection:
    """The selected rules. A code may be a prefix: ``GDF`` means all rules, ``GDF01`` ten of them.

    Args:
        select: The codes to select; all rules if it is empty.
        ignore: The codes to leave out. If a rule matches both, the longer code decides. If they
            are equally long, the rule is left out.
    """

    def __init__(self, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
        for code in [*select, *ignore]:
            if not _SELECTOR.match(code) or not any(rule.startswith(code) for rule in RULES):
                raise UsageError(f"no rule begins with {code!r}")
        self.select = tuple(select) or ("GDF",)
        self.ignore = tuple(ignore)

    def __contains__(self, code: str) -> bool:
        chosen = max((len(s) for s in self.select if code.startswith(s)), default=0)
        dropped = max((len(s) for s in self.ignore if code.startswith(s)), default=0)
        return chosen > dropped


class Settings(NamedTuple):
    """The settings for some files.

    Args:
        selection: The rules to check.
        exclude: Patterns of paths to leave out.
        per_file: Patterns of paths, and the rules to leave out there.
        root: The directory that the patterns are relative to.
        output_format: The format of the report; "" if the settings do not say.
    """

    selection: Selection = Selection()
    exclude: tuple[str, ...] = ()
    per_file: tuple[tuple[str, tuple[str, ...]], ...] = ()
    root: str = ""
    output_format: str = ""

    def excludes(self, path: str) -> bool:
        """Return whether the file or directory *path* is left out."""
        return any(_matches(path, pattern, self.root) for pattern in self.exclude)

    def selection_for(self, path: str) -> Selection:
        """Return the rules to check in the file *path*."""
        dropped = [
            code
            for pattern, codes in self.per_file
            if _matches(path, pattern, self.root)
            for code in codes
        ]
        if not dropped:
            return self.selection
        return Selection(self.selection.select, [*self.selection.ignore, *dropped])


def _matches(path: str, pattern: str, root: str) -> bool:
    """Return whether *pattern* matches *path* or a directory above it, as a path or as a name.

    The names of *root* and of the directories above it do not count.
    """
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  # symbolic links stay
    base = os.path.abspath(root)  # noqa: PTH100
    full = os.path.normpath(os.path.join(glob.escape(base), pattern))  # noqa: PTH118
    above = {*absolute.parents} & {Path(base), *Path(base).parents}
    return any(
        (each not in above and fnmatch.fnmatch(each.name, pattern))
        or fnmatch.fnmatch(str(each), full)
        for each in (absolute, *absolute.parents)
    )


def find_settings(start: str) -> tuple[Mapping[str, Any], str]:
    """Return the table ``[tool.godefer]`` for the directory *start*, and the file's directory.

    The nearest pyproject.toml with that table counts, in *start* or a directory above it.
    """
    directory = Path(os.path.abspath(start))  # noqa: PTH100
    for folder in (directory, *directory.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as mistake:
            raise UsageError(f"{file}: {mistake}") from None
        own = table.get("tool", {}).get("godefer")
        if own is not None:
            return own, str(folder)
    return {}, ""


def settings(
    table: Mapping[str, Any],
    root: str,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Settings:
    """Return the settings of a table, with the options of the command line.

    The codes of an option replace those of the table; the patterns are added to the table's.

    Args:
        table: The table ``[tool.godefer]``.
        root: The directory of its file.
        select: The codes of ``--select``.
        ignore: The codes of ``--ignore``.
        exclude: The patterns of ``--exclude``, relative to the current directory.

    Returns:
        The settings.

    Raises:
        UsageError: A key, a value or a code is unknown.
    """
    known = {*_LISTS, "per-file-ignores", "output-format"}
    unknown = sorted(set(table) - known)
    if unknown:
        raise UsageError(
            f"[tool.godefer] has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}"
        )
    lists = {key: _strings(table.get(key, []), key) for key in _LISTS}
    per_file = table.get("per-file-ignores", {})
    if not isinstance(per_file, dict):
        raise UsageError("[tool.godefer] per-file-ignores is no table")
    ignores = tuple((p, tuple(_strings(c, "per-file-ignores"))) for p, c in per_file.items())
    for _, codes in ignores:
        Selection(ignore=codes)
    output_format = table.get("output-format", "")
    if output_format not in {"", "text", "json", "github", "sarif"}:
        raise UsageError(f"[tool.godefer] output-format has no format {output_format!r}")
    own = [
        os.path.join(glob.escape(os.getcwd()), pattern)  # noqa: PTH109, PTH118
        if os.sep in pattern
        else pattern
        for pattern in exclude
    ]
    return Settings(
        Selection(select or lists["select"], ignore or lists["ignore"]),
        (*lists["exclude"], *own),
        ignores,
        root,
        output_format,
    )


def _strings(value: object, key: str) -> list[str]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise UsageError(f"[tool.godefer] {key} is no list of strings")
