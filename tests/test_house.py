"""The architecture of docs/how-it-works.md: folders, and imports that point one way."""

import ast
from pathlib import Path

import pytest

from tests import house
from tests.house import GRAPH, MODULES, ROOT

pytestmark = pytest.mark.project


def circle_from(start):
    """Return a circle of imports from a module back to itself; empty if there is none."""
    stack, seen = [(start, [start])], set()
    while stack:
        module, way = stack.pop()
        for imported in GRAPH.get(module, ()):
            if imported == start:
                return [*way, start]
            if imported not in seen:
                seen.add(imported)
                stack.append((imported, [*way, imported]))
    return []


@pytest.mark.parametrize("name", sorted(MODULES))
def test_no_circle(name):
    """No module imports itself by way of others, not even in a function or for its types."""
    assert circle_from(name) == []


def test_the_picture_is_up_to_date():
    """CONTRIBUTING.md has the picture of the files that `tests.house` draws."""
    page = house.PAGE.read_text(encoding="utf-8")
    assert house.updated(page) == page, "run: python -m tests.house"


def test_the_picture_tells_the_imports():
    """Each room stands above all rooms that it imports, and the arrows lead to each of them."""
    graph = house.rooms()
    floors = house.floors(graph)
    height = {name: number for number, floor in enumerate(floors) for name in floor}
    drawn = house.arrows(graph)
    assert height.keys() == graph.keys()
    for name, below in graph.items():
        assert all(height[other] < height[name] for other in below)
        assert house.reachable(drawn, name) == house.reachable(graph, name)
        assert all(other in house.picture() for other in drawn[name])


def test_a_circle_has_no_picture():
    """Rooms that import each other have no floor."""
    with pytest.raises(ValueError, match="a.py.*b.py"):
        house.floors({"a.py": {"b.py"}, "b.py": {"a.py"}, "c.py": set()})


# Permitted imports between the parts.
PARTS = {
    "_runtime": {"_runtime", "_decision", "_errors", "_function"},
    "_compiler": {"_compiler", "_runtime", "_decision", "_errors", "_resolve"},
    "lint": {"lint", ""},  # it imports godefer for the version
}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_parts_import_one_way(part):
    """The runtime does not import the compiler, neither of them imports the public names, and
    lint imports only itself and the version.
    """
    names = [name for name in MODULES if name.startswith(f"godefer.{part}.")]
    assert len(names) > 10
    imports = [(name, imported) for name in names for imported in GRAPH[name]]
    for name, imported in imports:
        other = imported.removeprefix("godefer").lstrip(".").partition(".")[0]
        assert other in PARTS[part], f"{name} imports {imported}"
    assert {other.split(".")[1] for _, other in imports if "." in other} >= {part}


@pytest.mark.parametrize(
    "path", sorted(MODULES.values()), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_module_says_what_it_is(path):
    """Each module opens with a docstring, and has at most 500 lines."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 500


PROJECT = Path(__file__).parent.parent
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_page_is_short(path):
    """A page has at most 400 lines, so that its reader finds the way back."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
