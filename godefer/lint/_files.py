"""From paths to problems: which files are read, what their ``# noqa`` comments take back, and what is selected."""

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

# Directories that hold no code of the project's own, as ruff has them.
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
        line: Where it begins.
        column: Where it begins.
        end_line: Where it ends.
        end_column: Where it ends: the column after the last one.
        code: The rule, ``invalid-syntax``, or ``E902`` for a file that cannot be read.
        message: What is wrong, and what to write instead.

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
    """A selector that no rule begins with."""


class Selection:
    """Which rules count. A code may be shortened: ``GDF`` is all of them, ``GDF01`` three.

    Args:
        select: The rules that count; all, if there are none.
        ignore: Those of them that do not. The longer code decides; of two equal ones, this.
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
    """The Python files that *paths* name: each file itself, and those in directories, without hidden and foreign ones."""
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112  # as given, so that the report can be clicked on
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
    r"""Check the source of a module. One that does not contain the word godefer is not even parsed.

    Args:
        source: The text, or the bytes of its file.
        path: What the problems name as its file.
        selection: The rules to check; all of them if it is None.

    Returns:
        The problems, in the order of the text, without those that a ``# noqa`` takes back. What cannot be parsed is one problem, with the code
        ``invalid-syntax``.

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
            warnings.simplefilter("ignore")  # such as SyntaxWarning: the interpreter's business
            tree = ast.parse(source, path)
        text = source if isinstance(source, str) else _decoded(source)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        return [Problem(path, line, column, line, column, "invalid-syntax", error.msg)]
    except (
        ValueError,
        RecursionError,
        MemoryError,
    ) as error:  # null bytes, a wrong coding, nested too deeply
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
    """An offset in UTF-8 bytes, as the tree has it, in characters."""
    if not 0 < line <= len(lines):
        return offset
    return len(lines[line - 1].encode()[:offset].decode(errors="replace"))


def _without_noqa(problems: list[Problem], text: str) -> list[Problem]:
    """Leave out what a comment takes back. One counts for the line that it ends, which may have begun in a string of several lines."""
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
    everywhere = [*_taken_back(_FILE_NOQA, whole_file)]
    return [
        problem
        for problem in problems
        if not problem.code.startswith(
            (*everywhere, *_taken_back(_NOQA, comments.get(problem.line, [])))
        )
    ]


def _taken_back(pattern: re.Pattern[str], comments: Iterable[str]) -> Iterator[str]:
    """What the codes of the problems begin with that *comments* take back; "" for all."""
    for comment in comments:
        match = pattern.search(comment)
        if match is not None:
            yield from (code.upper() for code in re.split(r"[,\s]+", match["codes"] or ""))
