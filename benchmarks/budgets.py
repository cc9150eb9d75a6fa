"""The budgets: the limits of the costs, on every CPython. PyPy has none."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks import starts
from benchmarks.group import HAND, OPEN, RUNTIME, SCOPE, STACK


class Budget(NamedTuple):
    """The limit for the time of *way* in *group*, as a multiple of the time of *against*."""

    group: str
    way: str
    against: str
    limit: float


RATIOS = [
    Budget("return, 1 call", OPEN, HAND, 1.15),
    Budget("return, 8 calls", OPEN, HAND, 1.30),
    Budget("a loop of 100", OPEN, HAND, 1.0),
    Budget("a coroutine", OPEN, HAND, 1.10),
    Budget("a generator", OPEN, HAND, 1.10),
    Budget("exception, 1 call", OPEN, HAND, 1.5),
    Budget("exception, 8 calls", OPEN, HAND, 2.2),
    Budget("recover", OPEN, HAND, 3.5),
    Budget("recover", OPEN, STACK, 0.5),
    Budget("using", OPEN, HAND, 1.05),
    Budget("return, 1 call", OPEN, STACK, 1 / 15),
    Budget("return, 1 call", RUNTIME, STACK, 0.5),
    Budget("return, 8 calls", RUNTIME, STACK, 0.5),
    Budget("exception, 1 call", RUNTIME, STACK, 0.7),
    Budget("exception, 8 calls", RUNTIME, STACK, 0.7),
    Budget("using", RUNTIME, STACK, 1.0),
    Budget("return, 1 call", SCOPE, STACK, 0.65),
    Budget("return, 8 calls", SCOPE, STACK, 0.5),
    Budget("using", SCOPE, STACK, 1.0),
]
DECORATING_MS = 1.0
IMPORTING = 1.0  # a multiple of the time of `import contextlib`
MEMORY = 0.25  # a multiple of ExitStack's memory for a pending call
DECORATIONS_MS = {
    (starts.FIRST, starts.WARM): 0.5,
    (starts.FURTHER, starts.WARM): 0.06,
    (starts.FURTHER, starts.COLD): 1.2,
}
# The start of a program with 200 functions and a warm cache, minus that of the functions by hand.
START_MS = 15.0
NESTED_US = 3.0  # a call that defines and decorates another function
