"""The checker on foreign code: the standard library, installed packages, this project."""

import ast
import re
import sysconfig
import warnings
from pathlib import Path

import pytest

import godefer
from godefer.lint import RULES, _check, _files, check_source

PACKAGE = Path(godefer.__file__).resolve().parent
ROOT = Path(__file__).parent.parent
LIBRARY = Path(sysconfig.get_path("stdlib"))
SITE_PACKAGES = Path(sysconfig.get_path("purelib"))
EVERY = 12  # visit one file in so many: parsing all takes half a minute


def library():
    return [p for p in sorted(LIBRARY.rglob("*.py")) if SITE_PACKAGES.name not in p.parts]


def largest_packages():
    """Return the Python files of the ten largest packages in site-packages."""
    packages = [p for p in SITE_PACKAGES.iterdir() if p.is_dir() and p.name != "godefer"]
    files = {p.name: sorted(p.rglob("*.py")) for p in packages}
    sizes = {name: sum(f.stat().st_size for f in found) for name, found in files.items()}
    return [file for name in sorted(sizes, key=sizes.get)[-10:] for file in files[name]]


def parsed(path):
    """Return the module in *path*, or None for test data that is not meant to be one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            return None


@pytest.mark.parametrize("files", [library, largest_packages])
def test_nothing_is_found_where_godefer_is_not_used(files):
    """Code that does not import godefer has no findings, in the library and large packages."""
    paths = files()
    assert len(paths) > 300
    everything = _files.Selection()
    found = {
        str(path): problems
        for path in paths
        if (problems := _files.check_file(str(path), everything))
    }
    assert [path for path in found if "godefer" not in Path(path).read_text(errors="replace")] == []
    assert found == {}


@pytest.mark.parametrize("files", [library, largest_packages])
def test_every_rule_may_look_at_it(files):
    """Rules that visit every node of such code find nothing, and do not crash."""
    visited = 0
    for path in files()[::EVERY]:
        tree = parsed(path)
        if tree is not None:
            assert _check.Visitor(tree).visit() == [], path
            visited += 1
    assert visited > 20


class Deferred(ast.NodeTransformer):
    """Defer every call statement of a module, and decorate every second function."""

    def __init__(self):
        self.count = 0

    def next(self):
        self.count += 1
        return self.count

    def visit_Expr(self, node):
        self.generic_visit(node)
        call = node.value
        if isinstance(call, ast.Call):
            name = ["defer", "errdefer", "later", "later.ok", "using", "ausing"][self.next() % 6]
            passed = [call] if self.count % 4 == 0 else [call.func, *call.args]
            node.value = ast.Call(
                ast.parse(name, mode="eval").body, passed, [] if passed == [call] else call.keywords
            )
        return node

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if self.next() % 2:
            node.decorator_list.append(ast.Name("with_defers", ast.Load()))
        else:
            item = ast.withitem(
                ast.parse("defer_scope()", mode="eval").body, ast.Name("later", ast.Store())
            )
            node.body = [ast.With([item], node.body)]
        return node

    def visit_Return(self, node):
        self.generic_visit(node)
        calls = [
            ast.Expr(ast.parse(call, mode="eval").body) for call in ("recover()", "defer(print)")
        ]
        return [calls[0], node, calls[1]] if self.next() % 2 else node


def test_it_never_crashes():
    """Every rule copes with modules rewritten to defer all calls, mostly wrongly."""
    codes = set()
    for path in library()[:: 3 * EVERY]:
        tree = parsed(path)
        if tree is None:
            continue
        tree.body.insert(0, ast.ImportFrom("godefer", [ast.alias("*")], 0))
        for node in ast.walk(tree):  # messages need the places of existing nodes
            if isinstance(node, (ast.expr, ast.stmt)) and not hasattr(node, "lineno"):
                node.lineno, node.col_offset = 1, 0
        tree = ast.fix_missing_locations(Deferred().visit(tree))
        for finding in _check.Visitor(tree).visit():
            codes.add(finding.code)
            assert finding.message
            assert finding.node.lineno > 0
    assert {"GDF001", "GDF002", "GDF009", "GDF010", "GDF011"} <= codes


def test_this_package():
    """godefer's own modules, the demo among them, have no findings."""
    paths = list(_files.python_files([str(PACKAGE)]))
    assert len(paths) > 20
    assert [
        problem for path in paths for problem in _files.check_file(path, _files.Selection())
    ] == []


# The mistakes that pages show, with their errors.
SHOWN = {
    "docs/faq.md": ["GDF002 defer() is used in helper"],
    "docs/cookbook/frameworks.md": ["GDF018 @app.get is between @with_defers and wrong"],
}


def python_blocks(page):
    """Return the page with only its Python code, at its original lines."""
    lines, keep = [], False
    for line in page.read_text().splitlines():
        if line.startswith("```"):
            keep = line == "```python"
            line = ""
        lines.append(line if keep else "")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md"))]
)
def test_the_documentation(page):
    """The documentation's code has no findings, except where it shows a mistake's error."""
    found = check_source(python_blocks(ROOT / page), page)
    assert [f"{p.code} {p.message.partition(',')[0]}" for p in found] == SHOWN.get(page, [])


ENTRIES = {
    f"{path.parent.name}/{path.name}": re.split(r"^## ", path.read_text(), flags=re.MULTILINE)[1:]
    for path in sorted(ROOT.glob("docs/checker/*.md"))
}


def test_each_rule_has_its_entry():
    """A page has a heading for each rule, with its title, and below it wrong and right code."""
    sections = sorted(section for page in ENTRIES.values() for section in page)
    titles = [section.partition("\n")[0] for section in sections]
    assert titles == [f"{code}: {title}" for code, title in RULES.items()]
    for section in sections:
        assert re.findall(r"^(Wrong|Right):$", section, re.MULTILINE) == ["Wrong", "Right"]
        printed = set(re.findall(r"^line \d+: (GDF\d+)$", section, re.MULTILINE))
        assert printed == {section[:6]}


def anchor(heading):
    """The anchor that GitHub and the site give to a heading."""
    return re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-")


def test_the_table_links_to_each_entry():
    """docs/checker.md has a table of the rules, each with its title and a link to its entry."""
    places = {
        section[:6]: f"{page}#{anchor(section.partition(chr(10))[0])}"
        for page, sections in ENTRIES.items()
        for section in sections
    }
    rows = re.findall(r"^\| \[GDF.*$", (ROOT / "docs/checker.md").read_text(), re.MULTILINE)
    assert rows == [f"| [{code}]({places[code]}) | {title} |" for code, title in RULES.items()]
