"""A function's source is used only if it is the source of the running code (R1).

A function without that proof silently runs the runtime way, and `explain` has the reason (R4).
"""

import linecache
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

import godefer
from godefer import DeferError, defer, explain, with_defers
from tests.helpers import python

ROOT = str(Path(godefer.__file__).resolve().parent.parent)


def output(*arguments, stdin=None, **environment):
    """Return the stdout of a program, which must write nothing to stderr and succeed."""
    environment = {"PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = python(*arguments, stdin=stdin, **environment)
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def runtime(fn):
    """Return the reason for which *fn* runs the runtime way."""
    explanation = explain(fn)
    assert explanation.way == "runtime"
    return explanation.reason


# Changed or missing files

EDITABLE = "def f(events):\n    defer(events.append, 1)\n    events.append(0)\n    return 2\n"


@pytest.mark.parametrize(
    "edited",
    [
        EDITABLE.replace("1", "9"),
        EDITABLE.replace("append(0)", "append(9)"),
        EDITABLE.replace("return 2", "return events"),
        EDITABLE.replace("append(0)", "extend(0)"),
        EDITABLE.replace("events", "things"),
        EDITABLE.replace("    return 2\n", ""),
        EDITABLE + "    yield\n",
        EDITABLE.replace("f(events)", "f(events, /)"),
        EDITABLE.replace("f(events)", "f(*events)"),
        EDITABLE.replace("    defer", "    \n    defer"),
        EDITABLE.replace("append(0)", "append (0)"),
        EDITABLE.replace("def", "async def"),
        EDITABLE.replace("def f", "def g"),
        EDITABLE.replace("    return", "  return"),
        EDITABLE.replace("def", "class"),
        "\n" + EDITABLE,
        "\n\n\n\n\n\n" + EDITABLE,
        EDITABLE.replace("\n", "\n\n"),
        "f = lambda events: defer(events.append, 1)\n",
        "x = 1\n" * 4,
        "x = (\n",
        "\0" + EDITABLE,
        "",
    ],
)
def test_edited(load, edited, recwarn):
    """If a file changes between import and decoration, the imported function runs (R4)."""
    module = load(EDITABLE)
    Path(module.__file__).write_text(edited)
    f = with_defers(module.f)
    reason = runtime(f)
    assert re.search(
        r"module_0\.py|is not made by a `def` statement|does not compile on its own|"
        r"not found where its name says",
        reason,
    )
    events = []
    assert f(events) == 2
    assert events == [0, 1]
    assert not recwarn.list


def test_edited_below_and_above_in_the_same_lines(load):
    """An edit that leaves the function's own lines in place does no harm (R1)."""
    module = load("x = 1\n" + EDITABLE + "y = 1\n")
    Path(module.__file__).write_text("z = 2\n" + EDITABLE + "def other():\n    pass\n")
    f = with_defers(module.f)
    assert explain(f).way == "open-coded"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_edited_after_decoration(load):
    """An edit after the decoration changes nothing: the function is compiled already (R1)."""
    module = load("@decorate\n" + EDITABLE)
    Path(module.__file__).write_text("\n" * 20)
    assert explain(module.f).way == "open-coded"
    events = []
    assert module.f(events) == 2
    assert events == [0, 1]


def test_deleted(load):
    """A function without its file runs the runtime way (R4)."""
    module = load(EDITABLE)
    Path(module.__file__).unlink()
    f = with_defers(module.f)
    assert runtime(f) == f"the source of {module.__file__} is not available"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_edited_with_named_results(load):
    """Decorating refuses a named result without a proven source, and says so (N, R3)."""
    module = load(EDITABLE.replace("return 2", "n = 2"))
    Path(module.__file__).write_text("\n" + EDITABLE)
    with pytest.raises(DeferError, match=r"named results need .* its source, and "):
        with_defers(result="n")(module.f)


def test_exec():
    """A function made by exec has no source, and runs the runtime way (R4)."""
    namespace = {"defer": defer}
    exec(EDITABLE, namespace)
    f = with_defers(namespace["f"])
    assert runtime(f) == "the source of <string> is not available"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_exec_under_the_name_of_a_file(load):
    """A function made by exec that claims to be from a file is compared with that file (R4)."""
    other = load("def f(events):\n    defer(events.append, 3)\n    return 4\n")
    namespace = {"defer": defer}
    exec(compile(EDITABLE, other.__file__, "exec"), namespace)
    f = with_defers(namespace["f"])
    assert "edited" in runtime(f)
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_source_in_linecache(way):
    """A source that a tool has put into `linecache`, as shells do, is used (R1)."""
    text = "@decorate\n" + EDITABLE
    name = "<a cell>"
    namespace = {"defer": defer, "decorate": way}
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        exec(compile(text, name, "exec"), namespace)
    finally:
        del linecache.cache[name]
    events = []
    assert namespace["f"](events) == 2
    assert events == [0, 1]


def test_lambda():
    """A lambda, which no def makes, runs the runtime way (R4, A)."""
    events = []
    f = with_defers(lambda: defer(events.append, 1))
    assert runtime(f) == "it is not made by a `def` statement at the beginning of a line"
    f()
    assert events == [1]


def test_renamed_code(load):
    """A function with replaced code has no proven source (R4)."""
    module = load(EDITABLE)
    module.f.__code__ = module.f.__code__.replace(co_name="g", co_qualname="g")
    f = with_defers(module.f)
    assert runtime(f)
    events = []
    assert f(events) == 2
    assert events == [0, 1]


SCRIPT = dedent("""\
    from godefer import defer, explain, with_defers
    @with_defers
    def f():
        defer(print, "deferred")
        print("body")

    f()
    print(explain(f).way, explain(f).reason, sep="; ")
    """)


def test_python_c():
    """In `python -c` a function is open-coded only where Python keeps the source (R4)."""
    body, deferred, way = output("-W", "error", "-c", SCRIPT).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way in {"runtime; the source of <string> is not available", "open-coded; "}


def test_interactive():
    """A function of the prompt is open-coded only where Python keeps its source (R4)."""
    done = subprocess.run(
        [sys.executable, "-q", "-W", "error", "-i"],
        input=SCRIPT,
        env={**os.environ, "PYTHONPATH": ROOT, "PYTHON_BASIC_REPL": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Error" not in done.stderr
    # PyPy's prompt is part of the output.
    body, deferred, way = re.sub(r"(?m)^((>>>>|\.\.\.\.) )+", "", done.stdout).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way.partition(";")[0] in {"runtime", "open-coded"}
    assert way.partition(";")[2].strip() or way.startswith("open-coded")


def test_script_from_stdin():
    """In a script from stdin a function is open-coded only where Python keeps it (R4)."""
    body, deferred, way = output("-W", "error", "-", stdin=SCRIPT).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way.startswith(("runtime; the source of <stdin> is not available", "open-coded; "))


def test_zipimport(tmp_path):
    """The source of a module in a zip archive is read through its loader (R1)."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("package/__init__.py", "")
        file.writestr("package/module.py", SCRIPT)
    out = output("-c", "import package.module", PYTHONPATH=f"{archive}{os.pathsep}{ROOT}")
    assert out == "body\ndeferred\nopen-coded; \n"


CLASS_IN_BODY = dedent("""\
    from godefer import defer, explain, with_defers
    @with_defers
    def f():
        class A:
            def m(self):
                self.one = self.two = self.three = self.four = self.five = self.six = self.seven = 1

        defer(print, "deferred", "one" in {"one", "two", "three", "four"})
        A().m()

    f()
    print(explain(f).way, explain(f).reason)
    """)


@pytest.mark.parametrize("seed", range(4))
def test_bytecode_of_another_process(tmp_path, seed):
    """Bytecode written by a process with other hashes counts as the same code (R1)."""
    (tmp_path / "module.py").write_text(CLASS_IN_BODY)
    output("-m", "compileall", "-q", str(tmp_path), PYTHONHASHSEED=str(100 + seed))
    out = output(
        "-c", "import module", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", PYTHONHASHSEED=str(seed)
    )
    assert out == "deferred True\nopen-coded \n"


def test_bytecode_without_source(tmp_path):
    """A module without its source file runs the runtime way (R4)."""
    (tmp_path / "module.py").write_text(SCRIPT)
    output("-m", "compileall", "-q", "-b", str(tmp_path))
    (tmp_path / "module.py").unlink()
    out = output("-c", "import module", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert out.startswith("body\ndeferred\nruntime; the source of ")


OPTIMIZED = dedent('''\
    from godefer import defer, explain, with_defers
    @with_defers
    def f(x):
        """A docstring."""
        defer(print, "deferred", __debug__)
        assert x
        if __debug__:
            print("debug")

    f(1 if __debug__ else 0)
    print(explain(f).way, f.__doc__)
    @with_defers
    def g():
        """A docstring."""
    ''')


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("-B", "debug\ndeferred True\nopen-coded A docstring.\n"),
        ("-O", "deferred False\nopen-coded A docstring.\n"),
        ("-OO", "deferred False\nopen-coded None\n"),
    ],
)
def test_optimized(tmp_path, option, expected):
    """Under -O and -OO the function is compiled accordingly (R1)."""
    (tmp_path / "script.py").write_text(OPTIMIZED)
    assert output(option, "-W", "error", str(tmp_path / "script.py")) == expected


WARNS = r'''
from godefer import defer, explain, with_defers
@with_defers
def f(x):
    """An invalid \escape."""
    defer(print, "\d", x is 1)
    assert (x, "always true")
    return x is "1"

@with_defers(result="n")
def g(x):
    n = "\d"
    defer(print, x is ())

f(2)
g(2)
print(explain(f).way, explain(g).way)
assert "is" in explain(f).lowered
'''


def test_syntax_warnings_are_not_repeated(tmp_path):
    """The compiler's warnings appear once, when the module is compiled (R1)."""
    script = tmp_path / "warns.py"
    script.write_text(WARNS)

    def warned(*arguments):
        command = [sys.executable, "-B", "-W", "always", *arguments]
        environment = {**os.environ, "PYTHONPATH": ROOT}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0
        return done.stdout, sorted(line for line in done.stderr.splitlines() if "Warning" in line)

    compiling = (
        "import sys, pathlib; compile(pathlib.Path(sys.argv[1]).read_text(), sys.argv[1], 'exec')"
    )
    _, warnings_once = warned("-c", compiling, str(script))
    out, warnings_running = warned(str(script))
    assert out == "\\d False\nFalse\nopen-coded open-coded\n"
    assert warnings_running == warnings_once
    assert len(warnings_once) >= 6


def test_syntax_warnings_are_not_fatal(tmp_path):
    """Under -W error a function with syntax warnings in a cached module is open-coded (R1)."""
    (tmp_path / "warns.py").write_text(WARNS)
    command = [sys.executable, "-W", "ignore", "-m", "compileall", "-q", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    out = output("-W", "error", "-c", "import warns", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert out == "\\d False\nFalse\nopen-coded open-coded\n"


def test_warning_filters_are_left_alone(load):
    """Decorating leaves the warning filters and the registry of warnings alone (R1)."""
    before = list(warnings.filters)
    assert explain(load("@decorate\n" + EDITABLE).f).way == "open-coded"
    assert warnings.filters == before
