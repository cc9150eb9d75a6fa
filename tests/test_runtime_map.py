"""docs/go-runtime.md maps Go's runtime for defers, old and new, to its equivalents here."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.oracle.running import HOW_TO_INSTALL, go

pytestmark = pytest.mark.project

PAGE = (Path(__file__).parent.parent / "docs" / "go-runtime.md").read_text(encoding="utf-8")

# Go 1.13 to 1.21: most descriptions of `defer` are about these records and functions.
OLD_FIELDS = {
    "_defer": "siz started heap openDefer sp pc fn _panic link fd varp framepc",
    "_panic": "argp arg link pc sp recovered aborted goexit",
}
OLD_FUNCTIONS = """deferproc deferprocStack deferreturn newdefer freedefer jmpdefer return0
    runOpenDeferFrame gopanic gorecover recovery Goexit
    printpanics fatalpanic"""


def first_cells(title):
    """Return the names in the first column of the table below a heading."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return {
        name
        for cell in re.findall(r"^\|([^|]*)\|", section, re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", cell)
    }


FUNCTIONS = {
    name.rpartition(".")[2]
    for name in first_cells("The functions") | first_cells("Open-coded defers")
}


@pytest.mark.parametrize("record", OLD_FIELDS)
def test_every_field_that_was(record):
    """The map has each old field of the records."""
    assert set(OLD_FIELDS[record].split()) <= first_cells(f"The record `{record}`")


def test_every_function_that_was():
    """The map has each old function that made, ran or recovered from deferred calls."""
    assert set(OLD_FUNCTIONS.split()) <= FUNCTIONS


@pytest.fixture(scope="module")
def runtime():
    """Return the source folder of Go's runtime."""
    if go() is None:
        pytest.skip(HOW_TO_INSTALL)
    root = subprocess.run(
        [go(), "env", "GOROOT"], capture_output=True, text=True, check=True
    ).stdout.strip()
    return Path(root, "src", "runtime")


@pytest.mark.parametrize("record", OLD_FIELDS)
def test_every_present_field(runtime, record):
    """The map has each field of the records of the installed Go."""
    source = (runtime / "runtime2.go").read_text(encoding="utf-8")
    body = re.search(rf"^type {record} struct {{\n(.*?)^}}", source, re.DOTALL | re.MULTILINE)[1]
    fields = set(re.findall(r"^\t(\w+) +\S", body, re.MULTILINE))
    assert len(fields) >= 7
    assert fields <= first_cells(f"The record `{record}`")


def test_every_present_function(runtime):
    """The map has each function of panic.go named after defers, panics or recovery."""
    source = (runtime / "panic.go").read_text(encoding="utf-8")
    names = re.findall(r"^func (?:\(.*?\) )?(\w+)", source, re.MULTILINE)
    ours = {
        name
        for name in names
        if re.search(r"[Dd]efer|recover|Goexit|gopanic|printpanics|fatalpanic|nextFrame", name)
    }
    assert len(ours) >= 18
    assert ours <= FUNCTIONS
