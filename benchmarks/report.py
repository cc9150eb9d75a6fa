"""Measure on each Python that is named, print the tables, and write them, and the charts, to docs/ and README.md.

    python -m benchmarks.report --rounds 31 --python .venv/bin/python --python .venv-3.12/bin/python

Each Python measures in several processes, one after the other with those of the other Pythons, since the layout of memory is another in each.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.budgets import DECORATING_MS, IMPORTING_MS, MEMORY, RATIOS
from benchmarks.floors import NODES
from benchmarks.group import HAND, OPEN, OURS, RUNTIME, SCOPE, STACK
from benchmarks.peers import PEERS

_ROOT = Path(__file__).parent.parent
_DOCUMENT = _ROOT / "docs" / "benchmarks.md"
_README = _ROOT / "README.md"

# What README shows: in its words -> the group, the way, and against what. Of memory there is no group.
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


class Results:
    """What all processes of one Python have measured."""

    def __init__(self, processes: list[dict[str, Any]], grown: dict[str, Any]) -> None:
        self.python = processes[0]["python"]
        self.version = ".".join(self.python.split(".")[:2])
        self.wrong: dict[str, dict[str, str]] = processes[0]["wrong"]
        self.growth = grown["growth"]
        largest = {way: points[-1] for way, points in self.growth["pending"].items()}
        self.memory = {way: taken / calls for way, (calls, taken) in largest.items()}  # bytes for each
        self._groups = [process["groups"] for process in processes]
        self._others = [process["others"] for process in processes]
        self.groups = list(self._groups[0])

    def ways(self, group: str) -> list[str]:
        return list(self._groups[0][group])

    def ratio(self, group: str, way: str, against: str = HAND) -> float | None:
        """The median, over all rounds of all processes, of *way*'s time divided by that of *against* in the same round."""
        if way not in self._groups[0][group]:
            return None
        return statistics.median(
            one / other
            for process in self._groups
            for one, other in zip(process[group][way], process[group][against], strict=True)
            if one is not None and other is not None
        )

    def least(self, name: str, way: str) -> float | None:
        """The least that *way* can cost, as a share of ExitStack's time; None where nobody has written that."""
        if f"the least: {name}" not in self._others[0]:
            return None
        found = [process[f"the least: {name}"] for process in self._others]
        return statistics.median(
            one / other for ways in found for one, other in zip(ways[way], ways[STACK], strict=True)
        )

    def nanoseconds(self, group: str, way: str) -> float:
        return 1e9 * statistics.median(t for process in self._groups for t in process[group][way] if t is not None)

    def milliseconds(self, group: str, way: str) -> float:
        return 1e3 * statistics.median(t for process in self._others for t in process[group][way])

    def importing(self, what: str) -> float:
        """Milliseconds beyond an interpreter that imports nothing."""
        rounds = (zip(p["importing"][what], p["importing"]["nothing"], strict=True) for p in self._others)
        return 1e3 * statistics.median(one - bare for pairs in rounds for one, bare in pairs)


def measure(pythons: list[str], rounds: int, processes: int) -> list[Results]:
    """Run everything on each Python."""
    found: dict[str, list[dict[str, Any]]] = {python: [] for python in pythons}
    environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "found.json")

        def run(python: str, *options: str) -> Any:
            command = [python, "-m", "benchmarks.measure", *options, str(output)]
            subprocess.run(command, check=True, cwd=_ROOT, env=environment)
            return json.loads(output.read_text())

        for _ in range(processes):
            for python in pythons:
                found[python].append(run(python, "--rounds", str(rounds)))
        return [Results(found[python], run(python, "--growth")) for python in pythons]


def costs_table(results: Results) -> str:
    """Each group's ways as multiples of what is written by hand."""
    used = {way for group in results.groups for way in results.ways(group)}
    used |= {peer for wrong in results.wrong.values() for peer in wrong}
    ways = [way for way in (*OURS, *PEERS) if way in used and way != HAND]
    rows = [["", "by hand", *ways]]
    for group in results.groups:
        cells = [_cell(results.ratio(group, way), wrong=way in results.wrong[group]) for way in ways]
        rows.append([group, f"{results.nanoseconds(group, HAND):,.0f} ns", *cells])
    return _table(rows)


def budgets_table(results: list[Results]) -> str:
    """Each budget and what was measured; a miss is bold."""
    rows = [["", "against", "budget", *(r.version for r in results)]]
    for group, way, against, limit in RATIOS:
        ratios = [r.ratio(group, way, against) for r in results]
        if None not in ratios:
            rows.append([f"{way}: {group}", against, f"{limit:.3g}", *(_judged(r, limit) for r in ratios if r)])
    decorating = [r.milliseconds("decorating, 5000 lines", OPEN) for r in results]
    rows.append(
        [
            "decorating 17 lines, in a module of 5,000",
            "",
            f"{DECORATING_MS} ms",
            *(_judged(t, DECORATING_MS, " ms") for t in decorating),
        ]
    )
    importing = [r.importing("godefer") for r in results]
    rows.append(
        [
            "`import godefer`",
            "a bare interpreter",
            f"{IMPORTING_MS} ms more",
            *(_judged(t, IMPORTING_MS, " ms") for t in importing),
        ]
    )
    for way in (OPEN, RUNTIME, SCOPE):
        shares = [r.memory[way] / r.memory[STACK] for r in results]
        rows.append([f"{way}: memory of a pending call", STACK, f"{MEMORY}", *(_judged(s, MEMORY) for s in shares)])
    return _table(rows)


def floors_table(results: list[Results]) -> str:
    """What the budgets against ExitStack leave, beside the least and what is."""
    rows = [["", *(name for r in results for name in (f"{r.version}: the least", "with nodes", "what is"))]]
    for group, way, against, _ in RATIOS:
        if against == STACK and way in {RUNTIME, SCOPE}:
            found = (
                (r.least(group, way), r.least(group, f"{way}{NODES}"), r.ratio(group, way, STACK)) for r in results
            )
            cells = [_cell(value, wrong=False) for values in found for value in values]
            if all(cells):
                rows.append([f"{way}: {group}", *cells])
    return _table(rows)


def others_table(results: list[Results]) -> str:
    """What is no ratio."""
    rows = [["", *(r.version for r in results)]]
    for lines in (500, 5000):
        for way in (OPEN, RUNTIME):
            times = (f"{r.milliseconds(f'decorating, {lines} lines', way):.2f} ms" for r in results)
            rows.append([f"decorating, in a module of {lines:,} lines, {way}", *times])
    times = (f"{r.milliseconds('compiling', 'compiler'):.2f} ms" for r in results)
    rows.append(["of that, open-coded, in the interpreter's compiler", *times])
    for what in ("godefer", "contextlib"):
        rows.append([f"`import {what}`, beyond a bare interpreter", *(f"{r.importing(what):.1f} ms" for r in results)])
    rows.extend(
        [f"bytes for each of 1,000,000 pending calls, {way}", *(f"{r.memory[way]:.0f}" for r in results)]
        for way in results[0].memory
    )
    pool = (f"{r.milliseconds('eight nodes', 'pool') / r.milliseconds('eight nodes', 'fresh'):.2f}" for r in results)
    rows.append(["eight nodes from the pool, against fresh ones", *pool])
    for start, end in ((100, 10_000),):
        for way in results[0].growth["defers"]:
            steps = []
            for r in results:
                per_call = {n: t / n for n, t in r.growth["defers"][way]}
                steps.append(f"{per_call[end] / per_call[start]:.2f}")
            rows.append([f"a call among {end:,}, against one among {start}, {way}", *steps])
    return _table(rows)


def wrong_list(results: list[Results]) -> str:
    """Which peer does what instead."""
    lines: dict[str, list[str]] = {}
    for r in results:
        for group, wrong in r.wrong.items():
            for peer, what in wrong.items():
                lines.setdefault(f"- {peer}, {group}: {what}", []).append(r.version)
    return "\n".join(
        line if len(of) == len(results) else f"{line} ({', '.join(of)})" for line, of in sorted(lines.items())
    )


def short_table(results: list[Results]) -> str:
    """What README shows."""
    first, *others = (r.version for r in results)
    rows = [["", "against", f"CPython {first}", *others]]
    for what, (group, way, against) in _IN_SHORT.items():
        ratios = (r.memory[way] / r.memory[against] if group is None else r.ratio(group, way, against) for r in results)
        rows.append([what, against if against == HAND else f"`{against}`", *(f"{ratio:.2f}" for ratio in ratios)])
    return _table(rows)


def _cell(ratio: float | None, *, wrong: bool) -> str:
    if ratio is None:
        return "wrong" if wrong else ""
    return f"{ratio:.2f}" if ratio < 10 else f"{ratio:,.0f}"


def _judged(value: float, limit: float, unit: str = "") -> str:
    text = f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
    return f"{text}{unit}" if value <= limit else f"**{text}{unit}**"


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def write(results: list[Results], document: Path = _DOCUMENT, readme: Path = _README) -> None:
    """Put the tables where the documents have their marks, and the charts beside the first."""
    tables = {
        "budgets": budgets_table(results),
        "floors": floors_table(results),
        "others": others_table(results),
        "wrong": wrong_list(results),
    }
    tables["costs"] = "\n\n".join(f"### CPython {r.python}\n\n{costs_table(r)}" for r in results)
    filled = {document: _filled(document, tables), readme: _filled(readme, {"costs": short_table(results)})}
    for path, text in filled.items():
        path.write_text(text)

    from benchmarks import charts  # matplotlib is not needed for tables

    newest = results[-1]
    drawn = {
        group: {way: ratio for way in OURS if way != HAND and (ratio := newest.ratio(group, way)) is not None}
        for group in newest.groups
    }
    charts.costs(drawn, f"Time of a call, CPython {newest.version}", document.parent / "benchmarks.svg")
    charts.growth(newest.growth, f"How cost grows, CPython {newest.version}", document.parent / "benchmarks-growth.svg")


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
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31, help="rounds in each process")
    parser.add_argument("--processes", type=int, default=3, help="processes of each Python")
    parser.add_argument(
        "--python",
        action="append",
        help="an interpreter to measure; may be repeated; the one that runs this, if not given",
    )
    parser.add_argument("--dry", action="store_true", help="print the tables, and write nothing")
    options = parser.parse_args()
    if not options.dry:
        importlib.import_module("benchmarks.charts")  # what cannot be drawn in the end is not measured for an hour
    results = measure(options.python or [sys.executable], options.rounds, options.processes)
    for r in results:
        print(f"\nCPython {r.python}\n\n{costs_table(r)}")
    print(
        f"\nBudgets\n\n{budgets_table(results)}\n\nThe least\n\n{floors_table(results)}\n\nOthers\n\n{others_table(results)}\n\nWrong\n\n{wrong_list(results)}"
    )
    if not options.dry:
        write(results)


if __name__ == "__main__":
    main()
