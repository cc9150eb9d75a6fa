"""Modules that a tool has rewritten: pytest's assertions (R6), and tools that are named as the reason (R4)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import godefer

PARENT = str(Path(godefer.__file__).resolve().parent.parent)

TEST_MODULE = '''\
"""A module of tests."""
from __future__ import annotations
import asyncio
import pytest
from godefer import defer, errdefer, explain, recover, with_defers

EVENTS = []


def check(fn):
    assert explain(fn).way == "open-coded", explain(fn)
    return fn


@check
@with_defers
def plain(x):
    defer(EVENTS.append, x)
    assert x == 1, f"x is {x}"
    assert isinstance(x, int) and x < 2 or [y for y in [x] if y]
    return x


@check
@with_defers(result="error")
def named(text):
    error = ""

    @defer
    def report():
        nonlocal error
        caught = recover(AssertionError)
        if caught is not None:
            error = str(caught)

    assert (found := text.strip()) == "b"
    return found


@check
@with_defers
async def waits(x):
    defer(asyncio.sleep, 0)
    assert x in {1: 2}
    await asyncio.sleep(0)


class Steps:
    """Private names, super() and closures."""

    __hidden = 1

    def setup(self):
        return 1

    @check
    @with_defers
    def method(self, pytest=pytest):
        for i in range(2):
            defer(EVENTS.append, i)
        assert self.__hidden == pytest.approx(1)
        assert super().__init__() is None
        return EVENTS


def test_plain():
    assert plain(1) == 1
    with pytest.raises(AssertionError, match="x is 2"):
        plain(2)
    assert EVENTS == [1, 2]


def test_introspection():
    assert named(" b ") == "b"
    assert named("a").splitlines()[0] == "assert 'a' == 'b'"


def test_closure(value=3):
    @check
    @with_defers
    def inner(n):
        errdefer(EVENTS.append, n)
        assert value == n
        return value
    with pytest.raises(AssertionError, match="assert 3 == 4"):
        inner(4)
    assert inner(3) == 3


def test_method():
    EVENTS.clear()
    assert Steps().method() == [1, 0]


def test_asynchronous():
    asyncio.run(waits(1))
    with pytest.raises(AssertionError, match="assert 5 in {1: 2}"):
        asyncio.run(waits(5))


@check
@with_defers
def test_itself(tmp_path):
    defer(EVENTS.append, "exits")
    assert tmp_path.exists()


class TestClass:
    @check
    @with_defers
    def test_method(self):
        defer(EVENTS.append, "exits")
        assert (1, "always true")
        assert EVENTS[-1:] != ["exits"] or len(EVENTS) > 1
'''


def run_pytest(folder, *options, **environment):
    """Run pytest on a folder; what it printed, and its exit status."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PY")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(folder)],
        env=env | {"PYTHONPATH": PARENT, **environment},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.returncode


def test_assertions_that_pytest_has_rewritten(tmp_path):
    """Functions of a module of tests are open-coded, with named results and pytest's introspection (R6)."""
    (tmp_path / "test_it.py").write_text(TEST_MODULE)
    for _ in range(2):  # the second time from the cache
        printed, status = run_pytest(tmp_path)
        assert status == 0, printed
        assert "7 passed" in printed
        assert printed.count("PytestAssertRewriteWarning") <= 1, printed
    assert list((tmp_path / "__pycache__").glob("test_it.*.godefer"))


def test_a_plugin_that_is_told_of_assertions(tmp_path):
    """A plugin that is told of each assertion that passes is told of these, at their lines (R6)."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nenable_assertion_pass_hook = true\n")
    (tmp_path / "conftest.py").write_text(
        "def pytest_assertion_pass(item, lineno, orig, expl):\n"
        "    print(f'passed {lineno}: {orig}')\n"
    )
    (tmp_path / "test_it.py").write_text(TEST_MODULE)
    printed, status = run_pytest(tmp_path, "-s")
    assert status == 0, printed
    line = 1 + TEST_MODULE.splitlines().index("    assert x in {1: 2}")
    assert f"passed {line}: x in {{1: 2}}" in printed


def test_the_traceback_of_an_assertion(tmp_path):
    """A failing assertion is shown with its line and its values (R6, P6)."""
    (tmp_path / "test_it.py").write_text(
        "from godefer import defer, with_defers\n\n@with_defers\ndef test_it():\n"
        "    defer(print, 'deferred')\n    found = [1, 2]\n    assert found == [1, 3]\n"
    )
    printed, status = run_pytest(tmp_path)
    assert status == 1
    assert ">       assert found == [1, 3]" in printed
    assert "At index 1 diff: 2 != 3" in printed
    assert "test_it.py:7: AssertionError" in printed
    assert "deferred" in printed


def test_plain_assertions(tmp_path):
    """With `--assert=plain` nothing is rewritten, and the functions are open-coded as well (R1)."""
    introspected = 'named("a").splitlines()[0] == "assert \'a\' == \'b\'"'
    module = TEST_MODULE.replace(introspected, 'named("a") == ""')
    for text in ("assert 3 == 4", "assert 5 in {1: 2}"):
        module = module.replace(text, "")
    (tmp_path / "test_it.py").write_text(module)
    printed, status = run_pytest(tmp_path, "--assert=plain", "-W", "ignore::SyntaxWarning")
    assert status == 0, printed


def test_nothing_of_pytest_is_imported(tmp_path):
    """Without pytest nothing of it is imported (R6)."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom godefer import defer, explain, with_defers\n"
        "@with_defers\ndef f(x):\n    defer(print, x)\n    assert x\n"
        "print(explain(f).way, [m for m in sys.modules if 'pytest' in m])\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": PARENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "open-coded []\n"
