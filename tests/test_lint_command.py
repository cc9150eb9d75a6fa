"""python -m godefer check, and the same rules in flake8: input, output, and suppression."""

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
from godefer.lint import _clean, _files

ROOT = Path(godefer.__file__).resolve().parent.parent

WRONG = """\
from godefer import defer, with_defers


@with_defers
def f(file):
    défi = "é"; defer(file.close())
    defer(file.close)
"""
MESSAGE = (
    "file.close() is called here, and defer() is given what it returns, which is no function; "
    "write defer(file.close)"
)

FIXABLE = "[*] 1 fixable with the `--fix` option.\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Make an empty directory the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))
    return tmp_path


@pytest.fixture
def check(project, capsys):
    """Run the subcommand; return its exit status and its output."""

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
    """A finding is `path:line:column: code message`; findings are counted, and the status is 1.

    The column is in characters, as ruff prints it.
    """
    (project / "a.py").write_text(WRONG)
    assert check("a.py") == (1, f"a.py:6:23: GDF001 {MESSAGE}\nFound 1 error.\n{FIXABLE}")
    (project / "b.py").write_text(WRONG)
    assert check("a.py", "b.py")[1].endswith(
        "\nFound 2 errors.\n[*] 2 fixable with the `--fix` option.\n"
    )


def test_nothing_found(project, check):
    """Without findings the report says so, and the status is 0."""
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
    """A directory is searched for Python files, except hidden ones and code of others.

    Without a path, the current directory is searched.
    """
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
    """`--output-format json` prints an array with ruff's keys, empty without findings."""
    (project / "a.py").write_text(WRONG)
    status, out = check("--output-format", "json", "a.py")
    assert status == 1
    assert json.loads(out) == [
        {
            "code": "GDF001",
            "end_location": {"column": 35, "row": 6},
            "fix": {
                "applicability": "safe",
                "edits": [
                    {
                        "content": "defer(file.close)",
                        "end_location": {"column": 36, "row": 6},
                        "location": {"column": 17, "row": 6},
                    }
                ],
                "message": "write defer(file.close)",
            },
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
    """`--output-format github` prints workflow commands and escapes the ends of properties."""
    (project / "a,b.py").write_text(WRONG)
    path = str(project / "a,b.py").replace(",", "%2C").replace(":", "%3A")
    assert check("--output-format", "github", "a,b.py") == (
        1,
        f"::error title=godefer (GDF001),file={path},line=6,col=23,endLine=6,endColumn=35"
        f"::a,b.py:6:23: GDF001 {MESSAGE}\n",
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
    """--select and --ignore take codes or their beginnings; the longer one decides."""
    (project / "a.py").write_text(SEVERAL)
    status, out = check("a.py", *arguments)
    assert (status, re.findall(r"GDF\d+", out)) == (bool(expected), expected)


@pytest.mark.parametrize("given", ["GDF1", "F401", "GDF0001", "gdf001"])
def test_an_unknown_rule_is_an_error_of_the_command(project, capsys, given):
    """An unknown code or beginning of a code is reported, with status 2."""
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
    """`# noqa` suppresses the findings of its line, or its codes, exactly as in flake8."""
    ours, flake8s = noqa_lines(NOQA, check, project)
    assert ours == flake8s == [2, 7, 11, 18]


@pytest.mark.parametrize(
    ("comment", "lines"),
    [("# flake8: noqa", []), ("  # Flake8=NOQA", []), ("#   flake8: noqa", [3])],
)
def test_noqa_for_a_file(project, check, comment, lines):
    """`# flake8: noqa` on a line of its own suppresses the findings of the file."""
    text = f"{comment}\nfrom godefer import defer\ndefer(print)\n"
    assert noqa_lines(text, check, project) == (lines, lines)


def test_noqa_for_a_file_and_a_rule(project, check):
    """A file's noqa comment may list codes, and ruff's form works; behind code it is ignored."""
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
    """`# noqa` in a string suppresses nothing."""
    (project / "a.py").write_text('from godefer import defer\ndefer(print, "# noqa")\n')
    assert check("a.py")[0] == 1


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        (b"import godefer\ndef f(:\n", "2:7", "invalid-syntax: "),
        (b"import godefer\nx = '\0'\n", "1:1", "invalid-syntax: "),
        (b"# coding: nonsense\nimport godefer\n", "1:1", "invalid-syntax: "),
        (b"import godefer\nx = '\xff'\n", "2:", "invalid-syntax: "),
        (b"import godefer\nx = " + b"(" * 300 + b")" * 300, "2:", "invalid-syntax: "),
    ],
)
def test_a_file_that_is_not_python(project, check, source, place, message):
    """An unreadable file is reported as ruff does, and the others are still checked."""
    (project / "a.py").write_bytes(source)
    (project / "b.py").write_text(WRONG)
    status, out = check("--select", "GDF001", "a.py", "b.py")
    assert status == 1
    lines = out.splitlines()
    assert lines[0].startswith(f"a.py:{place}")
    assert message in lines[0]
    assert lines[1].startswith("b.py:6:23: GDF001")
    assert check("--output-format", "json", "a.py")[0] == 1


def test_a_missing_file(project, check):
    """A file that does not exist is an E902, and the status is 2, also with --exit-zero."""
    assert check("none.py", "--exit-zero")[0] == 2
    assert check("none.py") == (2, "none.py:1:1: E902 No such file or directory\nFound 1 error.\n")


def test_encodings_and_line_ends(project, check):
    """A file is read in its declared encoding, with any line ends."""
    text = "# coding: latin-1\n\f\n" + WRONG
    (project / "a.py").write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    (project / "b.py").write_bytes(b"\xef\xbb\xbf" + WRONG.encode())
    assert re.findall(r":(\d+:\d+): GDF001", check("a.py", "b.py")[1]) == ["8:23", "6:23"]


def test_deep_expressions(project, check):
    """Expressions nested deeper than the interpreter's stack are visited like others."""
    deep = " + ".join(["x"] * 950)
    (project / "a.py").write_text(
        f"from godefer import *\ndefer(print, {deep})\n"
        f"defer(f.a{'.b' * 950}())\ndefer(print({deep}))\n"
    )
    assert re.findall(r"a\.py:(\d+)", check("a.py")[1]) == ["2", "3", "4", "4"]
    (project / "a.py").write_text(f"import godefer\n{' + '.join(['x'] * 3000)}\n")
    # The parser may fail at such a depth.
    assert re.search("invalid-syntax: |All checks passed!", check("a.py")[1])


def test_a_place_outside_of_the_lines():
    """A place outside of the file's lines stays as it is."""
    assert _files.characters([], 1, 3) == 3


def test_chains_and_circles_of_aliases(project, check):
    """Long chains and circles of aliases cost neither much time nor stack."""
    chain = "\n".join(f"a{n} = a{n - 1}" for n in range(1, 2000))
    circle = "\n".join(f"b = b.c{n}; c = b.b; d = c; b = d" for n in range(200))
    source = (
        f"from godefer import defer as a0\n{chain}\n{circle}\n"
        "a3(print)\na1999(print)\nb(print)\nb.c.d(print)\n"
    )
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
    assert problem[:7] == ("<string>", 6, 23, 6, 35, "GDF001", MESSAGE)


def test_the_checker_is_not_imported_with_godefer():
    """`import godefer` loads neither the checker nor ast."""
    code = (
        "import sys, godefer; "
        "print([m for m in ('ast', 'tokenize', 'godefer.lint') if m in sys.modules])"
    )
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
    assert out.splitlines() == check("a.py")[1].splitlines()[:-2]


def test_the_pre_commit_hook_runs_the_check(project, monkeypatch):
    """The hook's command checks the files named after it."""
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


# Settings


def codes(out):
    return re.findall(r"GDF\d+", out)


def test_settings_of_the_project(project, check):
    """The nearest pyproject.toml above a path counts, and options override it."""
    (project / "src").mkdir()
    (project / "src/a.py").write_text(SEVERAL)
    (project / "pyproject.toml").write_text(
        '[tool.godefer]\nselect = ["GDF00"]\nignore = ["GDF007"]\n'
    )
    assert codes(check("src")[1]) == ["GDF002"]
    assert codes(check("src/a.py")[1]) == ["GDF002"]
    assert codes(check("src", "--select", "GDF011")[1]) == ["GDF011"]
    assert codes(check("src", "--ignore", "GDF002")[1]) == ["GDF007"]
    (project / "src/pyproject.toml").write_text("[tool.other]\n")
    assert codes(check("src")[1]) == ["GDF002"]
    (project / "src/pyproject.toml").write_text('[tool.godefer]\nselect = ["GDF011"]\n')
    assert codes(check("src")[1]) == ["GDF011"]


def test_excluded_files(project, check):
    """--exclude and `exclude` leave out files and directories; --force-exclude also named ones."""
    for name in ["a.py", "gen/b.py", "pkg/data/c.py", "pkg/d_pb2.py"]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(WRONG)

    def files(*arguments):
        return re.findall(r"^(.*?):", check(*arguments)[1], re.MULTILINE)

    assert files("--exclude", "gen,*_pb2.py") == ["a.py", "pkg/data/c.py"]
    (project / "pyproject.toml").write_text('[tool.godefer]\nexclude = ["pkg/data", "gen"]\n')
    assert files() == ["a.py", "pkg/d_pb2.py"]
    assert files("--exclude", "a.py") == ["pkg/d_pb2.py"]
    assert files("gen/b.py") == ["gen/b.py"]
    assert files("--force-exclude", "gen/b.py", "a.py") == ["a.py"]


def test_a_pattern_is_about_the_project(project, check, monkeypatch):
    """A name in a pattern matches no directory above the project, nor the project itself."""
    for name in ["gen/a.py", "here/gen/b.py", "here/c.py", "[x]/gen/d.py", "x/gen/e.py"]:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(SEVERAL)

    def files(*arguments):
        lines = check(*arguments)[1].splitlines()
        return sorted({line.partition(":")[0] for line in lines if ":" in line})

    every = ["gen/a.py", "here/c.py", "here/gen/b.py", "[x]/gen/d.py", "x/gen/e.py"]
    outside = f"{project.parent.name},{project.name},{project.anchor.strip(os.sep) or 'tmp'}"
    assert files("--exclude", outside) == sorted(every)
    settings = project / "pyproject.toml"
    settings.write_text(f'[tool.godefer]\nexclude = ["{project.parent.name}", "gen"]\n')
    assert files() == sorted(every[1:2])
    settings.write_text(f'[tool.godefer.per-file-ignores]\n"{project.name}" = ["GDF"]\n')
    assert files() == sorted(every)
    settings.unlink()
    # A path outside of the current directory: the names below the common one count.
    monkeypatch.chdir(project / "here")
    assert files("../gen", "../x", "--exclude", "gen") == []
    assert files("../gen", "../x", "--exclude", project.name) == ["../gen/a.py", "../x/gen/e.py"]
    assert files(".", "--exclude", "here") == ["c.py", "gen/b.py"]
    # A directory may have a name that is a pattern.
    monkeypatch.chdir(project / "[x]")
    assert files(".", "--exclude", "./gen") == []
    assert files("../x", "--exclude", "./gen") == ["../x/gen/e.py"]
    (project / "[x]/pyproject.toml").write_text('[tool.godefer]\nexclude = ["./gen"]\n')
    assert files(".") == []


def test_rules_that_are_ignored_in_some_files(project, check):
    """`per-file-ignores` turns off rules in the files that match a pattern."""
    (project / "tests").mkdir()
    (project / "tests/a.py").write_text(SEVERAL)
    (project / "b.py").write_text(SEVERAL)
    (project / "pyproject.toml").write_text(
        '[tool.godefer.per-file-ignores]\n"tests" = ["GDF00"]\n'
    )
    assert codes(check()[1]) == ["GDF002", "GDF007", "GDF011", "GDF011"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selekt = []", "[tool.godefer] has no setting 'selekt'; it has exclude, ignore, "),
        ('select = "GDF"', "[tool.godefer] select is no list of strings"),
        ('select = ["X1"]', "no rule begins with 'X1'"),
        ('output-format = "xml"', "[tool.godefer] output-format has no format 'xml'"),
        ("per-file-ignores = 1", "[tool.godefer] per-file-ignores is no table"),
        ("select = [", "pyproject.toml: "),
    ],
)
def test_settings_that_are_wrong(project, capsys, text, message):
    """An unknown setting, or one of the wrong type, is an error with status 2."""
    (project / "pyproject.toml").write_text(f"[tool.godefer]\n{text}\n")
    assert command_line.main(["check"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err


# The standard input, formats and statuses


def run_check(*arguments, stdin=None, env=None, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "godefer", "check", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_standard_input(project):
    """`check -` reads the standard input; --stdin-filename names it, and finds its settings."""
    status, out, err = run_check("-", stdin=WRONG)
    assert (status, err) == (1, "")
    assert out.startswith("-:6:23: GDF001 ")
    (project / "pkg").mkdir()
    (project / "pkg/pyproject.toml").write_text('[tool.godefer]\nselect = ["GDF002"]\n')
    assert run_check("-", "--stdin-filename", "pkg/a.py", stdin=WRONG)[0] == 0
    status, out, _ = run_check("-", "--stdin-filename", "a.py", stdin=WRONG)
    assert out.startswith("a.py:6:23: GDF001 ")
    status, _, err = run_check("-", "a.py", stdin=WRONG)
    assert (status, err) == (
        2,
        "python -m godefer check: the standard input, -, cannot be checked with other paths\n",
    )
    status, out, err = run_check("-", "--fix", stdin=WRONG)
    assert (status, out) == (0, WRONG.replace("close())", "close)"))
    assert err == "Fixed 1 error.\nAll checks passed!\n"


def test_sarif(project, check):
    """`--output-format sarif` prints a log with rules, places and fixes."""
    (project / "a b.py").write_text(WRONG)
    status, out = check("--output-format", "sarif", "a b.py")
    assert status == 1
    log = json.loads(out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == list(lint.RULES)
    (result,) = run["results"]
    assert result["ruleId"] == "GDF001"
    assert result["message"] == {"text": MESSAGE}
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == (project / "a b.py").as_uri()
    assert place["region"] == {"startLine": 6, "startColumn": 23, "endLine": 6, "endColumn": 35}
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["replacements"][0]["insertedContent"] == {"text": "defer(file.close)"}


def test_statistics(project, check):
    """--statistics prints the number of problems of each rule, the most frequent first."""
    (project / "a.py").write_text(SEVERAL)
    (project / "b.py").write_text(SEVERAL.partition("@")[0])
    status, out = check("--statistics")
    assert status == 1
    lines = out.splitlines()
    assert lines[0] == f"2\tGDF002\t{lint.RULES['GDF002']}"
    assert lines[1] == f"2\tGDF007\t{lint.RULES['GDF007']}"
    assert lines[2] == f"1\tGDF011\t[*] {lint.RULES['GDF011']}"
    assert lines[3] == "Found 5 errors."


def test_colours(project):
    """FORCE_COLOR colours a report; NO_COLOR or a pipe never has colours."""
    (project / "a.py").write_text(WRONG)
    plain = {"FORCE_COLOR": "", "NO_COLOR": ""}
    assert "\x1b" not in run_check("a.py", env=plain)[1]
    assert "\x1b[31;1mGDF001\x1b[0m" in run_check("a.py", env={**plain, "FORCE_COLOR": "1"})[1]
    assert "\x1b" not in run_check("a.py", env={"FORCE_COLOR": "1", "NO_COLOR": "1"})[1]
    forced = run_check("--output-format", "json", "a.py", env={**plain, "FORCE_COLOR": "1"})
    assert "\x1b" not in forced[1]


def test_exit_zero(project, check, capsys):
    """--exit-zero exits with 0 though problems are found, and with 2 if the command is wrong."""
    (project / "a.py").write_text(WRONG)
    assert check("--exit-zero")[0] == 0
    assert command_line.main(["check", "--exit-zero", "--select", "X"]) == 2
    capsys.readouterr()


def test_many_files(project, check):
    """Many files are checked by several processes, and reported in the order of one."""
    for number in range(200):
        (project / f"m{number:03}.py").write_text(WRONG)
    alone = check("--jobs", "1")
    assert check() == check("--jobs", "3") == alone
    assert alone[1].count("GDF001") == 200


def test_clean_files_are_remembered(project, check, monkeypatch):
    """Clean files among many are not checked again until they change."""
    for number in range(100):
        (project / f"m{number:03}.py").write_text(
            f"{WRONG.replace('close())', 'close)')}# {number}\n"
        )
    (project / "wrong.py").write_text(SEVERAL)
    first = check("--jobs", "1", "--select", "GDF002")
    assert first[1].count("GDF002") == 1
    checked = []
    real = _files.check_source
    monkeypatch.setattr(
        _files, "check_source", lambda s, path, rules: checked.append(path) or real(s, path, rules)
    )
    everything = check("--jobs", "1")
    assert checked == ["wrong.py"]
    assert codes(everything[1]) == ["GDF002", "GDF007", "GDF011"]
    (project / "m001.py").write_text(WRONG)
    assert codes(check("--jobs", "1")[1]) == ["GDF001", "GDF002", "GDF007", "GDF011"]
    assert checked == ["wrong.py", "m001.py", "wrong.py"]
    for off in (["--no-cache"], []):
        checked.clear()
        check("--jobs", "1", *off)
        assert len(checked) == (101 if off else 2)
        monkeypatch.setenv("GODEFER_CACHE", "1")
    monkeypatch.setenv("GODEFER_CACHE", "0")
    checked.clear()
    check("--jobs", "1")
    assert len(checked) == 101


def test_an_edit_during_the_check_is_not_remembered_as_clean(project, check, monkeypatch):
    """The memory has the digest of the bytes that were checked, and not of a later state."""
    for number in range(100):
        (project / f"m{number:03}.py").write_text(f"import godefer  # {number}\n")
    real = _files.check_source

    def check_while_it_is_edited(source, path, rules):
        (project / path).write_text(WRONG)
        return real(source, path, rules)

    monkeypatch.setattr(_files, "check_source", check_while_it_is_edited)
    assert check("--jobs", "1")[0] == 0
    monkeypatch.setattr(_files, "check_source", real)
    assert check("--jobs", "1")[1].count("GDF001") == 100


def test_memories_of_older_checkers_are_removed(project, check):
    """Few memories are kept: that of this checker, and the newest of the others."""
    for number in range(70):
        (project / f"m{number:03}.py").write_text(f"import godefer  # {number}\n")
    folder = project / ".cache/godefer"
    folder.mkdir(parents=True)
    for number in range(20):
        old = folder / f"check-{number:016x}"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    others = ["check-list.txt", "notes", f"check-{1:016x}.bak"]
    for name in others:
        (folder / name).write_text("")
    (folder / f"check-{99:016x}").mkdir()
    check("--jobs", "1")
    left = {file.name for file in folder.iterdir()}
    assert left >= {*others, f"check-{99:016x}"}
    memories = {name for name in left - {*others} if (folder / name).is_file()}
    assert len(memories) == _clean.MOST_FILES
    newest = {f"check-{number:016x}" for number in range(21 - _clean.MOST_FILES, 20)}
    assert memories > newest
    [own] = memories - newest
    assert folder / own == _clean.memory_file()


@pytest.mark.parametrize("damage", ["half", "folder", "locked"])
def test_a_memory_that_cannot_be_used(project, check, damage):
    """A damaged or unwritable memory of clean files does not change the report."""
    for number in range(70):
        (project / f"m{number:03}.py").write_text(WRONG + f"# {number}\n")
    (project / "clean.py").write_text("import godefer\n")
    first = check("--jobs", "1")
    (file,) = (project / ".cache/godefer").iterdir()
    if damage == "half":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.unlink()
        file.parent.rmdir()
        file.parent.write_text("")
    assert check("--jobs", "1") == first


# Fixes


def test_fix(project, capsys):
    """--fix writes the fixed file, keeps its line ends and encoding, and reports the rest."""
    text = "# coding: latin-1\n" + WRONG + "defer(print)\n"
    (project / "a.py").write_bytes(text.replace("\n", "\r\n").encode("latin-1"))
    assert command_line.main(["check", "--fix"]) == 1
    out, err = capsys.readouterr()
    assert err == "Fixed 1 error.\n"
    assert codes(out) == ["GDF002"]
    fixed = text.replace("close())", "close)").replace("\n", "\r\n").encode("latin-1")
    assert (project / "a.py").read_bytes() == fixed
    assert command_line.main(["check", "--fix"]) == 1
    assert capsys.readouterr().err == ""


def test_diff(project, capsys):
    """--diff shows the change, writes nothing, and exits with 1 if there is a change."""
    (project / "a.py").write_text(WRONG)
    assert command_line.main(["check", "--diff"]) == 1
    out, err = capsys.readouterr()
    assert '-    défi = "é"; defer(file.close())\n+    défi = "é"; defer(file.close)\n' in out
    assert out.startswith("--- a.py\n+++ a.py\n")
    assert err == "Would fix 1 error.\n"
    assert (project / "a.py").read_text() == WRONG
    (project / "a.py").write_text(WRONG.replace("close())", "close)"))
    assert command_line.main(["check", "--diff"]) == 0
    assert capsys.readouterr() == ("", "No errors would be fixed.\n")


def test_unsafe_fixes(project, capsys):
    """Only --unsafe-fixes applies a fix that may change the program's meaning."""
    source = (
        "from godefer import *\n@with_defers\n"
        "def f(lock):\n    lock.acquire()\n    defer(lock.acquire)\n"
    )
    (project / "a.py").write_text(source)
    assert command_line.main(["check", "--fix"]) == 1
    assert (project / "a.py").read_text() == source
    assert "1 fixable with the `--fix --unsafe-fixes` options" in capsys.readouterr().out
    assert command_line.main(["check", "--fix", "--unsafe-fixes"]) == 0
    assert "defer(lock.release)" in (project / "a.py").read_text()


def test_a_fix_keeps_comments_and_strings(project, capsys):
    """A fix keeps the quotes of strings, and skips a statement with a comment inside."""
    source = """\
from godefer import *
@with_defers
def f(log):
    defer(log.info("it's \\n over", 'x'))
    defer(
        # the end
        log.info("end")
    )
"""
    (project / "a.py").write_text(source)
    assert command_line.main(["check", "--fix"]) == 1
    fixed = source.replace(
        """log.info("it's \\n over", 'x')""", """log.info, "it's \\n over", 'x'"""
    )
    assert (project / "a.py").read_text() == fixed
    capsys.readouterr()
