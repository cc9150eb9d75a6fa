"""The table of docs/exitstack.md: the code for a scope does the same as the code for ExitStack.

The code is taken from the page. It runs in blocks that succeed and in blocks that fail, in each of
the places of `tests.places`: a handler of the caller, a generator, a coroutine.
"""

import importlib.util
import re
from pathlib import Path

import pytest

from tests.places import FORMS, PLACES, outcome

PAGE = Path(__file__).parent.parent / "docs" / "exitstack.md"


def lines_of_the_table():
    """Return the code of each line of the page's first table: with ExitStack, and with a scope."""
    table = PAGE.read_text(encoding="utf-8").split("\n\n")[2]
    for line in table.splitlines()[4:]:
        left, right = (re.findall("`([^`]+)`", cell) for cell in line.split("|")[1:3])
        if left:
            yield from zip(left, right, strict=True)


LINES = list(lines_of_the_table())
HEADER = """\
import asyncio
import sys
from asyncio import sleep
from contextlib import AsyncExitStack, ExitStack

from godefer import ausing, defer, defer_scope, errdefer, okdefer, recover, using

events = []
args = ("argument",)


def fn(*args):
    events.append(("called with", args, repr(sys.exception())))


async def afn(*args):
    await sleep(0)
    fn(*args)


class Manager:
    def __enter__(self):
        events.append("entered")

    def __exit__(self, kind, error, traceback):
        events.append(("left", repr(error)))

    async def __aenter__(self):
        await sleep(0)
        events.append("entered")

    async def __aexit__(self, kind, error, traceback):
        await sleep(0)
        events.append(("left", repr(error)))


cm = acm = Manager()


def look():
    events.append(("looked at", repr(sys.exception())))


async def alook():
    look()


def stop():
    events.append(("stopped", repr(recover())))


async def astop():
    events.append(("stopped", repr(recover())))
"""
# The function `exit` of a line, by the function that replaces it in the line with a scope. Only the
# last of them, for all other lines, notes successful exits too.
EXITS = {
    "look": """\
def exit(kind, error, traceback):
    if error is not None:
        events.append(("looked at", repr(error)))
""",
    "stop": """\
def exit(kind, error, traceback):
    if isinstance(error, Exception):
        events.append(("stopped", repr(error)))
        return True
    if error is not None:
        events.append(("stopped", "None"))
""",
    "": """\
def exit(kind, error, traceback):
    events.append(("exit", kind, repr(error)))
    return isinstance(error, KeyError)
""",
}
ASYNC_EXIT = """\
async def aexit(kind, error, traceback):
    await sleep(0)
    return exit(kind, error, traceback)
"""


def pushed():
    """Return the source of the class Pushed on the page."""
    return re.search(
        r"^class Pushed:\n.*?(?=\n\nclass )",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )[0]


def module(tmp_path, right, *functions):
    """Import the header and *functions* as a module with a file, which open coding needs."""
    kind = re.search(r"\ba?(look|stop)\b", right)
    text = "\n\n".join([HEADER, EXITS[kind[1] if kind else ""], ASYNC_EXIT, pushed(), *functions])
    path = tmp_path / "lines_of_the_page.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("lines_of_the_page", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def block(name, kind, header, lines, fails):
    """Return the source of a function with a block of *lines*; it closes a kept scope at last."""
    begin, half_way = FORMS[kind]
    close = "await kept.aclose()" if "async" in header else "kept.close()"
    body = [
        *lines,
        "events.append('block')",
        half_way,
        "raise KeyError('x')" if fails else "events.append('block ends')",
    ]
    keeps = any("kept =" in line for line in lines)
    return "\n".join(
        [
            f"{begin} {name}():",
            *(["    kept = None", "    try:"] if keeps else ["    if True:"]),
            f"        {header}",
            *(f"            {line}" for line in body),
            "        events.append('after the block')",
            *(
                ["    finally:", "        if kept is not None:", f"            {close}"]
                if keeps
                else []
            ),
        ]
    )


def function(name, kind, lines, fails):
    """Return the source of a function with the same lines as its body, without a block."""
    begin, half_way = FORMS[kind]
    end = "raise KeyError('x')" if fails else "events.append('block ends')"
    body = [*lines, "events.append('block')", half_way, end]
    return "\n".join([f"{begin} {name}():", *(f"    {line}" for line in body)])


def awaits(line):
    return re.search(r"\bawait\b|async|\b(aexit|alook|astop|afn)\b", line) is not None


CASES = [
    pytest.param(
        left,
        right,
        kind,
        place,
        is_async,
        fails,
        id=f"{left}-{right}-{'async ' if is_async else ''}with-{place.__name__}"
        f"-{'fails' if fails else 'ends'}",
    )
    for left, right in LINES
    for kind, places in PLACES.items()
    for place in places
    for is_async in (False, True)
    for fails in (False, True)
    if not (is_async and FORMS[kind][0] == "def")
    if is_async or not awaits(left)
    if not is_async or left != "stack.close()"
]


def run(made, name, place):
    made.events.clear()
    result = outcome(place, getattr(made, name))
    return result, list(made.events)


@pytest.mark.parametrize(("left", "right", "kind", "place", "is_async", "fails"), CASES)
def test_a_scope_does_what_an_exit_stack_does(tmp_path, left, right, kind, place, is_async, fails):
    """A line with a scope has the effects and the outcome of the
    ExitStack line beside it (S, D10).
    """
    stack = "async with AsyncExitStack() as stack:" if is_async else "with ExitStack() as stack:"
    scope = f"{'async ' if is_async else ''}with defer_scope() as defer:"
    made = module(
        tmp_path,
        right,
        block("with_stack", kind, stack, ["stack.callback(fn, 'outer')", left], fails),
        block("with_scope", kind, scope, ["defer(fn, 'outer')", right], fails),
    )
    assert run(made, "with_scope", place) == run(made, "with_stack", place)


def as_statement(right):
    """Return the line of a scope as the statement of a decorated function;
    nothing if there is none.
    """
    line = right.replace("defer.ausing", "ausing").replace("defer.using", "using")
    line = line.replace("defer.err", "errdefer")
    return "" if "defer." in line else line


@pytest.mark.parametrize(
    ("left", "right", "kind", "place", "is_async", "fails"),
    [case for case in CASES if as_statement(case.values[1])],
)
def test_a_function_does_what_an_exit_stack_does(
    way, tmp_path, left, right, kind, place, is_async, fails
):
    """The same statement in a decorated function has the same effects (D10, D11, P4)."""
    stack = "async with AsyncExitStack() as stack:" if is_async else "with ExitStack() as stack:"
    made = module(
        tmp_path,
        right,
        block("with_stack", kind, stack, [left], fails).replace("after the block", "x"),
        function("deferring", kind, [as_statement(right)], fails),
    )
    made.deferring = way(made.deferring)
    expected, events = run(made, "with_stack", place)
    assert run(made, "deferring", place) == (expected, [event for event in events if event != "x"])
