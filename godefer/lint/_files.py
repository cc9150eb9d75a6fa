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

from godefer.lint._check import check_tree
from godefer.lint._fix import apply, characters, remedy, split_lines
from godefer.lint._settings import Selection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from godefer.lint._fix import Remedy
    from godefer.lint._settings import Settings
    from godefer.lint._site import Finding

# Directories without the project's own code. ruff leaves them out, too.
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

UNREADABLE = "E902"  # the code of pycodestyle and ruff for a file that cannot be read
SYNTAX = "invalid-syntax"
_MOST_ROUNDS = 20  # of fixing, since a fix may reveal another problem
_CODES = r"(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)"
_NOQA = re.compile(rf"# noqa(?::\s?{_CODES})?", re.IGNORECASE)
_FILE_NOQA = re.compile(rf"# (?:flake8|ruff)[:=]\s*noqa(?::\s?{_CODES})?\s*\Z", re.IGNORECASE)


class Problem(NamedTuple):
    """One line of the report. Lines and columns count from 1, and columns count characters.

    Attributes:
        path: The file.
        line: The first line.
        column: The first column.
        end_line: The last line.
        end_column: The column after the last one.
        code: The rule, ``invalid-syntax``, or ``E902`` for a file that cannot be read.
        message: The problem, and the remedy.
        fix: The edits that apply the remedy; None if there are none.

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
    fix: Remedy | None = None


def python_files(paths: Iterable[str], settings: Settings | None = None) -> Iterator[str]:
    """Yield each file of *paths*, and the Python files in each directory of *paths*.

    Leave out hidden directories, the names in `EXCLUDED`, virtual environments, and paths that the
    settings exclude.
    """
    excludes = settings.excludes if settings is not None and settings.exclude else _no_path
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
                and not excludes(str(Path(directory, name)))
            )
            yield from (
                os.path.normpath(Path(directory, name))
                for name in sorted(files)
                if name.endswith(".py") and not excludes(str(Path(directory, name)))
            )


def _no_path(_path: str) -> bool:
    return False


def check_file(path: str, selection: Selection) -> list[Problem]:
    """Check one file."""
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        return [unreadable(path, error)]
    return check_source(source, path, selection)


def unreadable(path: str, error: OSError) -> Problem:
    """Return the problem of a file that cannot be read."""
    return Problem(path, 1, 1, 1, 1, UNREADABLE, error.strerror or str(error))


def fix_source(
    source: bytes, path: str, selection: Selection, *, unsafe: bool = False
) -> tuple[bytes, int]:
    """Apply the fixes for the problems of a source, and repeat until none is left.

    Args:
        source: The bytes of the file.
        path: Its name.
        selection: The rules whose problems are fixed.
        unsafe: Whether to apply unsafe fixes, too.

    Returns:
        The new source, and the number of fixes.
    """
    total = 0
    for _ in range(_MOST_ROUNDS):
        problems = check_source(source, path, selection)
        remedies = [p.fix for p in problems if p.fix is not None and (p.fix.safe or unsafe)]
        if not remedies:
            break
        source, count = applied(source, remedies)
        if not count:
            break
        total += count
    return source, total


def applied(source: bytes, remedies: Sequence[Remedy]) -> tuple[bytes, int]:
    """Apply the remedies that leave *source* valid Python.

    Returns:
        The new source, and the number of remedies that it contains.
    """
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    before = source.decode(encoding)
    text, count = apply(before, remedies)
    if not _is_python(text):
        kept: list[Remedy] = []
        for each in remedies:
            if _is_python(apply(before, [*kept, each])[0]):
                kept.append(each)
        text, count = apply(before, kept)
    return text.encode(encoding), count


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def check_source(
    source: str | bytes, path: str = "<string>", selection: Selection | None = None
) -> list[Problem]:
    r"""Check the source of a module; skip a source without the word godefer.

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
            warnings.simplefilter("ignore")  # a SyntaxWarning is for the interpreter to show
            tree = ast.parse(source, path)
    except SyntaxError as error:
        # An unknown encoding is at line 0, column -1.
        line, column = error.lineno or 1, max(error.offset or 1, 1)
        return [Problem(path, line, column, line, column, SYNTAX, error.msg)]
    except (ValueError, RecursionError, MemoryError) as error:
        # Null bytes, a wrong encoding, or code that is nested too deeply.
        return [Problem(path, 1, 1, 1, 1, SYNTAX, str(error) or type(error).__name__)]
    findings = check_tree(tree)
    if not findings:
        return []
    text = source if isinstance(source, str) else decoded(source)
    lines = split_lines(text)
    found = [_problem(path, lines, finding) for finding in findings]
    return _without_noqa([p for p in found if p.code in (selection or Selection())], text)


def decoded(source: bytes) -> str:
    """Return the text of a source, in the encoding that it declares."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding).read()


def _problem(path: str, lines: Sequence[str], finding: Finding) -> Problem:
    node = finding.node
    line, end_line = getattr(node, "lineno", 1), getattr(node, "end_lineno", 1)
    return Problem(
        path,
        line,
        characters(lines, line, getattr(node, "col_offset", 0)) + 1,
        end_line,
        characters(lines, end_line, getattr(node, "end_col_offset", 0)) + 1,
        finding.code,
        finding.message,
        remedy(finding.fix, lines),
    )


def _without_noqa(problems: list[Problem], text: str) -> list[Problem]:
    """Return the problems that no ``# noqa`` comment suppresses.

    A comment counts for its line. If a string, or a line continued by a backslash, ends there, it
    counts for all of its lines.
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
