"""Check the measurements of growing costs, and time nested functions."""

from __future__ import annotations

import pytest

import godefer
from benchmarks import growth
from benchmarks.group import OPEN, RUNTIME


@pytest.mark.parametrize("way", growth.NESTED)
def test_depth(benchmark, way):
    """Decorated functions can be nested a hundred deep."""
    benchmark.group = "100 decorated functions in each other"
    run = growth.NESTED[way]
    if way in {OPEN, RUNTIME}:
        assert godefer.explain(run).way == way
    assert run(100) == 100
    benchmark(run, 100)


def test_measure():
    """Each requested size is measured in each way."""
    found = growth.measure((1, 10), (1, 5), (1, 100))
    assert set(found) == {"defers", "depth", "pending"}
    for sizes, ways in (
        ((1, 10), found["defers"]),
        ((1, 5), found["depth"]),
        ((1, 100), found["pending"]),
    ):
        assert {OPEN, RUNTIME} <= set(ways)
        for points in ways.values():
            assert tuple(size for size, _ in points) == sizes
            assert all(value > 0 for _, value in points)
