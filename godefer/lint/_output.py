"""Format problems like ruff's formats ``concise``, ``json``, ``github`` and ``sarif``."""

from __future__ import annotations

import collections
import json
import os
from collections.abc import Callable
from pathlib import Path

from godefer import __version__
from godefer.lint._check import RULES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from godefer.lint._files import Problem


Paint = Callable[[str, str], str]


def plain(_code: str, text: str) -> str:
    """Return *text* without colours."""
    return text


def as_text(problems: Sequence[Problem], paint: Paint = plain) -> str:
    """Return a line ``path:line:column: code message`` for each problem, and their total."""
    return "\n".join([*(_line(problem, paint) for problem in problems), *_summary(problems)]) + "\n"


def as_statistics(problems: Sequence[Problem], paint: Paint = plain) -> str:
    """Return a line with the number of problems for each rule, and their total."""
    codes = collections.Counter(problem.code for problem in problems)
    lines = []
    for code, count in sorted(codes.items(), key=lambda item: (-item[1], item[0])):
        fixable = any(p.code == code and p.fix is not None and p.fix.safe for p in problems)
        lines.append(
            f"{paint('1', str(count))}\t{paint('31;1', code)}\t"
            f"{'[*] ' if fixable else ''}{RULES.get(code, 'the file cannot be checked')}"
        )
    return "\n".join([*lines, *_summary(problems)]) + "\n"


def _summary(problems: Sequence[Problem]) -> list[str]:
    count = len(problems)
    if not count:
        return ["All checks passed!"]
    lines = [f"Found {count} error{'s' if count != 1 else ''}."]
    safe = sum(p.fix is not None and p.fix.safe for p in problems)
    unsafe = sum(p.fix is not None and not p.fix.safe for p in problems)
    if safe:
        more = f" ({unsafe} more with `--unsafe-fixes`)" if unsafe else ""
        lines.append(f"[*] {safe} fixable with the `--fix` option{more}.")
    elif unsafe:
        lines.append(f"[*] {unsafe} fixable with the `--fix --unsafe-fixes` options.")
    return lines


def _line(problem: Problem, paint: Paint = plain) -> str:
    colon = "" if problem.code in RULES or problem.code == "E902" else ":"
    place = paint("36", ":")
    where = place.join([paint("1", problem.path), str(problem.line), str(problem.column)])
    return f"{where}{place} {paint('31;1', problem.code)}{colon} {problem.message}"


def as_json(problems: Sequence[Problem], _paint: Paint = plain) -> str:
    """Return a JSON array of objects, with the keys of ruff's format that apply."""
    found = [
        {
            "code": problem.code,
            "end_location": {"column": problem.end_column, "row": problem.end_line},
            "fix": _fix(problem),
            "filename": os.path.abspath(problem.path),  # noqa: PTH100  # symbolic links stay
            "location": {"column": problem.column, "row": problem.line},
            "message": problem.message,
            "name": RULES.get(problem.code),
            "noqa_row": problem.line if problem.code in RULES else None,
        }
        for problem in problems
    ]
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


def _fix(problem: Problem) -> dict[str, object] | None:
    if problem.fix is None:
        return None
    return {
        "applicability": "safe" if problem.fix.safe else "unsafe",
        "edits": [
            {
                "content": edit.content,
                "end_location": {"column": edit.end_column, "row": edit.end_line},
                "location": {"column": edit.column, "row": edit.line},
            }
            for edit in problem.fix.edits
        ],
        "message": problem.message.rpartition("; ")[2],
    }


def as_github(problems: Sequence[Problem], _paint: Paint = plain) -> str:
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


def as_sarif(problems: Sequence[Problem], _paint: Paint = plain) -> str:
    """Return a log in the Static Analysis Results Interchange Format, version 2.1.0."""
    rules = [{"id": code, "shortDescription": {"text": title}} for code, title in RULES.items()]
    tool = {"driver": {"name": "godefer", "version": __version__, "rules": rules}}
    codes = list(RULES)
    results = []
    for problem in problems:
        result: dict[str, object] = {
            "ruleId": problem.code,
            "level": "error",
            "message": {"text": problem.message},
            "locations": [{"physicalLocation": _location(problem)}],
        }
        if problem.code in RULES:
            result["ruleIndex"] = codes.index(problem.code)
        if problem.fix is not None:
            result["fixes"] = [_sarif_fix(problem)]
        results.append(result)
    log = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": tool, "columnKind": "unicodeCodePoints", "results": results}],
    }
    return json.dumps(log, indent=2, ensure_ascii=False) + "\n"


def _location(problem: Problem) -> dict[str, object]:
    return {
        "artifactLocation": {"uri": _uri(problem.path)},
        "region": {
            "startLine": problem.line,
            "startColumn": problem.column,
            "endLine": problem.end_line,
            "endColumn": problem.end_column,
        },
    }


def _uri(path: str) -> str:
    return Path(os.path.abspath(path)).as_uri()  # noqa: PTH100  # symbolic links stay


def _sarif_fix(problem: Problem) -> dict[str, object]:
    assert problem.fix is not None  # noqa: S101  # for the type checker
    replacements = [
        {
            "deletedRegion": {
                "startLine": edit.line,
                "startColumn": edit.column,
                "endLine": edit.end_line,
                "endColumn": edit.end_column,
            },
            "insertedContent": {"text": edit.content},
        }
        for edit in problem.fix.edits
    ]
    change = {"artifactLocation": {"uri": _uri(problem.path)}, "replacements": replacements}
    return {
        "description": {"text": problem.message.rpartition("; ")[2]},
        "artifactChanges": [change],
    }


FORMATS: dict[str, Callable[[Sequence[Problem], Paint], str]] = {
    "text": as_text,
    "json": as_json,
    "github": as_github,
    "sarif": as_sarif,
}
