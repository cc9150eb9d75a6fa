"""python -m godefer: what it prints, where, and its exit status."""

import io
import os
import runpy
import select
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from godefer import __main__ as command_line
from godefer import _demo, with_defers

COMMAND = [sys.executable, "-m", "godefer"]


def run_command(*arguments, **environment):
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, timeout=120
    )


def run_on_terminal(*arguments, **environment):
    """What the command writes to a terminal of its own."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    leader, follower = pty.openpty()
    process = subprocess.Popen([*COMMAND, *arguments], stdout=follower, env={**os.environ, **environment})
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 120)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    return process.wait(120), written.decode()


def test_demo_in_a_pipe_is_plain_text_and_succeeds():
    """The demo checks out, exits with 0, and writes no colours into a pipe."""
    done = run_command("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.endswith("All 6 steps checked out.\n")


def test_demo_prints_the_code_it_runs_and_what_happened_in_order():
    """Each step shows its function's source, and the deferred calls last in, first out."""
    lines = run_command("demo").stdout.splitlines()
    source = [
        "    @with_defers",
        "    def copy(source: Path, target: Path) -> None:",
        '        src = source.open("rb")',
    ]
    start = lines.index(source[1]) - 1
    assert lines[start : start + 3] == source
    calls = lines[lines.index("   copy(source, target):") + 1 :][:6]
    assert [line.split()[1:] for line in calls] == [
        ["open", "_demo.py"],
        ["open", "copy.py"],
        ["read", "_demo.py"],
        ["write", "copy.py"],
        ["close", "copy.py", "deferred"],
        ["close", "_demo.py", "deferred"],
    ]


def test_demo_on_a_terminal_has_colours():
    """On a terminal the lines that defer stand out."""
    status, written = run_on_terminal("demo", NO_COLOR="", TERM="xterm")
    assert status == 0
    assert "\x1b[33m    defer(src.close)\x1b[0m" in written


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1", "TERM": "xterm"}, {"NO_COLOR": "", "TERM": "dumb"}])
def test_demo_on_a_terminal_without_colours(environment):
    """NO_COLOR, and a terminal that knows no colours, are respected."""
    status, written = run_on_terminal("demo", **environment)
    assert status == 0
    assert "\x1b" not in written


def test_demo_leaves_nothing_behind(tmp_path):
    """The demo removes its temporary directory, and writes nowhere else."""
    out = io.StringIO()
    before = os.listdir()
    assert run_command("demo", TMPDIR=str(tmp_path), TEMP=str(tmp_path)).returncode == 0
    assert _demo.run(out)
    assert list(tmp_path.iterdir()) == []
    assert os.listdir() == before


def test_demo_says_which_check_failed(monkeypatch, capsys):
    """A step that does not check out is named at the end, and the exit status is 1."""

    def copy(source, target):
        target.write_bytes(source.read_bytes()[:-1])

    monkeypatch.setattr(_demo, "copy", copy)
    assert command_line.main(["demo"]) == 1
    assert capsys.readouterr().out.endswith(
        " checks FAILED:\n  step 1: the copy has the same "
        f"{Path(_demo.__file__).stat().st_size:,} bytes\n  step 1: last opened, first closed\n"
    )


def test_demo_notices_a_lock_that_stays_locked(monkeypatch):
    """A deferred release that does not run is a failed check, and no demo that hangs."""

    @with_defers
    def draw_ticket(counter, lock, last):
        lock.acquire()

    monkeypatch.setattr(_demo, "draw_ticket", draw_ticket)
    monkeypatch.setattr(_demo, "_PATIENCE", 0.1)
    out = io.StringIO()
    assert not _demo.run(out)
    assert "step 3: the lock is released\n" in out.getvalue()


def test_demo_goes_on_after_a_step_that_raises(monkeypatch):
    """A step that raises is shown with its traceback and fails; the others run, and the directory is removed."""

    def load(path, problems):
        raise LookupError(path.name)

    monkeypatch.setattr(_demo, "load", load)
    out = io.StringIO()
    assert not _demo.run(out)
    assert "    raise LookupError(path.name)\nLookupError: good.json\n" in out.getvalue()
    assert out.getvalue().endswith(" checks FAILED:\n  step 4: the step runs without LookupError\n")


def test_demo_notices_a_directory_that_cannot_be_made(monkeypatch, tmp_path):
    """Where there is no temporary directory, the demo says so and fails."""
    monkeypatch.setattr(_demo.tempfile, "tempdir", str(tmp_path / "missing"))
    out = io.StringIO()
    assert not _demo.run(out)
    assert "FileNotFoundError" in out.getvalue()
    assert "the directory is gone" in out.getvalue().split("checks FAILED:")[1]


def test_a_reader_that_stops_reading_is_no_error_message():
    """`python -m godefer demo | head -1` ends with status 1 and without a traceback."""
    process = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(120) == 1


def test_a_broken_pipe_is_status_1(monkeypatch):
    """The status is 1 whether the pipe breaks in the middle or at the last flush, and stdout can be closed afterwards."""
    for buffer_size in (64, 1 << 20):
        reading, writing = os.pipe()
        os.close(reading)
        with open(writing, "w", buffer_size) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            assert command_line.main(["demo"]) == 1


def test_version(monkeypatch, capsys):
    """`python -m godefer --version` prints the version of the package."""
    monkeypatch.setattr(sys, "argv", ["godefer", "--version"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(command_line.__file__, run_name="__main__")
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"godefer {godefer.__version__}\n"


def test_help_names_the_subcommands(capsys):
    """`--help` says what there is, and `demo --help` what the demo does."""
    for arguments, text in ((["--help"], "demo"), (["demo", "--help"], "SQLite")):
        with pytest.raises(SystemExit) as exit_:
            command_line.main(arguments)
        assert exit_.value.code == 0
        assert text in capsys.readouterr().out


def test_a_missing_subcommand_is_a_usage_error(capsys):
    """Without a subcommand the exit status is 2, and the usage is shown."""
    with pytest.raises(SystemExit) as exit_:
        command_line.main([])
    assert exit_.value.code == 2
    assert "usage: python -m godefer" in capsys.readouterr().err
