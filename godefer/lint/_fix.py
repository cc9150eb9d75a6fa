"""Fixes as edits of the text, and their application."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from typing import NamedTuple

from godefer.lint._suggest import render, segment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from godefer.lint._site import Fix, Replacement

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


class Edit(NamedTuple):
    """Text that replaces a part of the source; lines and columns count from 1, in characters."""

    line: int
    column: int
    end_line: int
    end_column: int
    content: str


class Remedy(NamedTuple):
    """The edits for a problem.

    Attributes:
        edits: The edits, none of which overlaps another.
        safe: Whether `--fix` applies them without `--unsafe-fixes`.
    """

    edits: tuple[Edit, ...]
    safe: bool


def split_lines(text: str) -> list[str]:
    """Return the lines of *text* with their ends, as Python's parser counts them."""
    return _LINES.findall(text)


def characters(lines: Sequence[str], line: int, offset: int) -> int:
    """Convert an offset in UTF-8 bytes, as the tree has it, to characters."""
    if not 0 < line <= len(lines):
        return offset
    return len(lines[line - 1].encode()[:offset].decode(errors="replace"))


def remedy(fix: Fix | None, lines: Sequence[str]) -> Remedy | None:
    """Return the edits of *fix*; None if they would drop a comment, or cannot be written."""
    if fix is None:
        return None
    edits = [_edit(replacement, lines) for replacement in fix.replacements]
    found = [edit for edit in edits if edit is not None]
    return Remedy(tuple(found), fix.safe) if len(found) == len(edits) else None


def _edit(replacement: Replacement, lines: Sequence[str]) -> Edit | None:
    node = replacement.node
    if replacement.kind == "decorator" and isinstance(replacement.code, ast.AST):
        written = segment(lines, replacement.code)
        content = None if written is None else f"@{written}"
    else:
        content = render(replacement.code, lines)
    source = segment(lines, node)
    if content is None or source is None:
        return None
    line, column, end_line, end_column = _place(node, lines)
    if replacement.kind in {"above", "decorator"}:
        text = lines[line - 1]
        indentation = text[: len(text) - len(text.lstrip(" \t\f"))]
        return Edit(line, 1, line, 1, f"{indentation}{content}\n")
    if replacement.kind == "line":
        before = lines[line - 1][: column - 1].strip()
        after = lines[end_line - 1][end_column - 1 :].strip()
        whole = before in {"", "@"} and not after and not _has_comment(source)
        return Edit(line, 1, end_line + 1, 1, "") if whole else None
    return None if _has_comment(source) else Edit(line, column, end_line, end_column, content)


def _place(node: ast.AST, lines: Sequence[str]) -> tuple[int, int, int, int]:
    line, end_line = node.lineno, node.end_lineno  # type: ignore[attr-defined]
    return (
        line,
        characters(lines, line, node.col_offset) + 1,  # type: ignore[attr-defined]
        end_line,
        characters(lines, end_line, node.end_col_offset) + 1,  # type: ignore[attr-defined]
    )


def _has_comment(source: str) -> bool:
    if "#" not in source:
        return False
    tokens = tokenize.generate_tokens(io.StringIO(f"({source}\n)").readline)
    return any(token.type == tokenize.COMMENT for token in tokens)


def apply(text: str, remedies: Iterable[Remedy]) -> tuple[str, int]:
    """Apply *remedies* to *text*; leave out those that overlap an earlier one.

    Returns:
        The new text, and the number of remedies that it contains.
    """
    lines = split_lines(text)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    newline = "\r\n" if lines and lines[0].endswith("\r\n") else "\n"
    taken: list[tuple[int, int, str]] = []
    count = 0
    for each in remedies:
        spans = [
            (
                starts[edit.line - 1] + edit.column - 1,
                starts[min(edit.end_line, len(lines) + 1) - 1] + edit.end_column - 1,
                edit.content.replace("\n", newline),
            )
            for edit in each.edits
        ]
        if any(_overlap(span, other) for span in spans for other in taken):
            continue
        taken += spans
        count += 1
    for start, end, content in sorted(taken, reverse=True):
        text = text[:start] + content + text[end:]
    return text, count


def _overlap(span: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    if span[:2] == other[:2]:
        return True
    return span[0] < other[1] and other[0] < span[1]
