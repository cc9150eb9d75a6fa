"""What each piece of work may cost."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.group import HAND, OPEN, RUNTIME, SCOPE, STACK


class Budget(NamedTuple):
    """A limit for how long *way* takes in *group*, as a multiple of how long *against* takes."""

    group: str
    way: str
    against: str
    limit: float


RATIOS = [
    Budget("return, 1 call", OPEN, HAND, 1.15),
    Budget("return, 8 calls", OPEN, HAND, 1.30),
    Budget("a loop of 100", OPEN, HAND, 1.5),
    Budget("a coroutine", OPEN, HAND, 1.15),
    Budget("a generator", OPEN, HAND, 1.15),
    Budget("exception, 1 call", OPEN, HAND, 2),
    Budget("using", OPEN, HAND, 1.05),
    Budget("return, 1 call", OPEN, STACK, 1 / 15),
    Budget("return, 1 call", RUNTIME, STACK, 0.5),
    Budget("return, 8 calls", RUNTIME, STACK, 0.5),
    Budget("exception, 1 call", RUNTIME, STACK, 0.5),
    Budget("exception, 8 calls", RUNTIME, STACK, 0.5),
    Budget("return, 1 call", SCOPE, STACK, 0.5),
    Budget("return, 8 calls", SCOPE, STACK, 0.5),
    Budget("exception, 1 call", SCOPE, STACK, 0.5),
    Budget("exception, 8 calls", SCOPE, STACK, 0.5),
    Budget("using", SCOPE, STACK, 0.5),
    Budget("a generator", SCOPE, STACK, 0.5),
    Budget("a coroutine", SCOPE, STACK, 0.5),
]
DECORATING_MS = 1.0
IMPORTING_MS = 5.0
MEMORY = 0.5  # of ExitStack's, for a pending call
