"""Functions that each call of another function defines and decorates again (A, C2)."""

import gc
import os
import subprocess
import sys
import threading
import types
import weakref
from pathlib import Path

import pytest

import godefer
from godefer import DeferError, defer, errdefer, explain, with_defers

PARENT = str(Path(godefer.__file__).resolve().parent.parent)


def module_with(statement):
    module = types.ModuleType("names")
    module.later = statement
    return module


def test_dotted_names_that_change(way):
    """A dotted name means its value at the moment of decoration, each time (C2)."""
    names = module_with(defer)

    def make():
        @way
        def f(events):
            names.later(events.append, "deferred")

        return f

    for statement in (defer, errdefer, defer):
        names.later = statement
        events = []
        make()(events)
        assert events == (["deferred"] if statement is defer else [])


def test_names_that_change(way):
    """A closure variable means its value at the moment of decoration, each time (C2)."""

    def make(later, decorate=way):
        @decorate
        def f(events):
            later(events.append, "deferred")

        return f

    for _ in range(2):
        for statement, expected in [(defer, ["deferred"]), (errdefer, [])]:
            events = []
            make(statement)(events)
            assert events == expected
    plain = []
    make(lambda call, what: call(what), with_defers)(plain)
    assert plain == ["deferred"]


@pytest.mark.parametrize("kind", ["a module", "an object"])
def test_nothing_is_kept_alive(way, kind):
    """Neither a module nor another value of a name is kept alive (D9)."""

    def make(value):
        @way
        def f(events):
            defer(events.append, value.__doc__)

        return f

    value = types.ModuleType("a module", "doc") if kind == "a module" else type("A", (), {})()
    gone = weakref.ref(value)
    make(value)([])
    del value
    gc.collect()
    assert gone() is None


class Lazy:
    """An object like lazily loaded settings: it runs code when its class is asked for."""

    @property
    def __class__(self):
        raise RuntimeError("not configured")


def test_objects_that_are_not_to_be_touched(way):
    """Decorating asks no object for its class, which may run code of the program (A)."""
    lazy = Lazy()

    def make():
        @way
        def f(events):
            defer(events.append, "deferred")
            return lazy

        return f

    for _ in range(2):
        events = []
        assert make()(events) is lazy
        assert events == ["deferred"]


def test_threads_that_decorate_functions_of_two_files(tmp_path):
    """Threads that compile functions of several files at once do not mix them up (R1)."""
    codes = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.py"
        lines = "\n" * len(name) * (10 if name == "two" else 1)
        path.write_text(f"{lines}def {name}(events):\n    defer(events.append, 1)\n    found = 1\n")
        codes.append(compile(path.read_text(), str(path), "exec"))
    failed, interval = [], sys.getswitchinterval()

    def decorate(code):
        for _ in range(60):
            names = {"defer": defer}
            exec(code, names)
            (f,) = (
                value
                for value in names.values()
                if isinstance(value, types.FunctionType) and value is not defer
            )
            f.__code__ = f.__code__.replace()
            try:
                with_defers(result="found")(f)
            except DeferError as error:
                failed.append(str(error))

    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=decorate, args=(code,)) for code in codes * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failed == []


def run(tmp_path, *arguments):
    """Run Python in a folder, and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PARENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_replaced_environment(tmp_path):
    """godefer can be imported and used where `os.environ` was replaced (R4)."""
    (tmp_path / "main.py").write_text(
        "import os\nos.environ = {'GODEFER_OPEN_CODED': '0'}\n"
        "from godefer import defer, explain, with_defers\n"
        "def f():\n    defer(print, 'deferred')\n"
        "print(explain(with_defers(f)).way)\n"
        "os.environ = {}\nprint(explain(with_defers(f)).way)\n"
    )
    assert run(tmp_path, "main.py") == "runtime\nopen-coded\n"


def test_a_source_that_was_saved_in_another_encoding(tmp_path):
    """A source that can no longer be decoded is ignored, and the function
    runs the runtime way (R4).
    """
    (tmp_path / "main.py").write_text(
        "from godefer import defer, explain, with_defers\n"
        "def make():\n    @with_defers\n"
        "    def f():\n        defer(print, 'deferred')\n    return f\n"
        "with open(__file__, 'ab') as file:\n    file.write(b'# \\xe9\\n')\n"
        "make()()\nprint(explain(make()).reason)\n"
    )
    printed = run(tmp_path, "main.py").splitlines()
    assert printed[0] == "deferred"
    assert printed[1].endswith("main.py is not available")


def test_doctests(tmp_path):
    """A function in a doctest is open-coded, and may have named results (R1)."""
    (tmp_path / "example.py").write_text(
        '"""\n>>> from godefer import *\n>>> @with_defers(result="found")\n... def f():\n'
        "...     defer(print, 'deferred')\n...     found = 7\n>>> f()\ndeferred\n7\n"
        '>>> explain(f).way\n\'open-coded\'\n"""\n'
    )
    assert run(tmp_path, "-m", "doctest", "example.py") == ""


def test_a_source_that_is_nested_too_deeply_to_be_shown(tmp_path):
    """`explain` works when the lowered source is nested too deeply to write down (R4)."""
    (tmp_path / "main.py").write_text(
        "import sys\nfrom godefer import defer, explain, with_defers\n"
        "@with_defers\ndef f(x):\n    defer(print, 'deferred')\n    return "
        + " + ".join("x" * 900)
        + "\nsys.setrecursionlimit(500)\nprint(explain(f).way, len(explain(f).lowered) > 10)\n"
    )
    printed = run(tmp_path, "main.py")
    assert printed in {"open-coded True\n", "runtime False\n"}
