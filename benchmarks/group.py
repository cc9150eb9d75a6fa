"""A group: one use of godefer, written in each way that is timed.

Each way is a function. It takes the callee to defer, and returns the *run*: a function without
parameters. So the same code is first checked with a callee that records its calls, and then timed
with a callee that does nothing.
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
    Make = Callable[[Any], Run]  # from the deferred callee to the run
    # From the decorator, its `defer` and the deferred callee to the run.
    Deferring = Callable[[Any, Any, Any], Run]

HAND, OPEN, RUNTIME, STACK, SCOPE = "by hand", "open-coded", "runtime", "ExitStack", "defer_scope"
CACHED = "open-coded, with a warm cache"  # a way to decorate
OURS = (HAND, OPEN, RUNTIME, STACK, SCOPE)


class WrongError(Exception):
    """A way of writing a group has a wrong outcome."""


class Recorded:
    """The deferred callee while a run is checked: it records its calls."""

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
    """The deferred object while a run is timed: it does nothing."""

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def nothing(n: object) -> None:
    """Do nothing: the deferred function while a run is timed."""


def call(run: Run) -> Run:
    return run


def fails(run: Run) -> Run:
    """Return a run that returns LookupError if *run* raises it."""

    def caught() -> object:
        try:
            return run()
        except LookupError:
            return LookupError

    return caught


def exhausts(run: Run) -> Run:
    return lambda: list(run())


def awaits(run: Run) -> Run:
    """Return a run of a coroutine that does not suspend, without the cost of an event loop."""

    def awaited() -> object:
        try:
            run().send(None)
        except StopIteration as stop:
            return stop.value
        raise WrongError("it suspends")

    return awaited


@dataclass(frozen=True)
class Group:
    """A use of godefer, to be written in several ways.

    Args:
        name: The heading in the report.
        outcome: The result of each run.
        calls: The calls that each run makes, in order.
        hand: The group written by hand, with the same meaning: callee and arguments are evaluated
            at the place of the `defer`.
        deferring: The group written with a decorator and a `defer`.
        stack: The group written with contextlib.
        scope: The group written with `defer_scope`.
        aiotools: The group written for aiotools and pygolang: the `defer` is a parameter, and the
            deferred callee takes no arguments.
        drive: From a run to the run that is checked and timed, such as one that awaits it.
        timed: The deferred callee during the timing.
        peers: Whether other libraries can run *deferring*.
        runtime: Whether the runtime way can run the group.
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
        """Call the run of *make* twice. Raise WrongError if its outcome or its calls are wrong."""
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
    """Restore the trace function: python-defer leaves its own, which would slow later timings."""
    before = sys.gettrace()
    try:
        yield
    finally:
        sys.settrace(before)
