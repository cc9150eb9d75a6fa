"""The statements of docs/comparison.md about other packages with a `defer`.

Each test is skipped where its package is not installed.
"""

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
    """Return the module of a package; look below build/ first, as benchmarks/ does.

    Some packages cannot be installed beside others.
    """
    if (BUILD / distribution).is_dir():
        monkeypatch.syspath_prepend(BUILD / distribution)
        monkeypatch.setitem(sys.modules, module, sys)  # monkeypatch removes the import afterwards
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
    """Return the events of *body* with godefer, to compare with those of the peer."""
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


def test_godefer_as_the_reference():
    """Every call runs, and the exception leaves (D2, D5).

    A generator's calls run when it ends (D2), and a `defer` in a helper is an error (D3).
    """
    assert ours(failing) == ["third", "first", "raised"]
    assert ours(generating) == ["body", "deferred"]
    with pytest.raises(RuntimeError, match=r"is used in helping\.<locals>\.helper"):
        ours(helping)


def test_go_defer_logs_and_drops_an_exception(monkeypatch, caplog):
    """go-defer runs every call, but only logs the exception of one."""
    module = peer("go-defer", "go_defer", monkeypatch)
    events = []
    with caplog.at_level(logging.ERROR):
        failing(module.with_defer, module.defer, events)
    assert events == ["third", "first"]
    assert "raised" in caplog.text


def test_go_defer_in_a_generator(monkeypatch):
    """go-defer ends a generator's scope before its body begins, so its `defer` fails."""
    module = peer("go-defer", "go_defer", monkeypatch)
    with pytest.raises(TypeError):
        generating(module.with_defer, module.defer, [])


def test_py_defer_is_first_in_first_out_and_stops_at_a_failure(monkeypatch):
    """py-defer runs the calls in the order of their statements, and none after a failing one."""
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
    """deferpy keeps the calls on the function, so an inner invocation runs the outer one's."""
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
    """deferpy drops an exception of a deferred call."""
    module = peer("deferpy", "deferpy", monkeypatch)

    @module.defer()
    def f():
        f.defer(raise_it, LookupError())

    f()


def test_aiotools_stops_at_a_failure_and_takes_no_arguments(monkeypatch):
    """aiotools runs no call after a failing one, and passes no arguments."""
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
    """Return pygolang 0.0.2, which is pure Python and runs only on Python 3.11."""
    if sys.version_info >= (3, 12):
        pytest.skip("pygolang 0.0.2 does not run on Python 3.12")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return peer("pygolang", "golang", monkeypatch)


def test_pygolang_runs_every_call(golang):
    """pygolang runs every call in order, and the exception leaves; a call gets no arguments."""
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
    """pygolang ends a generator's scope before its body begins, so its `defer` fails."""

    @golang.func
    def f():
        golang.defer(lambda: None)
        yield

    with pytest.raises(golang._PanicError, match="uses defer, but not @func"):
        list(f())


def test_pygolang_in_a_coroutine(golang):
    """pygolang's decorated coroutine function fails in the same way."""

    @golang.func
    async def f():
        golang.defer(lambda: None)

    with pytest.raises(golang._PanicError, match="uses defer, but not @func"):
        f().send(None)


def test_pygolang_stops_an_exit(golang):
    """pygolang's `recover` stops SystemExit and KeyboardInterrupt without being asked (P3)."""

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
    """pygolang's `recover` in a returning function gives the exception its caller handles (P2).

    godefer's gives None.
    """
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
    """python-defer runs the calls as soon as an exception is raised, even a handled one."""
    installed("python-defer")
    # In a process of its own: python-defer's trace function stays, and disturbs coverage.
    done = subprocess.run([sys.executable, "-c", EARLY], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["deferred", "handled", "body"]
