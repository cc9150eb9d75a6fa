"""Decorated functions go to other processes, by value and by reference, and back (A).

cloudpickle takes them by value, pickle by reference.
"""

import pickle
import sys

import pytest

from godefer import DeferError, Panic, defer, explain, panic, recover, using, with_defers

if sys.implementation.name == "pypy":
    pytest.skip("cloudpickle cannot be imported on PyPy", allow_module_level=True)
import cloudpickle  # noqa: E402

from tests.helpers import printed

SENDER = """\
import sys

import cloudpickle

from godefer import defer, errdefer, okdefer, recover, using, with_defers

events = []


def transparent(fn):
    import functools

    @functools.wraps(fn)
    def wrapper(*args):
        return fn(*args)

    return wrapper


def fail(name):
    raise ValueError(name)


@with_defers
def inline():
    defer(print, "inline exits")


@with_defers
def only_using(cm):
    entered = using(cm)
    return entered


def listed(names):
    for name in names:
        defer(fail, name)
        errdefer(print, "failing after", name)


@with_defers
async def alisted(names):
    async def fail(name):
        raise ValueError(name)

    for name in names:
        defer(fail, name)
    return len(names)


@with_defers
def generator():
    defer(print, "generator exits")
    yield 1


@with_defers
@transparent
def below():
    defer(print, "below exits")


class Thing:
    @with_defers
    def method(self):
        defer(print, "method exits")


def everything():
    return {
        "inline": inline,
        "only_using": only_using,
        "listed": with_defers(listed),
        "alisted": alisted,
        "generator": generator,
        "below": below,
        "method": Thing.method,
    }
"""

SEND = """
cloudpickle.dump(everything(), open(sys.argv[1], "wb"))
"""

KNOWN = """\
import contextlib
import pickle
import sys

from godefer import explain, with_defers

with open(sys.argv[1], "rb") as file:
    functions = pickle.load(file)
for name, fn in functions.items():
    explanation = explain(fn)
    assert with_defers(fn) is fn, name
    assert explain(with_defers(fn)) == explanation, name
    shapes = [d.shape for d in explanation.defers]
    place = explanation.function, explanation.line
    print(name, *place, explanation.way, shapes, explanation.reason)
    assert explanation.lowered in {"", "# it was compiled in another process"}, name
functions["inline"]()
functions["below"]()
functions["method"](None)
print(list(functions["generator"]()), functions["only_using"](contextlib.nullcontext("entered")))
"""

LINES = {
    name: SENDER[: SENDER.index(definition)].count("\n") + 1
    for name, definition in {
        "inline": "@with_defers\ndef inline",
        "only_using": "@with_defers\ndef only_using",
        "listed": "def listed",
        "alisted": "@with_defers\nasync def alisted",
        "generator": "@with_defers\ndef generator",
        "below": "@with_defers\n@transparent\ndef below",
        "method": "    @with_defers\n    def method",
    }.items()
}


@pytest.fixture
def sent(way, tmp_path):
    """Return a file with SENDER's functions, pickled by value in another process."""
    (tmp_path / "sender.py").write_text(SENDER + SEND)
    printed(tmp_path / "sender.py", tmp_path / "pickled", way=way)
    return tmp_path / "pickled"


def test_known_as_decorated(way, sent):
    """A function that came by value is decorated: `explain` describes it (A, R4).

    Decorating it again changes nothing.
    """
    found = printed("-c", KNOWN, sent)
    shapes = {
        "inline": ["inline"],
        "only_using": ["inline"],
        "listed": ["list", "list"],
        "alisted": ["list"],
        "generator": ["inline"],
        "below": ["inline"],
        "method": ["inline"],
    }
    reason = "the environment says GODEFER_OPEN_CODED=0"
    qualname = {name: name for name in shapes} | {"method": "Thing.method"}
    assert found == [
        *(
            f"{name} {qualname[name]} {LINES[name]} open-coded {shapes[name]} "
            if way.name == "open-coded"
            else f"{name} {qualname[name]} {LINES[name]} runtime [] {reason}"
            for name in shapes
        ),
        "inline exits",
        "below exits",
        "method exits",
        "generator exits",
        "[1] entered",
    ]


NAMED = """\
import sys

import cloudpickle

from godefer import defer, recover, with_defers


@with_defers(result="error")
def attempt(fn):
    error = None

    def caught():
        nonlocal error
        error = recover()

    defer(caught)
    fn()


cloudpickle.dump(attempt, open(sys.argv[1], "wb"))
"""

USE_NAMED = """\
import pickle
import sys

from godefer import DeferError, explain, with_defers

attempt = pickle.load(open(sys.argv[1], "rb"))
assert with_defers(attempt) is attempt
assert with_defers(result="error")(attempt) is attempt
try:
    with_defers(result="other")(attempt)
except DeferError as e:
    print(str(e).partition(" (")[0], str(e).partition(":8): ")[2], sep=" | ")
print(explain(attempt).way, repr(attempt(lambda: {}["key"])))
"""


def test_named_results(tmp_path):
    """A function with a named result works after pickling by value (N, A).

    Decorating it again with another name is refused.
    """
    (tmp_path / "named.py").write_text(NAMED)
    printed(tmp_path / "named.py", tmp_path / "pickled")
    assert printed("-c", USE_NAMED, tmp_path / "pickled") == [
        "with_defers(result='other') on attempt | it is decorated already, without these results; "
        "decorate it once, with result='other'",
        "open-coded KeyError('key')",
    ]


CHAINS = """\
import asyncio
import pickle
import sys
import traceback

with open(sys.argv[1], "rb") as file:
    functions = pickle.load(file)


def chain(error):
    return [] if error is None else [str(error), *chain(error.__context__)]


try:
    functions["listed"](["a", "b"])
except ValueError as error:
    print(chain(error), [s.name for s in traceback.extract_tb(error.__traceback__)][-1])
try:
    asyncio.run(functions["alisted"](["a", "b"]))
except ValueError as error:
    print(chain(error), [s.name for s in traceback.extract_tb(error.__traceback__)][-1])
print(asyncio.run(functions["alisted"]([])))
"""


def test_calls_of_a_list_that_fail(sent):
    """In another process, too, failing calls of a loop chain as nested `try` (D5)."""
    assert printed("-c", CHAINS, sent) == [
        "failing after a",
        "['a', 'b'] fail",
        "['a', 'b'] fail",
        "0",
    ]


BACK = """\
import pickle
import sys

import cloudpickle

from godefer import defer, errdefer, okdefer, with_defers

with open(sys.argv[1], "rb") as file:
    functions = pickle.load(file)


def make(start):
    total = start

    @with_defers
    def add(n, events):
        nonlocal total
        okdefer(events.append, "returns")
        errdefer(events.append, "fails")
        if n < 0:
            raise ValueError(n)
        total += n
        return total

    return add


functions["add"] = make(5)
with open(sys.argv[2], "wb") as file:
    cloudpickle.dump(functions, file)
"""


def test_there_and_back(way, sent, tmp_path, capsys):
    """A function that another process received can be sent back, and a closure made there works
    here (A).
    """
    (tmp_path / "back.py").write_text(BACK)
    printed(tmp_path / "back.py", sent, tmp_path / "back", way=way)
    functions = pickle.loads((tmp_path / "back").read_bytes())
    for name, fn in functions.items():
        assert explain(fn).way == way.name, name
        assert with_defers(fn) is fn, name
    functions["inline"]()
    assert capsys.readouterr().out == "inline exits\n"
    events = []
    assert [functions["add"](n, events) for n in (1, 2)] == [6, 8]
    with pytest.raises(ValueError, match="-1"):
        functions["add"](-1, events)
    assert events == ["returns", "returns", "fails"]
    with pytest.raises(ValueError, match="a") as caught:
        functions["listed"](["a", "b"])
    assert str(caught.value.__context__) == "b"


def by_value(fn):
    """Return *fn* after pickling by value within this process."""
    return pickle.loads(cloudpickle.dumps(fn))


def test_recursion_by_its_own_name(way):
    """A function that calls itself also does so after pickling by value (A, D4)."""

    def make(events):
        @way
        def down(n):
            defer(events.append, n)
            return n and down(n - 1)

        return down, events

    down, events = by_value(make([]))
    assert down(2) == 0
    assert events == [0, 1, 2]


def test_recover_and_panic(way):
    """After pickling by value, `recover` knows a deferred call, and exceptions go on (P2, P4)."""

    @way
    def f(wanted, events):
        def rescue():
            events.append(recover(wanted))

        defer(events.append, "runs last")
        defer(rescue)
        panic("lost")

    there, events = by_value(f), []
    assert there(Panic, events) is None
    assert [str(event) for event in events] == ["lost", "runs last"]
    with pytest.raises(Panic, match="lost"):
        there(KeyError, [])


@pytest.mark.parametrize("value", ["text", None, 3, ("a", "b")])
def test_a_panic_is_pickled_with_its_value(value):
    """A Panic is pickled with its value (P1, A)."""
    with pytest.raises(Panic) as caught:
        panic(value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is Panic
    assert again.value == value
    assert str(again) == str(caught.value)


def test_a_statement_by_another_name_is_named_where_only_using_is_open_coded(tmp_path):
    """A function with only an open-coded `using` counts as decorated for the errors (D3, D11)."""
    later = []

    @with_defers
    def f(path):
        file = using(open(path))
        later[0](file.close)

    later.append(defer)
    (tmp_path / "empty").touch()
    with pytest.raises(
        DeferError, match="was called in .* by an expression that could not be known to be it"
    ):
        f(tmp_path / "empty")


POOLED = """\
import concurrent.futures
import multiprocessing
import sys
from pathlib import Path

from godefer import Panic, defer, errdefer, explain, okdefer, panic, with_defers


def note(path, text):
    with open(path, "a") as file:
        file.write(text + "\\n")


@with_defers
def work(path, n):
    defer(note, path, f"{n} exits")
    okdefer(note, path, f"{n} returns")
    errdefer(note, path, f"{n} fails")
    if n == 2:
        raise LookupError(n)
    if n == 3:
        panic({"n": n})
    return n * n


class Account:
    def __init__(self, path):
        self.path = path

    @with_defers
    def draw(self, n):
        defer(note, self.path, f"draw {n} exits")
        return n


if __name__ == "__main__":
    path = sys.argv[1]
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        futures = [pool.submit(work, path, n) for n in range(1, 4)]
        drawn = pool.submit(Account(path).draw, 7)
        way = pool.submit(explain, work).result().way
    errors = [future.exception() for future in futures]
    raised = type(errors[2]).__name__, errors[2].value
    print(futures[0].result(), repr(errors[1]), *raised, drawn.result(), way)
    print("raise LookupError(n)" in str(errors[1].__cause__))
    print(Path(path).read_text().split("\\n"))
"""


def test_process_pool(way, tmp_path):
    """A ProcessPoolExecutor runs decorated functions and methods of the main program (A, D2).

    Their calls are made in the other process.
    """
    (tmp_path / "pooled.py").write_text(POOLED)
    assert printed(tmp_path / "pooled.py", tmp_path / "notes", way=way) == [
        f"1 LookupError(2) Panic {{'n': 3}} 7 {way.name}",
        "True",
        "['1 returns', '1 exits', '2 fails', '2 exits', '3 fails', '3 exits', 'draw 7 exits', '']",
    ]
