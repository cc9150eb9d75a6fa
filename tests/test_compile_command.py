"""``python -m godefer compile``: cache files of modules that are not imported (C4)."""

import os
import py_compile
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import godefer
from tests.helpers import python

PARENT = str(Path(godefer.__file__).resolve().parent.parent)

MODULE = """\
import os.path
from concurrent import futures
import godefer as gd
from godefer import defer as later, using, with_defers
from godefer import *

if IMPORTED:
    raise RuntimeError("imported")

@with_defers
def plain(x):
    later(print, os.path.join("a", x))
    return futures.wait

@gd.with_defers(result="found")
def named(x):
    gd.defer(print, "named")
    found = x

class A:
    @classmethod
    @with_defers
    def listed(cls, n=2):
        for i in range(n):
            errdefer(print, i)
            later(print, i)

    @with_defers(result=("one", "two"))
    async def waits(self):
        one = two = 1
        later(print, "waits")

    @with_defers
    def _entered(self, path, *, mode="r"):
        file = using(open(path, mode))
        return file.read

def outer(n):
    @with_defers
    def inner(m):
        @later
        def last():
            print(n, m)
        print("inner")
    return inner

def applied():
    later(print, "applied")
applied = with_defers(applied)

if 0:
    @with_defers
    def never():
        later(print)
"""

MAIN = """\
import sys
import module
print([name for name in ("godefer._compiler",) if name in sys.modules])
module.plain("x")
print(module.named(3))
module.A.listed()
module.A()._entered(module.__file__)
module.outer(1)(2)
module.applied()
from godefer import explain
ways = {explain(f).way for f in (module.plain, module.named, module.A.listed, module.A.waits,
                                 module.A._entered, module.outer(1), module.applied)}
print(ways, explain(module.plain).cached.endswith(".godefer"))
"""
EXPECTED = """\
[]
a/x
named
3
1
0
inner
1 2
applied
{'open-coded'} True
"""


def run(folder, *arguments, status=0, **environment):
    """Run Python in a folder, and return its output on both streams."""
    done = python(*arguments, cwd=folder, stderr=subprocess.STDOUT, **environment)
    assert done.returncode == status, done.stdout
    return done.stdout


def compile_(folder, *arguments, status=0, **environment):
    """Run the command, and return its output."""
    return run(folder, "-m", "godefer", "compile", *arguments, status=status, **environment)


@pytest.fixture
def project(tmp_path):
    """Return a folder with a module that cannot be imported yet, and a program that uses it."""
    (tmp_path / "module.py").write_text(f"IMPORTED = False\n{MODULE}")
    (tmp_path / "main.py").write_text(MAIN)
    return tmp_path


def test_a_program_that_was_compiled_ahead(project):
    """The first start of a compiled program needs no compiler, for all kinds of
    functions and names (C4, C5).
    """
    (project / "module.py").write_text(f"IMPORTED = True\n{MODULE}")
    assert compile_(project, ".") == "compiled: 7, fresh: 0, problems: 0\n"
    text = (project / "module.py").read_text()
    (project / "module.py").write_text(text.replace("IMPORTED = True", "IMPORTED = None"))
    assert run(project, "-B", "main.py") == EXPECTED


def test_a_package_without_sources(project):
    """A package of `.pyc` files alone has open coding and named results (C4, C5)."""
    compile_(project, "module.py")
    py_compile.compile(str(project / "module.py"), str(project / "module.pyc"), doraise=True)
    (project / "module.py").unlink()
    text = MAIN.replace("module.__file__", "__file__")
    (project / "main.py").write_text(text)
    assert run(project, "-B", "main.py") == EXPECTED


def archive_of(project, program):
    """Make an archive of the module, its cache file and a program."""
    archive = project / "program.pyz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in project.rglob("module.*"):
            file.write(path, path.relative_to(project))
        file.writestr("__main__.py", program)
    return archive


def test_an_archive(project):
    """A zip archive with the cache files in it starts warm, and nothing is written (C1, C4)."""
    compile_(project, ".")
    archive = archive_of(project, MAIN.replace("module.__file__", repr(str(project / "main.py"))))
    before = archive.read_bytes()
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    assert run(elsewhere, str(archive)) == EXPECTED
    assert archive.read_bytes() == before
    assert list(elsewhere.iterdir()) == []


def test_an_archive_that_is_named_otherwise(project):
    """An archive starts warm by any path to it, also with `sys.pycache_prefix` set (C1, C4)."""
    compile_(project, ".")
    archive_of(project, MAIN.replace("module.__file__", repr(str(project / "main.py"))))
    (project / "inner").mkdir()
    path = os.path.join("..", "inner", "..", "program.pyz")
    prefix = project / "prefix"
    assert run(project / "inner", path, PYTHONPYCACHEPREFIX=str(prefix)) == EXPECTED
    assert not list(prefix.rglob("*.godefer"))


def test_an_archive_that_is_damaged(project):
    """A cache file that cannot be read out of its archive is ignored (C2)."""
    compile_(project, ".")
    archive = archive_of(project, "import module\nprint(module.named(3))\n")
    with zipfile.ZipFile(archive) as file:
        (info,) = (info for info in file.infolist() if info.filename.endswith(".godefer"))
    data = bytearray(archive.read_bytes())
    begin = info.header_offset + 30 + len(info.filename)
    data[begin : begin + info.compress_size] = b"\xff" * info.compress_size
    archive.write_bytes(data)
    assert run(project, str(archive)) == "named\n3\n"


def test_without_sources_a_prefix_leads_nowhere(project):
    """The cache file beside a `.pyc` without a source is found, also with `sys.pycache_prefix`
    set (C1, C5).
    """
    compile_(project, ".")
    py_compile.compile(str(project / "module.py"), str(project / "module.pyc"), doraise=True)
    (project / "module.py").unlink()
    (project / "main.py").write_text(MAIN.replace("module.__file__", "__file__"))
    assert run(project, "main.py", PYTHONPYCACHEPREFIX=str(project / "prefix")) == EXPECTED


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs os.mkfifo")
def test_without_sources_something_else_is_in_the_place(project):
    """Without a source, a fifo in the place of the cache file is ignored as well (C2)."""
    (project / "module.py").write_text(
        "from godefer import defer, explain, with_defers\n"
        "@with_defers\ndef f():\n    defer(print, explain(f).way)\n"
    )
    compile_(project, ".")
    py_compile.compile(str(project / "module.py"), str(project / "module.pyc"), doraise=True)
    (project / "module.py").unlink()
    (file,) = (project / "__pycache__").glob("*.godefer")
    file.unlink()
    os.mkfifo(file)
    assert run(project, "-c", "import module; module.f()") == "runtime\n"


def test_a_frozen_program(project):
    """The script of a frozen program has a cache file, though the
    interpreter is in safe mode (C1).
    """
    text = MODULE.replace("if IMPORTED:", "if False:")
    (project / "script.py").write_text(f"import sys\nsys.frozen = True\n{text}")
    compile_(project, "script.py")
    (project / "script.py").write_text(
        f"import sys\nsys.frozen = True\n{text}print('godefer._compiler' in sys.modules)\n"
    )
    safe = f"import runpy, sys; sys.path.insert(0, {PARENT!r}); runpy.run_path('script.py')"
    assert run(project, "-B", "-P", "-c", safe) == "False\n"
    unfrozen = (project / "script.py").read_text().replace("sys.frozen = True", "sys.other = True")
    (project / "script.py").write_text(unfrozen)
    assert run(project, "-B", "-P", "-c", safe) == "True\n"


def test_a_wheel_without_sources(project):
    """A wheel of `.pyc` files and cache files, without sources, is installed
    and starts warm (C4, C5).
    """
    pytest.importorskip("pip")
    compile_(project, ".")
    py_compile.compile(str(project / "module.py"), str(project / "module.pyc"), doraise=True)
    (project / "module.py").unlink()
    wheel = project / "module-1-py3-none-any.whl"
    contents = [project / "module.pyc", *(project / "__pycache__").glob("module.*.godefer")]
    with zipfile.ZipFile(wheel, "w") as file:
        for path in contents:
            file.write(path, path.relative_to(project))
        info = "module-1.dist-info"
        file.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: module\nVersion: 1\n")
        file.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        file.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in file.namelist()))
    installed = project / "installed"
    run(
        *(project, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
        *("--no-index", "--no-deps", "--target", str(installed), str(wheel)),
    )
    (installed / "main.py").write_text(MAIN.replace("module.__file__", "__file__"))
    assert run(installed, "-B", "main.py") == EXPECTED


def test_dont_write_bytecode(project):
    """The command writes although PYTHONDONTWRITEBYTECODE is set, as `compileall` does (C4)."""
    assert compile_(project, ".", PYTHONDONTWRITEBYTECODE="1").startswith("compiled: 7,")
    assert list((project / "__pycache__").glob("module.*.godefer"))


def test_optimized(project):
    """`python -O -m godefer compile` writes the files for `-O`, and no others (C2, C4)."""
    run(project, "-O", "-m", "godefer", "compile", ".")
    assert run(project, "-O", "main.py") == EXPECTED
    assert compile_(project, ".") == "compiled: 7, fresh: 0, problems: 0\n"


def test_check(project):
    """`--check` writes nothing, and names the functions that the files do not have (C4)."""
    missing = "the cache file does not have it"
    printed = compile_(project, "--check", ".", status=1)
    assert printed.count(missing) == 7
    assert f"./module.py:11: plain: {missing}\n" in printed
    assert not (project / "__pycache__").exists()
    compile_(project, ".")
    assert compile_(project, "--check", ".") == "compiled: 0, fresh: 7, problems: 0\n"
    assert compile_(project, "--check", "--quiet", ".") == ""
    text = (project / "module.py").read_text()
    (project / "module.py").write_text(text.replace("print(n, m)", 'print(n, m, "edited")'))
    printed = compile_(project, "--check", "--quiet", ".", status=1)
    assert printed == f"./module.py:40: outer.<locals>.inner: {missing}\n"
    assert compile_(project, "--quiet", ".") == ""
    assert compile_(project, "--check", ".") == "compiled: 0, fresh: 7, problems: 0\n"


PROBLEMS = {
    "@with_defers\ndef f(x):\n    later = defer\n    later(x)\n": (
        "./p.py:2: f: it is run the runtime way, because defer is used as a value, "
        "or inside an expression, at line 4"
    ),
    "@with_defers(result='eror')\ndef f(x):\n    defer(x)\n    error = 1\n": "./p.py:2: f: ",
    "RESULT = 'x'\n@with_defers(result=RESULT)\ndef f(x):\n    defer(x)\n": (
        "./p.py:4: f: its result is no literal; it is compiled when the module is imported"
    ),
    "@with_defers\ndef f(x:\n    defer(x)\n": "./p.py:3: ",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_problems(tmp_path, text):
    """A file that cannot be compiled is reported with its place and the reason, each time (C4)."""
    (tmp_path / "p.py").write_text("from godefer import defer, with_defers\n" + text)
    for _ in range(2):
        problem = compile_(tmp_path, "--quiet", ".", status=1)
        assert problem.startswith(PROBLEMS[text])
        assert problem.count("\n") == 1


def test_a_file_that_cannot_be_written(project):
    """A cache file that cannot be written is a problem (C4)."""
    (project / "__pycache__").write_text("a file")
    printed = compile_(project, "--quiet", ".", status=1)
    assert printed.startswith("./module.py:1: ")
    assert printed.endswith(" could not be written\n")


def test_a_path_that_is_not_there(tmp_path):
    """A path that cannot be read is an error of the command; the others are compiled (C4)."""
    (tmp_path / "p.py").write_text("x = 1\n")
    printed = compile_(tmp_path, "nowhere.py", "p.py", status=2)
    assert printed.splitlines() == [
        "python -m godefer compile: nowhere.py: No such file or directory",
        "compiled: 0, fresh: 0, problems: 0",
    ]


def test_a_name_that_turns_out_otherwise(tmp_path):
    """A function whose names mean something else at run time is compiled again then, for this
    meaning (C2, C4).
    """
    (tmp_path / "names.py").write_text("from godefer import defer as later\n")
    (tmp_path / "module.py").write_text(
        "import names\nfrom godefer import defer, errdefer, explain, with_defers\n"
        "globals().update(errdefer=defer)\n"
        "@with_defers\ndef one():\n    names.later(print, 1)\n    defer(print, 2)\n"
        "@with_defers\ndef two():\n    errdefer(print, 3)\n    defer(print, 4)\n"
        "one()\ntwo()\nprint(explain(one).way, explain(two).way, explain(two).cached)\n"
    )
    assert compile_(tmp_path, ".") == "compiled: 2, fresh: 0, problems: 0\n"
    assert run(tmp_path, "-B", "module.py") == "2\n1\n4\n3\nopen-coded open-coded \n"


def test_a_tree_that_is_moved(project, tmp_path_factory):
    """An image that is built in one place and run in another starts warm (C4)."""
    compile_(project, ".")
    moved = tmp_path_factory.mktemp("image") / "app"
    shutil.copytree(project, moved)  # the times of the files differ, too
    assert run(moved, "-B", "main.py") == EXPECTED
