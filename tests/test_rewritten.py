"""Modules rewritten by tools: pytest's assertions (R6), and tools named in the reason (R4)."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from godefer import defer, explain, with_defers

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
    """Run pytest on a folder; return its output and exit status."""
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
    """Functions of a test module are open-coded, and keep pytest's introspection (R6)."""
    (tmp_path / "test_it.py").write_text(TEST_MODULE)
    for _ in range(2):  # the second time from the cache
        printed, status = run_pytest(tmp_path)
        assert status == 0, printed
        assert "7 passed" in printed
        assert printed.count("PytestAssertRewriteWarning") <= 1, printed
    assert list((tmp_path / "__pycache__").glob("test_it.*.godefer"))


def test_a_plugin_that_is_told_of_assertions(tmp_path):
    """A plugin with pytest's hook for passing assertions gets them, with their lines (R6)."""
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
    """With `--assert=plain` nothing is rewritten; the functions are open-coded as well (R1)."""
    introspected = "named(\"a\").splitlines()[0] == \"assert 'a' == 'b'\""
    module = TEST_MODULE.replace(introspected, 'named("a") == ""')
    for text in ("assert 3 == 4", "assert 5 in {1: 2}"):
        module = module.replace(text, "")
    (tmp_path / "test_it.py").write_text(module)
    printed, status = run_pytest(tmp_path, "--assert=plain", "-W", "ignore::SyntaxWarning")
    assert status == 0, printed


def test_nothing_of_pytest_is_imported(tmp_path):
    """Without pytest none of its modules is imported (R6)."""
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


# Other tools

SUBJECT = """\
from godefer import DeferError, defer, explain, with_defers

@with_defers
def plain(x):
    defer(print, "exits", x)
    return x

@with_defers
def annotated(x: int) -> int:
    defer(print, "exits", x)
    y: int = x
    return y

print(explain(plain).way, explain(annotated).way, explain(annotated).reason, sep="\\n")
plain(1)
annotated(2)
try:
    @with_defers(result="found")
    def named(x: int) -> int:
        defer(print, "exits", x)
        found: int = x
        return found
except DeferError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("tool", "hook"),
    [
        ("typeguard", "import typeguard; typeguard.install_import_hook('subject')"),
        ("beartype", "import beartype.claw; beartype.claw.beartype_package('subject')"),
    ],
)
def test_import_hooks_are_named(tmp_path, tool, hook):
    """A function rewritten by an import hook runs the runtime way; the reason names it (R4)."""
    pytest.importorskip(tool)
    (tmp_path / "subject.py").write_text(SUBJECT)
    (tmp_path / "main.py").write_text(f"{hook}\nimport subject\n")
    done = subprocess.run(
        [sys.executable, "main.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": PARENT},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    plain, annotated, reason, one, two, *error = done.stdout.splitlines()
    assert (plain, one, two) == ("open-coded", "exits 1", "exits 2")
    if annotated == "runtime":
        assert reason.endswith(f"{tool} has rewritten it")
        assert f"{tool} has rewritten it; return the value instead" in error[0]


def test_decorators_that_rewrite_are_named():
    """The reason for a function rewritten by typeguard names typeguard (R4)."""
    typeguard = pytest.importorskip("typeguard")

    @with_defers
    @typeguard.typechecked
    def f(x: int) -> list[int]:
        events = [x]
        defer(events.append, 2)
        return events

    assert explain(f).reason.endswith("typeguard has rewritten it")
    assert f(1) == [1, 2]


def test_cells_of_a_notebook():
    """An IPython cell is open-coded; without a kept source its magic is named (R1, R4)."""
    pytest.importorskip("IPython")
    shell = importlib.import_module("IPython.core.interactiveshell").InteractiveShell()
    cell = "@with_defers\ndef f(events):\n    defer(events.append, 1)\nf(events)\nsay(explain(f))\n"
    said, events = [], []
    shell.user_ns.update(
        defer=defer, explain=explain, with_defers=with_defers, events=events, say=said.append
    )
    for magic in ("", "%%time\n", "%%timeit -n1 -r1\n"):
        assert shell.run_cell(magic + cell).success
    assert [explanation.way for explanation in said] == ["open-coded", "runtime", "runtime"]
    assert said[1].reason == (
        "the source of <timed exec> is not available: IPython's %%time keeps none"
    )
    assert said[2].reason.endswith("is not available: IPython's %%timeit keeps none")
    assert events == [1, 1, 1]
    # As %autoreload does with functions that others have imported.
    old, new = shell.user_ns["f"], with_defers(shell.user_ns["f"].__wrapped__)
    for name in ("__code__", "__defaults__", "__doc__", "__dict__"):
        setattr(old, name, getattr(new, name))
    del new
    old(events)
    assert events == [1, 1, 1, 1]
