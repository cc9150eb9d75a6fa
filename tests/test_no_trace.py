"""Decorating leaves no trace in the process."""

import gc
import linecache
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

import godefer
from godefer import defer, explain, with_defers
from godefer._compiler import quiet
from tests.helpers import python

PARENT = str(Path(godefer.__file__).resolve().parent.parent)

WARNS = """\
def f(x):
    defer(print, "\\d")
    return x is 1
"""


def run(*arguments, **environment):
    """Run Python; return the lines of both its output streams."""
    environment = {"GODEFER_CACHE": "0", **environment}
    done = python("-B", *arguments, stderr=subprocess.STDOUT, **environment)
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


def global_state():
    """Return the state of the process that decorating must not change."""
    return {
        "filters": (id(warnings.filters), list(warnings.filters)),
        "hooks": (warnings.showwarning, warnings.formatwarning, sys.excepthook, sys.displayhook),
        "tracers": (sys.gettrace(), sys.getprofile(), sys.getrecursionlimit()),
        "imports": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
        "modules": {name: id(m) for name, m in sys.modules.items() if "godefer" not in name},
        "linecache": sorted(linecache.cache),
        "environment": dict(os.environ),
        "threads": threading.enumerate(),
    }


def test_global_state(way, tmp_path):
    """No filter, hook, module, setting or cache of the process differs after decorating (R1)."""
    names = {"defer": defer, "decorate": way}
    for n in range(2):  # the first one imports the compiler
        path = tmp_path / f"module{n}.py"
        path.write_text("@decorate\n" + WARNS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = compile(path.read_text(), str(path), "exec")
        before = global_state()
        exec(code, names)
        assert n == 0 or global_state() == before
    assert explain(names["f"]).way == way.name


def test_an_unclosed_file_at_exit(tmp_path):
    """Under `-X dev` a file left open is reported at exit, after decorating as before (R1)."""
    script = tmp_path / "script.py"
    script.write_text(
        "from godefer import defer, with_defers\n"
        "@with_defers\n" + WARNS + "left_open = open(__file__)\n"
    )
    lines = run("-X", "dev", "-W", "ignore::SyntaxWarning", str(script))
    if sys.implementation.name == "cpython":
        assert any("ResourceWarning: unclosed file" in line for line in lines)


def test_a_warning_that_was_shown(tmp_path):
    """A warning shown once for its line is not shown again because of a decoration (R1)."""
    script = tmp_path / "script.py"
    script.write_text(
        "import warnings\n"
        "from godefer import defer, with_defers\n"
        "for i in range(3):\n"
        "    warnings.warn('soon', FutureWarning)\n"
        "    namespace = {}\n"
        "    def f():\n"
        "        defer(print, 'x')\n"
        "    f.__code__ = f.__code__.replace()  # as of another function\n"
        "    with_defers(f)\n"
    )
    assert sum("FutureWarning: soon" in line for line in run(str(script))) == 1


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="its compiler imports the module in order to warn"
)
def test_without_the_module_warnings(tmp_path):
    """Decorating repeats no SyntaxWarning, and imports no `warnings`, where that is not imported
    yet (R1).
    """
    (tmp_path / "module.py").write_text(
        "import sys\nfrom godefer import defer, with_defers, explain\n"
        "before = 'warnings' in sys.modules\n@with_defers\n"
        + WARNS
        + "print(explain(f).way, before, 'warnings' in sys.modules)\n"
    )
    run("-W", "ignore", "-m", "py_compile", str(tmp_path / "module.py"))
    path = f"{tmp_path}{os.pathsep}{PARENT}"
    assert run("-S", "-c", "import module", PYTHONPATH=path) == ["open-coded False False"]


@pytest.fixture
def no_collector_callbacks():
    """Take out callbacks of the collector, such as Hypothesis's.

    They are Python code, so threads may take turns in the midst of a look-up of filters.
    """
    callbacks = getattr(gc, "callbacks", [])  # PyPy has none
    kept = callbacks[:]
    callbacks.clear()
    yield
    callbacks[:] = kept


@pytest.mark.usefixtures("no_collector_callbacks")
@pytest.mark.parametrize("category", [SyntaxWarning, UserWarning])
def test_the_warnings_of_other_threads(tmp_path, category):
    """While one thread decorates, no warning of another thread is lost (R1)."""
    path = tmp_path / "module.py"
    path.write_text(WARNS)
    stop = threading.Event()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("ignore")
        code = compile(path.read_text(), str(path), "exec")

        def decorate():
            while not stop.is_set():
                names = {"defer": defer}
                exec(code, names)
                names["f"].__code__ = names["f"].__code__.replace()
                assert explain(with_defers(names["f"])).way == "open-coded"

        thread = threading.Thread(target=decorate)
        thread.start()
        warnings.simplefilter("always", category)
        for n in range(30_000):
            if category is SyntaxWarning:
                compile(f"{n} is 1", "another file", "exec")
            else:
                warnings.warn(str(n), category, stacklevel=1)
        stop.set()
        thread.join()
    sys.setswitchinterval(interval)
    assert len(shown) == 30_000


ALL_SHAPES = """\
def f(x, *rest, **words):
    defer(print, x)
    if x:
        errdefer(print, *rest, **words)
    for i in range(2):
        okdefer(print, i)
        using(x)
    @defer
    def last():
        pass
    return x

async def g(x):
    defer(x, 1)
    y = await ausing(x)
    for i in range(2):
        defer(print, i)
    return y
"""


def test_lowered_code_is_without_warnings(tmp_path, monkeypatch):
    """Lowered code gives the compiler nothing to warn of, so nothing is silenced (R1)."""
    path = tmp_path / "module.py"
    path.write_text(ALL_SHAPES)
    names = {name: getattr(godefer, name) for name in godefer.__all__}
    exec(compile(path.read_text(), str(path), "exec"), names)
    monkeypatch.setattr(quiet, "_filters", list)
    for name in "fg":
        explanation = explain(with_defers(names[name]))
        assert explanation.way == "open-coded", explanation.reason
