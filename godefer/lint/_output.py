"""Format problems as ruff does, in its formats ``concise``, ``json`` and ``github``."""

from __future__ import annotations

import json
import os

from godefer.lint._check import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from godefer.lint._files import Problem


def as_text(problems: Sequence[Problem]) -> str:
    """Return a line ``path:line:column: code message`` for each problem, and their number."""
    lines = [_line(problem) for problem in problems]
    count = len(problems)
    lines.append(
        f"Found {count} error{'s' if count != 1 else ''}." if count else "All checks passed!"
    )
    return "\n".join(lines) + "\n"


def _line(problem: Problem) -> str:
    colon = "" if problem.code in RULES or problem.code == "E902" else ":"
    return (
        f"{problem.path}:{problem.line}:{problem.column}: {problem.code}{colon} {problem.message}"
    )


def as_json(problems: Sequence[Problem]) -> str:
    """Return an array of objects, with those keys of ruff's that apply."""
    found = [
        {
            "code": problem.code,
            "end_location": {"column": problem.end_column, "row": problem.end_line},
            "filename": os.path.abspath(problem.path),  # noqa: PTH100  # symbolic links stay
            "location": {"column": problem.column, "row": problem.line},
            "message": problem.message,
            "name": RULES.get(problem.code),
            "noqa_row": problem.line if problem.code in RULES else None,
        }
        for problem in problems
    ]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def as_github(problems: Sequence[Problem]) -> str:
    """Return commands that GitHub's runner shows as annotations of the lines."""
    lines = []
    for p in problems:
        file = _property(os.path.abspath(p.path))  # noqa: PTH100  # symbolic links stay
        properties = (
            f"title=godefer ({p.code}),file={file},line={p.line},col={p.column},"
            f"endLine={p.end_line},endColumn={p.end_column}"
        )
        lines.append(f"::error {properties}::{_data(_line(p))}\n")
    return "".join(lines)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")


FORMATS: dict[str, Callable[[Sequence[Problem]], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
}
