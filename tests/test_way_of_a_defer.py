"""The tree of files and the walks of docs/how-it-works.md name existing files and functions."""

import ast
import keyword
import re
from pathlib import Path

import pytest

import godefer

pytestmark = pytest.mark.project

ROOT = Path(godefer.__file__).parent
TEXT = (Path(__file__).parent.parent / "docs" / "how-it-works.md").read_text(encoding="utf-8")


def section(title):
    """Return the text below a heading of the page."""
    found = TEXT.partition(f"\n## {title}\n")[2]
    assert found, f"no section {title!r}"
    return found.partition("\n## ")[0]


def walks(title):
    """Return the numbered lists of a section; an item is a file, names in it, and the text."""
    found = []
    for number, text in re.findall(r"^(\d+)\. (.*(?:\n   .*)*)", section(title), re.MULTILINE):
        if number == "1":
            found.append([])
        head = re.match(r"`([\w/.]+)`: (`\w+`(?:, `\w+`)*)\. ", text)
        assert head, f"an item is a file, names of it, and sentences: {text!r}"
        found[-1].append((head[1], re.findall(r"\w+", head[2]), text))
    return found


OPEN_CODED = "The way of an open-coded `defer`"
RUNTIME = "The way of a `defer` at run time"
FAILING = "When the function fails"
WALKS = {
    OPEN_CODED: walks(OPEN_CODED),
    RUNTIME: walks(RUNTIME),
    FAILING: walks(FAILING),
}
ITEMS = [item for found in WALKS.values() for walk in found for item in walk]


def defined(path):
    """Return the functions, classes and global variables that a module defines."""
    found, stack = set(), [ast.parse(path.read_text(encoding="utf-8"))]
    while stack:
        for node in stack.pop().body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(target.id for target in targets if isinstance(target, ast.Name))
            if isinstance(node, ast.ClassDef):
                stack.append(node)
    return found


EVERYWHERE = set().union(*(defined(path) for path in ROOT.rglob("*.py")))


def test_the_walks_are_found():
    """There is a walk for each way, and one for each way of failing."""
    assert [len(found) for found in WALKS.values()] == [1, 1, 2]
    assert all(len(walk) >= 4 for found in WALKS.values() for walk in found)


@pytest.mark.parametrize(("title", "most"), [(OPEN_CODED, 7), (RUNTIME, 6), (FAILING, 5)])
def test_a_walk_is_short(title, most):
    """A reader meets at most 7 files open-coded and 6 at run time, each once."""
    for walk in WALKS[title]:
        files = [file for file, _, _ in walk]
        assert len(files) <= most
        assert len(set(files)) == len(files)
        for file, _, text in walk:  # the text names no other file
            assert re.findall(r"`([\w/]+\.py)`", text) == [file]


@pytest.mark.parametrize(
    ("file", "names", "text"), ITEMS, ids=[f"{file}-{names[0]}" for file, names, _ in ITEMS]
)
def test_an_item_names_things_that_are_there(file, names, text):
    """A walk's file exists and defines the names after it; other names are in some file."""
    path = ROOT / file
    assert path.exists()
    assert set(names) <= defined(path)
    others = set(re.findall(r"`([A-Za-z_]\w*)`", text)) - set(keyword.kwlist)
    assert others <= EVERYWHERE


def tree():
    """Return the paths in the tree of files, folders with a slash at the end."""
    block = re.search(
        r"^```text\ngodefer/\n(.*?)^```", section("The files"), re.DOTALL | re.MULTILINE
    )
    found, folder = [], ""
    for line in block[1].splitlines():
        indent, name = re.match(r"( +)([\w./]+) ", line).groups()
        assert indent in ({"  ", "    "} if folder else {"  "})
        if indent == "  ":
            folder = name if name.endswith("/") else ""
            found.append(name)
        else:
            found.append(folder + name)
    return found


def modules():
    """Return the library's modules and folders; of lint only the folder."""
    found = {"lint/"}
    for path in ROOT.rglob("*.py"):
        relative = path.relative_to(ROOT)
        if relative.parts[0] == "lint":
            continue
        if len(relative.parts) > 1:
            found.add(f"{relative.parent.as_posix()}/")
        if len(relative.parts) == 1 or path.name != "__init__.py":
            found.add(relative.as_posix())
    return found


def test_the_tree_is_complete():
    """The tree names each module and each folder of the library, and nothing else."""
    named = tree()
    assert len(set(named)) == len(named)
    assert set(named) == modules()
