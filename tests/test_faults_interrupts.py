"""Interrupts at every instruction that can take one, and random signals: rules D2 and D5."""

import platform
import sys

import pytest

from godefer import defer
from tests.faults import interrupts, shapes, signals
from tests.faults.__main__ import main
from tests.faults.ledger import Fault

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
    """A KeyboardInterrupt anywhere loses no call with a finished statement,
    and repeats none (D2, D5).
    """
    result = interrupts.sweep(shape, way)
    assert not result.wrong
    assert len(result.places) >= 2
    if way == "runtime" or sys.version_info[:2] not in {(3, 13), (3, 14)}:
        assert not result.as_by_hand


def test_the_gap_of_python_3_13_and_3_14_is_that_of_a_function_written_by_hand():
    """An interrupt after the last condition of a loop escapes the `try`, on 3.13 and 3.14 only
    (D2).
    """

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
    """A random signal loses no call with a finished statement, and repeats none (D2, D5)."""
    result = signals.run(way, 500, seed=1)
    assert (result.lost, result.twice, result.examples) == (0, 0, [])
    assert result.struck > 400


@pytest.mark.project
def test_the_command_prints_the_figures(monkeypatch, capsys):
    """`python -m tests.faults` prints the numbers of faults and of lost calls."""
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


@pytest.mark.parametrize("way", shapes.WAYS)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_an_interrupt_at_any_call_is_not_lost(way, kind):
    """During an exit, an interrupt at a function's entry leaves the function, and each
    call still runs (D2, D5).
    """
    made = shapes.decorate(
        interrupted_function if kind == "function" else interrupted_coroutine, way
    )
    ran = []

    def run(at):
        count = 0

        def called(_frame, _event, _arg):
            nonlocal count
            count += 1
            if count == at:
                raise Fault

        ran.clear()
        caught = None
        try:
            if kind == "function":
                made(ran, sys.settrace, called)
            else:
                made(ran, sys.settrace, called).send(None)
        except BaseException as error:
            caught = error
        finally:
            sys.settrace(None)
        return caught, count

    run(0)  # fills the pool
    caught, calls = run(0)
    assert type(caught) is ValueError
    for at in range(1, calls + 1):
        caught, _ = run(at)
        assert type(caught) is Fault, at
        assert ran == [2, 1, 0], at


def interrupted_function(ran, settrace, called):
    for number in range(3):
        defer(ran.append, number)
    settrace(called)
    raise ValueError


async def interrupted_coroutine(ran, settrace, called):
    for number in range(3):
        defer(ran.append, number)
    settrace(called)
    raise ValueError
