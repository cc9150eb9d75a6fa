"""The places and the messages of problems."""

from pathlib import Path

import pytest

from godefer.lint import RULES, check_source
from tests.lint.snippets import IMPORTS


def test_every_rule_has_its_file():
    """Each rule has a test file of its own, named after it."""
    files = [path.stem for path in Path(__file__).parent.glob("test_gdf*.py")]
    assert sorted(files) == sorted(f"test_{code.lower()}" for code in RULES)


@pytest.mark.parametrize(
    ("acquire", "release", "expected"),
    [
        ("x = open('x')", "x.close", "x would stay open"),
        ("x.acquire()", "x.release", "x would stay locked"),
        ("x = tempfile.mkdtemp()", "shutil.rmtree, x", "x would be left behind"),
    ],
)
def test_what_a_gap_leaves(acquire, release, expected):
    """GDF012 tells that a file stays open, a lock locked, and a directory is left behind."""
    body = f"    {acquire}\n    work()\n    defer({release})\n"
    (problem,) = check_source(
        f"{IMPORTS}import shutil, tempfile\n@with_defers\ndef f(x=None):\n{body}"
    )
    assert problem.code == "GDF012"
    assert f"is reached, and {expected}; put" in problem.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("@defer\ndef f(): ...", "2:2 GDF002 @defer is used in no function; move it into one"),
        (
            "def g():\n    @godefer.errdefer\n    def f(): ...",
            "3:6 GDF002 @godefer.errdefer is used in g, which is not decorated; "
            "put @with_defers on",
        ),
        (
            "@with_defers\ndef g(x):\n    @defer(x)\n    def f(): ...",
            "4:6 GDF001 defer() is called here, and f decorated with what it returns, "
            "which is no function; write @defer above a function that needs no arguments",
        ),
        (
            "@with_defers\ndef g():\n    @defer\n    async def f(): ...",
            "4:6 GDF006 f is async, and g is not, so it would never run; make g `async def`, "
            "or make f a `def` that runs what it awaits by asyncio.run()",
        ),
        (
            "@with_defers\ndef g(xs):\n    for x in xs:\n"
            "        @defer\n        def f():\n            x.close()",
            "5:10 GDF004 f reads the loop variable `x` when the loop is over, "
            "so each call sees its last value; make it a parameter: def f(x=x)",
        ),
        (
            "@with_defers\ndef g():\n    return 1\n    @okdefer\n    def f(): ...",
            "5:6 GDF009 @okdefer is never reached, because of the `return` in line 4",
        ),
    ],
)
def test_the_place_and_the_words_for_a_decorator(body, expected):
    """A problem with `@defer` above a function has the place of the decorator."""
    (problem,) = check_source(f"import godefer; from godefer import *\n{body}\n")
    found = f"{problem.line}:{problem.column} {problem.code} {problem.message}"
    assert found.startswith(expected)
