"""python -m godefer: its output, its streams, and its exit status."""

import contextlib
import io
import os
import re
import runpy
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import godefer
from godefer import with_defers
from godefer._cli import command as command_line
from godefer._cli import demo

pytestmark = pytest.mark.project

COMMAND = [sys.executable, "-m", "godefer"]

# The commands get the environment of this test run without these variables.
PLAIN = {
    name: value
    for name, value in os.environ.items()
    if name not in {"NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING"}
}


def run_command(*arguments, **environment):
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        env={**PLAIN, **environment},
        timeout=120,
    )


def run_on_terminal(*arguments, cwd=None, **environment):
    """Return the output of the command on a terminal of its own."""
    pty = pytest.importorskip("pty", reason="there are no pseudo-terminals on this system")
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=follower, cwd=cwd, env={**PLAIN, **environment}
    )
    os.close(follower)
    written = b""
    while select.select([leader], [], [], 120)[0]:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux raises it when the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    return process.wait(120), written.decode()


@pytest.mark.parametrize("open_coded", ["1", "0"])
def test_demo_in_a_pipe_is_plain_text_and_succeeds(open_coded):
    """The demo succeeds in both ways, exits with 0, and writes no colours into a pipe (R3)."""
    done = run_command("demo", GODEFER_OPEN_CODED=open_coded)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "FAILED" not in done.stdout
    assert done.stdout.endswith("All 6 steps checked out.\n")


def test_demo_prints_its_code_and_the_events_in_order():
    """The first step shows its function's source, then the events in the order they happen."""
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
        ["open", "demo.py"],
        ["open", "copy.py"],
        ["read", "demo.py"],
        ["write", "copy.py"],
        ["close", "copy.py", "deferred"],
        ["close", "demo.py", "deferred"],
    ]


def test_demo_on_a_terminal_has_colours():
    """On a terminal the lines that defer stand out."""
    status, written = run_on_terminal("demo", NO_COLOR="", TERM="xterm")
    assert status == 0
    assert "\x1b[33m    defer(src.close)\x1b[0m" in written


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1", "TERM": "xterm"}, {"NO_COLOR": "", "TERM": "dumb"}]
)
def test_demo_on_a_terminal_without_colours(environment):
    """NO_COLOR, and a terminal that knows no colours, are respected."""
    status, written = run_on_terminal("demo", **environment)
    assert status == 0
    assert "    defer(src.close)" in written
    assert "\x1b" not in written


def test_demo_leaves_nothing_behind(tmp_path, monkeypatch):
    """The demo removes its temporary directory, and writes nothing where it was started."""
    temporary, here = tmp_path / "temporary", tmp_path / "here"
    temporary.mkdir()
    here.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(godefer.__file__).parent.parent), prepend=os.pathsep)
    monkeypatch.chdir(here)
    assert run_command("demo", TMPDIR=str(temporary), TEMP=str(temporary)).returncode == 0
    assert demo.run(io.StringIO())
    assert list(temporary.iterdir()) == []
    assert list(here.iterdir()) == []


def test_demo_says_which_check_failed(monkeypatch, capsys):
    """A step that fails its check is named at the end, and the exit status is 1."""

    def copy(source, target):
        target.write_bytes(source.read_bytes()[:-1])

    monkeypatch.setattr(demo, "copy", copy)
    assert command_line.main(["demo"]) == 1
    assert capsys.readouterr().out.endswith(
        " checks FAILED:\n  step 1: the copy has the same "
        f"{Path(demo.__file__).stat().st_size:,} bytes\n  step 1: last opened, first closed\n"
    )


def test_demo_notices_a_lock_that_stays_locked(monkeypatch):
    """A deferred release that does not run is a failed check; the demo does not hang."""

    before, locks = set(threading.enumerate()), []

    @with_defers
    def draw_ticket(counter, lock, last):
        locks.append(lock)
        lock.acquire()
        if len(locks) > 10:
            raise LookupError

    monkeypatch.setattr(demo, "draw_ticket", draw_ticket)
    monkeypatch.setattr(demo, "_PATIENCE", 0.1)
    out = io.StringIO()
    assert not demo.run(out)
    assert "step 3: the lock is released\n" in out.getvalue()
    while set(threading.enumerate()) - before:  # threads of the demo that wait for the lock
        with contextlib.suppress(RuntimeError):
            locks[-1].release()
        time.sleep(0.001)


def test_demo_goes_on_after_a_step_that_raises(monkeypatch):
    """A step that raises is shown with its traceback and fails; the others run, and
    the directory is removed.
    """

    def load(path, problems):
        raise LookupError(path.name)

    monkeypatch.setattr(demo, "load", load)
    out = io.StringIO()
    assert not demo.run(out)
    assert "    raise LookupError(path.name)\nLookupError: good.json\n" in out.getvalue()
    assert out.getvalue().endswith(" checks FAILED:\n  step 4: the step runs without LookupError\n")


def test_demo_notices_a_directory_that_cannot_be_made(monkeypatch, tmp_path):
    """Without a temporary directory the demo says so and fails."""
    monkeypatch.setattr(demo.tempfile, "tempdir", str(tmp_path / "missing"))
    out = io.StringIO()
    assert not demo.run(out)
    assert "FileNotFoundError" in out.getvalue()
    assert "the directory is gone" in out.getvalue().split("checks FAILED:")[1]


def test_a_reader_that_stops_reading_is_no_error_message():
    """`python -m godefer demo | head -1` ends with status 1 and without a traceback."""
    process = subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(120) == 1


def test_a_broken_pipe_is_status_1(monkeypatch):
    """The status is 1 if the pipe breaks in the middle or at the last flush; stdout
    can be closed afterwards.
    """
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
        runpy.run_module("godefer", run_name="__main__")
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"godefer {godefer.__version__}\n"


def test_help_names_the_subcommands(capsys):
    """`--help` names the demo; `demo --help` and `explain --help` describe these commands."""
    for arguments, text in (
        (["--help"], "demo"),
        (["demo", "--help"], "SQLite"),
        (["explain", "--help"], "--lowered"),
    ):
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


MODULE = '''\
import functools
from contextlib import contextmanager
from unittest import mock

from godefer import defer, errdefer, okdefer, with_defers

made_up = mock.Mock()  # has every attribute, without end


def plain():
    pass


class Store:
    class Cursor:
        @with_defers
        def fetch(self, n):
            for i in range(n):
                defer(print, i)

    @property
    @with_defers
    def size(self):
        defer(print)
        return 0

    @size.setter
    @with_defers
    def size(self, n):
        errdefer(print)

    @staticmethod
    @with_defers
    def open(path):
        later = defer
        later(print, path)

    @with_defers
    def __lock(self):
        defer(print)


@with_defers
def copy(source, target):
    """Copy."""
    defer(source.close)
    if target is not None:
        okdefer(target.commit)
    return target


@with_defers
@functools.cache
def cached():
    defer(print)


def maker():
    @with_defers
    def local():
        defer(print)

    return local


class Idle:
    method = plain


class Callable:
    def __call__(self):
        defer(print)


instance = with_defers(Callable())
again = copy
partial = functools.partial(copy, None)
'''

OTHER = """\
from pkg.mod import Store, copy
"""

LISTING = """\
Store.Cursor.fetch ({file}:16): open-coded
Store.size ({file}:21): open-coded
Store.size ({file}:27): open-coded
Store.open ({file}:32): runtime
  because defer is used as a value, or inside an expression, at line 35
Store.__lock ({file}:38): open-coded
copy ({file}:43): open-coded
cached ({file}:52): open-coded
Callable.__call__ ({file}:71): open-coded
"""


@pytest.fixture
def package(tmp_path):
    """Return the directory of a package with decorated functions; `explain` runs there."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("")
    (tmp_path / "pkg" / "mod.py").write_text(MODULE)
    (tmp_path / "pkg" / "other.py").write_text(OTHER)
    (tmp_path / "pkg" / "failing.py").write_text("1 / 0\n")
    (tmp_path / "pkg" / "ending.py").write_text("raise SystemExit('no')\n")
    (tmp_path / "pkg" / "lacking.py").write_text("import no_such_dependency\n")
    return tmp_path


def explain(package, *arguments, **environment):
    """Run the subcommand in *package*'s directory, without this run's GODEFER_OPEN_CODED."""
    cleaned = {k: v for k, v in PLAIN.items() if k != "GODEFER_OPEN_CODED"}
    done = subprocess.run(
        [*COMMAND, "explain", *arguments],
        capture_output=True,
        text=True,
        cwd=package,
        env={**cleaned, **environment},
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_explain_lists_a_modules_decorated_functions(package):
    """A module's listing has its decorated functions, nested ones too, in line order,
    with way and reason (R4).
    """
    listing = LISTING.format(file=package / "pkg" / "mod.py")
    assert explain(package, "pkg.mod") == (0, listing, "")


def test_explain_lists_everything_as_runtime_when_open_coding_is_off(package):
    """GODEFER_OPEN_CODED=0 is the reason given for every function (R4)."""
    status, out, err = explain(package, "pkg.mod", GODEFER_OPEN_CODED="0")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert [line.rpartition(" ")[2] for line in lines[::2]] == ["runtime"] * 8
    assert lines[1::2] == ["  because the environment says GODEFER_OPEN_CODED=0"] * 8


COPY = """\
copy ({file}:43): open-coded

  43  @with_defers
  44  def copy(source, target):
  45      \"""Copy.\"""
  46      defer(source.close)         <- defer, inline
  47      if target is not None:
  48          okdefer(target.commit)  <- okdefer, conditional
  49      return target

  inline       the call is in the exits of the function, and nothing else is
  conditional  the call is in the exits of the function, \
with a test of whether the statement has run
"""


def test_explain_prints_a_function_with_the_shape_beside_each_statement(package):
    """The output is the way, then the numbered source with a shape beside each defer
    line, then a legend (R4).
    """
    text = COPY.format(file=package / "pkg" / "mod.py")
    assert explain(package, "pkg.mod:copy") == (0, text, "")


def test_explain_marks_the_statements_of_a_function_that_is_run_the_runtime_way(package):
    """The statements of a runtime function are marked too: they put their calls on a list (R4)."""
    status, out, err = explain(package, "pkg.mod:copy", GODEFER_OPEN_CODED="0")
    assert (status, err) == (0, "")
    assert [line.partition("<- ")[2] for line in out.splitlines() if "<-" in line] == [
        "defer, at run time",
        "okdefer, at run time",
    ]


def test_explain_shows_the_lowered_source_when_asked(package):
    """`--lowered` adds the source that the function was compiled from (R4)."""
    status, out, err = explain(package, "--lowered", "pkg.mod:copy")
    assert (status, err) == (0, "")
    shown = COPY.format(file=package / "pkg" / "mod.py")
    heading = "\nlowered source (names that begin with @ are godefer's):\n\n"
    assert out.startswith(shown + heading)
    lowered = out.removeprefix(shown + heading)
    assert lowered.splitlines()[:7] == [
        "@with_defers",
        "def copy(source, target):",
        '    """Copy."""',
        "    @failing = @value = None",
        "    while True:",
        "        try:",
        "            @callee0 = source.close",
    ]
    assert "                @callee1 = None\n" in lowered


def test_explain_shows_the_lowered_source_of_a_whole_module(package):
    """`--lowered` with a module shows every function in full, in line order (R4)."""
    status, out, err = explain(package, "pkg.mod", "--lowered")
    assert (status, err) == (0, "")
    heads = [line for line in out.splitlines() if line.endswith((": open-coded", ": runtime"))]
    assert heads == [
        line
        for line in LISTING.format(file=package / "pkg" / "mod.py").splitlines()
        if line[0] != " "
    ]
    assert out.count("lowered source") == 7


def test_explain_prints_the_reason_and_the_source_of_a_runtime_function(package):
    """A function that runs the runtime way is shown unchanged, below the reason (R4)."""
    text = """\
Store.open ({file}:32): runtime
  because defer is used as a value, or inside an expression, at line 35

  32      @staticmethod
  33      @with_defers
  34      def open(path):
  35          later = defer
  36          later(print, path)
"""
    text = text.format(file=package / "pkg" / "mod.py")
    assert explain(package, "pkg.mod:Store.open") == (0, text, "")


def test_explain_shows_the_wrapper_of_a_runtime_function(package):
    """`--lowered` shows the wrapper's source for a function that runs the runtime way (R4)."""
    status, out, errors = explain(package, "pkg.mod:Store.open", "--lowered")
    assert (status, errors) == (0, "")
    source = out.partition("the wrapper's source (names that begin with @ are godefer's):\n\n")[2]
    assert source.startswith("def wrapper(path):\n    @me = @getframe()\n")


def test_explain_prints_no_source_where_it_has_none(package):
    """A function from another source than its file's is shown by its reason only (R4)."""
    (package / "pkg" / "made.py").write_text(
        "from godefer import defer, with_defers\n"
        "exec('def f(): defer(print)')\n"
        "f = with_defers(f)\n"
    )
    text = "f (<string>:1): runtime\n  because the source of <string> is not available\n"
    assert explain(package, "pkg.made:f") == (0, text, "")


def test_explain_puts_two_statements_of_a_line_beside_it(package):
    """Two statements on one line are both shown, and lines in a long function are aligned (R4)."""
    lines = ["from godefer import defer, errdefer, with_defers", *[""] * 96]
    lines += ["@with_defers", "def f(x):", "    defer(print); errdefer(print, x)", "    return x"]
    (package / "pkg" / "long.py").write_text("\n".join(lines))
    _, out, _ = explain(package, "pkg.long:f")
    assert out.split("\n\n")[1].splitlines() == [
        "   98  @with_defers",
        "   99  def f(x):",
        "  100      defer(print); errdefer(print, x)  <- defer, inline; errdefer, inline",
        "  101      return x",
    ]


def test_explain_on_a_terminal_has_colours(package):
    """On a terminal the lines that defer are highlighted, and so are godefer's
    lines in the lowered source.
    """
    status, written = run_on_terminal(
        "explain",
        "pkg.mod:copy",
        "--lowered",
        cwd=package,
        NO_COLOR="",
        TERM="xterm",
        GODEFER_OPEN_CODED="1",
    )
    assert status == 0
    assert "\x1b[33m    defer(source.close)\x1b[0m" in written
    assert "\x1b[32mopen-coded\x1b[0m" in written
    assert "\x1b[36m            @callee0 = source.close\x1b[0m" in written
    plain = explain(package, "pkg.mod:copy", "--lowered")[1]
    assert re.sub(r"\x1b\[\d+m", "", written).replace("\r\n", "\n") == plain


def test_explain_shows_a_class_as_it_does_a_module(package):
    """A class is shown as a list of its decorated functions and those of nested classes, in
    full with `--lowered` (R4).
    """
    listing = LISTING.format(file=package / "pkg" / "mod.py").splitlines(keepends=True)
    assert explain(package, "pkg.mod:Store") == (0, "".join(listing[:6]), "")
    assert explain(package, "pkg.mod:Store.Cursor") == (0, listing[0], "")
    assert explain(package, "pkg.mod:Store", "--lowered")[1].count("lowered source") == 4
    assert explain(package, "pkg.other:Store")[1] == "".join(
        listing[:6]
    )  # the class is imported from the module that defines it


def test_explain_shows_tabs_as_they_look(package):
    """In source that is indented by tabs, the shapes are in one column too (R4)."""
    (package / "pkg" / "tabs.py").write_text(
        "from godefer import defer, with_defers\n"
        "@with_defers\ndef f(x):\n\tdefer(print)\n\tif x:\n\t\tdefer(print)\n"
    )
    lines = explain(package, "pkg.tabs:f")[1].split("\n\n")[1].splitlines()
    assert lines == [
        "  2  @with_defers",
        "  3  def f(x):",
        "  4          defer(print)          <- defer, inline",
        "  5          if x:",
        "  6                  defer(print)  <- defer, conditional",
    ]


def test_explain_escapes_characters_that_the_encoding_lacks(package):
    """A character that the encoding of stdout lacks is shown as its escape."""
    (package / "pkg" / "quay.py").write_text(
        "from godefer import defer, with_defers\n@with_defers\ndef f():\n    defer(print, '→')\n",
        encoding="utf-8",
    )
    status, out, err = explain(package, "pkg.quay:f", PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert "defer(print, '\\u2192')" in out


@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": ""}, False),
    ],
)
def test_colours_in_a_pipe(package, environment, coloured):
    """FORCE_COLOR turns colours on in a pipe, unless NO_COLOR is set."""
    assert (
        "\x1b[32mopen-coded\x1b[0m" in explain(package, "pkg.mod", **environment)[1]
    ) is coloured
    assert ("\x1b[" in run_command("demo", **environment).stdout) is coloured


@pytest.mark.parametrize(
    "environment", [{"NO_COLOR": "1", "TERM": "xterm"}, {"NO_COLOR": "", "TERM": "dumb"}]
)
def test_explain_on_a_terminal_without_colours(package, environment):
    """NO_COLOR, and a terminal that knows no colours, are respected."""
    status, written = run_on_terminal("explain", "pkg.mod", cwd=package, **environment)
    assert status == 0
    assert "open-coded" in written
    assert "\x1b" not in written


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("Store.Cursor.fetch", ["Store.Cursor.fetch"]),
        ("Store.size", ["Store.size", "Store.size"]),
        ("Store.__lock", ["Store.__lock"]),
        ("cached", ["cached"]),
        ("again", ["copy"]),
        ("partial", ["copy"]),
        ("instance", ["Callable.__call__"]),
    ],
)
def test_explain_finds_functions_in_other_objects(package, name, functions):
    """`explain` finds methods, both functions of a property, private names, caches, aliases,
    partials and callable objects.
    """
    status, out, err = explain(package, f"pkg.mod:{name}")
    assert (status, err) == (0, "")
    assert [
        line.split()[0] for line in out.splitlines() if line.endswith(": open-coded")
    ] == functions


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (
            "nowhere",
            "there is no module named nowhere; run this where `python -c 'import nowhere'` works: ",
        ),
        ("pkg.nowhere", "there is no module named pkg.nowhere; run this where "),
        ("pkg.mod.copy", "pkg.mod.copy is no module; write pkg.mod:copy\n"),
        ("pkg.mod.Store.open", "pkg.mod.Store is no module; write pkg.mod:Store.open\n"),
        ("pkg/mod.py", "pkg/mod.py is a file; name the module as `import` does: pkg.mod\n"),
        ("pkg.mod copy", "'pkg.mod copy' is no module's name; write pkg.mod or pkg.mod:function\n"),
        ("", "'' is no module's name; write pkg.mod or pkg.mod:function\n"),
        (
            "pkg.failing:f",
            "importing pkg.failing failed with ZeroDivisionError: division by zero; "
            "`python -c 'import pkg.failing'` shows where\n",
        ),
        ("pkg.ending", "importing pkg.ending failed with SystemExit: no; "),
        (
            "pkg.lacking",
            "importing pkg.lacking failed with ModuleNotFoundError: "
            "No module named 'no_such_dependency'; ",
        ),
        (
            "pkg.mod:Store.nothing",
            "pkg.mod has no Store.nothing; "
            "`python -m godefer explain pkg.mod` lists its decorated functions\n",
        ),
        (
            "pkg.mod:maker.<locals>.local",
            "maker.<locals>.local is a local function, which exists only while maker runs; "
            "call godefer.explain() on it there\n",
        ),
        (
            "pkg.mod:plain",
            "plain of pkg.mod is not decorated; put @with_defers on the line right above "
            "its own `def`, below any other decorator; `python -m godefer explain pkg.mod` "
            "lists the functions that are\n",
        ),
        ("pkg.mod:__name__", "__name__ of pkg.mod is no function, but of type str; "),
        (
            "pkg.mod:Idle",
            "no function or method that Idle itself defines is decorated; "
            "put @with_defers on the line ",
        ),
        ("pkg.mod:made_up", "made_up of pkg.mod is not decorated; "),
        (
            "pkg.other",
            "no function or method that pkg.other itself defines is decorated; "
            "put @with_defers on the line ",
        ),
    ],
)
def test_explain_refuses_other_targets(package, target, message):
    """An unexplainable target is an error on stderr, with advice, and exit status 2."""
    status, out, err = explain(package, target)
    assert (status, out) == (2, "")
    assert err.startswith(f"python -m godefer explain: {message}")
    assert err.count("\n") == 1


def test_explain_returns_its_exit_status(package, monkeypatch, capsys):
    """`main` returns 0 after an explanation on stdout, and 2 after an error on
    stderr; it raises nothing.
    """
    monkeypatch.syspath_prepend(package)
    names = (
        "",
        ":copy",
        ":Store.open",
        ":Store.__lock",
        ":instance",
        ":nothing",
        ":plain",
        ":maker.<locals>.local",
        ".copy",
    )
    targets = [
        *(f"pkg.mod{name}" for name in names),
        "pkg.other",
        "pkg.failing",
        "pkg.nowhere",
        "nowhere",
        "pkg/mod.py",
        "p m",
    ]
    try:
        for target in targets:
            status = command_line.main(["explain", target])
            out, err = capsys.readouterr()
            found = target in targets[:5]
            assert (status, bool(out), bool(err)) == (
                (0, True, False) if found else (2, False, True)
            ), target
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "pkg"]:
            del sys.modules[name]
