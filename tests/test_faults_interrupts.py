"""Interrupts wherever the interpreter can take one, and signals at random moments: rules D2 and D5."""

import platform
import sys

import pytest

from tests.faults import interrupts, shapes, signals
from tests.faults.__main__ import main

pytestmark = [
    pytest.mark.skipif(
        platform.python_implementation() != "CPython",
        reason="a signal is marked as arrived by CPython's C API",
    ),
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

RUNS = [
    pytest.param(shape, way, id=f"{shape}-{way}") for shape in shapes.SHAPES for way in shape.ways
]


@pytest.mark.parametrize(("shape", "way"), RUNS)
def test_an_interrupt_anywhere_loses_no_call(shape, way):
    """A KeyboardInterrupt, wherever the interpreter can raise it, loses no call whose statement had ended, and none runs twice (D2, D5)."""
    result = interrupts.sweep(shape, way)
    assert not result.wrong
    assert len(result.places) >= 2
    if way == "runtime" or sys.version_info[:2] not in {(3, 13), (3, 14)}:
        assert not result.as_by_hand


def test_the_gap_of_python_3_13_and_3_14_is_that_of_a_function_written_by_hand():
    """On 3.13 and 3.14 an interrupt at the end of a loop that ends with a condition is in no `try`; elsewhere there is no such gap."""

    def by_hand(_, done, ran):
        try:
            done[0] = 1
            for i in range(3):
                if i == 5:
                    ran.append(1)
        finally:
            ran.append(0)

    lost = []
    watcher = interrupts.Interrupts([__file__], every=True)
    watcher.warm_up(by_hand, lambda: (None, [0], []))
    for at in range(1, watcher.count + 1):
        done, ran = [0], []
        watcher.run({at}, by_hand, None, done, ran)
        lost += [watcher.landed] if done[0] and not ran else []
    assert bool(lost) == (sys.version_info[:2] in {(3, 13), (3, 14)})


@pytest.mark.parametrize("way", shapes.WAYS)
def test_a_signal_at_a_random_moment_loses_no_call(way):
    """Of the calls whose statement had ended when a signal came, none is lost and none runs twice (D2, D5)."""
    result = signals.run(way, 500, seed=1)
    assert (result.lost, result.twice, result.examples) == (0, 0, [])
    assert result.struck > 400


def test_the_command_prints_the_figures(monkeypatch, capsys):
    """`python -m tests.faults` says how many faults there were, and what was lost."""
    monkeypatch.setattr(
        shapes,
        "SHAPES",
        [shape for shape in shapes.SHAPES if shape.name in {"inline", "generator"}],
    )
    assert main(["--signals", "50", "--pairs", "5"]) == 0
    printed = capsys.readouterr().out
    for words in (
        "lines: ",
        "interrupts: ",
        "pairs of interrupts: 20 faults",
        "open-coded: 5",
        "runtime: 5",
        " 0 lost",
    ):
        assert words in printed
