"""The cache on a full disk, in a read-only folder, damaged, or after a crash (C1, C2, C3).

Each start must give the usual output and no message. Where a cache file can be written, it must be
complete.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from tests import cache_faults
from tests.cache_faults import NotAllowedError, Project, expected, mounted

PYPY = sys.implementation.name == "pypy"
SEED = 13
slow = pytest.mark.skipif(PYPY, reason="slow there, and no other code")


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture
def mount():
    """Return `mounted`, or skip the test where this process may not mount."""

    def attempt(stack, folder, *options):
        try:
            stack.enter_context(mounted(folder, *options))
        except NotAllowedError as e:
            pytest.skip(f"needs to mount: {e}")

    return attempt


def tmpfs(size, *more):
    return ["-t", "tmpfs", "-o", ",".join([f"size={size}", *more]), "tmpfs"]


PAGE = os.sysconf("SC_PAGE_SIZE")


def pages(path):
    return -(-path.stat().st_size // PAGE)


# A full disk


def test_a_disk_of_any_size(project, mount):
    """On a disk of any size there is no message; the cache file is complete or absent (C1, C3)."""
    assert not project.wrong()
    # The interpreter would leave a broken .pyc where part of it fits. The test writes it.
    (pyc,) = project.pycache.glob("module.*.pyc")
    data = pyc.read_bytes()
    room, needed = pages(pyc), pages(pyc) + pages(project.file)
    shutil.rmtree(project.pycache)
    project.pycache.mkdir()
    fits = []
    for n in range(room, needed + 2):
        with contextlib.ExitStack() as stack:
            mount(stack, project.pycache, *tmpfs(n * PAGE))
            pyc.write_bytes(data)
            assert not project.wrong()
            assert not project.wrong()
            assert not project.left_over()
            assert project.file.exists() == project.is_whole()
            fits.append(project.is_whole())
    assert fits[0] is False
    assert fits[-1] is True


def test_a_disk_without_room_for_names(project, mount):
    """On a disk that takes no further file there is no message, and nothing is left (C1)."""
    project.pycache.mkdir()
    with contextlib.ExitStack() as stack:
        mount(stack, project.pycache, *tmpfs("1m", "nr_inodes=1"))
        assert not project.wrong()
        assert list(project.pycache.iterdir()) == []


def test_a_disk_that_was_full(project, mount):
    """A file from before the disk was full stays whole, and is replaced as
    soon as there is room (C3).
    """
    project.pycache.mkdir()
    with contextlib.ExitStack() as stack:
        mount(stack, project.pycache, *tmpfs("256k"))
        assert not project.wrong()
        before = project.file.read_bytes()
        filler = project.pycache / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(PAGE))
        project.edit("other")
        assert not project.wrong()
        assert not project.wrong()
        assert project.file.read_bytes() == before
        assert not project.left_over()
        filler.unlink()
        assert not project.wrong()
        assert project.file.read_bytes() != before
        assert project.is_whole()
        assert project.is_warm()


def test_a_file_may_not_grow(project):
    """A cache file that would exceed the process's size limit is not written (C1, C3)."""
    resource = pytest.importorskip("resource")
    assert not project.wrong()
    size = project.file.stat().st_size
    for limit in (0, 1, 20, size // 2, size - 1, size):
        project.file.unlink()

        def limited(limit=limit):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        assert not project.wrong(preexec_fn=limited)
        assert project.is_whole() == project.file.exists() == (limit == size)
        assert not project.left_over()
        assert not project.wrong()
        assert project.is_whole()


# A folder that cannot be written


@pytest.fixture(params=["mode", "mount"])
def read_only(request, project, mount):
    """Return a context manager that makes a folder read-only; it yields a prefix for commands."""

    @contextlib.contextmanager
    def read_only(folder):
        if request.param == "mount":
            with contextlib.ExitStack() as stack:
                mount(stack, folder, "--bind", str(folder))
                subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
                yield []
            return
        before = []
        if os.geteuid() == 0:  # root ignores modes unless it gives up that right
            before = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
            if shutil.which("setpriv") is None:
                pytest.skip("needs setpriv to test modes as root")
        folder.chmod(0o555)
        try:
            yield before
        finally:
            folder.chmod(0o755)

    return read_only


@pytest.mark.parametrize("there", ["nothing", "whole", "stale", "damaged"])
def test_a_read_only_folder(project, read_only, there):
    """A file in a read-only folder is used if it is valid, and is left as it is (C1)."""
    project.pycache.mkdir()
    if there != "nothing":
        assert not project.wrong()
    if there == "stale":
        project.edit("other")
    elif there == "damaged":
        project.file.write_bytes(project.file.read_bytes()[:-1])
    before = {path.name: path.read_bytes() for path in project.pycache.iterdir()}
    with read_only(project.pycache) as words:
        assert not project.wrong(before=words)
        assert not project.wrong(before=words)
        assert project.is_warm(before=words) == (there == "whole")
    assert {path.name: path.read_bytes() for path in project.pycache.iterdir()} == before
    assert not project.wrong()
    assert project.is_whole()


def test_a_read_only_tree(project, read_only):
    """In a tree that cannot be written no folder is made (C1)."""
    with read_only(project.folder) as words:
        assert not project.wrong(before=words)
    assert not project.pycache.exists()


# Damage


@slow
def test_damage(tmp_path):
    """After any damage to the file the program does the same, and the file is replaced (C2)."""
    assert cache_faults.damaged(tmp_path / "project", 21, SEED) == []


# No `.pyc` is written meanwhile: those of the standard library would get the wrong number.
AS_ANOTHER = """\
import sys
import _frozen_importlib_external as external
magic, sys.dont_write_bytecode = external.MAGIC_NUMBER, True
external.MAGIC_NUMBER = b"\\x01\\x02\\r\\n"
from godefer import _cache
external.MAGIC_NUMBER, sys.dont_write_bytecode = magic, False
exec(compile(open("main.py").read(), "main.py", "exec"))
"""


# The files of another Python or godefer are for a module of the same text. So they differ from the
# module's own file in nothing but the version.


def of_another_python(project, tmp_path):
    """Return the file of a Python with another magic number."""
    other = Project(tmp_path / "other")
    (other.folder / "other.py").write_text(AS_ANOTHER)
    assert other.start("other.py").communicate() == (expected("body"), "")
    assert b"\x01\x02\r\n" in other.file.read_bytes()[:20]
    return other.file.read_bytes()


def of_another_version(project, tmp_path):
    """Return the file of another version of godefer."""
    return _written_by_a_changed("_version.py", '__version__ = "', tmp_path)


def of_another_compiler(project, tmp_path):
    """Return the file of a godefer of this version with another compiler."""
    return _written_by_a_changed("_cache.py", 'COMPILER = "', tmp_path)


def _written_by_a_changed(name, text, tmp_path):
    package = tmp_path / "site" / "godefer"
    shutil.copytree(Path(godefer.__file__).parent, package)
    whole = (package / name).read_text()
    assert text in whole
    (package / name).write_text(whole.replace(text, f"{text}9"))
    other = Project(tmp_path / "other")
    env = {"PYTHONPATH": str(package.parent), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-S", "main.py"],
        cwd=other.folder,
        env=env,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    )
    assert done.stdout == expected("body")
    return other.file.read_bytes()


def of_another_module(project, tmp_path):
    """Return the file of another module with functions of the same names."""
    other = Project(tmp_path / "other", "rest")  # of equal length, for equal columns
    assert not other.wrong()
    return other.file.read_bytes()


def of_another_optimization(project, tmp_path):
    """Return the file of `-O`, where functions have no assertions."""
    assert not project.wrong("-O")
    (file,) = project.pycache.glob("module.*.opt-1.godefer")
    return file.read_bytes()


def a_pyc(project, tmp_path):
    """Return the module's own `.pyc`."""
    assert not project.wrong()
    return project.file.with_suffix(".pyc").read_bytes()


@pytest.mark.parametrize(
    "make",
    [
        of_another_python,
        of_another_version,
        of_another_compiler,
        of_another_module,
        of_another_optimization,
        a_pyc,
    ],
)
def test_the_file_of_another(project, tmp_path, make):
    """A file that was written for something else is ignored, and replaced (C2)."""
    foreign = make(project, tmp_path)
    project.pycache.mkdir(exist_ok=True)
    project.file.write_bytes(foreign)
    assert not project.wrong()
    assert project.file.read_bytes() != foreign
    assert project.is_whole()
    assert project.is_warm()


@pytest.mark.parametrize(
    "what", ["a link to itself", "a link to a device", "a socket", "too large"]
)
def test_something_else_in_its_place(project, what):
    """An unreadable or endless file is ignored, and replaced (C2)."""
    assert not project.wrong()
    project.file.unlink()
    if what == "a link to itself":
        project.file.symlink_to(project.file)
    elif what == "a link to a device":
        project.file.symlink_to("/dev/zero")
    elif what == "a socket":
        with socket.socket(socket.AF_UNIX) as there:
            here = Path.cwd()
            os.chdir(project.pycache)  # the whole path may be too long for a socket
            try:
                there.bind(project.file.name)
            finally:
                os.chdir(here)
    else:
        with project.file.open("wb") as file:
            file.truncate(1 << 40)
    assert not project.wrong()
    assert project.file.is_file()
    assert not project.file.is_symlink()
    assert project.is_whole()


def test_a_file_that_cannot_be_read(project):
    """A file without read permission is ignored, and replaced (C2)."""
    assert not project.wrong()
    project.file.write_bytes(b"")
    project.file.chmod(0)
    words = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("needs setpriv to test modes as root")
        words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    assert not project.wrong(before=words)
    assert project.is_whole()


# Processes


@slow
def test_processes_that_write_at_once(tmp_path):
    """Processes of two trees write one shared file again and again, and each works (C2, C3)."""
    assert cache_faults.writers(tmp_path, 8, 6) == []


@slow
def test_processes_that_are_killed_while_they_write(tmp_path):
    """A process killed while it writes leaves the old file or the new one, complete (C3)."""
    wrong, writing = cache_faults.killed(tmp_path / "project", 30, SEED)
    assert wrong == []
    assert writing


@slow
def test_starts_that_are_killed(tmp_path):
    """After a program is killed at any moment of its start, the next start works (C3)."""
    assert cache_faults.killed_starts(tmp_path / "project", 10, SEED) == []


def test_half_written_files_are_not_in_the_way(project):
    """A half-written file of a killed process does not keep a start from writing its own (C3)."""
    assert not project.wrong()
    data = project.file.read_bytes()
    project.file.unlink()
    left = project.file.with_name(f"{project.file.name}.1.2")
    left.write_bytes(data[:100])
    assert not project.wrong()
    assert project.is_whole()


@pytest.mark.project
def test_the_long_form(capsys):
    """`python -m tests.cache_faults` prints its seed and its failures."""
    few = ["--damages=7", "--kills=2", "--killed-starts=1", "--processes=2", "--starts=1"]
    assert cache_faults.main(["--seed=4", *few]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 4\n7 damages: 0 wrong")
    assert printed.count("0 wrong") == 4
