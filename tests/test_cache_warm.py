"""A process with all its functions in the cache imports no part of the compiler (C5)."""

import compileall
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import godefer

PARENT = str(Path(godefer.__file__).resolve().parent.parent)
MODULES = ["one", "two", "three", "four"]
SLOW = ["ast", "dis", "inspect", "linecache", "re", "tokenize", "warnings", "wrapt"]

# Every kind of function, and every shape. `results` calls each, and imports nothing.
KINDS = """\
import godefer
from godefer import ausing, defer, errdefer, okdefer, recover, using, with_defers

EVENTS = []
note = EVENTS.append


class Manager:
    def __enter__(self):
        note("enter")
        return self

    def __exit__(self, *details):
        note("exit")

    async def __aenter__(self):
        note("aenter")
        return self

    async def __aexit__(self, *details):
        note("aexit")


@with_defers
def inline(x):
    defer(note, x)
    note("body")
    return x


@with_defers
def several(x):
    defer(note, 1)
    defer(note, 2)
    okdefer(note, "ok")
    errdefer(note, "err")
    return x


@with_defers
def conditional(x):
    if x:
        defer(note, "positive")
    return x


@with_defers
def looping(x):
    for i in range(x):
        defer(note, i)
    return x


@with_defers
def with_using(x):
    using(Manager())
    return x


@with_defers(result="found")
def named(x):
    def twice():
        nonlocal found
        found *= 2

    defer(twice)
    found = x


@with_defers(result=("first", "second"))
def two_named(x):
    first, second = x, x
    defer(note, "named")
    return x, x + 1


@with_defers
def nested_def(x):
    @defer
    def last():
        note("nested")

    return x


@with_defers
def recovering(x):
    def stop():
        note(repr(recover()))

    defer(stop)
    raise ValueError(x)


@with_defers
def by_module(x):
    godefer.defer(note, "by module")
    return x


@with_defers
def keyword_only(x, /, *args, y=1, z: int = 2, **kwargs):
    defer(note, (y, z))
    return x


@with_defers
def as_a_value(x):
    later = defer
    later(note, "runtime")
    return x


@with_defers
def generator(x):
    defer(note, "generator")
    yield x
    yield x + 1


@with_defers
async def coroutine(x):
    async def last():
        note("awaited")

    defer(last)
    await ausing(Manager())
    return x


@with_defers
async def async_generator(x):
    defer(note, "async generator")
    yield x


def outer(x):
    @with_defers
    def closure():
        defer(note, x)
        return x

    return closure


class Thing:
    @with_defers
    def method(self, x):
        defer(note, "method")
        return x

    @with_defers
    @classmethod
    def of_the_class(cls, x):
        defer(note, "class")
        return x

    @staticmethod
    @with_defers
    def static(x):
        defer(note, "static")
        return x

    @property
    @with_defers
    def value(self):
        defer(note, "property")
        return 7


def driven(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits for something")


async def collected(source):
    return [x async for x in source]


FUNCTIONS = [
    inline, several, conditional, looping, with_using, named, two_named, nested_def, recovering,
    by_module, keyword_only, as_a_value, generator, coroutine, async_generator, outer(3),
    Thing.__dict__["method"], Thing.__dict__["of_the_class"], Thing.__dict__["static"],
    Thing.__dict__["value"].fget,
]


def results():
    found = []
    for fn in FUNCTIONS[:12]:
        found.append((fn.__name__, fn(3)))
    thing = Thing()
    found += [list(generator(3)), driven(coroutine(3)), driven(collected(async_generator(3)))]
    found += [outer(3)(), thing.method(3), thing.of_the_class(3), thing.static(3), thing.value]
    return found, EVENTS
"""

# With `with_defers` as the identity, only imports of the modules themselves are left.
PROGRAM = """\
import sys
sys.path[:0] = [FOLDER, PARENT]
import godefer
if IDENTITY:
    godefer.with_defers = lambda fn=None, **options: fn or (lambda fn: fn)
import one, two, three, four
found = {"imported": sorted(sys.modules)}
if not IDENTITY:
    found["results"] = [module.results() for module in (one, two, three, four)]
    found["called"] = sorted(sys.modules)
    functions = [fn for module in (one, two, three, four) for fn in module.FUNCTIONS]
    found["explained"] = [
        (e.way, bool(e.cached), fn.__module__) for fn in functions for e in [godefer.explain(fn)]
    ]
import json
print(json.dumps(found))
"""


@pytest.fixture
def project(tmp_path):
    """Return a folder with four modules of twenty functions each."""
    for name in MODULES:
        (tmp_path / f"{name}.py").write_text(KINDS)
    return tmp_path


def run(folder, *, identity=False):
    """Run the program, without site-packages and their start-up hooks, and return its findings."""
    values = f"FOLDER, PARENT, IDENTITY = {str(folder)!r}, {PARENT!r}, {identity}\n"
    command = [sys.executable, "-I", "-S", "-c", values + PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode == 0) == (done.stderr == "")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)


def ways(found):
    return [way for way, _, _ in found["explained"]]


def test_a_warm_process_imports_nothing_of_the_compiler(project):
    """A process that decorates 80 functions of four modules imports no
    part of the compiler (C5).
    """
    cold = run(project)
    assert {"godefer._compiler"} <= set(cold["imported"])
    warm = run(project)
    assert len(warm["explained"]) == 80
    ours = set(warm["imported"]) - set(run(project, identity=True)["imported"])
    assert [name for name in SLOW if name in ours] == []
    assert [name for name in ours if name.startswith("godefer._compiler")] == []
    assert {name.partition(".")[0] for name in ours} <= {"godefer", *sys.builtin_module_names}


def test_calling_cached_functions_imports_nothing_of_the_compiler(project):
    """Calling these functions, which return, fail and recover, imports none of it either (C5)."""
    run(project)
    warm = run(project)
    undecorated = set(run(project, identity=True)["imported"])
    assert [name for name in SLOW if name in set(warm["called"]) - undecorated] == []


def test_a_warm_process_does_the_same(project):
    """The functions from the cache give the same results as those compiled now (C2)."""
    cold, warm, again = (run(project) for _ in range(3))
    assert cold["results"] == warm["results"] == again["results"]
    assert ways(cold) == ways(warm)
    assert set(ways(cold)) == {"open-coded", "runtime"}
    assert ways(cold).count("runtime") == len(MODULES)
    assert not any(cached for _, cached, _ in cold["explained"])
    assert all(cached for way, cached, _ in warm["explained"] if way == "open-coded")


@pytest.mark.parametrize("keep_folder", [True, False], ids=["in place", "moved"])
def test_modules_without_their_source(project, tmp_path_factory, keep_folder):
    """A `.pyc`-only copy of the modules is open-coded, has named results, and
    imports no compiler (C5).
    """
    cold = run(project)
    assert compileall.compile_dir(project, quiet=1, legacy=True, force=True)
    folder = project
    if not keep_folder:
        folder = tmp_path_factory.mktemp("shipped")
        for file in project.glob("*.pyc"):
            shutil.move(file, folder)
        shutil.move(project / "__pycache__", folder)
    for source in project.glob("*.py"):
        source.unlink()
    for file in (folder / "__pycache__").glob("*.pyc"):
        file.unlink()
    found = run(folder)
    assert ways(found) == ways(cold)
    assert found["results"] == cold["results"]
    undecorated = set(run(folder, identity=True)["imported"])
    assert [name for name in SLOW if name in set(found["imported"]) - undecorated] == []


def test_modules_without_their_source_and_the_cache(project):
    """Without the cache such modules cannot have named results: the error names the source (N)."""
    run(project)
    assert compileall.compile_dir(project, quiet=1, legacy=True, force=True)
    for source in project.glob("*.py"):
        source.unlink()
    shutil.rmtree(project / "__pycache__")
    with pytest.raises(RuntimeError, match="DeferError: .*the source of"):
        run(project)
