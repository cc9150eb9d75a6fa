"""Each test names its rule, each rule has tests, and the table in docs/rules.md shows both."""

import re
import subprocess
import sys

import pytest

from tests import map as the_map

pytestmark = pytest.mark.project
FILES = the_map.test_files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_test_names_its_rule(path):
    """A test has a rule in its docstring, or the marker `project`."""
    unnamed = [
        f"{path}:{line}: {name}: end its docstring with its rule, or mark it as `project`"
        for name, line, docstring, project in the_map.test_functions(path)
        if not (the_map.rules_of(docstring) or project or the_map.is_of_the_checker(path))
    ]
    assert unnamed == []


def test_every_rule_has_tests():
    """Each rule of docs/rules.md is the subject of at least one test."""
    named = {
        rule
        for path in FILES
        for _, _, docstring, _ in the_map.test_functions(path)
        for rule in the_map.rules_of(docstring)
    }
    assert [rule for rule in the_map.RULES if rule not in named] == []


def test_a_rule_is_a_marker():
    """pytest selects tests by their rules, and by sections of rules."""
    path = the_map.TESTS / "test_order.py"
    rules = {
        name: the_map.rules_of(docstring) for name, _, docstring, _ in the_map.test_functions(path)
    }
    assert selected("D8 and not D1", path) == {
        name for name, found in rules.items() if "D8" in found and "D1" not in found
    }
    assert selected("P", path) == {
        name for name, found in rules.items() if any(rule.startswith("P") for rule in found)
    }


def selected(expression, path):
    """Return the names of the tests that `pytest -m expression` would run in a file."""
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-m", expression, str(path)],
        cwd=the_map.TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(re.findall(r"::(test_\w+)", done.stdout))


def test_a_code_of_the_checker_is_a_marker():
    """The codes in a checker test's file name, name and docstring are its markers."""
    path = the_map.TESTS / "test_lint.py"
    assert the_map.markers(path, "test_wrong[GDF001-1]", "") == {"project", "GDF001"}
    assert the_map.markers(path, "test_gap", "What GDF012 says.") == {"project", "GDF012"}
    in_a_folder = the_map.TESTS / "lint" / "test_gdf002.py"
    assert the_map.markers(in_a_folder, "test_wrong", "") == {"project", "GDF002"}
    assert the_map.markers(path, "test_unknown[GDF000]", None) == {"project"}


def test_long_files_are_marked():
    """`pytest -m "not long"` leaves out the files in `LONG`, and each of its patterns has files."""
    assert "long" in the_map.markers(
        the_map.TESTS / "test_lines.py", "test_a_line", "It runs (P6)."
    )
    assert "long" not in the_map.markers(
        the_map.TESTS / "test_order.py", "test_it", "It runs (D2)."
    )
    assert [pattern for pattern in the_map.LONG if not list(the_map.TESTS.glob(pattern))] == []
    assert selected("long", the_map.TESTS / "test_order.py") == set()


@pytest.mark.parametrize(
    ("docstring", "rules"),
    [
        ("It runs (D6, P2).", ["D6", "P2"]),
        ("It runs (PEP 479, D10).", ["D10"]),
        ("It runs (R5; Go's newdefer). Mirrors a.go.", ["R5"]),
        ("It (that is D2) runs.", []),
        (None, []),
    ],
)
def test_rules_of_a_docstring(docstring, rules):
    """The rules are the words in parentheses that docs/rules.md knows."""
    assert the_map.rules_of(docstring) == rules


def test_the_table_is_up_to_date():
    """The table in docs/rules.md is the output of `python -m tests.map`."""
    page = the_map.PAGE.read_text(encoding="utf-8")
    assert page == the_map.updated(page), "run `python -m tests.map`"
