"""Helpers that several test files share."""

import asyncio
import functools
import itertools
import linecache
import os
import subprocess
import sys
import types
from pathlib import Path

import godefer
from godefer import Panic, recover


def run(function, *args):
    """Return the function's result, or the exception it raised."""
    try:
        return function(*args)
    except BaseException as e:
        return e


def drive(coroutine):
    """Run a coroutine that waits only for `pause`; return its result."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


def python(*arguments, way=None, cwd=None, stdin=None, stderr=subprocess.PIPE, **environment):
    """Run Python in another process, with the tested library; return the ended process.

    With a *way*, all of its functions are run in that way. The process does not inherit the
    settings of Python, coverage and godefer in this environment; it gets *environment* instead.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COV", "GODEFER", "PYTHON"))
    }
    env["PYTHONPATH"] = str(Path(godefer.__file__).resolve().parent.parent)
    if way is not None:
        env["GODEFER_OPEN_CODED"] = "0" if way.name == "runtime" else "1"
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=env | environment,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        timeout=120,
        check=False,
    )


def printed(*arguments, **options):
    """Run Python in another process, as `python` does; return the lines of its output.

    It must end well, and say nothing on its standard error.
    """
    done = python(*arguments, **options)
    assert done.stderr == "", done.stderr
    assert done.returncode == 0
    return done.stdout.splitlines()


@types.coroutine
def suspend(value):
    """Suspend once: the driver gets *value*; return the value it sends."""
    return (yield value)


async def pause(value=None):
    """Suspend once, under any driver of the coroutine; return the value it sends."""
    return await suspend(value)


async def later():
    """Fail: tests use this coroutine function where the body must not run."""
    raise AssertionError("the coroutine of somebody else has run")


def transparent(fn):
    """Decorate with a wrapper that `functools.wraps` marks, as most decorators do."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


def fail(argument):
    """Raise a ValueError."""
    raise ValueError(argument)


def raise_it(error):
    """Raise the given exception."""
    raise error


def chain(error):
    """Return an exception and its contexts, the last raised first."""
    found = []
    while error is not None:
        assert all(error is not seen for seen in found), "the chain is a circle"
        found.append(error)
        error = error.__context__
    return found


async def until(condition):
    """Wait on asyncio until *condition* returns true."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def cancelling(backend):
    """Return the number of cancellations that asyncio still holds against the task.

    It is 0 when all scopes have taken theirs.
    """
    return asyncio.current_task().cancelling() if backend.name == "asyncio" else 0


class Log(list):
    """A list of events in order; each of its methods adds one."""

    def __call__(self, event):
        self.append(event)

    def value(self, name, value):
        self.append(name)
        return value

    def take(self, /, *args, **kwargs):
        self.append((args, kwargs))


class Seen(list):
    """The values that `recover` returned, in order."""

    def recover(self):
        self.append(recover())

    def recover_one_below(self):
        self.recover()

    def __call__(self):
        self.append(recover())

    def values(self):
        """Return the values of the panics, and other recovered values as they are."""
        return [e.value if isinstance(e, Panic) else e for e in self]


class CleanUp:
    """A clean-up that waits for `go_on`, and notes whether it finished or was interrupted."""

    def __init__(self, events):
        self.events = events
        self.begun = False
        self.go_on = asyncio.Event()

    async def __call__(self, result=None, *, error=None):
        self.begun = True
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.events.append("interrupted")
            raise
        self.events.append("finished")
        if error is not None:
            raise error
        return result


numbers = itertools.count()


def made(text, name="f", **names):
    """Run *text* and return its object *name*; `linecache` gets the text as the source."""
    filename = f"<text {next(numbers)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), names)
    return names[name]
