"""Lowering inserts a function's deferred calls at its exits (R1).

`lower` is pure, so the tests need no code object: they parse, lower, and compare the output of
`ast.unparse`. Names that begin with "@" are hidden locals; strings that begin with "@" are marks
for objects of the runtime.
"""

import ast
import os
import re
import warnings
from pathlib import Path
from textwrap import dedent

import pytest

from godefer._compiler.compile import text_of
from godefer._compiler.lower import lower
from godefer._compiler.sites import Meanings

STATEMENTS = ("defer", "errdefer", "okdefer", "using", "ausing")
MEANINGS = Meanings(
    {**{name: name for name in STATEMENTS}, "later": "defer"},
    frozenset({"godefer", "package"}),
    {("godefer", "defer"): "defer", ("package", "cleanup", "errdefer"): "errdefer"}.get,
)


DIRECTORY = Path(__file__).with_name("lowered")


def parsed(source):
    (node,) = ast.parse(dedent(source).strip("\n")).body
    return node


@pytest.mark.parametrize("name", sorted(path.stem for path in DIRECTORY.glob("*.txt")))
def test_shapes(name):
    """Each shape is lowered as its file in tests/lowered shows, which begins with the rule (R1).

    REWRITE_LOWERED=1 in the environment writes the files again. Read them before a commit.
    """
    path = DIRECTORY / f"{name}.txt"
    expected = path.read_text()
    head, source = expected.partition("\n---- lowered\n")[0].split("\n---- source\n")
    node = parsed(source)
    lowered = lower(node, MEANINGS, **ast.literal_eval(head.partition("\noptions: ")[2] or "{}"))
    plan = "".join(f"{line} {statement} {shape}\n" for line, statement, shape in lowered.plan)
    found = f"{head}\n---- source\n{source}\n---- lowered\n{text_of(node)}\n---- plan\n{plan}"
    if os.environ.get("REWRITE_LOWERED") == "1":
        path.write_text(found)
    else:
        assert found == expected


def test_there_are_shapes():
    """The files that are the cases of test_shapes are found (R1)."""
    assert len(list(DIRECTORY.glob("*.txt"))) >= 30


# Names


@pytest.mark.parametrize(
    ("statement", "meaning"),
    [
        ("later(g, x)", "defer"),
        ("godefer.defer(g, x)", "defer"),
        ("package.cleanup.errdefer(g, x)", "errdefer"),
    ],
)
def test_other_names(statement, meaning):
    """Lowering recognizes a statement by its object, not by its spelling (R1)."""
    node = parsed(f"def f(x):\n    {statement}")
    plain = parsed(f"def f(x):\n    {meaning}(g, x)")
    assert lower(node, MEANINGS).plan == lower(plain, MEANINGS).plan == ((2, meaning, "inline"),)
    assert ast.unparse(node) == ast.unparse(plain)


@pytest.mark.parametrize(
    "statement", ["cleanup.defer(g)", "godefer.scope.defer(g)", "package.defer(g)", "self.defer(g)"]
)
def test_somebody_else_s_defer(statement):
    """An attribute that is not godefer's is a call like any other (R1)."""
    node = parsed(f"def f(self):\n    {statement}")
    assert lower(node, MEANINGS) == "there is no defer statement in its body"


# Positions


def test_positions():
    """Calls at exits have the position of their statement; tests of pending calls have none (P6).

    An exception is the test after a call of a loop: it has a position.
    """
    node = parsed(
        """
        def f(x):
            defer(g, x)
            if x:
                defer(h, x)
            for y in x:
                defer(i, y)
            return x
        """
    )
    before = {id(part) for part in ast.walk(node)}
    lower(node, MEANINGS)
    added = [part for part in ast.walk(node) if id(part) not in before and hasattr(part, "lineno")]
    calls = {
        part.func.id: part.lineno
        for part in added
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
    }
    assert calls == {"@callee0": 2, "@callee1": 4, "@taken": 6}
    tests = [part.test for part in added if isinstance(part, ast.If)]
    assert {test.lineno for test in tests if "is None" in ast.unparse(test)} == {-1, 6}
    assert {part.lineno for part in added if isinstance(part, ast.Try)} == {-1}
    assert {part.lineno for part in added} == {-1, 2, 3, 4, 5, 6, 7}


def test_every_added_node_can_be_compiled():
    """Every added node has a position, since the compiler requires one (R1)."""
    node = parsed("async def f(x):\n    for y in x:\n        defer(g, *y, k=1)\n    return x")
    lower(node, MEANINGS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler warns that a string is not callable
        assert compile(ast.Module([node], []), "<lowered>", "exec")


# Refusals


def refused(source, **options):
    """Return the reason for not lowering *source*, which must stay as it was."""
    node = parsed(source)
    before = ast.dump(node, include_attributes=True)
    reason = lower(node, MEANINGS, **options)
    assert ast.dump(node, include_attributes=True) == before
    return reason


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize(
    "use",
    [
        "g(S)",
        "x = S",
        "return S",
        "x = S(g)[0]",
        "return S(g)",
        "x and S(g)",
        "g(S(g))",
        "(y := S(g))",
        "lambda y=S: y",
        "def inner(y=S): pass",
        "def inner(*, y=S): pass",
        "class Inner(S): pass",
        "class Inner(metaclass=S): pass",
        "[S(y) for y in x]",
        "[y for y in x if S(y)]",
        "{S(y) for y in x}",
        "{y: S(y) for y in x}",
        "(S(y) for y in S(x))",
        "f'{S(x)}'",
        "defer(S, g)",
        "defer(g, S)",
        "defer(g, k=S)",
        "x[S].y = using(x)",
        "while S(g): pass",
        "with S(x): pass",
        "assert S(g)",
        "del x[S(g)]",
        "y: S(g) = 1",
        "match x:\n        case 1 if S(g): pass",
        "try: pass\n    except S(g): pass",
        "@(S)(g)\n    def inner(): pass",
        "@g\n    @S\n    def inner(): pass",
    ],
)
def test_used_as_a_value(statement, use):
    """A statement of godefer used as a value makes the function run the runtime way (R2)."""
    reason = refused("def f(x):\n    " + re.sub(r"\bS\b", statement, use))
    line = 2 + ("\n" in use and not use.startswith("@("))
    assert reason == f"{statement} is used as a value, or inside an expression, at line {line}"


@pytest.mark.parametrize(
    ("malformed", "name"),
    [
        ("defer()", "defer"),
        ("defer(*x)", "defer"),
        ("errdefer(fn=g)", "errdefer"),
        ("okdefer(**x)", "okdefer"),
        ("x = defer(g)", "defer"),
        ("using()", "using"),
        ("using(x, x)", "using"),
        ("using(*x)", "using"),
        ("using(x, k=1)", "using"),
        ("x += using(x)", "using"),
        ("ausing(x)", "ausing"),
        ("x = ausing(x)", "ausing"),
        ("await defer(g)", "defer"),
        ("x = await using(x)", "using"),
        ("await ausing()", "ausing"),
    ],
)
def test_malformed(malformed, name):
    """A call without the statement's form is left alone; the statement raises the error (R2)."""
    reason = refused(f"async def f(x):\n    {malformed}")
    assert reason == f"{name} is used as a value, or inside an expression, at line 2"


@pytest.mark.parametrize(
    "reader",
    [
        "locals()",
        "eval('x')",
        "eval('x', None)",
        "eval('x', locals=x)",
        "eval(*x)",
        "exec('x')",
        "vars()",
        "vars(*x)",
        "dir()",
        "[dir() for _ in x]",
    ],
)
def test_frame_readers(reader):
    """A function that may see its frame's hidden names runs the runtime way (R2)."""
    name = re.search("(eval|exec|vars|dir|locals)[(]", reader)[1]
    reason = refused(f"def f(x):\n    defer(g)\n    return {reader}")
    assert reason == f"{name}() could see or need the names of the body, at line 3"
    assert refused(f"def f(x):\n    defer(g, {reader})").startswith(f"{name}() could see")


@pytest.mark.parametrize(
    "call",
    ["dir(x)", "vars(x)", "eval('x', x)", "eval('x', x, None)", "exec('x', globals=x)"],
)
def test_no_frame_readers(call):
    """A call with an explicit object or namespace reads no frame (R1)."""
    found = lower(parsed(f"def f(x):\n    defer(g)\n    return {call}"), MEANINGS)
    assert found.plan == ((2, "defer", "inline"),)


@pytest.mark.parametrize(
    "statement",
    [
        "import godefer",
        "import godefer.lint as x",
        "from godefer import defer",
        "from godefer.lint import x",
    ],
)
def test_godefer_imported_in_the_body(statement):
    """A meaning that the body itself binds is unknown at the decoration (R2)."""
    assert (
        refused(f"def f(x):\n    {statement}\n    defer(g)")
        == "godefer is imported in the body, at line 2"
    )


def test_other_imports_in_the_body():
    """An import of another object does not matter (R1)."""
    node = parsed(
        "def f(x):\n    import godeferred, os\n    from . import godefer_helper\n    defer(g)"
    )
    assert lower(node, MEANINGS).plan == ((4, "defer", "inline"),)


@pytest.mark.parametrize("declaration", ["global", "nonlocal"])
def test_declared_name(declaration):
    """A body that may rebind the name while it runs is not open-coded (R2)."""
    reason = refused(f"def f(x):\n    if x:\n        {declaration} y, later\n    defer(g)")
    assert reason == f"later is declared {declaration} at line 3"


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "def inner(): defer(g)",
        "lambda: defer(g)",
        '"""defer(g)"""',
        "defer_(g)",
        "x.defer(g)",
    ],
)
def test_no_statement(body):
    """Without a statement in its own scope there is nothing to lower (R1)."""
    assert refused(f"def f(x):\n    {body}") == "there is no defer statement in its body"
