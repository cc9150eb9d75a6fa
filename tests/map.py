"""Map tests to rules: the markers of pytest, and the table in docs/rules.md.

The docstring of a test ends with its rules: "… last in, first out (D2, D8)." conftest.py makes
markers of them, so `pytest -m D2` runs the tests of D2. `python -m tests.map` writes the table, and
test_map.py fails if it is out of date.
"""

import ast
import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "rules.md"
BEGIN = "<!-- tests: written by `python -m tests.map` -->\n"
END = "<!-- end of tests -->\n"

# Tests without a rule: of the commands, the checker, the documents, the package, the tests.
PROJECT = "project"

# Files that take long: sweeps over programs and the heap, checker, frameworks, other tools,
# compilers. `pytest -m "not long"` leaves them out.
LONG = (
    "frameworks/test_*.py",
    "test_anywhere_in_the_body.py",
    "test_cache_faults.py",
    "test_cluster.py",
    "test_compiled.py",
    "test_debuggers.py",
    "test_docs_elsewhere.py",
    "test_faults_*.py",
    "test_kept_exceptions.py",
    "test_lines.py",
    "test_lint_*.py",
    "test_load.py",
    "test_no_cycles.py",
    "test_one_behaviour.py",
    "test_oracle.py",
    "test_source.py",
    "test_tools.py",
)


def all_rules():
    """Return each rule on the page, in order: a section without numbers is a rule itself."""
    rules = []
    for section in re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        numbered = re.findall(r"^- \*\*([A-Z]\d+)\.\*\*", section, re.MULTILINE)
        rules += numbered or re.findall(r"^([A-Z]): ", section)
    return rules


RULES = all_rules()
SECTIONS = sorted({rule[0] for rule in RULES})
# Read from the page, so that the tests need not import the checker.
CODES = set(re.findall(r"GDF\d{3}", PAGE.with_name("checker.md").read_text(encoding="utf-8")))
LONG_FILES = {path for pattern in LONG for path in TESTS.glob(pattern)}


def rules_of(docstring):
    """Return the rules that a docstring has in parentheses, as in "(D6, P2)" or "(PEP 479, D2)"."""
    found = []
    for words in re.findall(r"\(([^()]*)\)", docstring or ""):
        found += [word for word in re.split(r"[,;] ", words) if word in RULES]
    return list(dict.fromkeys(found))


def is_of_the_checker(path):
    """Return whether the file is about the checker; the checker's rules have codes of their own."""
    return path.name.startswith(("test_lint", "test_gdf")) or path.parent.name == "lint"


def markers(path, name, docstring):
    """Return the names of a test's markers: rules, their sections, and codes of the checker."""
    rules = rules_of(docstring)
    codes = CODES.intersection(re.findall(r"GDF\d{3}", f"{path.stem.upper()} {name} {docstring}"))
    project = [PROJECT] if is_of_the_checker(path) else []
    long = ["long"] if path in LONG_FILES else []
    return {*rules, *(rule[0] for rule in rules), *codes, *project, *long}


def declared():
    """Return each marker with its explanation, as pytest wants them."""
    return {
        PROJECT: "tests that are not about a rule: commands, checker, documents, package, tests",
        "long": "sweeps over programs and the heap, checker, frameworks, other tools, compilers",
        **{section: f"section {section} of docs/rules.md" for section in SECTIONS},
        **{rule: f"rule {rule} of docs/rules.md" for rule in RULES},
        **{code: f"{code} of docs/checker.md" for code in sorted(CODES)},
    }


def test_functions(path):
    """Return the name, line, docstring and project mark of each test in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    all_are = any("mark.project" in ast.unparse(node) for node in tree.body if _is_pytestmark(node))
    return [
        (node.name, node.lineno, ast.get_docstring(node), all_are or _is_marked(node))
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    ]


def _is_pytestmark(node):
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def _is_marked(node):
    return any("mark.project" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_files():
    """Return the path of each file with tests."""
    return sorted(TESTS.rglob("test_*.py"))


def table():
    """Return the Markdown table of the test files of each rule, with their numbers of tests."""
    count = {rule: Counter() for rule in RULES}
    for path in test_files():
        for _, _, docstring, _ in test_functions(path):
            for rule in rules_of(docstring):
                count[rule][path.relative_to(TESTS).as_posix()] += 1
    lines = ["| rule | tests |", "|---|---|"]
    for rule, files in count.items():
        cells = [f"[{file}](../tests/{file}) {number}" for file, number in files.most_common()]
        lines.append(f"| {rule} | {', '.join(cells)} |")
    return "\n".join(["", *lines, "", ""])


def updated(page):
    """Return the text of the page with the table as it should be."""
    return replaced(page, BEGIN, END, table())


def replaced(page, begin, end, text):
    """Return the text of a page with *text* between two of its lines."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        message = f"the page lacks the line {end if found else begin!r}"
        raise ValueError(message)
    return before + begin + text + end + after


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
