"""The documentation's code does the same in a caller's handler, a generator and a coroutine.

Each block of the pages runs in these places. Then code with godefer is compared with the
hand-written code that it replaces.
"""

import importlib.util
import textwrap
from pathlib import Path

import pytest
from sybil import Document

from conftest import NEEDS, MarkdownBlocks, enter_empty_directory, leave_directory
from godefer import with_defers
from tests.places import FORMS, PLACES, OfTheCaller, outcome

ROOT = Path(__file__).parent.parent
PAGES = [
    "README.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
]
# Blocks that show whole chains end with the caller's exception, so they run plainly.
# The pairs below compare chains.
CHAINS = {
    "docs/comparison.md": [
        "events = []\n",
        "def swallows():\n",
        "from contextlib import ExitStack\n",
    ],
    "docs/exitstack.md": ["def fail(name):\n"],
    "docs/runtime.md": ["def fail(name):\n"],
}


def in_a_handler(evaluate):
    try:
        raise OfTheCaller
    except OfTheCaller:
        evaluate()


def in_a_generator(evaluate):
    def generator():
        try:
            raise OfTheCaller
        except OfTheCaller:
            yield
            evaluate()
            yield

    for _ in generator():
        pass


def in_a_coroutine(evaluate):
    async def coroutine():
        evaluate()

    try:
        raise OfTheCaller
    except OfTheCaller:
        with pytest.raises(StopIteration):
            coroutine().send(None)


@pytest.mark.parametrize("place", [in_a_handler, in_a_generator, in_a_coroutine])
@pytest.mark.parametrize("page", PAGES)
def test_a_page(page, place, request):
    """Each block of a page prints its documented output in a handler, a
    generator and a coroutine (D4).
    """
    for fixture in NEEDS.get(page, []):
        request.getfixturevalue(fixture)
    document = Document.parse(str(ROOT / page), MarkdownBlocks())
    chains = list(CHAINS.get(page, []))
    enter_empty_directory(document.namespace)
    try:
        for example in document.examples():
            code = example.parsed[0] if isinstance(example.parsed, tuple) else ""
            if chains and code.startswith(chains[0]):
                del chains[0]
                example.evaluate()
            else:
                place(example.evaluate)
    finally:
        leave_directory(document.namespace)
    assert chains == []


HEADER = """\
import sys
from asyncio import sleep
from contextlib import asynccontextmanager, contextmanager, suppress

from godefer import ausing, defer, defer_scope, errdefer, okdefer, recover, using

events = []


def note(what):
    events.append((what, repr(sys.exception())))


async def anote(what):
    await sleep(0)
    note(what)


def fail(what):
    note(what)
    raise OSError(what)


@contextmanager
def manager():
    note("enter")
    try:
        yield
    finally:
        note("leave")


@asynccontextmanager
async def amanager():
    await anote("enter")
    try:
        yield
    finally:
        await anote("leave")
"""
# Hand-written code, and the same with godefer. BODY is replaced by work that may fail.
PAIRS = {
    "a clean-up": (
        """
try:
    BODY
finally:
    note("close")
""",
        """
defer(note, "close")
BODY
""",
    ),
    "a clean-up for each item": (
        """
pending = []
try:
    for n in range(3):
        pending.append(n)
    BODY
finally:
    for n in reversed(pending):
        note(n)
""",
        """
for n in range(3):
    defer(note, n)
BODY
""",
    ),
    "a transaction": (
        """
try:
    try:
        BODY
    except BaseException:
        note("rollback")
        raise
    else:
        note("commit")
finally:
    note("close")
""",
        """
defer(note, "close")
errdefer(note, "rollback")
okdefer(note, "commit")
BODY
""",
    ),
    "clean-ups that fail": (
        """
try:
    try:
        BODY
    finally:
        fail("second")
finally:
    fail("first")
""",
        """
defer(fail, "first")
defer(fail, "second")
BODY
""",
    ),
    "a context manager": (
        """
with manager():
    BODY
""",
        """
using(manager())
BODY
""",
    ),
    "a context manager that suppresses": (
        """
with suppress(KeyError):
    BODY
""",
        """
using(suppress(KeyError))
BODY
""",
    ),
    "recovering": (
        """
try:
    BODY
except Exception as error:
    events.append(repr(error))
""",
        """
@defer
def rescue():
    if (error := recover()) is not None:
        events.append(repr(error))
BODY
""",
    ),
    "recovering from one type": (
        """
try:
    BODY
except OSError:
    note("rescued")
""",
        """
@defer
def rescue():
    if recover(OSError) is not None:
        note("rescued")
BODY
""",
    ),
    "a block": (
        """
with defer_scope() as scope:
    scope(note, "close")
    scope.err(note, "rollback")
    scope.ok(note, "commit")
    BODY
""",
        """
defer(note, "close")
errdefer(note, "rollback")
okdefer(note, "commit")
BODY
""",
    ),
    "an awaited clean-up": (
        """
try:
    BODY
finally:
    await anote("close")
""",
        """
defer(anote, "close")
BODY
""",
    ),
    "an async context manager": (
        """
async with amanager():
    BODY
""",
        """
await ausing(amanager())
BODY
""",
    ),
    "a named result": (
        """
error = None
try:
    BODY
except Exception as caught:
    error = caught
return error
""",
        """
error = None

@defer
def keep_error():
    nonlocal error
    error = recover()
BODY
""",
    ),
}


def definition(name, text, kind, fails):
    begin, half_way = FORMS[kind]
    end = "raise KeyError('x')" if fails else "note('ends')"
    body = []
    for line in text.strip().splitlines():
        indent = line[: -len(line.lstrip()) or None]
        body += [indent + line for line in (half_way, end)] if "BODY" in line else [line]
        if "BODY" in line:
            body[-2:] = [line.replace("BODY", half_way), line.replace("BODY", end)]
    return f"{begin} {name}():\n{textwrap.indent(chr(10).join(body), '    ')}\n"


@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
@pytest.mark.parametrize(
    ("pair", "kind", "place"),
    [
        pytest.param(pair, kind, place, id=f"{pair}-{place.__name__}")
        for pair, (by_hand, _) in PAIRS.items()
        for kind, places in PLACES.items()
        for place in places
        if "await" not in by_hand and "async" not in by_hand or FORMS[kind][0] == "async def"
        if "return" not in by_hand or kind != "async generator"  # an async generator has no result
    ],
)
def test_a_pair(way, tmp_path, pair, kind, place, fails):
    """Code with godefer has the effects, the result and the chain of its counterpart
    (D2, D5, D10, D11, P4, N).
    """
    by_hand, deferring = PAIRS[pair]
    path = tmp_path / "pairs.py"
    path.write_text(
        "\n\n".join(
            [
                HEADER,
                definition("by_hand", by_hand, kind, fails),
                definition("deferring", deferring, kind, fails),
            ]
        ),
        encoding="utf-8",
    )
    spec = importlib.util.spec_from_file_location("pairs", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    if pair == "a named result":  # named results are always compiled
        made.deferring = with_defers(made.deferring, result="error")
    else:
        made.deferring = way(made.deferring)
    expected = outcome(place, made.by_hand), list(made.events)
    made.events.clear()
    assert (outcome(place, made.deferring), made.events) == expected
