"""Debuggers, tracers, profilers, coverage and logging see the body as it was written (A)."""

import contextlib
import cProfile
import inspect
import json
import logging
import os
import pstats
import re
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from godefer import defer, okdefer


def run(*args, way, cwd, stdin=""):
    """Run Python in a process of its own, with every function in that way."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("COV")}
    env["PYTHONPATH"] = str(Path(godefer.__file__).resolve().parent.parent)
    env["GODEFER_OPEN_CODED"] = "0" if way.name == "runtime" else "1"
    command = [sys.executable, *map(str, args)]
    return subprocess.run(
        command,
        env=env,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def line_of(text, source):
    """Return the number of the one line in *source* that contains *text*."""
    (number,) = (n for n, line in enumerate(source.splitlines(), 1) if text in line)
    return number


def line_here(text, fn):
    """Return the number, in this file, of the one line of *fn* that contains *text*."""
    lines, first = inspect.getsourcelines(fn)
    return first - 1 + line_of(text, "".join(lines))


# Debuggers

STEPPED = """\
from godefer import defer, with_defers


def cleanup(x):
    x += 1  # in cleanup
    return None


@with_defers
def f(x):
    y = x * 2  # first in f
    defer(cleanup, y)  # deferred
    return y  # last in f


def main():
    f(21)  # the call
    return "done"  # after the call


main()
"""


def stops(output, path):
    """Return the lines of the script at which pdb stopped, each with its function."""
    stop = rf"^(?:\(Pdb\) )*> {re.escape(str(path))}\((\d+)\)(\w+)\("
    return [(name, int(line)) for line, name in re.findall(stop, output, re.MULTILINE)]


def test_pdb_steps_into_the_body(way, tmp_path):
    """pdb's `step` goes through the body, line by line, into the deferred call and back (A)."""
    script = tmp_path / "stepped.py"
    script.write_text(STEPPED)
    commands = [
        f"break {line_of('# the call', STEPPED)}",
        "continue",
        *["step"] * 2_000,
        "quit",
        "",
    ]
    done = run("-m", "pdb", script, way=way, cwd=tmp_path, stdin="\n".join(commands))
    marked = {n for n, line in enumerate(STEPPED.splitlines(), 1) if "# " in line}
    # A line at which pdb stops again, as when the function exits, counts once.
    visits = dict.fromkeys(stop for stop in stops(done.stdout, script) if stop[1] in marked)
    assert list(visits) == [
        ("main", line_of("# the call", STEPPED)),
        ("f", line_of("# first in f", STEPPED)),
        ("f", line_of("# deferred", STEPPED)),
        ("f", line_of("# last in f", STEPPED)),
        ("cleanup", line_of("# in cleanup", STEPPED)),
        ("main", line_of("# after the call", STEPPED)),
    ]


def test_pdb_breakpoint_in_the_body(way, tmp_path):
    """A pdb breakpoint stops in the body, with its variables; `where` shows its caller (A)."""
    script = tmp_path / "stepped.py"
    script.write_text(STEPPED)
    commands = [
        f"break {line_of('# last in f', STEPPED)}",
        "continue",
        "p ('y is', y)",
        "where",
        "continue",
        "quit",
        "",
    ]
    done = run("-m", "pdb", script, way=way, cwd=tmp_path, stdin="\n".join(commands))
    assert ("f", line_of("# last in f", STEPPED)) in stops(done.stdout, script)
    assert "('y is', 42)" in done.stdout
    assert f"{script}({line_of('# the call', STEPPED)})main()" in done.stdout


BREAKPOINT = """\
from godefer import defer, with_defers


@with_defers
def f(x):
    defer(print, "deferred")
    breakpoint()
    return x


print(f(21))
"""


def test_breakpoint(way, tmp_path):
    """`breakpoint()` in the body stops in the body (A)."""
    script = tmp_path / "script.py"
    script.write_text(BREAKPOINT)
    done = run(script, way=way, cwd=tmp_path, stdin="p ('x is', x)\ncontinue\n")
    assert stops(done.stdout, script)[0][0] == "f"
    assert "('x is', 21)" in done.stdout
    assert done.stdout.endswith("deferred\n21\n")


# Tracing


@contextlib.contextmanager
def tracing(seen):
    """Note every line of this file that runs, with its function."""

    def trace(frame, event, arg):
        if frame.f_code.co_filename != __file__:
            return None
        if event == "line":
            seen.append((frame.f_code.co_name, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.fixture
def traced(way):
    def cleanup(x):
        x += 1

    @way
    def f(x):
        y = x + 1
        defer(cleanup, y)
        if x:
            y += 1
        return y

    return f


def body_lines(fn):
    return [
        line_here(text, fn)
        for text in ("y = x + 1", "defer(cleanup", "if x:", "y += 1", "return y")
    ]


def test_settrace(traced):
    """`sys.settrace` sees exactly the lines of the body that run, in order and once (A)."""
    for x, skipped in [(1, []), (0, [3])]:
        seen = []
        with tracing(seen):
            traced(x)
        lines = [line for name, line in seen if name == "f"]
        expected = [line for i, line in enumerate(body_lines(traced)) if i not in skipped]
        assert lines[: len(expected)] == expected
        # The deferred call at the exit may show the line of its `defer` again. PyPy's code always
        # has a line: instructions without one belong to the line before.
        last = {expected[-1]} if sys.implementation.name == "pypy" else set()
        assert set(lines[len(expected) :]) <= {line_here("defer(cleanup", traced)} | last
        assert [name for name, _ in seen if name == "cleanup"] == ["cleanup"]


def test_settrace_generator(way):
    """`sys.settrace` sees the lines of a generator's body (A)."""

    @way
    def gen():
        defer(str)
        yield 1
        yield 2

    seen = []
    with tracing(seen):
        list(gen())
    lines = [line for name, line in seen if name == "gen"]
    expected = [line_here(text, gen) for text in ("defer(str)", "yield 1", "yield 2")]
    assert lines[:3] == expected
    assert set(lines[3:]) <= {expected[0]}


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring (PEP 669) came with 3.12")
def test_monitoring(traced):
    """`sys.monitoring` sees the body start, its lines, and its return (A)."""
    monitoring = sys.monitoring
    tool = 4
    started, lines, returned = [], [], []

    def mine(code):
        return code.co_filename == __file__ and code.co_name == "f"

    callbacks = {
        monitoring.events.PY_START: lambda code, offset: (
            mine(code) and started.append(code.co_firstlineno)
        ),
        monitoring.events.LINE: lambda code, line: mine(code) and lines.append(line),
        monitoring.events.PY_RETURN: lambda code, offset, value: (
            mine(code) and returned.append(value)
        ),
    }
    monitoring.use_tool_id(tool, "test")
    try:
        for event, callback in callbacks.items():
            monitoring.register_callback(tool, event, callback)
        monitoring.set_events(tool, sum(callbacks))
        traced(1)
    finally:
        monitoring.set_events(tool, 0)
        for event in callbacks:
            monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
    assert started == [inspect.getsourcelines(traced)[1]]
    expected = body_lines(traced)
    assert lines[: len(expected)] == expected
    assert set(lines[len(expected) :]) <= {line_here("defer(cleanup", traced)}
    assert returned == [3]


def test_profile(traced):
    """cProfile counts the calls of a decorated function under its name, file and line (A)."""
    profile = cProfile.Profile()
    for _ in range(3):
        profile.runcall(traced, 1)
    stats = pstats.Stats(profile).stats
    calls = {key: value[0] for key, value in stats.items() if key[0] == __file__}
    assert calls[__file__, inspect.getsourcelines(traced)[1], "f"] == 3
    assert {name: n for (_, _, name), n in calls.items()} == {"f": 3, "cleanup": 3}


# Logging


@pytest.fixture
def log():
    """Return a logger, and the list of its records."""
    records = []
    logger = logging.Logger("test_tools")  # noqa: LOG001  # this test's alone
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    return logger, records


def where(record):
    return record.pathname, record.lineno, record.funcName


def test_logging(way, log):
    """A message logged in the body or a deferred function carries its line and function (A)."""
    logger, records = log

    def cleanup():
        logger.info("in cleanup")

    @way
    def f():
        logger.info("in f")
        defer(cleanup)

    f()
    assert [where(record) for record in records] == [
        (__file__, line_here('"in f"', f), "f"),
        (__file__, line_here('"in cleanup"', cleanup), "cleanup"),
    ]


@pytest.mark.parametrize("way", ["open-coded"], indirect=True)
def test_logging_by_a_deferred_call(way, log):
    """`defer(log.info, ...)` logs the line of its `defer` statement on the normal exit (A).

    Elsewhere the caller of `log.info` is the runtime, as docs/limits.md says. Defer a
    function that logs instead.
    """
    logger, records = log

    @way
    def f():
        defer(logger.info, "deferred")

    f()
    assert [where(record) for record in records] == [(__file__, line_here('"deferred"', f), "f")]


# The stack


def user_frames():
    """Return the frames of this file, from the caller out: function and line."""
    return [
        (frame.function, frame.lineno)
        for frame in inspect.stack()[1:]
        if frame.filename == __file__
    ]


def test_stack_in_the_body(way, events):
    """`inspect.stack` in the body shows the body's line, then its caller's line (A)."""

    @way
    def f():
        defer(str)
        events.extend(user_frames())

    f()  # the call of f
    here = line_here("# the call" + " of f", test_stack_in_the_body)
    assert events[:2] == [("f", line_here("user_frames()", f)), ("test_stack_in_the_body", here)]


def test_stack_in_a_deferred_call(way, events):
    """`inspect.stack` in a deferred function shows its line, and further out the call's (A)."""

    def cleanup():
        events.extend(user_frames())

    @way
    def f():
        okdefer(cleanup)

    f()  # the call of f
    here = line_here("# the call" + " of f", test_stack_in_a_deferred_call)
    assert events[0] == ("cleanup", line_here("user_frames()", cleanup))
    # An open-coded function is among them too, at the line of the statement.
    assert [frame for frame in events[1:] if frame[0] == "f"] in (
        [],
        [("f", line_here("okdefer(cleanup)", f))],
    )
    assert ("test_stack_in_a_deferred_call", here) in events


# Coverage

COVERED = """\
import sys

if sys.argv[1] == "plain":
    def defer(fn, *args):
        pass

    def with_defers(fn):
        return fn

    errdefer = okdefer = defer
else:
    from godefer import defer, errdefer, okdefer, with_defers


def cleanup(x):
    return None


def never(x):
    return x


@with_defers
def branches(x):
    defer(cleanup, x)
    if x > 1:
        errdefer(cleanup, x)
    else:
        okdefer(cleanup, x)
    if x > 5:
        return 1
    for i in range(x):
        defer(cleanup, i)
        if i > 2:
            break
    else:
        return 2
    try:
        defer(cleanup, "tried")
        if x == 5:
            raise KeyError(x)
    except KeyError:
        return 3
    finally:
        defer(cleanup, "finally")
    while x:
        x -= 1
    return 4


@with_defers
def not_called(x):
    defer(cleanup, x)
    if x:
        return 1
    return 2


@with_defers
def raises(x):
    defer(cleanup, x)
    if x:
        raise ValueError(x)


@with_defers
def gen(n):
    defer(cleanup, n)
    for i in range(n):
        yield i
    else:
        yield -1
    if n == 100:
        yield 100


@with_defers
async def work(n):
    defer(cleanup, n)
    if n:
        return n
    return await work(n + 1)


for x in (0, 2, 4, 5):
    branches(x)
raises(0)
try:
    raises(1)
except ValueError:
    pass
list(gen(2))
next(gen(1))
try:
    work(0).send(None)
except StopIteration:
    pass
cleanup(0)
"""


def covered(decoration, way, tmp_path):
    """Return coverage's findings on the module's functions, decorated or plain."""
    (tmp_path / "covered.py").write_text(COVERED)
    data = f"--data-file={tmp_path / decoration}"
    run("-m", "coverage", "run", "--branch", data, "covered.py", decoration, way=way, cwd=tmp_path)
    report = f"{decoration}.json"
    run("-m", "coverage", "json", "--include=covered.py", data, "-o", report, way=way, cwd=tmp_path)
    files = json.loads((tmp_path / report).read_text())["files"]
    assert list(files) == ["covered.py"]
    return files["covered.py"]


def test_coverage(way, tmp_path):
    """Coverage finds the same lines and branches in a decorated module as in the plain one (A).

    The branches that end the function differ: in an open-coded one they lead through the line of
    the `defer`, as tracebacks need (docs/limits.md).
    """
    plain, decorated = (covered(decoration, way, tmp_path) for decoration in ("plain", "godefer"))
    first = line_of("def cleanup", COVERED)

    def of_the_functions(report, key):
        return [
            entry
            for entry in report[key]
            if (entry if isinstance(entry, int) else entry[0]) > first
            and not ends_the_function(entry)
        ]

    def ends_the_function(entry):
        if way.name == "runtime" or isinstance(entry, int):
            return False
        return entry[1] < 0 or "defer(" in COVERED.splitlines()[entry[1] - 1]

    for key in ("executed_lines", "missing_lines", "executed_branches", "missing_branches"):
        assert of_the_functions(decorated, key) == of_the_functions(plain, key)
        assert of_the_functions(plain, key)
