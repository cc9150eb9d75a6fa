"""Debuggers, post-mortems and printed stacks work on every decorated function: rule P6."""

import asyncio
import bdb
import importlib.util
import inspect
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from godefer import explain
from tests import failing
from tests.failing import EXITS, OPTIONS, SHAPES, Exit, failure, makes_calls, outcome
from tests.helpers import chain

ROOT = Path(godefer.__file__).resolve().parent.parent
SCRIPT = Path(failing.__file__)


def shapes_of(way):
    """Return the functions that can run this way: named results exist open-coded only (R3)."""
    return [name for name in SHAPES if way.name == "open-coded" or not OPTIONS[name]]


def decorate(way, name):
    return way(**OPTIONS[name])(SHAPES[name]) if OPTIONS[name] else way(SHAPES[name])


@pytest.fixture(params=SHAPES)
def fn(request, way):
    """A decorated function of each shape."""
    if request.param not in shapes_of(way):
        pytest.skip("named results exist open-coded only (R3)")
    return decorate(way, request.param)


@pytest.fixture(params=EXITS)
def x(request):
    """An Exit for each way to leave a function."""
    return Exit(**EXITS[request.param])


def run(*args, way, cwd, stdin, check=True):
    """Run Python in a process of its own, in which every function is run in that way."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    path = [str(ROOT), str(SCRIPT.parent.parent), env.get("PYTHONPATH")]
    env |= {
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "GODEFER_OPEN_CODED": "0" if way.name == "runtime" else "1",
        "HOME": str(cwd),  # no .pdbrc
        "NO_COLOR": "1",
    }
    command = [sys.executable, *map(str, args)]
    return subprocess.run(
        command,
        env=env,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=check,
    )


def lines_with(text):
    """Return the numbers of the lines of the script that contain *text*."""
    return [n for n, line in enumerate(SCRIPT.read_text().splitlines(), 1) if text in line]


def leaves(name):
    """Return the number of the line at which a function fails, or returns."""
    lines, first = inspect.getsourcelines(SHAPES[name])
    (number,) = (n for n, line in enumerate(lines, first) if "# leaves" in line)
    return number


STOP = re.compile(r"^(?:\(Pdb\) )*> (.+)\((\d+|None)\)(\S+)\(", re.MULTILINE)
OUTCOME = re.compile(r"outcome: (\w+), ([a-z ]+): (.+)")


def session(way, cwd, command, names, exits):
    """Stop at the lines that leave these functions, and give pdb a command until the end.

    Returns:
        The stops, as (file, line, function); and the outcomes that the program has printed.
    """
    breaks = [f"break {leaves(name)}" for name in names]
    commands = [*breaks, "continue", *[command] * 20_000]
    args = ["-m", "pdb", SCRIPT, ",".join(names), ",".join(exits)]
    done = run(*args, way=way, cwd=cwd, stdin="\n".join(commands), check=False)
    output, _, _ = done.stdout.partition("the end\n")
    assert "the end" in done.stdout, done.stdout[-2000:] + done.stderr
    outcomes = {(name, exit_): result for name, exit_, result in OUTCOME.findall(output)}
    return STOP.findall(output), outcomes


def listed(name, output):
    """Return whether pdb listed the failed line, as such or as the frame's current line."""
    return re.search(rf"^ *{leaves(name)} *(?:>>|->)\t.*# leaves", output, re.MULTILINE)


# pdb


@pytest.mark.parametrize("command", ["next", "until", "return"])
def test_pdb(way, command, tmp_path):
    """Under pdb's `next`, `until` and `return` a program does the same as without pdb (P6)."""
    names = shapes_of(way)
    exits = ["returns", "fails", "fails and raises"]
    expected = {}
    for name in names:
        fn = decorate(way, name)
        for exit_ in exits:
            expected[name, exit_] = outcome(fn, Exit(**EXITS[exit_]))
    assert {expected[name, "fails"] for name in names} == {"ZeroDivisionError"}
    stops, outcomes = session(way, tmp_path, command, names, exits)
    assert outcomes == expected
    assert [stop for stop in stops if stop[1] == "None"] == []
    stopped = {(name, line) for _, line, name in stops}
    assert {str(leaves(name)) for name in names} <= {line for _, line in stopped}
    if command != "return":  # `return` goes on to the end of the caller
        assert {("outcome", str(line)) for line in lines_with("# it failed")} <= stopped


@pytest.mark.skipif(
    sys.implementation.name == "pypy", reason="PyPy's pdb shows an exception in other words"
)
@pytest.mark.parametrize("way", ["open-coded"], indirect=True)
def test_pdb_steps_in_the_user_s_files_only(way, tmp_path):
    """If no call is in a list, `step` on a failing exit stays in the user's file (P6)."""
    names = [
        name
        for name in shapes_of(way)
        if {site.shape for site in explain(decorate(way, name)).defers} <= {"inline", "conditional"}
    ]
    assert len(names) > 20
    stops, outcomes = session(way, tmp_path, "step", names, ["fails"])
    assert set(outcomes.values()) == {"ZeroDivisionError"}
    first = next(i for i, (_, line, _) in enumerate(stops) if line == str(leaves(names[0])))
    assert [stop for stop in stops[first:] if stop[0] != str(SCRIPT) or stop[1] == "None"] == []
    stopped = {(name, line) for _, line, name in stops[first:]}
    deferred = {"call", "later", "__exit__", "__aexit__"}
    assert {name for name, _ in stopped} >= {*names, *deferred, "outcome"}
    assert {("outcome", str(line)) for line in lines_with("# it failed")} <= stopped


POST_MORTEM = """\
import pdb
import sys

from tests.failing import OPTIONS, SHAPES, Exit, leave
from godefer import with_defers

for name in sys.argv[1].split(","):
    for raises in (False, True):
        fn = with_defers(SHAPES[name], **OPTIONS[name])
        try:
            leave(fn, Exit(fails=True, raises=raises))
        except Exception as e:
            print("post-mortem of", name, flush=True)
            error = e
            while error is not None:
                pdb.post_mortem(error.__traceback__)
                error = error.__context__
print("the end")
"""


def test_pdb_post_mortem(way, tmp_path):
    """A post-mortem lists the lines of each frame, and goes up and down among them (P6)."""
    (tmp_path / "post_mortem.py").write_text(POST_MORTEM)
    names = shapes_of(way)
    commands = "list longlist where up list up list down list continue".split()
    stdin = "\n".join(commands * (4 * len(names)))
    done = run("post_mortem.py", ",".join(names), way=way, cwd=tmp_path, stdin=stdin)
    assert "the end" in done.stdout
    assert "None" not in [line for _, line, _ in STOP.findall(done.stdout)]
    _, *sessions = done.stdout.split("post-mortem of ")
    found = {}
    for text in sessions:
        assert "***" not in text.replace("*** Oldest frame", "").replace("*** Newest frame", "")
        found.setdefault(text.partition("\n")[0], []).append(text)
    assert list(found) == names
    for name, texts in found.items():
        assert listed(name, "".join(texts)), name


PYTEST = """\
import pytest

from tests.failing import OPTIONS, SHAPES, Exit, leave
from godefer import with_defers


@pytest.mark.parametrize("name", {names})
def test_shape(name):
    fn = with_defers(SHAPES[name], **OPTIONS[name])
    leave(fn, Exit(fails=True))
"""


def test_pytest_pdb(way, tmp_path):
    """`pytest --pdb` stops in the function, and `l` lists the lines around (P6)."""
    names = shapes_of(way)
    (tmp_path / "test_shapes.py").write_text(PYTEST.format(names=names))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    args = ["-m", "pytest", "--pdb", "-p", "no:cacheprovider", "--tb=short", "test_shapes.py"]
    done = run(*args, way=way, cwd=tmp_path, stdin="l\nll\nc\n" * len(names), check=False)
    assert f"{len(names)} failed" in done.stdout, done.stdout[-3000:] + done.stderr
    assert "INTERNALERROR" not in done.stdout
    stops = STOP.findall(done.stdout)
    assert len(stops) == len(names)
    assert "None" not in [line for _, line, _ in stops]
    assert {file for file, _, _ in stops} == {str(SCRIPT)}
    for name in names:
        assert listed(name, done.stdout), name


# bdb


def suspends(fn):
    """Return whether *fn* is a generator, a coroutine function or an async generator."""
    kinds = inspect.isgeneratorfunction, inspect.iscoroutinefunction, inspect.isasyncgenfunction
    return any(is_kind(fn) for is_kind in kinds)


class Debugger(bdb.Bdb):
    """Steps into the function's frame, and then gives the same command at every stop."""

    def __init__(self, fn, command):
        super().__init__()
        self.fn = fn
        self.command = command
        self.inside = False
        self.stops = []

    def stop(self, frame, *_):
        code = frame.f_code
        is_function = code.co_name == self.fn.__name__ and code.co_filename == failing.__file__
        self.inside = self.inside or is_function
        if self.inside:
            self.stops.append((code.co_name, frame.f_lineno))
        if not self.inside or self.command == "step":
            self.set_step()
        else:
            getattr(self, f"set_{self.command}")(frame)

    user_line = user_return = user_exception = user_call = stop


@pytest.mark.parametrize("command", ["next", "until", "return", "step"])
def test_bdb(fn, command):
    """A function leaves as it does without a debugger, and each stop has a line (P6)."""
    for options in EXITS.values():
        expected = outcome(fn, Exit(**options))
        debugger = Debugger(fn, command)
        assert debugger.runcall(outcome, fn, Exit(**options)) == expected
        assert debugger.stops[0][0] == fn.__name__
        assert None not in [line for _, line in debugger.stops]
        # bdb steps over the end of a generator and of a coroutine.
        if command == "step" or (command == "next" and not suspends(fn)):
            assert "outcome" in [name for name, _ in debugger.stops]


# Stacks


def test_getframeinfo(fn, x):
    """`inspect.getframeinfo` of a traceback's frame shows a line of the function (P6)."""
    source, first = inspect.getsourcelines(fn)
    errors = chain(failure(fn, x))
    own = []
    for error in errors:
        tb = error.__traceback__
        while tb is not None:
            for info in inspect.getframeinfo(tb), inspect.getframeinfo(tb.tb_frame):
                if (info.filename, info.function) == (failing.__file__, fn.__name__):
                    own.append(info)
                    assert first <= info.lineno < first + len(source)
                    assert info.code_context == [source[info.lineno - first]]
            tb = tb.tb_next
    assert bool(own) == bool(errors)


def test_getinnerframes(fn):
    """`inspect.getinnerframes` shows the line of the function that failed (P6)."""
    infos = [
        info
        for error in chain(failure(fn, Exit(fails=True)))
        for info in inspect.getinnerframes(error.__traceback__, 3)
    ]
    shown = [info.code_context[info.index] for info in infos if info.filename == failing.__file__]
    assert [line for line in shown if "# leaves" in line]
    assert None not in [info.lineno for info in infos]


def test_stack_in_a_deferred_call(fn, x):
    """`inspect.stack` in a deferred call shows every frame's line; an open-coded function
    is at the statement of the call (P6).
    """
    stacks = []
    x.look = lambda: stacks.append(inspect.stack(3))
    outcome(fn, x)
    assert bool(stacks) == makes_calls(fn, x)
    source, _ = inspect.getsourcelines(fn)
    for stack in stacks:
        assert None not in [info.lineno for info in stack]
        # The runtime way's wrapper, which has no source, makes the call when the body has ended.
        (caller,) = [info for info in stack if info.frame.f_code is fn.__code__]
        assert (caller.filename == failing.__file__) == (explain(fn).way == "open-coded")
        if caller.filename == failing.__file__:
            line = caller.code_context[caller.index]
            assert line in source
            assert re.search(r"(defer|using)\(|@\w*defer", line)


ASYNC = [name for name in SHAPES if inspect.iscoroutinefunction(SHAPES[name])]


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("name", ASYNC)
def test_print_stack_of_a_failed_task(way, name, raises):
    """`Task.print_stack` of a failed task shows the line where its function was left (P6)."""
    fn = decorate(way, name)
    out = io.StringIO()

    async def main():
        task = asyncio.ensure_future(fn(Exit(fails=True, raises=raises)))
        await asyncio.wait([task])
        task.print_stack(file=out)
        return task.exception(), task.get_stack()

    error, frames = asyncio.run(main())
    assert type(error).__name__ == ("Cleanup" if raises else "ZeroDivisionError")
    assert None not in [frame.f_lineno for frame in frames]
    source, first = inspect.getsourcelines(fn)
    entry = rf'File "{re.escape(failing.__file__)}", line (\w+), in {name}\n'
    shown = re.findall(entry, out.getvalue())
    assert shown
    assert all(first <= int(line) < first + len(source) for line in shown)
    assert "line None" not in out.getvalue()


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", ASYNC)
def test_print_stack_of_a_waiting_task(way, name, fails):
    """`Task.print_stack` shows a line of the function at each wait, in deferred calls too (P6)."""
    fn = decorate(way, name)
    printed = []

    async def main():
        task = asyncio.ensure_future(fn(Exit(fails=fails)))
        while not task.done():
            await asyncio.sleep(0)
            out = io.StringIO()
            task.print_stack(file=out)
            printed.append((out.getvalue(), [frame.f_lineno for frame in task.get_stack()]))
        return task.exception()

    error = asyncio.run(main())
    assert isinstance(error, ZeroDivisionError) == fails
    waits = [text for text, _ in printed if "Stack for" in text]
    assert len(waits) >= 2
    assert all(f", in {name}" in text for text in waits)
    assert None not in [line for _, lines in printed for line in lines]


# IPython


IPYTHON = """\
import inspect
import sys

from godefer import with_defers
from IPython.core import ultratb
from tests.failing import OPTIONS, SHAPES, Exit, leave

options = inspect.signature(ultratb.FormattedTB).parameters
theme = {"theme_name": "nocolor"} if "theme_name" in options else {"color_scheme": "NoColor"}
formatted = ultratb.FormattedTB(mode="Verbose", **theme)

for name in sys.argv[1].split(","):
    for raises in (False, True):
        fn = with_defers(SHAPES[name], **OPTIONS[name])
        try:
            leave(fn, Exit(fails=True, raises=raises))
        except Exception as e:
            print("traceback of", name, flush=True)
            print(formatted.text(type(e), e, e.__traceback__), flush=True)
print("the end")
"""


@pytest.mark.skipif(importlib.util.find_spec("IPython") is None, reason="IPython is not installed")
def test_ipython(way, tmp_path):
    """IPython's verbose traceback shows the failing line, and no local but the user's (P6)."""
    (tmp_path / "verbose.py").write_text(IPYTHON)
    names = shapes_of(way)
    done = run("verbose.py", ",".join(names), way=way, cwd=tmp_path, stdin="")
    assert "the end" in done.stdout
    _, *texts = done.stdout.split("traceback of ")
    assert [text.partition("\n")[0] for text in texts[::2]] == names
    for text in texts:
        assert "# leaves" in text
        assert "x = <exit>" in text
        assert not re.search(r"^@\w+ = ", text, re.MULTILINE)
