"""Check and time decorating, importing, pending calls, the pool and the floors."""

from __future__ import annotations

import pytest

import godefer
from benchmarks import floors, others
from benchmarks.group import CACHED, OPEN, RUNTIME, SCOPE, STACK
from godefer._runtime.record import pool


@pytest.mark.parametrize("way", [OPEN, CACHED, RUNTIME])
@pytest.mark.parametrize("lines", [500, 5000])
def test_decorating(benchmark, tmp_path, lines, way):
    """Decorating a function again gives a function that runs the timed way."""
    benchmark.group = f"decorating, in a module of {lines} lines"
    module = others.module_of(lines, tmp_path)
    assert (tmp_path / f"module_of_{lines}.py").read_text().count("\n") == lines
    decorate = others.decorating(module, way)
    first, second = decorate(), decorate()
    assert godefer.explain(first).way == godefer.explain(second).way == way.partition(",")[0]
    assert bool(godefer.explain(second).cached) == (way == CACHED)
    assert first.__code__ is not second.__code__, "it is decorated anew each time"
    benchmark(decorate)


@pytest.mark.parametrize("what", ["", "godefer", "contextlib"])
def test_importing(benchmark, tmp_path, what):
    """Importing godefer imports no large module."""
    benchmark.group = "importing"
    assert not others.modules_imported(tmp_path) & {
        "asyncio",
        "inspect",
        "wrapt",
        "ast",
        "typing",
        "typing_extensions",
    }
    benchmark.pedantic(others.importing(what, tmp_path), rounds=5)


@pytest.mark.parametrize("way", others.pending())
def test_pending(benchmark, way):
    """Pending calls take memory: those of godefer less than those of ExitStack."""
    benchmark.group = "10,000 pending calls"
    function = others.pending()[way]
    taken = others.bytes_per_call(function, 10_000)
    assert taken > 16  # the references to a call, and from it to the one before
    if way in {OPEN, RUNTIME, SCOPE}:
        assert taken < others.bytes_per_call(others.pending()[STACK], 10_000)
    assert function(10_000, lambda: 7) == 7
    benchmark(function, 10_000, int)


@pytest.mark.parametrize("nodes", [others.pooled, others.fresh])
def test_pool(benchmark, nodes):
    """Nodes come from the pool and go back to it. New ones do not change it."""
    benchmark.group = "eight nodes"
    others.pooled()
    before = len(pool)
    nodes()
    assert len(pool) == before >= 8
    benchmark(nodes)


@pytest.mark.parametrize(
    ("name", "way"), [(g.name, way) for g in floors.GROUPS for way in floors.least(g)]
)
def test_floors(benchmark, name, way):
    """The floors still make the calls, last in, first out."""
    benchmark.group = f"the least: {name}"
    floors.check()
    benchmark(floors.floors()[name][way])
