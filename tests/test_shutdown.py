"""Decorating while nothing can be imported: at shutdown, and in the middle of an import."""

import subprocess
import sys

import pytest

from tests.helpers import python

DECORATE = """\
import os, sys
from godefer import defer, with_defers

def say(*words, write=os.write):
    write(1, (" ".join(map(str, words)) + "\\n").encode())

def decorate(name, say=say, defer=defer, with_defers=with_defers):
    @with_defers
    def f(x):
        defer(say, "deferred", x)
        for i in range(2):
            defer(say, i)
        return 1 / x
    try:
        f(0)
    except ZeroDivisionError:
        say(name)
    return f

def decorate_named(say=say, defer=defer, with_defers=with_defers):
    try:
        @with_defers(result="found")
        def f():
            defer(say, "deferred")
            found = 7
        say(f())
    except Exception as error:
        say(type(error).__name__, "could not be compiled" in str(error))

class Late:
    def __init__(self, name):
        self.name = name
    def __del__(self, decorate=decorate, decorate_named=decorate_named):
        decorate(self.name)
        if self.name == "named":
            decorate_named()
"""
DECORATED = ["1", "0", "deferred 0"]


def run(tmp_path, text, **environment):
    """Run a script; return the lines that it printed."""
    script = tmp_path / "script.py"
    script.write_text(DECORATE + text)
    done = python(script, stderr=subprocess.STDOUT, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="no finalizer runs there once the program is over"
)
@pytest.mark.parametrize("open_coded", ["0", "1"])
@pytest.mark.parametrize("early", ["", "decorate('early')\n"])
@pytest.mark.parametrize(
    "kept",
    [
        "late = Late('late')\n",
        "import json\njson.late = Late('late')\n",
        "late = Late('late')\nlate.me = late\n",
        "import godefer\ngodefer.late = Late('late')\n",
    ],
    ids=["main", "module", "cycle", "godefer"],
)
def test_decorating_at_shutdown(tmp_path, open_coded, early, kept):
    """A `__del__` that runs at the interpreter's shutdown can decorate a function (R4)."""
    lines = run(tmp_path, early + kept, GODEFER_OPEN_CODED=open_coded)
    expected = [*DECORATED, "late"]
    assert lines == [*([*DECORATED, "early"] if early else []), *expected]


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="no finalizer runs there once the program is over"
)
def test_named_results_at_shutdown(tmp_path):
    """Named results that cannot be compiled at shutdown are a DeferError, not ignored (N)."""
    lines = run(tmp_path, "late = Late('named')\n")
    assert lines == [*DECORATED, "named", "DeferError True"]


REENTER = """\
from godefer import explain
class Finder:
    inside = False
    def find_spec(self, name, *_):
        if name == {name!r} and not Finder.inside:
            Finder.inside = True
            f = decorate("inside")
            say(explain(f).way, explain(f).reason)
            decorate_named()

sys.meta_path.insert(0, Finder())
f = decorate("outside")
say(explain(f).way)
say(explain(decorate("again")).way)
"""


@pytest.mark.parametrize("name", ["opcode", "godefer._compiler.nodes"])
def test_decorating_in_the_midst_of_an_import(tmp_path, name):
    """Code that interrupts the import of the compiler can decorate a function (R4)."""
    lines = run(tmp_path, REENTER.format(name=name), GODEFER_CACHE="0")
    inside, reason, named, *after = [line for line in lines if line not in DECORATED]
    assert inside == "inside"
    assert reason.startswith("runtime it could not be compiled: ")
    assert named == "DeferError True"
    assert after == ["outside", "open-coded", "again", "open-coded"]


HALF = """\
from godefer import explain

def trace(frame, event, _):
    if frame.f_code.co_filename.endswith("_cache.py") and frame.f_code.co_name == "<module>":
        if event == "line" and frame.f_lineno > LINE:
            sys.settrace(None)
            say(explain(decorate("inside")).reason)
            return None
        return trace

sys.settrace(trace)
say(explain(decorate("outside")).way)
"""


@pytest.mark.parametrize("line", range(50, 300, 50))
def test_decorating_in_the_midst_of_a_module(tmp_path, line):
    """Code that interrupts the import of a godefer module does not use half of it (R4)."""
    lines = run(tmp_path, HALF.replace("LINE", str(line)), GODEFER_CACHE="0")
    words = [line for line in lines if line not in DECORATED]
    assert words == [
        "inside",
        "it could not be compiled: godefer._cache is being imported",
        "outside",
        "open-coded",
    ]
