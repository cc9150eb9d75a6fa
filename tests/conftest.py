"""The fixture `way`: every behaviour test runs in each of the ways godefer can run a function."""

import gc
import importlib.util
import sys

import pytest

import godefer
from godefer import explain, with_defers
from godefer._runtime.record import pool
from tests import map as the_map

WAYS = ["open-coded", "runtime"]


class Way:
    """A stand-in for `with_defers` that makes the function run the way that `name` says."""

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


@pytest.fixture
def events():
    """Events in the order in which they happen."""
    return []


@pytest.fixture
def load(tmp_path):
    """Import a module from its text or bytes, with `decorate` and godefer's names as globals."""
    count = iter(range(1000))

    def load(text, decorate=with_defers, name=None):
        name = name or f"module_{next(count)}"
        path = tmp_path / f"{name}.py"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        module.decorate = decorate
        for public in godefer.__all__:
            setattr(module, public, getattr(godefer, public))
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(autouse=True)
def tracer():
    """Restore the tracer of coverage or of a debugger after a test that has set its own."""
    before = sys.gettrace()
    yield
    if sys.gettrace() is not before:
        sys.settrace(before)


def pytest_configure(config):
    """Declare a marker for each rule: see tests/map.py."""
    for name, meaning in the_map.declared().items():
        config.addinivalue_line("markers", f"{name}: {meaning}")


def pytest_itemcollected(item):
    """Mark a test with the rules that its docstring names."""
    if isinstance(item, pytest.Function):
        for name in sorted(the_map.markers(item.path, item.name, item.function.__doc__)):
            item.add_marker(name)


@pytest.fixture(autouse=True, scope="module")
def frozen_heap():
    """Keep all objects that exist before a file's first test out of garbage collection.

    They are never garbage, and many tests call the collector.
    """
    if hasattr(gc, "freeze"):  # PyPy has none
        gc.collect()
        pool.clear()  # a cycle through a frozen node would never be found
        gc.freeze()


def pytest_sessionfinish():
    """Thaw the heap for plugins that still look through it."""
    if hasattr(gc, "unfreeze"):
        gc.unfreeze()
