"""docs/go-cases.md lists every test that mirrors one of Go's cases, and
names only existing ones.
"""

import ast
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.project

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "go-cases.md"
MODULES = sorted(path.name for path in TESTS.glob("test_go_*.py") if path != Path(__file__))


def listed():
    """Return the tests on the page, by module."""
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if module := re.search(r"\*\*`(\w+\.py)`\*\*", line):
            tests = found.setdefault(module[1], [])
        elif test := re.search(r"\| `(test_\w+)` \|$", line):
            tests.append(test[1])
    return found


def docstrings(module):
    """Return the tests of a module with their docstrings."""
    tree = ast.parse((TESTS / module).read_text(encoding="utf-8"))
    functions = (
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    )
    return {function.name: ast.get_docstring(function) for function in functions}


def test_every_module_is_listed():
    """The page has each module that mirrors Go's cases, and no other."""
    assert sorted(listed()) == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_every_test_is_listed(module):
    """The page lists the tests of a module, each once and in their order."""
    assert listed()[module] == list(docstrings(module))


@pytest.mark.parametrize("module", MODULES)
def test_every_test_names_a_file_that_is_listed(module):
    """The docstring of each test names the mirrored file, and so does the page."""
    page = PAGE.read_text(encoding="utf-8")
    for test, docstring in docstrings(module).items():
        mirrored = re.findall(r"\w+\.go\b|\bTest\w+", docstring.partition("Mirrors ")[2])
        assert mirrored, test
        assert [name for name in mirrored if name not in page] == []
