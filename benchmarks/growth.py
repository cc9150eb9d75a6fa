"""Measure how the cost grows: with deferred calls, nested functions, and pending calls."""

from __future__ import annotations

import statistics
import sys
import timeit
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks import others
from benchmarks.group import HAND, OPEN, RUNTIME, STACK, nothing, open_coding
from godefer import defer, with_defers

if TYPE_CHECKING:
    from collections.abc import Callable

DEFERS = (1, 10, 100, 1000, 10_000)
DEPTHS = (1, 5, 20, 100, 500)
PENDING = (1, 10, 100, 1000, 10_000, 100_000, 1_000_000)


def _hand(depth: int) -> int:
    f = nothing
    try:
        return _hand(depth - 1) + 1 if depth else 0
    finally:
        f(None)


def _stack(depth: int) -> int:
    with ExitStack() as stack:
        stack.callback(nothing, None)
        return _stack(depth - 1) + 1 if depth else 0


with open_coding(True):

    @with_defers
    def _open_coded(depth: int) -> int:
        defer(nothing, None)
        return _open_coded(depth - 1) + 1 if depth else 0


with open_coding(False):

    @with_defers
    def _runtime(depth: int) -> int:
        defer(nothing, None)
        return _runtime(depth - 1) + 1 if depth else 0


NESTED: dict[str, Callable[[int], int]] = {
    HAND: _hand,
    OPEN: _open_coded,
    RUNTIME: _runtime,
    STACK: _stack,
}


def measure(
    defers: tuple[int, ...] = DEFERS,
    depths: tuple[int, ...] = DEPTHS,
    pending: tuple[int, ...] = PENDING,
) -> Any:
    """Return the costs: variable -> way -> pairs of a size and its cost.

    Args:
        defers: The numbers of calls that one function defers. The cost is the seconds of a call.
        depths: The numbers of functions nested in each other. The cost is the seconds of a call.
        pending: The numbers of pending calls. The cost is the bytes of all of them together. PyPy
            cannot count them.
    """
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 4 * max(depths) + 1000))
    found: dict[str, dict[str, list[tuple[int, float]]]] = {
        "defers": {},
        "depth": {},
        "pending": {},
    }
    functions = others.pending()
    for n in defers:
        for way, times in _times(
            {way: partial(fn, n, int) for way, fn in functions.items()}, n
        ).items():
            found["defers"].setdefault(way, []).append((n, times))
    for depth in depths:
        for way, times in _times(
            {way: partial(fn, depth) for way, fn in NESTED.items()}, depth
        ).items():
            found["depth"].setdefault(way, []).append((depth, times))
    for n in pending if others.MEMORY else ():
        for way, fn in functions.items():
            found["pending"].setdefault(way, []).append((n, n * others.bytes_per_call(fn, n)))
    return found


def _times(runs: dict[str, Callable[[], object]], size: int, rounds: int = 15) -> dict[str, float]:
    """Return the median of interleaved rounds for each function."""
    number = max(1, 3000 // size)
    found: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(rounds):
        for way, run in runs.items():
            found[way].append(timeit.timeit(run, number=number) / number)
    return {way: statistics.median(times) for way, times in found.items()}
