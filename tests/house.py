"""The picture of the files in CONTRIBUTING.md, made from the imports of godefer's modules.

`python -m tests.house` draws it as a house, and test_house.py fails if it is out of date. A room is
a folder of the package, or a module beside the folders. It stands on the lowest floor that is above
all rooms it imports.
"""

import ast
from pathlib import Path

import godefer
from tests.map import replaced

ROOT = Path(godefer.__file__).parent
PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN = "<!-- house: drawn by `python -m tests.house` -->\n"
END = "<!-- end of house -->\n"
WIDTH = 76  # code on a page must fit its column
MODULES = {
    ".".join(["godefer", *path.relative_to(ROOT).with_suffix("").parts]): path
    for path in ROOT.rglob("*.py")
}


def imports(name):
    """Return the modules of godefer that a module imports anywhere, in functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if _file_of(whole) in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    found = {name if name == "godefer" else _file_of(name) for name in found}
    return {name for name in found if name in MODULES or name == "godefer"}


def _file_of(module):
    """Return the name of a module among MODULES: that of a folder ends with `__init__`."""
    return module if module in MODULES else f"{module}.__init__"


GRAPH = {name: imports(name) for name in MODULES}


def room(module):
    """Return the room of a module: its file, or its folder."""
    _, first, *rest = *module.split("."), *(["__init__"] if module == "godefer" else [])
    return f"{first}/" if rest else f"{first}.py"


def rooms():
    """Return each room with the other rooms that it imports."""
    found = {}
    for module, imported in GRAPH.items():
        found.setdefault(room(module), set()).update(map(room, imported))
    return {name: below - {name} for name, below in found.items()}


def floors(graph):
    """Return the rooms of each floor, from the ground up."""
    found, placed = [], set()
    while len(placed) < len(graph):
        floor = [name for name in sorted(graph) if name not in placed and graph[name] <= placed]
        if not floor:
            message = f"imports in a circle: {sorted(graph.keys() - placed)}"
            raise ValueError(message)
        found.append(floor)
        placed.update(floor)
    return found


def reachable(graph, name):
    """Return all rooms that a room imports, directly or through others."""
    found, todo = set(), [name]
    while todo:
        new = graph[todo.pop()] - found
        found |= new
        todo += new
    return found


def arrows(graph):
    """Return the fewest imports from which all others follow."""
    return {
        name: {
            target
            for target in below
            if not any(target in reachable(graph, other) for other in below - {target})
        }
        for name, below in graph.items()
    }


def picture():
    """Return the house as text, with its top floor first."""
    graph = rooms()
    drawn = arrows(graph)
    name_width = max(map(len, graph))
    inside = WIDTH - 4
    walls = []
    for floor in reversed(floors(graph)):
        lines = []
        if any(drawn[name] for name in floor):
            for name in floor:
                lines += _wrapped(f"{name:{name_width}} ─▶ ", sorted(drawn[name]), inside)
        else:
            lines += _wrapped("", floor, inside)
        walls.append("\n".join(f"│ {line:{inside}} │" for line in lines))
    edge = "─" * (inside + 2)
    return f"┌{edge}┐\n" + f"\n├{edge}┤\n".join(walls) + f"\n└{edge}┘\n"


def _wrapped(start, names, width):
    """Return lines that begin with *start*, or as many spaces, and hold all names."""
    lines = [start]
    for name in names:
        if len(lines[-1]) + len(name) > width:
            lines.append(" " * len(start))
        lines[-1] += f"{name}  "
    return [line.rstrip() for line in lines]


def updated(page):
    """Return the text of the page with the picture as it should be."""
    return replaced(page, BEGIN, END, f"\n```text\n{picture()}```\n\n")


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
