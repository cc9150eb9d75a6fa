"""Measure everything on this Python, and print the raw values as JSON: one process of the report.

The JSON goes to standard output, since a Python in a chroot shares no folder with the report that
both can write to. Other output goes to standard error.

The ways of a group take turns, round after round (A B C A B C …), so that other work of the machine
slows all of them alike. `timeit` times each turn.

Rejected: pyperf and pytest-benchmark. They finish one benchmark before they begin the next, so
other work of the machine changes the ratio of the two. ``pytest benchmarks/`` still shows each
way's own times, with pytest-benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import platform
import sys
import tempfile
import timeit
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import floors, growth, others, peers, starts
from benchmarks.exits import GROUPS as EXITS
from benchmarks.features import GROUPS as FEATURES
from benchmarks.group import CACHED, HAND, OPEN, RUNTIME, Group, untraced

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 0.002  # the time for each way in each round
# A way that takes that many seconds for a run takes part in every eighth round only.
_SLOW, _SELDOM = 0.02, 8
# The seconds that each way runs before the timing, for PyPy's compiler.
_WARM = 0.3 if platform.python_implementation() == "PyPy" else 0.0


def interleaved(
    runs: dict[str, Callable[[], Any]], rounds: int, slow_from: float = _SLOW
) -> dict[str, list[float | None]]:
    """Return the seconds of each run: a value for each round, None where it did not take part."""
    timers = {way: timeit.Timer(run) for way, run in runs.items()}
    numbers, slow = {}, set()
    for way, timer in timers.items():
        with untraced():
            number, spent = 1, 0.0
            while spent < _WARM:
                spent += timer.timeit(number)
                number *= 2
            number = 1
            while (seconds := timer.timeit(number)) < _SECONDS / 4:
                number *= 2
        numbers[way] = max(1, round(number * _SECONDS / seconds))
        if seconds / number > slow_from:
            slow.add(way)
    found: dict[str, list[float | None]] = {way: [] for way in runs}
    for i in range(rounds):
        for way, timer in timers.items():
            if way in slow and i % _SELDOM:
                found[way].append(None)
                continue
            number = numbers[way]
            with untraced():
                if number > 1:
                    # Not timed: the interpreter specializes the instructions again.
                    timer.timeit(number // 10 + 1)
                found[way].append(timer.timeit(number) / number)
    return found


def measure_group(
    group: Group, rounds: int
) -> tuple[dict[str, list[float | None]], dict[str, str]]:
    """Return the times of each way that is correct, and the results of the wrong peers."""
    for make in group.makes.values():
        group.check(make)
    right, wrong = peers.of(group)
    makes = {**group.makes, **right}
    return interleaved({way: group.timed_run(make) for way, make in makes.items()}, rounds), wrong


def measure_others(rounds: int) -> dict[str, dict[str, list[float | None]]]:
    """Return the seconds of decorating, importing, the pool, and the floors."""
    found = {}
    always = float("inf")
    with tempfile.TemporaryDirectory() as directory:
        for lines in (500, 5000):
            module = others.module_of(lines, Path(directory))
            runs = {way: others.decorating(module, way) for way in (OPEN, CACHED, RUNTIME)}
            found[f"decorating, {lines} lines"] = interleaved(runs, rounds, always)
        found["compiling"] = interleaved({"compiler": others.compiling()}, rounds, always)
        modules = ("", "godefer", "contextlib")
        runs = {what or "nothing": others.importing(what, Path(directory)) for what in modules}
        found["importing"] = interleaved(runs, rounds, always)
    floors.check()
    found |= {
        f"the least: {name}": interleaved(ways, rounds) for name, ways in floors.floors().items()
    }
    found["eight nodes"] = interleaved({"pool": others.pooled, "fresh": others.fresh}, rounds)
    return found


def measure_starts(rounds: int, **smaller: Any) -> dict[str, Any]:
    """Return the seconds of starts, of the decorations in them, and of nested decorations."""
    return {**starts.measure(rounds, **smaller), "nested": interleaved(starts.nested(), rounds)}


def main() -> None:
    """Measure, and print the values."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--growth", action="store_true", help="how cost grows, and nothing else")
    parser.add_argument("--starts", action="store_true", help="starts, and nothing else")
    options = parser.parse_args()
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.freeze()
    with contextlib.redirect_stdout(sys.stderr):
        if options.growth:
            found: dict[str, Any] = {"growth": growth.measure()}
        elif options.starts:
            found = {"starts": measure_starts(options.rounds)}
        else:
            groups, wrong = {}, {}
            for group in EXITS + FEATURES:
                groups[group.name], wrong[group.name] = measure_group(group, options.rounds)
                assert HAND in groups[group.name]
            found = {"groups": groups, "wrong": wrong, "others": measure_others(options.rounds)}
    found |= {"implementation": platform.python_implementation(), "python": sys.version.split()[0]}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
