"""From paths to problems: find the files, check them, and apply ``# noqa`` and the selection."""

from __future__ import annotations

import ast
import io
import os
import re
import tokenize
import warnings
from pathlib import Path
from typing import NamedTuple

from godefer.lint._check import RULES, check_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# Directories without code of the project's own, as in ruff's defaults.
EXCLUDED = frozenset(
    {
        "__pycache__",
        "__pypackages__",
        "_build",
        "build",
        "dist",
        "node_modules",
        "site-packages",
        "venv",
    }
)

_CODES = r"(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)"
_NOQA = re.compile(rf"# noqa(?::\s?{_CODES})?", re.IGNORECASE)
_FILE_NOQA = re.compile(rf"# (?:flake8|ruff)[:=]\s*noqa(?::\s?{_CODES})?\s*\Z", re.IGNORECASE)
_SELECTOR = re.compile(r"GDF[0-9]{0,3}\Z")


class Problem(NamedTuple):
    """One line of the report. Lines and columns count from 1, and columns are characters.

    Attributes:
        path: The file.
        line: The first line.
        column: The first column.
        end_line: The last line.
        end_column: The column after the last one.
        code: The rule, ``invalid-syntax``, or ``E902`` for a file that cannot be read.
        message: The problem, and the remedy.

    Example:
        >>> from godefer.lint import check_source
        >>> check_source("import godefer:")[0].code
        'invalid-syntax'
    """

    path: str
    line: int
    column: int
    end_line: int
    end_column: int
    code: str
    message: str


class UnknownRuleError(ValueError):
    """A selector that is not the beginning of any rule."""


class Selection:
    """The selected rules. A code may be shortened: ``GDF`` is all of them, ``GDF01`` three.

    Args:
        select: The codes to select; all if it is empty.
        ignore: The codes to leave out. The longer code decides; of two equal ones, this.
    """

    def __init__(self, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
        for code in [*select, *ignore]:
            if not _SELECTOR.match(code) or not any(rule.startswith(code) for rule in RULES):
                raise UnknownRuleError(code)
        self.select = tuple(select) or ("GDF",)
        self.ignore = tuple(ignore)

    def __contains__(self, code: str) -> bool:
        chosen = max((len(s) for s in self.select if code.startswith(s)), default=0)
        dropped = max((len(s) for s in self.ignore if code.startswith(s)), default=0)
        return chosen > dropped


def python_files(paths: Iterable[str]) -> Iterator[str]:
    """Yield each file of *paths*, and the Python files in each directory of *paths*.

    Hidden directories, and those of other projects, are left out.
    """
    for path in paths:
        # Paths stay as they are given, so that a terminal can open those in the report.
        if not os.path.isdir(path):  # noqa: PTH112
            yield path
            continue
        for directory, inner, files in os.walk(path):
            inner[:] = sorted(
                name
                for name in inner
                if not name.startswith(".")
                and name not in EXCLUDED
                and not Path(directory, name, "pyvenv.cfg").exists()
            )
            yield from (
                os.path.normpath(Path(directory, name))
                for name in sorted(files)
                if name.endswith(".py")
            )


def check_file(path: str, selection: Selection) -> list[Problem]:
    """Check one file."""
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        return [Problem(path, 1, 1, 1, 1, "E902", error.strerror or str(error))]
    return check_source(source, path, selection)


def check_source(
    source: str | bytes, path: str = "<string>", selection: Selection | None = None
) -> list[Problem]:
    r"""Check the source of a module, which is not even parsed if it lacks the word godefer.

    Args:
        source: The text, or the bytes of its file.
        path: The name of its file in the problems.
        selection: The rules to check; all of them if it is None.

    Returns:
        The problems, in the order of the text, without those that a ``# noqa`` suppresses. A source
        that cannot be parsed has one problem, with the code ``invalid-syntax``.

    Example:
        >>> from godefer.lint import check_source
        >>> for problem in check_source("from godefer import defer\ndefer(print)\n"):
        ...     print(problem.line, problem.code)
        2 GDF002
    """
    word: str | bytes = "godefer" if isinstance(source, str) else b"godefer"
    if word not in source:  # type: ignore[operator]
        return []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # SyntaxWarning is the interpreter's business
            tree = ast.parse(source, path)
        text = source if isinstance(source, str) else _decoded(source)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        return [Problem(path, line, column, line, column, "invalid-syntax", error.msg)]
    except (ValueError, RecursionError, MemoryError) as error:
        # Null bytes, a wrong encoding, or code that is nested too deeply.
        return [Problem(path, 1, 1, 1, 1, "invalid-syntax", str(error) or type(error).__name__)]
    lines = text.splitlines(keepends=True) if "\f" not in text else io.StringIO(text).readlines()
    found = [_problem(path, lines, f.code, f.message, f.node) for f in check_tree(tree)]
    return _without_noqa([p for p in found if p.code in (selection or Selection())], text)


def _decoded(source: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding).read()


def _problem(path: str, lines: Sequence[str], code: str, message: str, node: ast.AST) -> Problem:
    line, end_line = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
    column = characters(lines, line, getattr(node, "col_offset", 0))
    return Problem(
        path,
        line,
        column + 1,
        end_line,
        characters(lines, end_line, getattr(node, "end_col_offset", 0)) + 1,
        code,
        message,
    )


def characters(lines: Sequence[str], line: int, offset: int) -> int:
    """Convert an offset in UTF-8 bytes, as the tree has it, to characters."""
    if not 0 < line <= len(lines):
        return offset
    return len(lines[line - 1].encode()[:offset].decode(errors="replace"))


def _without_noqa(problems: list[Problem], text: str) -> list[Problem]:
    """Leave out the problems that a comment suppresses.

    A comment counts for its line, and for the lines of a string that ends there.
    """
    if not problems or "noqa" not in text.lower():
        return problems
    comments: dict[int, list[str]] = {}
    whole_file: list[str] = []
    pending: list[str] = []
    first = 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in {tokenize.DEDENT, tokenize.INDENT, tokenize.ENDMARKER}:
            continue
        first = first or token.start[0]
        if token.type == tokenize.COMMENT:
            pending.append(token.string)
            if not token.line[: token.start[1]].strip():
                whole_file.append(token.string)
        if token.type in {tokenize.NL, tokenize.NEWLINE}:
            for line in range(first, token.end[0] + 1):
                comments.setdefault(line, []).extend(pending)
            first, pending = 0, []
    everywhere = [*_suppressed(_FILE_NOQA, whole_file)]
    return [
        problem
        for problem in problems
        if not problem.code.startswith(
            (*everywhere, *_suppressed(_NOQA, comments.get(problem.line, [])))
        )
    ]


def _suppressed(pattern: re.Pattern[str], comments: Iterable[str]) -> Iterator[str]:
    """Yield the codes, or beginnings of codes, that *comments* suppress; "" for all."""
    for comment in comments:
        match = pattern.search(comment)
        if match is not None:
            yield from (code.upper() for code in re.split(r"[,\s]+", match["codes"] or ""))
