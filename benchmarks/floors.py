"""Floors: the smallest programs that make the calls, for budgets that may be missed.

A floor leaves out every property that it can, so none is a correct implementation. It shows the
part of a budget that is spent before the library does any work of its own. Experiments then add one
property at a time.

The runtime way and `defer_scope`
    One floor finds its list by the frame of its caller, as the runtime way does. The other one has
    its list at hand, as a `defer_scope` has. They are not correct: after a call that raises, no
    further call is made, nothing can be recovered, no traceback shows the `defer`, an interrupt
    loses calls, and a misplaced `defer` is not noticed.

    A pending call is a tuple, for which the interpreter has a free list. Experiment: the nodes of
    godefer's pool instead of tuples. `using` looks up the exit on the class, as ExitStack does.

A loop of an open-coded function
    The calls are linked tuples in a local. Experiment: test each result, so that a coroutine that a
    call returns is not lost.

An exit by an exception of an open-coded function
    A function written by hand makes its own calls: in an `except` if it fails, in an `else` if not.
    After each call in an `except`, it tests whether the call has recovered. Experiment: a `finally`
    instead of the `else`, since a `return` skips an `else`.

A recovery by an open-coded function
    The same function with the `finally`. The deferred function records the frame of its caller in a
    table. The caller finds itself in the table, and returns None. This is not correct: every
    deferred function is trusted, an `except` of the body is taken for one of the exits, and locals
    stay bound.

    Experiments: `recover` as a function; then a `recover` that checks the caller of the deferred
    function. This caller must make deferred calls, and must be handling the exception. Rejected as
    a floor: a `finally` within an `except`, which costs more (1.9 times by hand, instead of 1.7).
"""

from __future__ import annotations

import sys
from functools import partial
from textwrap import indent
from typing import TYPE_CHECKING, Any, Self

from benchmarks.exits import GROUPS as EXITS
from benchmarks.features import GROUPS as FEATURES
from benchmarks.features import scope_using
from benchmarks.group import HAND, OPEN, RUNTIME, SCOPE, STACK
from godefer._runtime.record import pool, refill

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from benchmarks.group import Group, Make, Run

LEAST, NODES = "the least", "with nodes"
FUNCTION, CHECKED = "with a `recover()`", "which checks its caller"
FINALLY, RESULTS = "with a `finally`", "with a look at results"
_exception, _getframe, _pop, _give_back = sys.exception, sys._getframe, pool.pop, pool.append
_recoveries: dict[FrameType, BaseException] = {}
_recovered = _recoveries.pop
_live: dict[FrameType | None, list[Any]] = {}


def least_defer(fn: Any, /, *args: Any, **kwargs: Any) -> None:
    """Put a call on the list of the function that calls this."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    frame[0] = (frame[0], fn, args, kwargs, sp.f_lasti)


def least_using(cm: Any) -> Any:
    """Enter a context manager, and put its exit on the list of the function that calls this."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    cls = type(cm)
    leave = cls.__exit__
    value = cls.__enter__(cm)
    frame[0] = (frame[0], leave, (cm, None, None, None), {}, sp.f_lasti)
    return value


def drain(frame: list[Any]) -> None:
    """Make the calls of a list."""
    while frame[0] is not None:
        frame[0], f, args, kwargs, _ = frame[0]
        f(*args, **kwargs)


def node_defer(fn: Any, /, *args: Any, **kwargs: Any) -> None:
    """Do the same as `least_defer`, with a node from godefer's pool."""
    sp = _getframe(1)
    frame = _live[sp.f_back]
    try:
        d = _pop()
    except IndexError:
        d = refill()
    d.fn, d.args, d.kwargs, d.pc, d.link = fn, args, kwargs, sp.f_lasti, frame[0]
    frame[0] = d


def drain_nodes(frame: list[Any]) -> None:
    """Do the same as `drain`, and give the nodes back."""
    while (d := frame[0]) is not None:
        frame[0] = d.link
        d.fn(*d.args, **d.kwargs)
        d.fn = d.args = d.kwargs = d.link = None
        _give_back(d)


def decorator(drain: Callable[[list[Any]], None]) -> Callable[[Run], Run]:
    """Return a decorator that runs a function, then the calls on its list."""

    def decorate(fn: Run) -> Run:
        def wrapper() -> Any:
            me = _getframe()
            frame = _live[me] = [None]
            try:
                result = fn()
            except BaseException:
                del _live[me]
                drain(frame)
                raise
            del _live[me]
            drain(frame)
            return result

        return wrapper

    return decorate


class LeastScope:
    """A context manager with a list of calls."""

    __slots__ = ("frame",)

    def __enter__(self) -> Self:
        self.frame: list[Any] = [None]
        return self

    def __call__(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        frame = self.frame
        frame[0] = (frame[0], fn, args, kwargs, _getframe(1).f_lasti)

    def using(self, cm: Any) -> Any:
        frame = self.frame
        cls = type(cm)
        leave = cls.__exit__
        value = cls.__enter__(cm)
        frame[0] = (frame[0], leave, (cm, None, None, None), {}, _getframe(1).f_lasti)
        return value

    def __exit__(self, *_: object) -> None:
        drain(self.frame)


class NodeScope(LeastScope):
    """`LeastScope`, with nodes from godefer's pool."""

    __slots__ = ()

    def __call__(self, fn: Any, /, *args: Any, **kwargs: Any) -> None:
        frame = self.frame
        try:
            d = _pop()
        except IndexError:
            d = refill()
        d.fn, d.args, d.kwargs, d.pc, d.link = fn, args, kwargs, _getframe(1).f_lasti, frame[0]
        frame[0] = d

    def __exit__(self, *_: object) -> None:
        drain_nodes(self.frame)


def least_runtime_using(file: Any) -> Run:
    """Do the same as `using` the runtime way."""

    @decorator(drain)
    def run() -> Any:
        least_using(file)
        return "done"

    return run


def least_loop(call: Any) -> Run:
    """Keep the calls as linked tuples in a local."""

    def run(n: int = 100) -> Any:
        pending: Any = None
        try:
            for i in range(n):
                pending = (pending, call, i)
            return "done"
        finally:
            while pending is not None:
                pending, f, argument = pending
                f(argument)

    return run


def loop_with_results(call: Any) -> Run:
    """Do the same as `least_loop`, and test the result of each call."""

    def run(n: int = 100) -> Any:
        pending: Any = None
        try:
            for i in range(n):
                pending = (pending, call, i)
            return "done"
        finally:
            while pending is not None:
                pending, f, argument = pending
                if (result := f(argument)) is not None:
                    raise TypeError(result)

    return run


def failing(calls: int, exits: str) -> Make:
    """Write a function that fails with *calls* pending calls. *exits* is the code of each exit."""
    body = "raise LookupError"
    for n in range(calls, 0, -1):
        body = f"f{n} = call\ntry:\n{indent(body, '    ')}\n{exits.format(n=n)}"
    names: dict[str, Any] = {
        "recoveries": _recoveries,
        "recovered": _recovered,
        "getframe": _getframe,
    }
    exec(f"def make(call):\n    def run():\n{indent(body, '        ')}\n    return run\n", names)
    make: Make = names["make"]
    return make


_ELSE = """\
except BaseException:
    f{n}({n})
    if recoveries and recovered(getframe(), None) is not None:
        return None
    raise
else:
    f{n}({n})
"""
_FINALLY = """\
except BaseException:
    f, f{n} = f{n}, None
    f({n})
    if recoveries and recovered(getframe(), None) is not None:
        return None
    raise
finally:
    if f{n} is not None:
        f{n}({n})
"""


def recovering(caught: Callable[[], None]) -> Run:
    """Return a run that fails and makes its one deferred call by hand. The call may recover."""

    def run() -> Any:
        f: Any = caught
        try:
            raise LookupError("key")
        except BaseException:
            f()
            if _recoveries and _recovered(_getframe(), None) is not None:
                f = None
                return None
            raise
        finally:
            if f is not None:
                f()

    return run


def recover() -> BaseException | None:
    """Recover on behalf of the deferred function that calls this."""
    exc = _exception()
    if isinstance(exc, Exception):
        _recoveries[_getframe(2)] = exc
        return exc
    return None


def checked_recover(*types: type[BaseException]) -> BaseException | None:
    """Recover if the deferred function was called by a function that makes deferred calls."""
    exc = _exception()
    if exc is not None and exc.__context__ is None and not _recoveries:
        called_by = _getframe(2)
        if (
            exc.__traceback__.tb_frame is called_by  # type: ignore[union-attr]
            and called_by.f_lasti in called_by.f_code.co_consts[-1]
            and isinstance(exc, types or Exception)
        ):
            _recoveries[called_by] = exc
            return exc
    return None


def least_recovering(call: Any) -> Run:
    """Recover in the deferred function's own lines."""

    def caught() -> None:
        exc = _exception()
        if isinstance(exc, Exception):
            _recoveries[_getframe(1)] = exc
            call(exc.args[0])

    return recovering(caught)


def checked_recovering(call: Any) -> Run:
    """Recover by calling `checked_recover`, in a function that has the mark it looks for."""
    run: Any = function_recovering(checked_recover, call)
    code = run.__code__
    exits = frozenset(range(len(code.co_code)))  # the places of deferred calls: here, all places
    run.__code__ = code.replace(co_consts=(*code.co_consts, exits))
    return run


def function_recovering(recover: Callable[[], BaseException | None], call: Any) -> Run:
    """Recover by calling a function."""

    def caught() -> None:
        exc = recover()
        if exc is not None:
            call(exc.args[0])

    return recovering(caught)


def steps(group: Group) -> dict[tuple[str, str], Make]:
    """Return the floors of *group* and their experiments: way and step -> code."""
    return _STEPS.get(group.name, {})


def _steps(group: Group) -> dict[tuple[str, str], Make]:
    scope: Any = group.scope
    return {
        (RUNTIME, LEAST): partial(group.deferring, decorator(drain), least_defer),
        (RUNTIME, NODES): partial(group.deferring, decorator(drain_nodes), node_defer),
        (SCOPE, LEAST): partial(scope, scope=LeastScope),
        (SCOPE, NODES): partial(scope, scope=NodeScope),
    }


def _failing(group: Group) -> dict[tuple[str, str], Make]:
    calls = len(group.calls)
    return {
        (OPEN, LEAST): failing(calls, _ELSE),
        (OPEN, FINALLY): failing(calls, _FINALLY),
        **_steps(group),
    }


_ALL = {group.name: group for group in EXITS + FEATURES}
_STEPS: dict[str, dict[tuple[str, str], Make]] = {
    "return, 1 call": _steps(_ALL["return, 1 call"]),
    "return, 8 calls": _steps(_ALL["return, 8 calls"]),
    "a loop of 100": {(OPEN, LEAST): least_loop, (OPEN, RESULTS): loop_with_results},
    "exception, 1 call": _failing(_ALL["exception, 1 call"]),
    "exception, 8 calls": _failing(_ALL["exception, 8 calls"]),
    "recover": {
        (OPEN, LEAST): least_recovering,
        (OPEN, FUNCTION): partial(function_recovering, recover),
        (OPEN, CHECKED): checked_recovering,
    },
    "using": {
        (RUNTIME, LEAST): least_runtime_using,
        (SCOPE, LEAST): partial(scope_using, scope=LeastScope),
    },
}
GROUPS = [_ALL[name] for name in _STEPS]


def least(group: Group) -> dict[str, Make]:
    """Return the steps of all ways, and the two ways to compare them with."""
    of_steps = {f"{way}: {step}": make for (way, step), make in steps(group).items()}
    return {HAND: group.hand, STACK: group.stack, **of_steps}


def floors() -> dict[str, dict[str, Run]]:
    """Return the runs to time: the name of a group -> the way and the step -> a run."""
    return {
        group.name: {way: group.timed_run(make) for way, make in least(group).items()}
        for group in GROUPS
    }


def check() -> None:
    """Check that each floor makes its calls in the right order, last in, first out."""
    for group in GROUPS:
        for make in least(group).values():
            group.check(make)
    assert not _recoveries
