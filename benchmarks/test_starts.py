"""Check the programs whose starts are measured, and time them."""

from __future__ import annotations

import json
import runpy

import pytest

import godefer
from benchmarks import measure, starts
from benchmarks.group import HAND, OPEN, RUNTIME, open_coding

SIZE = (4, 2)


@pytest.fixture
def made(tmp_path):
    return starts.programs(*SIZE, tmp_path / "programs")


def instead(program, text):
    """Return the same program, which runs *text* at its end."""
    main = program.folder / "main.py"
    main.write_text(f"{main.read_text()}{text}\n")
    return program


@pytest.mark.parametrize("way", starts.WAYS)
def test_starts(benchmark, made, way):
    """Each program defines its functions, and imports only the expected parts of godefer."""
    benchmark.group = "starts"
    look = "import sys\nprint('godefer' in sys.modules, 'godefer._compiler' in sys.modules)"
    imported = {HAND: (False, False), starts.WARM: (True, False)}.get(way, (True, True))
    program = instead(made[way], f"{look}\nprint(module_0.copy_0, module_1.copy_1)")
    first, second = program.output().splitlines()
    assert first == f"{imported[0]} {imported[1]}"
    assert second.count("<function copy_") == 2
    if way != starts.COLD:  # a cold start removes the files of the others
        assert program.output().splitlines()[0] == first
    benchmark.pedantic(program.seconds, rounds=2)


def test_by_hand_means_the_same(made, tmp_path, capsys):
    """The functions by hand do the same as the decorated ones."""
    for name in ("hand", "decorated"):
        module = runpy.run_path(str(made[starts.WARM].folder.parent / name / "module_1.py"))
        copy = module["copy_1"]
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(b"12345")
        assert copy(source, target, 2) == 5
        assert target.read_bytes() == b"12345"
        source.write_bytes(b"")
        with pytest.raises(ValueError, match="is empty"):
            copy(source, target)
        assert capsys.readouterr().out == f"not copied: {source}\n"


def test_decorations(made):
    """A program that times its decorations prints a time for each of its functions."""
    for cache in (starts.WARM, starts.COLD):
        times = json.loads(made[f"{cache}, timed"].output())
        assert len(times) == SIZE[0]
        assert all(ns > 0 for ns in times)


def test_a_cache_that_is_not_warm(made):
    """A warm start fails before it is timed if a module has no cache file."""
    made[starts.COLD].before()
    with pytest.raises(RuntimeError, match="no file in the cache"):
        made[starts.WARM].seconds()


@pytest.mark.parametrize("way", starts.nested())
def test_nested(benchmark, way):
    """A nested function is decorated again in each call, and runs the timed way."""
    benchmark.group = "a nested function, on each call"
    define = starts.nested()[way]
    with open_coding(True):
        one, other = define(), define()
    assert one is not other
    assert one() is None
    if way == HAND:
        with pytest.raises(godefer.DeferError):
            godefer.explain(one)
    else:
        assert godefer.explain(one).way == godefer.explain(other).way == way
        assert way in {OPEN, RUNTIME}
    benchmark(define)


def test_measure():
    """The measurements have a time for each size, way and round."""
    found = measure.measure_starts(2, sizes={"four": SIZE}, judged=SIZE)
    assert list(found["programs"]["four"]) == [starts.BARE, *starts.WAYS]
    assert list(found["nested"]) == [HAND, OPEN, RUNTIME]
    assert len(found["decorating"]) == 6
    values = [*found["programs"]["four"].values(), *found["decorating"].values()]
    assert all(len(value) == 2 and min(value) > 0 for value in values)
