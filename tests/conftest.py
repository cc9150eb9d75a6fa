"""The fixture `way`: every behaviour test runs in each of the ways godefer can run a function."""

import gc
import sys

import pytest

from godefer import explain, with_defers

WAYS = ["open-coded", "runtime"]


class Way:
    """`@way` is `@with_defers`, made to run the function the way that `name` says."""

    def __init__(self, name, monkeypatch):
        self.name = name
        self.monkeypatch = monkeypatch

    def __repr__(self):
        return f"<way {self.name}>"

    def __call__(self, fn=None, /, **options):
        if fn is None:
            return lambda fn: self(fn, **options)
        with self.monkeypatch.context() as patch:
            patch.setenv("GODEFER_OPEN_CODED", "1" if self.name == "open-coded" else "0")
            decorated = with_defers(fn, **options) if options else with_defers(fn)
        explanation = explain(decorated)
        if explanation.way != self.name:
            pytest.fail(f"meant to be run {self.name}: {explanation}")
        return decorated


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    return Way(request.param, monkeypatch)


@pytest.fixture(autouse=True)
def tracer():
    """Coverage's tracer, or a debugger's, goes on after a test that has set its own."""
    before = sys.gettrace()
    yield
    if sys.gettrace() is not before:
        sys.settrace(before)


def pytest_collection_finish():
    """What is there before the first test is never garbage: the many tests that look for some need not look through it."""
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.collect()
        gc.freeze()


def pytest_sessionfinish():
    """The heap is whole again for those who still look through it, such as other plugins."""
    if hasattr(gc, "unfreeze"):
        gc.unfreeze()
