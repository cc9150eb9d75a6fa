"""A fault at every line of a decorated function and of its deferred calls: rules D2 and D5."""

import pytest

from godefer import defer
from tests.faults import lines, shapes
from tests.faults.ledger import Fault

RUNS = [
    pytest.param(shape, way, id=f"{shape}-{way}") for shape in shapes.SHAPES for way in shape.ways
]


@pytest.mark.parametrize(("shape", "way"), RUNS)
def test_a_fault_at_any_line_loses_no_call(shape, way):
    """Each call registered before a fault runs exactly once, at whichever line
    the fault comes (D2, D5).
    """
    result = lines.sweep(shape, way)
    assert not result.wrong
    assert result.positions >= 3
    if way == "runtime":
        assert not result.as_by_hand


@pytest.mark.parametrize("shape", shapes.SHAPES, ids=repr)
def test_a_fault_in_the_place_of_a_deferred_call_stops_that_one_alone(shape):
    """A fault at a `defer` line at the exit of an open-coded function replaces that
    call; the others run (D5).
    """
    found = lines.sweep(shape, "open-coded").as_by_hand
    replaced = [(text, problems) for text, problems in found if text != "try:"]
    assert [len(problems) for _, problems in replaced] == [1] * len(replaced), replaced
    # A loop of the runtime makes the calls of the abandoned generator: none has a line in it.
    assert bool(replaced) == (shape.name != "abandoned_generator")


def test_a_fault_at_the_line_of_a_call_or_a_try_acts_as_in_a_function_written_by_hand():
    """The two excepted kinds of line lose the same call in a hand-written `finally` (D2, D5)."""

    def by_hand(ran):
        try:
            pass
        finally:
            ran.append(0)

    def nested(ran):
        try:
            ran.append(1)
            try:
                pass
            finally:
                pass
        finally:
            ran.append(0)

    for function, line, expected in ((by_hand, 4, []), (nested, 3, [1])):
        ran = []
        injector = lines.Lines({function.__code__})
        first = function.__code__.co_firstlineno
        injector.run(0, function, ran)
        at = [number - first for number in injector.lines].index(line) + 1
        ran.clear()
        assert isinstance(injector.run(at, function, ran), Fault)
        assert ran == expected


@pytest.mark.parametrize("way", shapes.WAYS)
def test_a_fault_at_any_line_of_a_deferred_call_lets_the_others_run(way):
    """If any line of a deferred call fails, the calls deferred before it run, once (D5)."""
    began = []

    def deferred(name):
        began.append(name)
        for _ in range(2):
            began.count(name)

    fn = shapes.decorate(three_calls, way)
    injector = lines.Lines({deferred.__code__})
    injector.run(0, fn, deferred)
    assert began == ["c", "b", "a"]
    positions = injector.count
    for at in range(1, positions + 1):
        began.clear()
        assert isinstance(injector.run(at, fn, deferred), Fault)
        # A fault at the first line of a call comes before its note.
        missing = {"a", "b", "c"} - set(began)
        assert len(began) == len(set(began))
        assert len(missing) <= 1
        assert began == sorted(began, reverse=True)
    assert positions >= 12


def three_calls(deferred):
    shapes.defer(deferred, "a")
    shapes.defer(deferred, "b")
    shapes.defer(deferred, "c")


@pytest.mark.parametrize("way", shapes.WAYS)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_fault_at_any_line_hides_no_failure(way, kind):
    """If all its calls, deferred in a loop, fail, a function does not return, at
    whichever line a fault comes (D5).
    """

    def fails():
        raise LookupError

    fn = shapes.decorate(failing_calls if kind == "function" else failing_calls_async, way)

    def run():
        if kind == "function":
            return fn(fails)
        with pytest.raises(StopIteration):
            fn(fails).send(None)
        return None

    injector = lines.Lines({getattr(fn, "__wrapped__", fn).__code__})
    assert isinstance(injector.run(0, run), LookupError)
    for at in range(1, injector.count + 1):
        assert isinstance(injector.run(at, run), (LookupError, Fault)), at


def failing_calls(fails):
    for _ in range(3):
        defer(fails)
    raise ValueError


async def failing_calls_async(fails):
    for _ in range(3):
        defer(fails)
    raise ValueError
