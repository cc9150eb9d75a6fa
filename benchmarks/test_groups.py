"""Check each way of each group, and time it."""

from __future__ import annotations

import pytest

from benchmarks import peers
from benchmarks.exits import GROUPS as EXITS
from benchmarks.features import GROUPS as FEATURES
from benchmarks.group import untraced


@pytest.mark.parametrize(
    ("group", "way"),
    [pytest.param(g, way, id=f"{g.name}-{way}") for g in EXITS + FEATURES for way in g.makes],
)
def test_way(benchmark, group, way):
    """Each way of writing a group has the same outcome and makes the same calls."""
    benchmark.group = group.name
    group.check(group.makes[way])
    benchmark(group.timed_run(group.makes[way]))


@pytest.mark.parametrize(
    ("group", "peer"),
    [
        pytest.param(g, peer, id=f"{g.name}-{peer}")
        for g in EXITS + FEATURES
        for peer in peers.of(g)[0]
    ],
)
def test_peer(benchmark, group, peer):
    """Time each peer that runs the group correctly."""
    benchmark.group = group.name
    make = peers.of(group)[0][peer]
    with untraced():
        benchmark(group.timed_run(make))
