"""What docs/comparison.md says of the other packages with a `defer`; each test is skipped where its package is not installed."""

import importlib
import importlib.metadata
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from godefer import defer, recover, with_defers
from tests.helpers import raise_it

pytestmark = pytest.mark.project

BUILD = Path(__file__).parent.parent / "build"


def peer(distribution, module, monkeypatch):
    """The module of a package; those that cannot be installed beside others are looked for below build/, as benchmarks/ does."""
    if (BUILD / distribution).is_dir():
        monkeypatch.syspath_prepend(BUILD / distribution)
        monkeypatch.setitem(
            sys.modules, module, sys
        )  # so that what is imported now is taken out again
        monkeypatch.delitem(sys.modules, module)
    else:
        installed(distribution)
    return importlib.import_module(module)


def installed(distribution):
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed: docs/comparison.md has the command")


def ours(body):
    """The events of the same *body* with godefer, for a comparison: what the peer should have done."""
    events = []
    try:
        body(with_defers, defer, events)
    except LookupError:
        events.append("raised")
    return events


def failing(decorator, defer, events):
    @decorator
    def f():
        defer(events.append, "first")
        defer(raise_it, LookupError())
        defer(events.append, "third")

    f()


def generating(decorator, defer, events):
    @decorator
    def f():
        defer(events.append, "deferred")
        yield
        events.append("body")

    list(f())


def helping(decorator, defer, events):
    def helper():
        defer(events.append, "helper's")

    @decorator
    def f():
        helper()
        events.append("body")

    f()


def test_what_godefer_does():
    """Every call runs, last in first out, and the exception leaves (D2, D5); a generator's run when it ends (D2); a helper's is an error (D3)."""
    assert ours(failing) == ["third", "first", "raised"]
    assert ours(generating) == ["body", "deferred"]
    with pytest.raises(RuntimeError, match=r"is used in helping\.<locals>\.helper"):
        ours(helping)


def test_go_defer_logs_and_drops_an_exception(monkeypatch, caplog):
    """go-defer runs every call, but the exception of one only reaches the log."""
    module = peer("go-defer", "go_defer", monkeypatch)
    events = []
    with caplog.at_level(logging.ERROR):
        failing(module.with_defer, module.defer, events)
    assert events == ["third", "first"]
    assert "raised" in caplog.text


def test_go_defer_in_a_generator(monkeypatch):
    """go-defer's decorated generator has ended, for the decorator, before its body begins: its `defer` finds no decorated function."""
    module = peer("go-defer", "go_defer", monkeypatch)
    with pytest.raises(TypeError):
        generating(module.with_defer, module.defer, [])


def test_py_defer_is_first_in_first_out_and_stops_at_a_failure(monkeypatch):
    """py-defer runs the calls in the order of their statements, and none after one that fails."""
    module = peer("py-defer", "defer", monkeypatch)
    if not hasattr(module, "with_defer"):
        pytest.skip("the module `defer` that is installed is python-defer's")
    events = []
    with pytest.raises(LookupError):
        failing(module.with_defer, module.defer, events)
    assert events == ["first"]


def test_py_defer_searches_the_stack(monkeypatch):
    """py-defer gives a helper's call to a decorated function further up the stack."""
    module = peer("py-defer", "defer", monkeypatch)
    if not hasattr(module, "with_defer"):
        pytest.skip("the module `defer` that is installed is python-defer's")
    events = []
    helping(module.with_defer, module.defer, events)
    assert events == ["body", "helper's"]


def test_deferpy_has_one_list_for_all_invocations(monkeypatch):
    """deferpy keeps the calls on the function, so an inner invocation runs those of the outer one."""
    module = peer("deferpy", "deferpy", monkeypatch)
    events = []

    @module.defer()
    def f(depth):
        f.defer(events.append, f"deferred by {depth}")
        if depth:
            f(depth - 1)
            events.append(f"{depth} goes on")

    f(1)
    assert events == ["deferred by 0", "deferred by 1", "1 goes on"]


def test_deferpy_drops_an_exception(monkeypatch):
    """deferpy drops what a deferred call raises."""
    module = peer("deferpy", "deferpy", monkeypatch)

    @module.defer()
    def f():
        f.defer(raise_it, LookupError())

    f()


def test_aiotools_stops_at_a_failure_and_takes_no_arguments(monkeypatch):
    """aiotools runs no call after one that fails, and passes no arguments to it."""
    module = peer("aiotools", "aiotools", monkeypatch)
    events = []

    @module.defer
    def f(defer):
        defer(lambda: events.append("first"))
        defer(lambda: raise_it(LookupError()))

    with pytest.raises(LookupError):
        f()
    assert events == []

    @module.defer
    def g(defer):
        defer(print, "argument")

    with pytest.raises(TypeError):
        g()


@pytest.fixture
def golang(monkeypatch):
    """pygolang 0.0.2, which is Python alone; it needs a module that Python 3.12 has no more."""
    if sys.version_info >= (3, 12):
        pytest.skip("pygolang 0.0.2 does not run on Python 3.12")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return peer("pygolang", "golang", monkeypatch)


def test_pygolang_runs_every_call(golang):
    """pygolang runs every call, last in first out, and the exception leaves, as godefer does; but it takes no arguments for a call."""
    events = []

    @golang.func
    def f():
        golang.defer(lambda: events.append("first"))
        golang.defer(lambda: raise_it(LookupError()))
        golang.defer(lambda: events.append("third"))

    with pytest.raises(LookupError):
        f()
    assert events == ["third", "first"]
    with pytest.raises(TypeError):
        failing(golang.func, golang.defer, [])


def test_pygolang_in_a_generator(golang):
    """pygolang's decorated generator has ended, for the decorator, before its body begins: its `defer` finds no decorated function."""

    @golang.func
    def f():
        golang.defer(lambda: None)
        yield

    with pytest.raises(golang._PanicError, match="uses defer, but not @func"):
        list(f())


def test_pygolang_in_a_coroutine(golang):
    """pygolang's decorated coroutine function too."""

    @golang.func
    async def f():
        golang.defer(lambda: None)

    with pytest.raises(golang._PanicError, match="uses defer, but not @func"):
        f().send(None)


def test_pygolang_stops_an_exit(golang):
    """pygolang's `recover` stops SystemExit and KeyboardInterrupt, too; godefer's does if it is asked to (P3)."""

    @golang.func
    def f():
        golang.defer(lambda: golang.recover())
        raise SystemExit

    assert f() is None

    @with_defers
    def g():
        defer(lambda: recover())
        raise SystemExit

    with pytest.raises(SystemExit):
        g()


def test_pygolang_takes_an_exception_that_was_handled_before(golang):
    """pygolang's `recover` gives what the caller of the function is handling, though the function returns; godefer's gives None (P2)."""
    found = []

    @golang.func
    def f():
        golang.defer(lambda: found.append(golang.recover()))

    @with_defers
    def g():
        defer(lambda: found.append(recover()))

    try:
        raise LookupError
    except LookupError:
        f()
        g()
    assert [type(error).__name__ for error in found] == ["LookupError", "NoneType"]


EARLY = """
from defer.sugarfree import defer

def f():
    defer(print, "deferred")
    try:
        raise LookupError
    except LookupError:
        print("handled")
    print("body")

f()
"""


def test_python_defer_takes_a_handled_exception_for_an_exit():
    """python-defer traces, and runs the calls when an exception is raised that the function handles."""
    installed("python-defer")
    # In a process of its own, since a trace function would be in coverage's way, and stays.
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["deferred", "handled", "body"]
