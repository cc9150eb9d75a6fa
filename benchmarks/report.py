"""Measure on each named Python; put tables and charts into docs/ and README.md.

    python -m benchmarks.report --python .venv/bin/python --python ".ci/pythons run 3.14"

Each Python measures in several processes, since the layout of memory differs between processes. The
processes of all Pythons take turns.

A Python is a command. `.ci/pythons run` enters the chroot of a Python that this machine does not
have, and mounts the tree there. Each process runs a module, which is given by name, and prints its
results: a path would not mean the same inside of the chroot. Nothing is installed there, since
godefer can be measured with the standard library alone. Other libraries take part where they are
installed.

Rejected: `--python "chroot FOLDER /tmp/venv/bin/python"`. It names paths of one machine, and
somebody has to put the tree, /proc and an environment into the chroot beforehand.

Budgets are for CPython. PyPy is measured and has its column, but no budget is judged on it: its
compiler removes most of the cost of a call, so the ratios mean something else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import floors, starts
from benchmarks.budgets import (
    DECORATING_MS,
    DECORATIONS_MS,
    IMPORTING,
    MEMORY,
    NESTED_US,
    RATIOS,
    START_MS,
)
from benchmarks.group import CACHED, HAND, OPEN, OURS, RUNTIME, SCOPE, STACK
from benchmarks.peers import PEERS
from benchmarks.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROOT = Path(__file__).parent.parent
_DOCUMENT = _ROOT / "docs" / "benchmarks.md"
_COSTS = _ROOT / "docs" / "costs.md"
_README = _ROOT / "README.md"

# The rows of docs/costs.md: text -> group, way, and the way to compare with. Memory has no group.
_IN_SHORT = {
    "**open-coded**: one deferred call": ("return, 1 call", OPEN, HAND),
    "eight": ("return, 8 calls", OPEN, HAND),
    "in an `if`": ("in an if", OPEN, HAND),
    "a hundred in a loop": ("a loop of 100", OPEN, HAND),
    "one in a generator": ("a generator", OPEN, HAND),
    "one that is awaited": ("a coroutine", OPEN, HAND),
    "`using`": ("using", OPEN, HAND),
    "one, exit by an exception": ("exception, 1 call", OPEN, HAND),
    "eight, exit by an exception": ("exception, 8 calls", OPEN, HAND),
    "a function that recovers": ("recover", OPEN, HAND),
    "one": ("return, 1 call", OPEN, STACK),
    "**at run time**: one deferred call": ("return, 1 call", RUNTIME, STACK),
    "eight, at run time": ("return, 8 calls", RUNTIME, STACK),
    "one, at run time, exit by an exception": ("exception, 1 call", RUNTIME, STACK),
    "eight, at run time, exit by an exception": ("exception, 8 calls", RUNTIME, STACK),
    "`using`, at run time": ("using", RUNTIME, STACK),
    "**`defer_scope`**: one deferred call": ("return, 1 call", SCOPE, STACK),
    "eight, in a `defer_scope`": ("return, 8 calls", SCOPE, STACK),
    "one, in a `defer_scope`, exit by an exception": ("exception, 1 call", SCOPE, STACK),
    "`defer.using`": ("using", SCOPE, STACK),
    "memory of a pending call, open-coded": (None, OPEN, STACK),
    "memory of a pending call, at run time": (None, RUNTIME, STACK),
}
# Those rows that README.md shows, too.
_IN_README = (
    "**open-coded**: one deferred call",
    "eight",
    "one, exit by an exception",
    "a function that recovers",
    "one",
)
# The rows about the starts of whole processes.
_STARTS_IN_SHORT = {
    "start of a program with 200 decorated functions": starts.WARM,
    "its first start ever": starts.COLD,
}


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}


def _run(python: str, *options: str) -> Any:
    command = [*shlex.split(python), "-m", "benchmarks.measure", *options]
    done = subprocess.run(
        command, check=True, cwd=_ROOT, env=_environment(), stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def measure(pythons: list[str], rounds: int, processes: int) -> list[Results]:
    """Run all measurements on each Python. Each item of *pythons* is a command with its words."""
    found: dict[str, list[dict[str, Any]]] = {python: [] for python in pythons}
    for python in pythons:  # if one cannot run, fail before the hour of measuring
        subprocess.run(
            [*shlex.split(python), "-c", "import benchmarks.measure"],
            check=True,
            cwd=_ROOT,
            env=_environment(),
        )
    for _ in range(processes):
        for python in pythons:
            found[python].append(_run(python, "--rounds", str(rounds)))
    return [
        Results(
            found[python],
            _run(python, "--growth"),
            _run(python, "--starts", "--rounds", str(rounds)),
        )
        for python in pythons
    ]


def measure_starts(pythons: list[str], rounds: int) -> list[Results]:
    """Run only the measurements of starts."""
    found = []
    for python in pythons:
        measured = _run(python, "--starts", "--rounds", str(rounds))
        nothing = {"groups": {}, "wrong": {}, "others": {}}
        found.append(Results([{**measured, **nothing}], {"growth": {"pending": {}}}, measured))
    return found


def costs_table(results: Results) -> str:
    """Return the table of the groups, with each way's time as a multiple of that by hand."""
    used = {way for group in results.groups for way in results.ways(group)}
    used |= {peer for wrong in results.wrong.values() for peer in wrong}
    ways = [way for way in (*OURS, *PEERS) if way in used and way != HAND]
    rows = [["", "by hand", *ways]]
    for group in results.groups:
        cells = [
            _cell(results.ratio(group, way), wrong=way in results.wrong[group]) for way in ways
        ]
        rows.append([group, f"{results.nanoseconds(group, HAND):,.0f} ns", *cells])
    return _table(rows)


class _Judged(NamedTuple):
    """A budget, and functions that read the measured values from results.

    Args:
        work: The work, and the way to do it.
        against: The work to compare with.
        limit: The budget.
        unit: Its unit.
        value: Return the measured value, or None if there is none.
        floor: The steps of the floor, if there is one. Each returns its measured value.
    """

    work: str
    against: str
    limit: float
    unit: str
    value: Callable[[Results], float | None]
    floor: dict[str, Callable[[Results], float]]

    @property
    def budget(self) -> str:
        return f"{self.limit:.3g}{self.unit}"

    def missed(self, results: list[Results]) -> dict[str, float]:
        """Return the values above the budget, by version."""
        values = {r.version: self.value(r) for r in results if r.judged}
        return {
            version: value
            for version, value in values.items()
            if value is not None and value > self.limit
        }

    def cell(self, results: Results) -> str:
        value = self.value(results)
        if value is None:
            return ""
        return _judged(value, self.limit if results.judged else math.inf, self.unit)


def _budgets() -> Iterator[_Judged]:
    of_floors = {group.name: floors.steps(group) for group in floors.GROUPS}
    for group, way, against, limit in RATIOS:
        steps = [step for of, step in of_floors.get(group, ()) if of == way]
        yield _Judged(
            f"{way}: {group}",
            against,
            limit,
            "",
            lambda r, of=(group, way, against): r.ratio(*of),
            {step: lambda r, of=(group, way, step, against): r.least(*of) for step in steps},
        )
    yield _Judged(
        "decorating 17 lines, in a module of 5,000",
        "",
        DECORATING_MS,
        " ms",
        lambda r: r.milliseconds("decorating, 5000 lines", OPEN),
        {"the interpreter's compiler": lambda r: r.milliseconds("compiling", "compiler")},
    )
    yield _Judged(
        "`import godefer`",
        "`import contextlib`",
        IMPORTING,
        "",
        lambda r: r.importing("godefer") / r.importing("contextlib"),
        {},
    )
    for way in (OPEN, RUNTIME, SCOPE):
        yield _Judged(
            f"{way}: memory of a pending call",
            STACK,
            MEMORY,
            "",
            lambda r, way=way: r.memory_share(way),
            {},
        )

    for (which, cache), limit in DECORATIONS_MS.items():
        yield _Judged(
            f"decorating: {which}, {cache}",
            "",
            limit,
            " ms",
            lambda r, of=(which, cache): r.decoration(*of),
            {},
        )
    yield _Judged(
        f"a start with {starts.JUDGED}, {starts.WARM}, beyond",
        HAND,
        START_MS,
        " ms",
        lambda r: r.start_beyond(starts.JUDGED, starts.WARM),
        {},
    )
    for way in (OPEN, RUNTIME):
        yield _Judged(
            f"{way}: a nested function, on each call",
            "",
            NESTED_US,
            " µs",
            lambda r, way=way: r.nested(way),
            {},
        )


def budgets_table(results: list[Results]) -> str:
    """Return the table of budgets and measured values; a miss is bold."""
    rows = [["", "against", "budget", *(r.version for r in results)]]
    rows.extend([b.work, b.against, b.budget, *(b.cell(r) for r in results)] for b in _budgets())
    table = _table(rows)
    others = [r.version for r in results if not r.judged]
    if others:
        table += f"\n\nThe budgets are CPython's. {' and '.join(others)} is shown, and not judged."
    return table


def missed_list(results: list[Results]) -> str:
    """Return a line for each budget that a CPython misses, with its floor and experiments."""
    lines = []
    for budget in _budgets():
        missed = budget.missed(results)
        if not missed:
            continue
        judged = [r for r in results if r.version in missed]
        found = [
            f"{step} {_range([value(r) for r in judged])}{budget.unit}"
            for step, value in budget.floor.items()
        ]
        lines.append(
            f"- {budget.work}{', against ' if budget.against else ''}{budget.against}: "
            f"the budget is {budget.budget}. "
            f"Measured: "
            f"{', '.join(f'{_number(value)} on {version}' for version, value in missed.items())}. "
            + (f"The floor there: {'; '.join(found)}." if found else "No floor was measured.")
        )
    return "\n".join(lines) or "No budget is missed."


def floors_table(results: list[Results]) -> str:
    """Return the table of the budgets with floors: the least, the experiments, and godefer."""
    judged = [r for r in results if r.judged]
    rows = [["", "against", "budget", "", *(r.version for r in judged)]]
    for budget in _budgets():
        if budget.floor and budget.against:
            steps: dict[str, Callable[[Results], float | None]] = {
                **budget.floor,
                "godefer": budget.value,
            }
            for step, value in steps.items():
                head = (
                    [budget.work, budget.against, budget.budget]
                    if step == floors.LEAST
                    else ["", "", ""]
                )
                rows.append([*head, step, *(_cell(value(r), wrong=False) for r in judged)])
    return _table(rows)


def others_table(results: list[Results]) -> str:
    """Return the table of the figures that are not ratios."""
    rows = [["", *(r.version for r in results)]]
    for lines in (500, 5000):
        for way in (OPEN, CACHED, RUNTIME):
            times = (f"{r.milliseconds(f'decorating, {lines} lines', way):.2f} ms" for r in results)
            rows.append([f"decorating, in a module of {lines:,} lines, {way}", *times])
    times = (f"{r.milliseconds('compiling', 'compiler'):.2f} ms" for r in results)
    rows.append(["of that, open-coded, in the interpreter's compiler", *times])
    for what in ("godefer", "contextlib"):
        rows.append(
            [
                f"`import {what}`, beyond a bare interpreter",
                *(f"{r.importing(what):.1f} ms" for r in results),
            ]
        )
    rows.extend(
        [
            f"bytes for each of 1,000,000 pending calls, {way}",
            *(f"{r.memory[way]:.0f}" if r.memory else "" for r in results),
        ]
        for way in (HAND, OPEN, RUNTIME, STACK, SCOPE)
    )
    pool = (
        f"{r.milliseconds('eight nodes', 'pool') / r.milliseconds('eight nodes', 'fresh'):.2f}"
        for r in results
    )
    rows.append(["eight nodes from the pool, against fresh ones", *pool])
    for start, end in ((100, 10_000),):
        for way in results[0].growth["defers"]:
            steps = []
            for r in results:
                per_call = {n: t / n for n, t in r.growth["defers"][way]}
                steps.append(f"{per_call[end] / per_call[start]:.2f}")
            rows.append([f"a call among {end:,}, against one among {start}, {way}", *steps])
    return _table(rows)


def starts_table(results: list[Results]) -> str:
    """Return the tables of whole starts, and of single decorations in them."""
    rows = [["", "", *(r.version for r in results)]]
    first = next(iter(results[0].sizes))
    cells = (f"{r.start(first, starts.BARE):.1f} ms" for r in results)
    rows.append([starts.BARE, "", *cells])
    for size in results[0].sizes:
        rows.extend(
            [size if way == HAND else "", way, *(f"{r.start(size, way):.1f} ms" for r in results)]
            for way in starts.WAYS
        )
    rows.extend(
        [
            which if cache == starts.WARM else "",
            cache,
            *(f"{r.decoration(which, cache):.3f} ms" for r in results),
        ]
        for which in (starts.FIRST, starts.FURTHER_MODULE, starts.FURTHER)
        for cache in (starts.WARM, starts.COLD)
    )
    rows.extend(
        [
            "a nested function, on each call" if way == HAND else "",
            way,
            *(f"{r.nested(way):.2f} µs" for r in results),
        ]
        for way in (HAND, OPEN, RUNTIME)
    )
    return _table(rows)


def wrong_list(results: list[Results]) -> str:
    """Return the list of the peers' wrong answers."""
    lines: dict[str, list[str]] = {}
    for r in results:
        for group, wrong in r.wrong.items():
            for peer, what in wrong.items():
                lines.setdefault(f"- {peer}, {group}: {what}", []).append(r.version)
    if not lines:
        return "No library that was measured gives a wrong answer."
    return "\n".join(
        line if len(of) == len(results) else f"{line} ({', '.join(of)})"
        for line, of in sorted(lines.items())
    )


def short_table(results: list[Results]) -> str:
    """Return the table of docs/costs.md."""
    first, *others = results
    head = f"CPython {first.version}" if first.judged else first.version
    rows = [["", "against", head, *(r.version for r in others)]]
    for what, (group, way, against) in _IN_SHORT.items():
        ratios = (
            r.memory_share(way) if group is None else r.ratio(group, way, against) for r in results
        )
        cells = ("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        rows.append([what, against if against == HAND else f"`{against}`", *cells])
    for what, way in _STARTS_IN_SHORT.items():
        cells = (f"{r.start_ratio(starts.JUDGED, way):.2f}" for r in results)
        rows.append([what, HAND, *cells])
    return _table(rows)


def readme_table(results: list[Results]) -> str:
    """Return the table of README.md: some of the rows of `short_table`."""
    head, rule, *rows = short_table(results).splitlines()
    found = {row[2:-2].split(" | ")[0]: row for row in rows}
    return "\n".join([head, rule, *(found[what] for what in _IN_README)])


def _cell(ratio: float | None, *, wrong: bool) -> str:
    if ratio is None:
        return "wrong" if wrong else ""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _judged(value: float, limit: float, unit: str = "") -> str:
    text = f"{_number(value)}{unit}"
    return text if value <= limit else f"**{text}**"


def _number(value: float) -> str:
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def _range(values: list[float]) -> str:
    low, high = _number(min(values)), _number(max(values))
    return low if low == high else f"{low} to {high}"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def write(
    results: list[Results],
    document: Path = _DOCUMENT,
    costs: Path = _COSTS,
    readme: Path = _README,
) -> None:
    """Put the tables between the marks of the documents. Draw the charts beside *document*."""
    tables = {
        "budgets": budgets_table(results),
        "floors": f"{missed_list(results)}\n\n{floors_table(results)}",
        "others": others_table(results),
        "starts": starts_table(results),
        "wrong": wrong_list(results),
    }
    tables["costs"] = "\n\n".join(f"### {r.name}\n\n{costs_table(r)}" for r in results)
    filled = {
        document: _filled(document, tables),
        costs: _filled(costs, {"costs": short_table(results)}),
        readme: _filled(readme, {"costs": readme_table(results)}),
    }
    for path, text in filled.items():
        path.write_text(text)

    from benchmarks import charts  # tables do not need matplotlib

    newest = _newest(results)
    drawn = {
        group: {
            way: ratio
            for way in OURS
            if way != HAND and (ratio := newest.ratio(group, way)) is not None
        }
        for group in newest.groups
    }
    charts.costs(drawn, f"Time of a call, {newest.name}", document.parent / "benchmarks.svg")
    charts.growth(
        newest.growth, f"How cost grows, {newest.name}", document.parent / "benchmarks-growth.svg"
    )
    _draw_starts(results, document)


def write_starts(results: list[Results], document: Path = _DOCUMENT) -> None:
    """Put the table of starts and its chart into the document; leave the rest alone."""
    document.write_text(_filled(document, {"starts": starts_table(results)}))
    _draw_starts(results, document)


def _draw_starts(results: list[Results], document: Path) -> None:
    from benchmarks import charts

    newest = _newest(results)
    drawn = {size: {way: newest.start(size, way) for way in starts.WAYS} for size in newest.sizes}
    title = f"Time of a whole process, {newest.name}"
    charts.starts(drawn, title, document.parent / "benchmarks-starts.svg")


def _newest(results: list[Results]) -> Results:
    """Return the newest CPython, or the last Python if there is none."""
    return next((r for r in reversed(results) if r.judged), results[-1])


def _filled(document: Path, tables: dict[str, str]) -> str:
    text = document.read_text()
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marks.search(text):
            message = f"{document} has no place for the table {name!r}"
            raise ValueError(message)
        text = marks.sub(lambda found, table=table: f"{found[1]}\n{table}\n\n{found[2]}", text)
    return text


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31, help="rounds in each process")
    parser.add_argument("--processes", type=int, default=3, help="processes of each Python")
    parser.add_argument(
        "--python",
        action="append",
        metavar="COMMAND",
        help="an interpreter to measure, a path or the words of a command; may be repeated; "
        "default: the one that runs this",
    )
    parser.add_argument("--dry", action="store_true", help="print the tables, and write nothing")
    parser.add_argument(
        "--starts", action="store_true", help="measure starts of programs, and nothing else"
    )
    options = parser.parse_args()
    if not options.dry:
        # Fail before the hour of measuring, not after it.
        importlib.import_module("benchmarks.charts")
    pythons = options.python or [shlex.quote(sys.executable)]
    if options.starts:
        results = measure_starts(pythons, options.rounds)
        print(starts_table(results))
        if not options.dry:
            write_starts(results)
        return
    results = measure(pythons, options.rounds, options.processes)
    for r in results:
        print(f"\n{r.name}\n\n{costs_table(r)}")
    tables = {
        "Budgets": budgets_table(results),
        "Missed": missed_list(results),
        "The least": floors_table(results),
        "Others": others_table(results),
        "Starts": starts_table(results),
        "Wrong": wrong_list(results),
        "In short": short_table(results),
    }
    for title, table in tables.items():
        print(f"\n{title}\n\n{table}")
    if not options.dry:
        write(results)


if __name__ == "__main__":
    main()
