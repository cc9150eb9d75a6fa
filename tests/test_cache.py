"""Compiled code on disk (section C): when it is read or written, and the damage it survives."""

import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

import godefer
from godefer import _cache

PARENT = str(Path(godefer.__file__).resolve().parent.parent)
PYPY = sys.implementation.name == "pypy"

MODULE = """\
from godefer import defer, using, with_defers
import godefer

@with_defers
def inline(events):
    defer(events.append, "exits")
    events.append("begins")

@with_defers
def listed(events):
    for i in range(2):
        godefer.defer(events.append, i)

@with_defers(result="found")
def named(events):
    defer(events.append, "exits")
    found = 7

@with_defers
def as_a_value(events):
    later = defer
    later(events.append, "exits")

def outer():
    @with_defers
    def inner(events):
        defer(events.append, "inner")
    return inner
"""

MAIN = """\
import sys
import module
from godefer import explain
for fn in (module.inline, module.listed, module.named, module.as_a_value, module.outer()):
    events = []
    value = fn(events)
    print(fn.__name__, events, value, explain(fn).way)
"""
EXPECTED = """\
inline ['begins', 'exits'] None open-coded
listed [1, 0] None open-coded
named ['exits'] 7 open-coded
as_a_value ['exits'] None runtime
inner ['inner'] None open-coded
"""
COMPILER = ["ast", "re", "tokenize", "linecache", "dis", "inspect", "wrapt"]
IMPORTED = f"print([name for name in {COMPILER + ['godefer._compiler']} if name in sys.modules])\n"


@pytest.fixture
def project(tmp_path):
    """Return a folder with a module and a program that uses it."""
    (tmp_path / "module.py").write_text(MODULE)
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def run(project, *options, program="main.py", python=sys.executable, status=0, **environment):
    """Run the program, and return its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"PYTHONPATH": PARENT, "PYTHONHASHSEED": "0", **environment}
    done = subprocess.run(
        [python, *options, program],
        cwd=project,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (status, "")
    return done.stdout


def caches(project, pattern="module.*"):
    return sorted((project / "__pycache__").glob(f"{pattern}.godefer"))


def test_a_module_has_one_file(project):
    """All compiled code of a module is in one file beside its `.pyc` (C1)."""
    assert run(project) == EXPECTED
    (file,) = caches(project)
    assert file.name == f"module.{sys.implementation.cache_tag}.godefer"
    assert {path.suffix for path in (project / "__pycache__").iterdir()} == {".pyc", ".godefer"}


def test_a_warm_cache_needs_no_compiler(project):
    """With a warm cache no part of the compiler is imported, and the functions do the same (C5)."""
    run(project)
    before = caches(project)[0].stat()
    (project / "main.py").write_text(
        MAIN.replace("from godefer import explain\n", "").replace(", explain(fn).way", "")
        + IMPORTED
    )
    *printed, imported = run(project).splitlines()
    assert imported == "[]"
    assert printed == [line.rpartition(" ")[0] for line in EXPECTED.splitlines()]
    after = caches(project)[0].stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_explain_names_the_file(project):
    """`explain` names the file from which the code of an open-coded function came,
    once it is compiled (C6).
    """
    (project / "main.py").write_text(MAIN.replace("explain(fn).way", "explain(fn).cached"))
    cold, warm = (run(project).splitlines() for _ in range(2))
    (file,) = caches(project)
    for before, after, expected in zip(cold, warm, EXPECTED.splitlines(), strict=True):
        from_file = f" {file}" if expected.endswith("open-coded") else " "
        assert before == expected.rpartition(" ")[0] + " "
        assert after == expected.rpartition(" ")[0] + from_file


def test_without_the_source(project):
    """Open coding and named results work from `.pyc` files alone (C5)."""
    run(project)
    py_compile.compile(str(project / "module.py"), str(project / "module.pyc"), doraise=True)
    (project / "module.py").unlink()
    assert run(project) == EXPECTED


def test_a_script(project):
    """The program itself is cached, like a module (C1)."""
    (project / "script.py").write_text(
        MODULE + "events = []\ninline(events)\nprint(events)\nimport sys\n" + IMPORTED
    )
    run(project, program="script.py")
    assert caches(project, "script.*")
    assert run(project, program="script.py") == "['begins', 'exits']\n[]\n"


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["-B"], {}), ([], {"PYTHONDONTWRITEBYTECODE": "1"}), ([], {"GODEFER_CACHE": "0"})],
)
def test_nothing_is_written(project, options, environment):
    """`-B`, PYTHONDONTWRITEBYTECODE and GODEFER_CACHE=0 keep the file from being written (C1)."""
    assert run(project, *options, **environment) == EXPECTED
    assert caches(project) == []


def test_the_cache_can_be_turned_off(project):
    """GODEFER_CACHE=0 turns reading off as well as writing (C1)."""
    run(project)
    # Not the other program: `explain` may import the compiler for its answers.
    (project / "main.py").write_text("import module, sys\n" + IMPORTED)
    assert run(project) == "[]\n"
    assert "'godefer._compiler'" in run(project, GODEFER_CACHE="0")


def test_a_prefix(project, tmp_path):
    """`sys.pycache_prefix` says where the files are (C1)."""
    prefix = tmp_path / "elsewhere"
    run(project, PYTHONPYCACHEPREFIX=str(prefix))
    assert caches(project) == []
    assert len(list(prefix.rglob("module.*.godefer"))) == 1


def test_an_edited_module(project):
    """A function that was edited is compiled again, and the file is replaced (C2)."""
    run(project)
    text = MODULE.replace('"begins"', '"other"')
    (project / "module.py").write_text(text)
    assert run(project) == EXPECTED.replace("begins", "other")
    assert run(project) == EXPECTED.replace("begins", "other")
    assert b"other" in caches(project)[0].read_bytes()
    assert b"begins" not in caches(project)[0].read_bytes()


def test_another_meaning(project):
    """An entry counts only if the names of its statements mean the same (C2)."""
    run(project)
    text = MODULE.replace(
        "from godefer import defer, using", "from godefer import errdefer as defer, using"
    )
    (project / "module.py").write_text(text)
    assert run(project).splitlines()[0] == "inline ['begins'] None open-coded"


def test_another_optimization(project):
    """`-O` has cache files of its own, as it has `.pyc` files of its own (C2)."""
    run(project)
    assert run(project, "-O") == EXPECTED
    assert len(caches(project)) == 2


def test_two_checkouts_take_turns(project):
    """Two source texts that take turns at one path both work, even with equal file times (C2)."""
    other = MODULE.replace('"begins"', '"other"')
    stat = (project / "module.py").stat()
    for text, word in [(MODULE, "begins"), (other, "other")] * 2:
        (project / "module.py").write_text(text)
        os.utime(project / "module.py", (stat.st_atime, stat.st_mtime))
        for pyc in (project / "__pycache__").glob("*.pyc"):
            pyc.unlink()
        assert run(project) == EXPECTED.replace("begins", word)


def test_a_tree_that_has_moved(project, tmp_path):
    """After a tree was moved, the code from the cache has the new paths (C2)."""
    run(project)
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("module.py", "__pycache__"):
        shutil.move(project / name, moved / name)
    (moved / "main.py").write_text(
        "import module, sys\nprint(module.inline.__code__.co_filename)\n" + IMPORTED
    )
    assert run(moved) == f"{moved / 'module.py'}\n[]\n"


RELOADS = """\
import importlib, module, pathlib, sys
from godefer import explain
path = pathlib.Path("module.py")
importlib.reload(module)
print(explain(module.inline).cached != "")
path.write_text(path.read_text().replace('"begins"', '"begins again"'))
importlib.reload(module)
events = []
module.inline(events)
print(events, explain(module.inline).cached != "")
"""


def test_a_module_that_is_reloaded(project):
    """A module that is reloaded is compiled again if it was edited, and only then (C2)."""
    (project / "reloads.py").write_text(RELOADS)
    assert run(project, program="reloads.py") == "True\n['begins again', 'exits'] False\n"
    with (project / "main.py").open("a") as main:
        main.write("print(explain(module.inline).cached != '')\n")
    assert run(project) == EXPECTED.replace("begins", "begins again") + "True\n"
    assert b"begins again" in caches(project)[0].read_bytes()
    (size,) = {file.stat().st_size for file in caches(project)}
    caches(project)[0].unlink()
    run(project)
    assert size < 1.1 * caches(project)[0].stat().st_size  # it has one text


EXECUTES = """\
import sys
from godefer import explain
text = open("module.py").read()
for name in ("<string>", "module.py", "made.py"):
    made = {}
    exec(compile(text, name, "exec"), made)
    here = {**globals()}
    exec(compile(text, name, "exec"), here)
    for names in made, here:
        events = []
        names["inline"](events)
        print(events, repr(explain(names["inline"]).cached))
"""


def test_code_that_is_executed(project):
    """Code that belongs to no module has no file, and uses none (C1)."""
    (project / "module.py").write_text(MODULE.replace('(result="found")', ""))
    run(project)
    before = caches(project, "*")
    (project / "executes.py").write_text(EXECUTES)
    assert run(project, program="executes.py") == "['begins', 'exits'] ''\n" * 6
    assert caches(project, "*") == before


def test_a_notebook(project):
    """The cells of a notebook have no file (C1)."""
    pytest.importorskip(
        "IPython", reason="IPython is not installed (the extra 'frameworks' has it)"
    )
    (project / "cells.py").write_text(
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "text = open('module.py').read() + 'from godefer import explain'\n"
        "shell.run_cell(text).raise_error()\n"
        "shell.run_cell('print(explain(named).way, repr(explain(named).cached))').raise_error()\n"
    )
    for _ in range(2):
        printed = run(project, program="cells.py", IPYTHONDIR=str(project / "ipython"))
        assert printed == "open-coded ''\n"
    assert caches(project, "*") == []


def other_python():
    """Return another version of Python, on the PATH or beside this one, or None."""
    for minor in range(11, 16):
        name = f"python3.{minor}"
        beside = Path(sys.base_prefix).parent.glob(f"*/bin/{name}")
        for path in filter(None, [shutil.which(name), *map(str, beside)]):
            asked = [path, "-c", "import sys; print(sys.implementation.cache_tag)"]
            tag = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
            if tag and tag != sys.implementation.cache_tag:
                return path
    return None


def test_two_versions_of_python(project):
    """Two versions of Python have their files side by side (C1, C2)."""
    other = other_python()
    if other is None:
        pytest.skip("no other version of Python is installed")
    (project / "main.py").write_text("import module, sys\n" + IMPORTED)
    text = MODULE.partition("@with_defers\ndef as_a_value")[0]  # which needs no dependency
    (project / "module.py").write_text(text)
    pythons = [sys.executable, other]
    for python in pythons:
        assert "'godefer._compiler'" in run(project, python=python)
    assert len(caches(project)) == 2
    before = [path.read_bytes() for path in caches(project)]
    for python in pythons:
        assert "'godefer._compiler'" not in run(project, python=python)
    assert [path.read_bytes() for path in caches(project)] == before


def test_two_versions_of_godefer(project):
    """Versions of godefer that take turns do not use each other's code (C2)."""
    other = project / "other"
    shutil.copytree(Path(godefer.__file__).parent, other / "godefer")
    version = other / "godefer" / "_version.py"
    version.write_text(version.read_text().replace('"0.', '"9.'))
    (project / "main.py").write_text(f"{MAIN}\nprint(explain(module.inline).cached != '')")
    for parent in (PARENT, str(other)) * 2:
        assert run(project, PYTHONPATH=parent) == f"{EXPECTED}False\n"
        assert run(project, PYTHONPATH=parent) == f"{EXPECTED}True\n"
        assert len(caches(project)) == 1


# Damage


def test_each_byte_of_a_file(project):
    """Data with any byte changed, or truncated anywhere, is ignored (C2)."""
    run(project)
    whole = caches(project)[0].read_bytes()
    assert len(_cache._parse(whole)[1]) == 6  # and a wrapper's template
    for i, byte in enumerate(whole):
        for bit in (1, 128):
            changed = whole[:i] + bytes([byte ^ bit]) + whole[i + 1 :]
            assert not _cache._parse(changed)[1]
        assert not _cache._parse(whole[:i])[1]
    assert not _cache._parse(whole + b"\0")[1]


@pytest.mark.parametrize(
    "instead", ["empty", "foreign", "folder", "fifo", "link to nothing", "another module's"]
)
def test_something_else_in_its_place(project, instead):
    """Whatever is in the file's place, the functions are right, without a message (C2)."""
    run(project)
    (file,) = caches(project)
    if instead == "another module's":
        (project / "other.py").write_text(MODULE.replace("begins", "other's"))
        (project / "main2.py").write_text("import other\n")
        run(project, program="main2.py")
        shutil.copy(caches(project, "other.*")[0], file)
    else:
        file.unlink()
    if instead == "empty":
        file.write_bytes(b"")
    elif instead == "foreign":
        file.write_bytes(b"#!/bin/sh\n" * 100)
    elif instead == "folder":
        file.mkdir()
    elif instead == "fifo":
        os.mkfifo(file)
    elif instead == "link to nothing":
        file.symlink_to(project / "nowhere")
    assert run(project) == EXPECTED
    assert run(project) == EXPECTED
    if instead != "folder":
        assert b"begins" in file.read_bytes()
    assert not list((project / "__pycache__").glob("*.godefer.*"))


@pytest.mark.skipif(PYPY, reason="slow there, and no other code")
def test_processes_that_write_at_once(project):
    """Processes that write at once leave a valid file, and nothing else (C3)."""
    env = {**os.environ, "PYTHONPATH": PARENT, "PYTHONDONTWRITEBYTECODE": ""}
    for _ in range(5):
        for file in caches(project):
            file.unlink()
        processes = [
            subprocess.Popen(
                [sys.executable, "main.py"], cwd=project, env=env, stdout=subprocess.PIPE, text=True
            )
            for _ in range(8)
        ]
        assert {process.communicate()[0] for process in processes} == {EXPECTED}
        assert len(caches(project)) == 1
        assert not list((project / "__pycache__").glob("*.godefer.*"))
    (project / "main.py").write_text("import module, sys\n" + IMPORTED)
    assert run(project) == "[]\n"


def test_a_folder_that_cannot_be_written(project):
    """Where there can be no `__pycache__`, nothing is written, without a message (C1)."""
    (project / "__pycache__").write_text("a file")
    assert run(project) == EXPECTED
    assert (project / "__pycache__").read_text() == "a file"


STORM = """\
import module
from godefer import _cache
(file,) = _cache._files.values()
print("writes", flush=True)
for _ in range(100_000):
    file.write()
"""


def test_a_process_that_is_killed_while_it_writes(project):
    """A process that is killed while it writes leaves the cache file whole (C3)."""
    run(project)
    (project / "storm.py").write_text(STORM)
    env = {**os.environ, "PYTHONPATH": PARENT, "PYTHONDONTWRITEBYTECODE": ""}
    (project / "check.py").write_text("import module, sys\n" + IMPORTED)
    half_written = set()
    for attempt in range(100):
        with subprocess.Popen(
            [sys.executable, "storm.py"], cwd=project, env=env, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout.readline()
            time.sleep(0.01 + attempt % 10 / 1000)
            process.kill()
        assert process.returncode, "it has ended before"
        assert run(project, program="check.py") == "[]\n"
        # A file is written under another name, and then moved into place.
        half_written.update((project / "__pycache__").glob("*.godefer.*"))
        if len(half_written) == 3:
            break
    assert half_written


FORK = """\
import os, signal, threading
import module
from godefer import _cache

held, done = threading.Event(), threading.Event()

def hold():
    with _cache._lock():
        held.set()
        done.wait()

threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    events = []
    module.outer()(events)
    os._exit(0 if events == ["inner"] else 1)
print(os.waitpid(child, 0)[1])
done.set()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_the_cache_is_locked(project):
    """A process that is forked while a thread uses the cache can decorate functions (C3)."""
    (project / "fork.py").write_text(FORK)
    assert run(project, "-W", "ignore", program="fork.py") == "0\n"


def test_a_file_does_not_grow(project):
    """The cache file of a module does not grow when the module is edited again and again (C2)."""
    run(project)
    size = caches(project)[0].stat().st_size
    for n in range(5):
        (project / "module.py").write_text("\n" * (n + 1) + MODULE)
        assert run(project) == EXPECTED
    assert caches(project)[0].stat().st_size < 1.1 * size


def test_the_mode_of_a_file(project):
    """The cache file has the same read and write permissions as the source (C1)."""
    (project / "module.py").chmod(0o600)
    (project / "main.py").write_text("import os\nos.umask(0)\n" + MAIN)
    run(project)
    assert caches(project)[0].stat().st_mode & 0o777 == 0o600


def test_a_tree_that_is_gone(project):
    """A folder that the program has deleted is not made again at the program's end (C1)."""
    (project / "gone").mkdir()
    shutil.copy(project / "module.py", project / "gone")
    (project / "main.py").write_text(
        "import shutil, sys\nsys.path[0] = 'gone'\nimport module\nshutil.rmtree('gone')\n"
    )
    run(project)
    assert not (project / "gone").exists()


def test_another_folder_at_the_end(project):
    """The cache file is beside its module, although the program has changed directory (C1)."""
    (project / "to").mkdir()
    (project / "script.py").write_text(MODULE + "import os\nos.chdir('to')\n")
    run(project, program="script.py")
    assert caches(project, "script.*")
    assert not list((project / "to").iterdir())


def test_open_is_replaced(project):
    """A warm start does not call the built-in `open`, which a program may replace (C1)."""
    run(project)
    (project / "main.py").write_text(
        "from unittest import mock\n"
        "with mock.patch('builtins.open', mock.mock_open(read_data='x')) as opened:\n"
        "    import module\n"
        "assert opened.mock_calls == []\n"
    )
    run(project)


def test_a_script_in_safe_mode(project):
    """With `-P`, where others may write beside a script, a script has no cache (C1)."""
    (project / "script.py").write_text(MODULE)
    run(project, "-P", program="script.py")
    assert caches(project, "script.*") == []


def test_a_result_that_cannot_be_kept(project):
    """A `result` of a user's class, which cannot be cached, is compiled without a message (C2)."""
    text = MODULE.replace('result="found"', "result=Names('found')").replace(
        "import godefer\n",
        "import godefer, collections\nNames = collections.namedtuple('Names', 'one')\n",
    )
    (project / "module.py").write_text(text)
    assert run(project).splitlines()[2] == "named ['exits'] (7,) open-coded"


def test_the_digest_of_the_compiler():
    """`_cache.COMPILER` is the digest of the compiler's source (C2).

    After a change of the compiler, write the new digest there.
    """
    package = Path(godefer.__file__).parent
    texts = [path.read_bytes() for path in sorted((package / "_compiler").glob("*.py"))]
    texts += [(package / "_runtime" / name).read_bytes() for name in ("constants.py", "wrapper.py")]
    assert hashlib.sha256(b"".join(texts)).hexdigest()[:12] == _cache.COMPILER
