"""A group: one thing that a user does, written in every way there is to do it.

Each way of writing it is a function that takes what is deferred and gives a function without parameters, the run. So the same code is
checked, with calls that are recorded, and then timed, with calls that do nothing: the mechanism is timed and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import godefer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Run = Callable[[], Any]
    Make = Callable[[Any], Run]  # from what is deferred to the run
    Deferring = Callable[
        [Any, Any, Any], Run
    ]  # from the decorator, its `defer` and what is deferred

HAND, OPEN, RUNTIME, STACK, SCOPE = "by hand", "open-coded", "runtime", "ExitStack", "defer_scope"
CACHED = "open-coded, with a warm cache"  # of decorating
OURS = (HAND, OPEN, RUNTIME, STACK, SCOPE)


class WrongError(Exception):
    """A way of writing it does something else."""


class Recorded:
    """What is deferred when a run is checked: it records its calls."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def __call__(self, n: object) -> None:
        self.calls.append(n)

    def close(self) -> None:
        self.calls.append("close")

    def __enter__(self) -> Self:
        self.calls.append("enter")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("exit")


class File:
    """What is deferred when a run is timed, where it is an object: it does nothing."""

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def nothing(n: object) -> None:
    """What is deferred when a run is timed, where it is a function."""


def call(run: Run) -> Run:
    return run


def fails(run: Run) -> Run:
    """Run, where a LookupError must come out."""

    def caught() -> object:
        try:
            return run()
        except LookupError:
            return LookupError

    return caught


def exhausts(run: Run) -> Run:
    return lambda: list(run())


def awaits(run: Run) -> Run:
    """Run a coroutine that does not suspend, without an event loop's cost."""

    def awaited() -> object:
        try:
            run().send(None)
        except StopIteration as stop:
            return stop.value
        raise WrongError("it suspends")

    return awaited


@dataclass(frozen=True)
class Group:
    """One thing that a user does.

    Args:
        name: What it is.
        outcome: What each run gives.
        calls: The calls that each run makes, in order.
        hand: How it is written by hand, with the same meaning: callee and arguments are evaluated beforehand.
        deferring: How it is written with a decorator and a `defer`.
        stack: How it is written with contextlib.
        scope: How it is written with `defer_scope`.
        aiotools: How it is written with aiotools, whose `defer` is a parameter and takes no arguments; pygolang's is given likewise.
        drive: How it is run.
        timed: What is deferred when it is timed.
        peers: Is there such a thing in other libraries, written as *deferring* says?
        runtime: Is there such a thing the runtime way?
    """

    name: str
    outcome: object
    calls: list[object]
    hand: Make
    deferring: Deferring
    stack: Make
    scope: Make | None = None
    aiotools: Deferring | None = None
    drive: Callable[[Run], Run] = call
    timed: object = nothing
    peers: bool = True
    runtime: bool = True
    makes: dict[str, Make] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        makes = {HAND: self.hand, OPEN: self._ours("open-coded")}
        if self.runtime:
            makes[RUNTIME] = self._ours("runtime")
        makes[STACK] = self.stack
        if self.scope is not None:
            makes[SCOPE] = self.scope
        object.__setattr__(self, "makes", makes)

    def _ours(self, way: str) -> Make:
        def make(deferred: Any) -> Run:
            with open_coding(way == "open-coded"):
                run = self.deferring(godefer.with_defers, godefer.defer, deferred)
            how = godefer.explain(run)
            if how.way != way:
                raise WrongError(f"{self.name} is not {way}: {how}")
            return run

        return make

    def check(self, make: Make) -> None:
        """Does what *make* gives do what it should, also when run again?"""
        recorded = Recorded()
        run = self.drive(make(recorded))
        for _ in range(2):
            recorded.calls.clear()
            outcome = run()
            if outcome != self.outcome:
                raise WrongError(f"gives {_short(outcome)}, not {_short(self.outcome)}")
            if recorded.calls != self.calls:
                raise WrongError(f"calls {_short(recorded.calls)}, not {_short(self.calls)}")

    def timed_run(self, make: Make) -> Run:
        return self.drive(make(self.timed))


def _short(thing: object) -> str:
    text = repr(thing)
    return text if len(text) <= 40 else f"{text[:40]}…"


@contextlib.contextmanager
def open_coding(enabled: bool) -> Iterator[None]:
    before = os.environ.get("GODEFER_OPEN_CODED")
    os.environ["GODEFER_OPEN_CODED"] = "1" if enabled else "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ["GODEFER_OPEN_CODED"]
        else:
            os.environ["GODEFER_OPEN_CODED"] = before


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Put back the trace function: python-defer sets one and leaves it, which would slow down all that is timed after it."""
    before = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(before)
