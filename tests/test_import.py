"""The cost of importing godefer, its dependencies, and its public names."""

import importlib.metadata
import importlib.resources
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import godefer

pytestmark = pytest.mark.project

PARENT = str(Path(godefer.__file__).resolve().parent.parent)
SLOW = ["asyncio", "functools", "inspect", "typing", "typing_extensions", "wrapt"]


def modules_after(*statements):
    """Return the modules that the statements import into an otherwise bare interpreter."""
    # -I and -S keep out site-packages and its start-up hooks, which may import anything.
    code = "\n".join(
        [
            "import sys",
            "before = set(sys.modules)",
            f"sys.path[:0] = {[PARENT, *(path for path in sys.path if 'site-packages' in path)]!r}",
            *statements,
            "print(*sorted(set(sys.modules) - before))",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_import_is_light():
    """`import godefer` imports none of the big modules, wrapt and typing-extensions included."""
    loaded = modules_after("import godefer")
    assert "godefer" in loaded
    assert "godefer._runtime.wrapper" not in loaded  # an atexit function imports it
    assert [name for name in [*SLOW, "godefer.aio"] if name in loaded] == []


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="-X importtime is CPython's")
def test_importtime_agrees():
    """The interpreter's own import trace of `import godefer` shows none
    of the big modules either.
    """
    env = {**os.environ, "PYTHONPATH": PARENT}
    command = [sys.executable, "-S", "-X", "importtime", "-c", "import godefer"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    loaded = re.findall(r"^import time: +\d+ \| +\d+ \| +(\S+)$", done.stderr, re.MULTILINE)
    assert "godefer._decorate" in loaded
    assert [name for name in SLOW if name in loaded] == []


PLAIN = """\
from godefer import defer, recover, with_defers
def f():
    defer(str)
    defer(recover)
    return 1
def gen():
    defer(str)
    yield 1
async def work():
    defer(str)
class Thing:
    @with_defers
    @staticmethod
    def static():
        defer(str)
assert with_defers(f)() == 1
assert list(with_defers(gen)()) == [1]
try:
    with_defers(work)().send(None)
except StopIteration:
    pass
Thing.static()
"""


def test_plain_functions_stay_light():
    """Decorating and calling functions, generators, coroutines and methods imports
    neither wrapt nor asyncio.
    """
    loaded = modules_after(PLAIN)
    assert [name for name in ("asyncio", "wrapt") if name in loaded] == []


COMPILER = ["ast", "godefer._compiler", "godefer._compiler.compile", "linecache", "re", "tokenize"]


@pytest.mark.parametrize(
    ("before", "body"),
    [
        ('import os; os.environ["GODEFER_OPEN_CODED"] = "0"', "defer(x.append, 1)"),
        ("defer = print", "defer(x)"),
        ("", "x"),
    ],
    ids=["turned off", "another defer", "no defer"],
)
def test_the_compiler_is_not_imported_in_vain(before, body):
    """The compiler is not imported if the environment turns it off or no
    function has a `defer` (R4).
    """
    decorated = f"@with_defers\ndef f(x):\n    {body}\nf([])"
    loaded = modules_after("from godefer import defer, with_defers", before, decorated)
    assert "godefer._decorate" in loaded
    assert [name for name in COMPILER if name in loaded] == []


@pytest.mark.parametrize(
    ("name", "module"),
    [("defer_scope", "_scope"), ("explain", "_explain"), ("Explanation", "_explain")],
)
def test_a_name_that_few_programs_need(name, module):
    """A rare name's module is imported on first use of the name (PEP 562),
    and `dir` shows it before.
    """
    module = f"godefer.{module}"
    assert module not in modules_after("import godefer", f"assert {name!r} in dir(godefer)")
    assert module in modules_after(f"from godefer import {name}")


def test_an_unknown_name():
    """A name that godefer does not have is an AttributeError that says so."""
    with pytest.raises(AttributeError, match="module 'godefer' has no attribute 'deferr'"):
        godefer.deferr  # noqa: B018


OBJECT = """\
from godefer import defer, with_defers
class Thing:
    def __call__(self):
        defer(seen.append, "exits")
seen = []
with_defers(Thing())()
assert seen == ["exits"]
"""


def test_a_callable_object_imports_wrapt():
    """Decorating a callable object imports wrapt, at that moment (R2)."""
    assert "wrapt" in modules_after(OBJECT)


def test_dependencies():
    """At run time godefer needs wrapt and typing-extensions, and nothing else."""
    required = [line for line in importlib.metadata.requires("godefer") if "extra ==" not in line]
    assert sorted(re.match(r"[\w-]+", line)[0] for line in required) == [
        "typing-extensions",
        "wrapt",
    ]


def test_version():
    """The installed version is the one the package states."""
    assert importlib.metadata.version("godefer") == godefer.__version__


def test_typed():
    """The package says that it is typed (PEP 561)."""
    assert importlib.resources.files("godefer").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", godefer.__all__)
def test_public_names(name):
    """Every public name gives `godefer` as its module, and has a docstring."""
    thing = getattr(godefer, name)
    assert thing.__module__ == "godefer"
    assert thing.__name__ == thing.__qualname__ == name
    assert len(thing.__doc__.splitlines()[0]) > 20


def test_nothing_else_is_public():
    """`__all__` lists every name without an underscore; modules are private, but
    for the checker and `aio`.
    """
    namespace = {}
    exec("from godefer import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(godefer.__all__)
    public = {name for name in vars(godefer) if not name.startswith("_")}
    assert public - {"aio", "lint"} == set(godefer.__all__)
