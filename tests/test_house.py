"""The architecture of docs/how-it-works.md: folders, and imports that point one way."""

import ast
import re
from pathlib import Path

import pytest

import godefer

pytestmark = pytest.mark.project

ROOT = Path(godefer.__file__).parent
MODULES = {
    ".".join(["godefer", *path.relative_to(ROOT).with_suffix("").parts]): path
    for path in ROOT.rglob("*.py")
}


def imports(name):
    """Return godefer's modules that a module imports: at the top, in a
    function, or for its types.
    """
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return {module for module in found if module in MODULES or module == "godefer"}


GRAPH = {name: imports(name) for name in MODULES}


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


# Permitted imports between the parts.
PARTS = {
    "_runtime": {"_runtime", "_decision", "_errors", "_function"},
    "_compiler": {"_compiler", "_runtime", "_decision", "_errors", "_resolve"},
    "lint": {"lint", ""},  # its version is that of godefer
}


@pytest.mark.parametrize("part", sorted(PARTS))
def test_parts_import_one_way(part):
    """The runtime does not import the compiler, neither imports public names, and
    lint imports only itself.
    """
    for name in MODULES:
        if name.startswith(f"godefer.{part}."):
            for imported in GRAPH[name]:
                assert (
                    imported.removeprefix("godefer").lstrip(".").partition(".")[0] in PARTS[part]
                ), f"{name} imports {imported}"


@pytest.mark.parametrize(
    "path", sorted(MODULES.values()), ids=lambda path: str(path.relative_to(ROOT))
)
def test_a_module_says_what_it_is(path):
    """Each module opens with a docstring, and has at most about 500 lines."""
    text = path.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert len(text.splitlines()) <= 530
