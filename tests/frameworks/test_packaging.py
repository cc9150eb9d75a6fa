"""Programs packed by PyInstaller, shiv and pex are open-coded and start warm (C1, C4, C5).

docs/shipping.md has these commands for its reader.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import godefer

PARENT = str(Path(godefer.__file__).resolve().parent.parent)

MODULE = """\
from godefer import defer, with_defers

@with_defers(result="err")
def close(n):
    for i in range(n):
        defer(print, i)
    err = n
"""

PROGRAM = """\
import sys
from godefer import defer, explain, with_defers
from shop import till

@with_defers(result="err")
def main():
    defer(till.close, 2)
    err = "main"

if __name__ == "__main__":
    print(main())
    print("godefer._compiler" in sys.modules)
    print(explain(till.close).cached.rpartition("/")[2].partition(".")[0])
    print(explain(main).cached.rpartition("/")[2].partition(".")[0])
    for fn in till.close, main:
        print(explain(fn).way)
"""
MISSING = "{} is not installed (the extra 'frameworks' has it)"
EXPECTED = "1\n0\nmain\nFalse\ntill\nprogram\nopen-coded\nopen-coded\n"


def run(folder, *arguments, **environment):
    """Run a program in a folder, and return its output."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        arguments,
        cwd=folder,
        env=env | {"PYTHONPATH": PARENT} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a folder with a program and a package of its own, compiled ahead of time."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "shop").mkdir()
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "till.py").write_text(MODULE)
    (folder / "program.py").write_text(PROGRAM)
    run(folder, sys.executable, "-m", "godefer", "compile", ".")
    return folder


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def frozen(project):
    """Return the folder that PyInstaller makes of the project."""
    pytest.importorskip("PyInstaller", reason=MISSING.format("PyInstaller"))
    run(
        project,
        *(sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", "--noconfirm"),
        *("--paths", ".", "--paths", PARENT, "--collect-data", "shop"),
        *("--add-data", f"__pycache__/*.godefer{os.pathsep}__pycache__", "program.py"),
        PYTHONPATH=os.pathsep.join([PARENT, str(project)]),
    )
    return project / "dist" / "program"


def test_pyinstaller(frozen, elsewhere):
    """The script and the modules are open-coded and have named results, without a source (C5)."""
    assert not list(frozen.rglob("till.py"))
    assert run(elsewhere, str(frozen / "program"), PYTHONPATH="") == EXPECTED


def test_pyinstaller_in_another_place(frozen, elsewhere):
    """The program does the same after its folder has been moved (C2)."""
    moved = shutil.copytree(frozen, elsewhere / "moved", symlinks=True)
    assert run(elsewhere, str(moved / "program"), PYTHONPATH="") == EXPECTED


def copied(project, folder):
    """Copy the contents of an archive, which unpacks itself when it starts, into *folder*."""
    for name in ("shop", "__pycache__"):
        shutil.copytree(project / name, folder / name)
    shutil.copy(project / "program.py", folder)
    # An archive may find an installed godefer before the one on PYTHONPATH.
    shutil.copytree(Path(godefer.__file__).parent, folder / "godefer")
    return folder


def test_shiv(project, elsewhere):
    """The first start is warm, and the next start prints the same (C4, C5)."""
    pytest.importorskip("shiv", reason=MISSING.format("shiv"))
    site = copied(project, elsewhere / "site")
    archive, root = elsewhere / "program.pyz", str(elsewhere / "root")
    (site / "start.py").write_text(
        "import runpy\ndef main():\n    runpy.run_module('program', run_name='__main__')\n"
    )
    run(
        elsewhere,
        *(sys.executable, "-m", "shiv", "--site-packages", str(site), "-o", str(archive)),
        *("-e", "start:main"),
    )
    for _ in range(2):
        assert run(elsewhere, sys.executable, str(archive), SHIV_ROOT=root) == EXPECTED


def test_pex(project, elsewhere):
    """The first start is warm, and the next start prints the same (C4, C5)."""
    pytest.importorskip("pex", reason="pex is not installed (it is large: no extra has it)")
    site = copied(project, elsewhere / "site")
    archive, root = elsewhere / "program.pex", str(elsewhere / "root")
    run(
        elsewhere,
        *(sys.executable, "-m", "pex", "--inherit-path=fallback", "-D", str(site)),
        *("-m", "program", "-o", str(archive)),
        PEX_ROOT=root,
    )
    for _ in range(2):
        assert run(elsewhere, sys.executable, str(archive), PEX_ROOT=root) == EXPECTED
