"""python -m godefer check, and the same rules in flake8: what is read, what is printed, what a comment takes back."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import godefer
from godefer import lint
from godefer._cli import command as command_line
from godefer.lint import _files

ROOT = Path(godefer.__file__).resolve().parent.parent

WRONG = """\
from godefer import defer, with_defers


@with_defers
def f(file):
    défi = "é"; defer(file.close())
    defer(file.close)
"""
MESSAGE = "file.close() is called here, and defer() is given what it returns, which is no function; write defer(file.close)"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty directory, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def check(project, capsys):
    """Runs the subcommand; gives its exit status and what it printed."""

    def run(*arguments):
        status = command_line.main(["check", *arguments])
        printed = capsys.readouterr()
        assert printed.err == ""
        return status, printed.out

    return run


def run_flake8(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "flake8", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_findings_are_printed_as_ruff_does(project, check):
    """A finding is `path:line:column: code message`, with the column in characters; they are counted, and the status is 1."""
    (project / "a.py").write_text(WRONG)
    assert check("a.py") == (1, f"a.py:6:23: GDF001 {MESSAGE}\nFound 1 error.\n")
    (project / "b.py").write_text(WRONG)
    assert check("a.py", "b.py")[1].endswith("\nFound 2 errors.\n")


def test_nothing_found(project, check):
    """Where nothing is found, it says so, and the status is 0."""
    (project / "a.py").write_text(WRONG.replace("close())", "close)"))
    assert check("a.py") == (0, "All checks passed!\n")


def test_it_runs_as_a_command(project):
    """The command line's exit status is the checker's."""
    (project / "a.py").write_text(WRONG)
    command = [sys.executable, "-m", "godefer", "check", "a.py"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("a.py:6:23: GDF001 ")


def test_directories_are_searched(project, check):
    """In a directory every Python file is read, but for hidden ones and for code that is not the project's; without a path, in the current one."""
    for name in [
        "a.py",
        "pkg/sub/b.py",
        "pkg/c.txt",
        ".hidden/d.py",
        "pkg/__pycache__/e.py",
        "node_modules/f.py",
        "env/lib/g.py",
        "build/h.py",
    ]:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(WRONG)
    (project / "env/pyvenv.cfg").touch()
    status, out = check()
    assert status == 1
    assert re.findall(r"^(.*?):", out, re.MULTILINE) == ["a.py", os.path.join("pkg", "sub", "b.py")]
    assert check("pkg")[1].count("GDF001") == 1
    assert check("build", "build/h.py", "pkg/c.txt")[1].count("GDF001") == 2


def test_json(project, check):
    """`--output-format json` prints an array with ruff's keys; an empty one where nothing is found."""
    (project / "a.py").write_text(WRONG)
    status, out = check("--output-format", "json", "a.py")
    assert status == 1
    assert json.loads(out) == [
        {
            "code": "GDF001",
            "end_location": {"column": 35, "row": 6},
            "filename": str(project / "a.py"),
            "location": {"column": 23, "row": 6},
            "message": MESSAGE,
            "name": lint.RULES["GDF001"],
            "noqa_row": 6,
        }
    ]
    (project / "a.py").write_text("")
    assert check("--output-format", "json", "a.py") == (0, "[]\n")


def test_github(project, check):
    """`--output-format github` prints workflow commands, with what would end a property escaped."""
    (project / "a,b.py").write_text(WRONG)
    path = str(project / "a,b.py").replace(",", "%2C").replace(":", "%3A")
    assert check("--output-format", "github", "a,b.py") == (
        1,
        f"::error title=godefer (GDF001),file={path},line=6,col=23,endLine=6,endColumn=35::a,b.py:6:23: GDF001 {MESSAGE}\n",
    )
    (project / "a.py").write_text("")
    assert check("--output-format", "github", "a.py") == (0, "")


SEVERAL = """\
from godefer import defer, recover, with_defers
defer(print)
recover()
@with_defers
def f(): return
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["GDF002", "GDF007", "GDF011"]),
        (["--select", "GDF"], ["GDF002", "GDF007", "GDF011"]),
        (["--select", "GDF002,GDF011"], ["GDF002", "GDF011"]),
        (["--select", "GDF002", "--select", "GDF007"], ["GDF002", "GDF007"]),
        (["--select", "GDF00"], ["GDF002", "GDF007"]),
        (["--ignore", "GDF00"], ["GDF011"]),
        (["--select", "GDF00", "--ignore", "GDF007"], ["GDF002"]),
        (["--select", "GDF007", "--ignore", "GDF00"], ["GDF007"]),
        (["--select", "GDF002", "--ignore", "GDF002"], []),
    ],
)
def test_select_and_ignore(project, check, arguments, expected):
    """--select and --ignore take codes, or beginnings of codes; the longer one decides."""
    (project / "a.py").write_text(SEVERAL)
    status, out = check("a.py", *arguments)
    assert (status, re.findall(r"GDF\d+", out)) == (bool(expected), expected)


@pytest.mark.parametrize("given", ["GDF1", "F401", "GDF0001", "gdf001"])
def test_an_unknown_rule_is_an_error_of_the_command(project, capsys, given):
    """A code with which no rule begins is reported, with status 2."""
    assert command_line.main(["check", "--select", given]) == 2
    assert capsys.readouterr() == ("", f"python -m godefer check: no rule begins with {given!r}\n")


def noqa_lines(source, check, project):
    (project / "a.py").write_text(source)
    ours = re.findall(r"^a\.py:(\d+):", check("a.py")[1], re.MULTILINE)
    flake8s = re.findall(
        r"^a\.py:(\d+):", run_flake8("--isolated", "--select", "GDF", "a.py")[1], re.MULTILINE
    )
    return [int(n) for n in ours], [int(n) for n in flake8s]


NOQA = '''\
from godefer import defer
defer(print)
defer(print)  # noqa
defer(print)  # noqa: GDF002
defer(print)  # NoQA:GDF002,E501
defer(print)  # noqa: E501 GDF00
defer(print)  # noqa: GDF001
defer(print)  # because  # noqa: GDF002 (a reason)
defer(  # noqa: GDF002
    print)
defer(
    print)  # noqa: GDF002
defer(print, """
""")  # noqa: GDF002
defer(print, \\
    1)  # noqa
# noqa: GDF002
defer(print)
'''


def test_noqa(project, check):
    """`# noqa` takes back what is found on its line, or what its codes say, exactly as flake8 reads it."""
    ours, flake8s = noqa_lines(NOQA, check, project)
    assert ours == flake8s == [2, 7, 11, 18]


@pytest.mark.parametrize("comment", ["# flake8: noqa", "#   flake8: noqa".replace("   ", " ")])
def test_noqa_for_a_file(project, check, comment):
    """`# flake8: noqa` on a line of its own takes back the whole file."""
    assert noqa_lines(f"{comment}\nfrom godefer import defer\ndefer(print)\n", check, project) == (
        [],
        [],
    )


def test_noqa_for_a_file_and_a_rule(project, check):
    """With codes it takes back these; ruff's comment does the same; behind code it is no comment on the file."""
    body = "from godefer import defer, recover\ndefer(print)\nrecover()\n"
    for comment, lines in [
        ("# flake8: noqa: GDF002", ["4"]),
        ("# ruff: noqa: GDF002, GDF007", []),
        ("# ruff: noqa", []),
        ("x = 1  # flake8: noqa: GDF002", ["3", "4"]),
    ]:
        (project / "a.py").write_text(f"{comment}\n{body}")
        assert re.findall(r"^a\.py:(\d+):", check("a.py")[1], re.MULTILINE) == lines, comment


def test_a_string_is_no_comment(project, check):
    """`# noqa` in a string takes back nothing."""
    (project / "a.py").write_text('from godefer import defer\ndefer(print, "# noqa")\n')
    assert check("a.py")[0] == 1


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        (b"import godefer\ndef f(:\n", "2:7", "invalid-syntax: "),
        (b"import godefer\nx = '\0'\n", "1:1", "invalid-syntax: "),
        (b"# coding: nonsense\nimport godefer\n", "1:1", "invalid-syntax: "),
        (b"import godefer\nx = '\xff'\n", "1:1", "invalid-syntax: "),
        (b"import godefer\nx = " + b"(" * 300 + b")" * 300, "2:", "invalid-syntax: "),
    ],
)
def test_a_file_that_is_not_python(project, check, source, place, message):
    """A file that the interpreter cannot read is reported as ruff does, whatever is selected, and the others are still checked."""
    (project / "a.py").write_bytes(source)
    (project / "b.py").write_text(WRONG)
    status, out = check("--select", "GDF001", "a.py", "b.py")
    assert status == 1
    lines = out.splitlines()
    assert lines[0].startswith("a.py:")
    assert message in lines[0]
    assert lines[1].startswith("b.py:6:23: GDF001")
    assert check("--output-format", "json", "a.py")[0] == 1


def test_a_missing_file(project, check):
    """A file that does not exist is an E902."""
    assert check("none.py") == (1, "none.py:1:1: E902 No such file or directory\nFound 1 error.\n")


def test_encodings_and_line_ends(project, check):
    """A file is read in the encoding it declares, with whatever line ends."""
    text = "# coding: latin-1\n\f\n" + WRONG
    (project / "a.py").write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    (project / "b.py").write_bytes(b"\xef\xbb\xbf" + WRONG.encode())
    assert re.findall(r":(\d+:\d+): GDF001", check("a.py", "b.py")[1]) == ["8:23", "6:23"]


def test_deep_expressions(project, check):
    """Expressions nested deeper than the interpreter's stack are visited like others."""
    deep = " + ".join(["x"] * 950)
    (project / "a.py").write_text(
        f"from godefer import *\ndefer(print, {deep})\ndefer(f.a{'.b' * 950}())\ndefer(print({deep}))\n"
    )
    assert re.findall(r"a\.py:(\d+)", check("a.py")[1]) == ["2", "3", "4", "4"]
    (project / "a.py").write_text(f"import godefer\n{' + '.join(['x'] * 3000)}\n")
    assert re.search(
        "invalid-syntax: |All checks passed!", check("a.py")[1]
    )  # as deep as the parser can go


def test_a_place_outside_of_the_lines():
    """A place that the lines do not have is left as it is."""
    assert _files.characters([], 1, 3) == 3


def test_chains_and_circles_of_aliases(project, check):
    """Names that are aliases of aliases, however many, and of themselves, cost neither time nor the stack."""
    chain = "\n".join(f"a{n} = a{n - 1}" for n in range(1, 2000))
    circle = "\n".join(f"b = b.c{n}; c = b.b; d = c; b = d" for n in range(200))
    source = f"from godefer import defer as a0\n{chain}\n{circle}\na3(print)\na1999(print)\nb(print)\nb.c.d(print)\n"
    (project / "a.py").write_text(source)
    line = 1 + source[: source.index("a3(print)")].count("\n")
    assert re.findall(r"a\.py:(\d+):\d+: (\w+)", check("a.py")[1]) == [(str(line), "GDF002")]


def test_syntax_warnings_are_left_to_the_interpreter(project, check):
    """Checking prints no SyntaxWarning of the source."""
    (project / "a.py").write_text('import godefer\n"\\d" is 1\n')
    assert check("a.py") == (0, "All checks passed!\n")


def test_checking_a_string():
    """`check_source` gives the problems of a source text."""
    (problem,) = lint.check_source(WRONG)
    assert problem == ("<string>", 6, 23, 6, 35, "GDF001", MESSAGE)


def test_the_checker_is_not_imported_with_godefer():
    """`import godefer` loads neither the checker nor ast."""
    code = "import sys, godefer; print([m for m in ('ast', 'tokenize', 'godefer.lint') if m in sys.modules])"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, env=env, check=True
    )
    assert done.stdout == "[]\n"


def test_flake8_has_the_plugin():
    """The plugin is an entry point of the installed package, and flake8 names it."""
    (point,) = [
        p for p in importlib.metadata.entry_points(group="flake8.extension") if p.name == "GDF"
    ]
    assert point.load() is lint.Flake8Plugin
    assert f"godefer: {godefer.__version__}" in run_flake8("--version")[1].replace("\n", " ")


def test_flake8_finds_the_same(project, check):
    """flake8 reports the same codes and messages, at the same lines and columns."""
    (project / "a.py").write_text(WRONG + SEVERAL)
    status, out = run_flake8("--isolated", "--select", "GDF", "a.py")
    assert status == 1
    assert out.splitlines() == check("a.py")[1].splitlines()[:-1]


def test_the_pre_commit_hook_runs_the_check(project, monkeypatch):
    """The hook's command, with the files' names behind it, checks them."""
    hook = (Path(__file__).parent.parent / ".pre-commit-hooks.yaml").read_text()
    entry = re.search(r"^ *entry: (.*)$", hook, re.MULTILINE)[1]
    assert re.findall(r"^ *(?:- )?(id|language|types): (.*)$", hook, re.MULTILINE) == [
        ("id", "godefer"),
        ("language", "python"),
        ("types", "[python]"),
    ]
    (project / "a.py").write_text(WRONG)
    command = [sys.executable if word == "python" else word for word in entry.split()]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, "a.py"], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 1
    assert "GDF001" in done.stdout
