"""Decorated functions of every shape, which note each `defer` statement and each call.

Each is called with *done*, a list of zeros, and *ran*, a deque. A function defers `ran.append` with
the numbers 0, 1, 2 … in this order, and after each statement stores a 1 in *done* at its number.

The interpreter handles no signal in between: appending to a deque is C, and storing into a list has
no place for one. So *ran* has every call that was made, and no interrupt can come between the end
of a `defer` statement and its note.

Neither of the two needs memory, nor more stack than a call takes.
"""

import contextlib
import os

from godefer import ausing, defer, errdefer, explain, okdefer, recover, using, with_defers
from tests.faults.ledger import BODY_ENDED

WAYS = ["open-coded", "runtime"]


def decorate(fn, way, **options):
    """Decorate *fn* so that it runs that way."""
    before = os.environ.pop("GODEFER_OPEN_CODED", None)
    os.environ["GODEFER_OPEN_CODED"] = "1" if way == "open-coded" else "0"
    try:
        decorated = with_defers(fn, **options) if options else with_defers(fn)
    finally:
        del os.environ["GODEFER_OPEN_CODED"]
        if before is not None:
            os.environ["GODEFER_OPEN_CODED"] = before
    if explain(decorated).way != way and not options:
        raise AssertionError(explain(decorated))
    return decorated


class Shape:
    """A function, its deferred calls, and the driver that runs it to its end."""

    def __init__(self, fn, calls, run, *, locks, options):
        self.fn = fn
        self.name = fn.__name__
        self.calls = calls
        self.run = run
        self.locks = locks
        self.options = options

    def __repr__(self):
        return self.name

    @property
    def ways(self):
        """Return the ways in which the function can run: named results need the source."""
        return WAYS[:1] if self.options else WAYS

    def decorated(self, way):
        """Return the function, decorated so that it runs that way."""
        return decorate(self.fn, way, **self.options)


SHAPES = []


def call(fn, ledger, *more):
    """Run a function."""
    fn(ledger, ledger.done, ledger.ran, *more)


def exhaust(fn, ledger):
    """Run a generator to its end; close it if an exception comes first."""
    generator = fn(ledger, ledger.done, ledger.ran)
    try:
        for _ in generator:
            pass
    finally:
        generator.close()


def abandon(fn, ledger):
    """Run a generator to its first `yield`, then close it."""
    generator = fn(ledger, ledger.done, ledger.ran)
    try:
        next(generator)
    finally:
        generator.close()


def drive(fn, ledger):
    """Run a coroutine to its end, as an event loop would; close it if an exception comes first."""
    coroutine = fn(ledger, ledger.done, ledger.ran)
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass
    finally:
        coroutine.close()


def aexhaust(fn, ledger):
    """Run an async generator to its end. After an exception close it, as an event loop would."""
    generator = fn(ledger, ledger.done, ledger.ran)
    try:
        while True:
            finish(generator.__anext__())
    except StopAsyncIteration:
        pass
    finally:
        finish(generator.aclose())


def finish(awaitable):
    """Run a step of an async generator to its end; after an interrupt, close it."""
    try:
        while True:
            awaitable.send(None)
    except StopIteration:
        pass
    except KeyboardInterrupt:
        with contextlib.suppress(BaseException):
            awaitable.throw(GeneratorExit)
            while True:
                awaitable.send(None)
        raise


def shape(*calls, run=call, locks=False, **options):
    """Decorate a function that is to be added to SHAPES."""

    def enter(fn):
        SHAPES.append(Shape(fn, calls, run, locks=locks, options=options))
        return fn

    return enter


class Pause:
    """Suspends a coroutine once."""

    def __await__(self):
        yield


class Awaited:
    """An awaitable that suspends once; creating it appends *number* to *ran*."""

    def __init__(self, ran, number):
        ran.append(number)

    def __await__(self):
        yield


class ALock:
    """An async context manager around a lock."""

    def __init__(self, lock):
        self.lock = lock

    async def __aenter__(self):
        self.lock.acquire()

    async def __aexit__(self, *_details):
        self.lock.release()


@shape("defer")
def inline(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    done[BODY_ENDED] = 1


@shape("defer")
def with_extra_arguments(_, done, ran, *_args, **_kwargs):
    defer(ran.append, *(0,), **{})
    done[0] = 1
    done[BODY_ENDED] = 1


@shape(*["defer"] * 8)
def eight(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    defer(ran.append, 1)
    done[1] = 1
    defer(ran.append, 2)
    done[2] = 1
    defer(ran.append, 3)
    done[3] = 1
    defer(ran.append, 4)
    done[4] = 1
    defer(ran.append, 5)
    done[5] = 1
    defer(ran.append, 6)
    done[6] = 1
    defer(ran.append, 7)
    done[7] = 1
    done[BODY_ENDED] = 1
    return ran


@shape("defer", "defer", "defer")
def conditional(_, done, ran):
    if done is not None:
        defer(ran.append, 0)
        done[0] = 1
    try:
        defer(ran.append, 1)
        done[1] = 1
    finally:
        defer(ran.append, 2)
        done[2] = 1
    done[BODY_ENDED] = 1


@shape(*["defer"] * 5)
def in_a_loop(_, done, ran):
    for i in range(5):
        defer(ran.append, i)
        done[i] = 1
    done[BODY_ENDED] = 1
    return ran


@shape("defer", "defer", "errdefer", "okdefer", "defer")
def two_sites_in_a_loop(_, done, ran):
    for i in range(0, 2, 2):
        defer(ran.append, i)
        done[i] = 1
        defer(ran.append, i + 1)
        done[i + 1] = 1
        errdefer(ran.append, i + 2)
        done[i + 2] = 1
        okdefer(ran.append, i + 3)
        done[i + 3] = 1
    defer(ran.append, 4)
    done[4] = 1
    done[BODY_ENDED] = 1


@shape("defer", "errdefer", "okdefer", "errdefer", "okdefer", "defer")
def on_some_exits(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    errdefer(ran.append, 1)
    done[1] = 1
    okdefer(ran.append, 2)
    done[2] = 1
    errdefer(ran.append, 3)
    done[3] = 1
    okdefer(ran.append, 4)
    done[4] = 1
    defer(ran.append, 5)
    done[5] = 1
    done[BODY_ENDED] = 1


@shape("defer", "defer", locks=True)
def context_managers(ledger, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    using(ledger.locks[0])
    done[2] = 1
    defer(ran.append, 1)
    done[1] = 1
    using(ledger.locks[1])
    done[3] = 1
    done[BODY_ENDED] = 1


@shape("defer", "defer", "defer")
def failing(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    defer(ran.append, 1)
    done[1] = 1
    defer(ran.append, 2)
    done[2] = 1
    raise LookupError


@shape("defer", "defer", "defer", "defer")
def handling(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    try:
        defer(ran.append, 1)
        done[1] = 1
        raise LookupError
    except LookupError:
        defer(ran.append, 2)
        done[2] = 1
    defer(ran.append, 3)
    done[3] = 1
    done[BODY_ENDED] = 1


def fail():
    raise ValueError


def caught():
    recover()


@shape("defer", "defer", "defer", "defer")
def recovering(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    defer(ran.append, 1)
    done[1] = 1
    defer(caught)
    defer(ran.append, 2)
    done[2] = 1
    defer(fail)
    defer(ran.append, 3)
    done[3] = 1
    done[BODY_ENDED] = 1
    return ran


@shape(*["defer"] * 5)
def recovering_in_a_loop(_, done, ran):
    for i in range(5):
        defer(ran.append, i)
        done[i] = 1
        if i == 1:
            defer(caught)
        if i == 3:
            defer(fail)
    done[BODY_ENDED] = 1


@shape("defer", "defer", result="named")
def named_results(_, done, ran):
    named = 1
    defer(ran.append, 0)
    done[0] = 1
    defer(ran.append, 1)
    done[1] = 1
    done[BODY_ENDED] = 1
    return named


@shape("defer", "defer", run=exhaust)
def generator(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    yield 1
    defer(ran.append, 1)
    done[1] = 1
    yield 2
    done[BODY_ENDED] = 1


@shape("defer", "defer", "defer", run=abandon)
def abandoned_generator(_, done, ran):
    for i in range(3):
        defer(ran.append, i)
        done[i] = 1
    yield 1


@shape("defer", "defer", "defer", run=drive)
async def coroutine(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    await Pause()
    defer(Awaited, ran, 1)
    done[1] = 1
    defer(ran.append, 2)
    done[2] = 1
    done[BODY_ENDED] = 1


@shape("defer", "defer", "defer", locks=True, run=drive)
async def failing_coroutine(ledger, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    await ausing(ALock(ledger.locks[0]))
    done[3] = 1
    for i in range(1, 3):
        defer(ran.append, i)
        done[i] = 1
    await Pause()
    raise LookupError


@shape("defer", "defer", "defer", run=aexhaust)
async def async_generator(_, done, ran):
    defer(ran.append, 0)
    done[0] = 1
    yield 1
    defer(Awaited, ran, 1)
    done[1] = 1
    await Pause()
    defer(ran.append, 2)
    done[2] = 1
    yield 2
    done[BODY_ENDED] = 1
