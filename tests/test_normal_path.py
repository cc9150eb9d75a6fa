"""The calls and frames of an open-coded function on the normal path (R1)."""

import dis
import sys
from pathlib import Path

import pytest

from godefer import defer, errdefer, explain, okdefer, with_defers


def segment(lines, position):
    """Return the source text at *position*, which is on one line."""
    start, end, column, end_column = position
    if start is None:
        return None
    assert start == end
    return lines[start - 1].encode()[column:end_column].decode()


def is_none(instructions, i):
    """Return the variable that the jump at *i* tests, and whether None falls through."""
    name = instructions[i].opname
    while instructions[i - 1].opname == "EXTENDED_ARG":
        i -= 1
    if instructions[i - 1].opname == "IS_OP":  # PyPy: LOAD_CONST None, IS_OP, and a jump if false
        assert name.endswith("IF_FALSE")
        return instructions[i - 3].argval, not instructions[i - 1].arg
    return instructions[i - 1].argval, "NOT_NONE" in name


def normal_paths(fn):
    """Return the texts of the calls on each path through *fn* without an exception.

    The walk assumes that deferred calls return None and that the function does not fail. At any
    other branch it goes both ways, each at most once.
    """
    lines = Path(fn.__code__.co_filename).read_text().splitlines()
    instructions = list(dis.get_instructions(fn))
    index = {instruction.offset: i for i, instruction in enumerate(instructions)}
    jumps = {*dis.hasjrel, *dis.hasjabs}
    paths = set()
    pending = [(0, (), frozenset())]
    while pending:
        i, calls, passed = pending.pop()
        while True:
            instruction = instructions[i]
            name = instruction.opname
            if name.startswith("CALL") and not name.startswith("CALL_INTRINSIC"):
                calls = (*calls, segment(lines, instruction.positions))
            if name.startswith("RETURN_") and name != "RETURN_GENERATOR":
                paths.add(calls)
                break
            if name in {"RAISE_VARARGS", "RERAISE"}:
                break
            if instruction.opcode not in jumps:
                i += 1
                continue
            target = index[instruction.argval]
            if name.startswith("JUMP"):
                branches = [target]
            else:
                tested, stays = is_none(instructions, i)
                none = tested in {"@returned", "@failing"}
                branches = [i + 1, target] if not none else [i + 1] if stays else [target]
            ways = [(i, branch) for branch in branches if (i, branch) not in passed]
            pending += [(way[1], calls, passed | {way}) for way in ways[1:]]
            if not ways:
                break
            i, passed = ways[0][1], passed | {ways[0]}
    return paths


def work(x):
    return x


def note(*args, **kwargs):
    pass


def one(x):
    defer(note, x)
    return work(x)


def eight(x):
    defer(note, x)
    defer(note, x, 1)
    defer(note, x, 2)
    defer(note, x, 3)
    defer(note, x, 4)
    defer(note, x, 5)
    defer(note, x, 6)
    defer(note, x, 7)
    return work(x)


def keyword(x):
    defer(note, end=x)
    work(x)


def several_returns(x):
    defer(note, x)
    defer(note)
    if x:
        return work(1)
    elif x is None:
        return work(2)
    work(3)


def others(x):
    errdefer(note, x)
    okdefer(note, x)
    return work(x)


def condition(x):
    if x:
        defer(note, x)
    return work(x)


EIGHT = ("work(x)", *(f"defer(note, x, {i})" for i in range(7, 0, -1)), "defer(note, x)")


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (one, {("work(x)", "defer(note, x)")}),
        (eight, {EIGHT}),
        (keyword, {("work(x)", "defer(note, end=x)")}),
        (several_returns, {(f"work({i})", "defer(note)", "defer(note, x)") for i in (1, 2, 3)}),
        (others, {("work(x)", "okdefer(note, x)")}),
        (condition, {("work(x)",), ("work(x)", "defer(note, x)")}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_calls_on_the_normal_path(function, expected):
    """Without an exception the code makes only the body's calls and the deferred ones (R1)."""
    decorated = with_defers(function)
    assert explain(decorated).way == "open-coded"
    assert normal_paths(decorated) == expected


def test_calls_on_the_normal_path_of_a_loop():
    """The code pushes and drains a loop's calls without other calls (R1)."""

    def f(xs):
        for x in xs:
            defer(note, x)
        work(xs)

    decorated = with_defers(f)
    assert explain(decorated).way == "open-coded"
    # The third path follows a stopped exception; its call to the runtime has no position.
    assert normal_paths(decorated) >= {("work(xs)",), ("work(xs)", "defer(note, x)")}
    called = {call for calls in normal_paths(decorated) for call in calls}
    assert called - {None} == {"work(xs)", "defer(note, x)"}


@pytest.mark.parametrize("function", [one, eight, keyword, several_returns, others, condition])
def test_frames_of_the_normal_path(function):
    """A profiler sees no call of godefer when an open-coded function returns (R1)."""
    decorated = with_defers(function)
    called = []

    def profile(frame, event, argument):
        if event == "call":
            called.append(frame.f_code.co_name)
        elif event == "c_call":
            called.append(argument.__name__)

    sys.setprofile(profile)
    try:
        decorated(1)
    finally:
        sys.setprofile(None)
    assert called.pop() == "setprofile"
    assert called.pop(0) == function.__name__
    assert set(called) == {"work", "note"}
    assert called.count("work") == 1
