"""The shared part of every program in Python: its log, and its start.

A program imports `with_defers` from here: it is godefer's, and notes how each function is run.
"""

import inspect
import sys
from types import SimpleNamespace

import godefer
from godefer._decision import decision_on

MOST_EVENTS, MOST_CALLS = 200, 8

nothing = None


class Log:
    """The lines that a program has logged so far."""

    def __init__(self):
        self.clear()

    def clear(self):
        self.lines = []
        self.events = 0
        self.budget = MOST_CALLS
        self.ways = {}  # how each function is run, and why
        self.known = {}  # code objects in `ways`; a closure is decorated many times


log = Log()


def with_defers(fn=None, /, **options):
    if fn is None:
        return lambda fn: with_defers(fn, **options)
    code = fn.__code__
    decorated = godefer.with_defers(fn, **options)
    if id(code) not in log.known:
        # `explain` also makes the lowered source, which takes longer than the rest of the program.
        # So each program calls it only for its first function.
        told = _decision if log.known else godefer.explain
        log.known[id(code)] = code
        answer = told(decorated)
        log.ways[fn.__name__] = answer.way, answer.reason
    return decorated


def _decision(decorated):
    decision = decision_on(decorated.__code__)
    return SimpleNamespace(
        way="runtime" if decision.plan is None else "open-coded", reason=decision.reason
    )


def text(value):
    """Return a value as the log shows it."""
    if value is None:
        return "nil"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, tuple):
        return " ".join(map(text, value))
    if isinstance(value, godefer.Panic):
        return "panic with nil" if value.value is None else text(value.value)
    if isinstance(value, ZeroDivisionError):
        return "division by zero"
    if type(value) is TypeError and str(value) == "'NoneType' object is not callable":
        return "call of nil"
    return f"{type(value).__name__}: {value}"


def event(number, *values):
    log.events += 1
    if log.events <= MOST_EVENTS:
        log.lines.append(" ".join([f"{number}:", *map(text, values)]))


def given(exception):
    """Return the value of a recovered panic, or the exception itself."""
    return exception.value if isinstance(exception, godefer.Panic) else exception


def spend():
    """Return whether the program may make one more call that might never end."""
    log.budget -= 1
    return log.budget >= 0


def run(begin):
    """Run a program; return its log."""
    try:
        begun = begin()
        if inspect.iscoroutine(begun):  # it never waits, so it needs no event loop
            begun.send(None)
    except (SystemExit, StopIteration) as end:
        log.lines.append("return" if isinstance(end, StopIteration) else "exit")
    except Exception as exception:
        log.lines.append(f"panic: {text(exception)}")
    else:
        log.lines.append("return")
    if sys.exception() is not None:
        log.lines.append("an exception is still being handled")
    return log.lines


def note_unraisable(unraisable):
    """Log an otherwise invisible error: a coroutine never awaited, a failing finalizer."""
    log.lines.append(f"unraisable: {text(unraisable.exc_value)}")


sys.unraisablehook = note_unraisable
