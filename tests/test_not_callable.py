"""A callee that is not callable fails when it is called, as a nil function in Go: rule D7."""

import asyncio
import traceback

import pytest

from godefer import defer, errdefer, okdefer

NOT_CALLABLE = [None, 42, "text", [], object()]


def hints(error):
    """Return the notes of *error*, except the one with the place of the `defer`."""
    return [note for note in getattr(error, "__notes__", []) if not note.startswith("deferred at ")]


@pytest.mark.parametrize("callee", NOT_CALLABLE, ids=lambda callee: type(callee).__name__)
@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_it_fails_at_the_exit_and_the_others_run(way, callee, kind):
    """The exit, not the statement, raises the TypeError, and the other calls run (D7)."""
    ran = []

    @way
    def function():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)
        ran.append("body")

    @way
    def generator():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)
        yield
        ran.append("body")

    @way
    async def coroutine():
        defer(ran.append, 1)
        defer(callee)
        defer(ran.append, 2)
        ran.append("body")

    calls = {
        "function": function,
        "generator": lambda: list(generator()),
        "coroutine": lambda: asyncio.run(coroutine()),
    }
    with pytest.raises(TypeError) as expected:
        callee()
    with pytest.raises(TypeError) as caught:
        calls[kind]()
    assert caught.value.args == expected.value.args
    assert ran == ["body", 2, 1]


def test_the_traceback_shows_the_statement(way):
    """The traceback ends at the `defer` statement with the callee (D7)."""

    @way
    def f(callee):
        defer(int)
        defer(callee)
        defer(int)

    with pytest.raises(TypeError) as caught:
        f(42)
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.name, last.line) == (__file__, "f", "defer(callee)")


@pytest.mark.parametrize("callee", [None, 42], ids=["None", "42"])
def test_the_exception_in_flight_is_the_context(way, callee):
    """When the body has failed, its exception is the context of the TypeError (D7, D5)."""

    @way
    def f():
        defer(callee)
        raise LookupError("body")

    with pytest.raises(TypeError) as caught:
        f()
    assert caught.value.__context__.args == ("body",)


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_none_gets_a_note_that_asks_whether_it_was_called(way, kind):
    """The error for None asks in a note whether the function was called, not passed (D7)."""

    @way
    def function(close):
        defer(close())

    @way
    async def coroutine(close):
        defer(close())

    with pytest.raises(TypeError) as caught:
        function(lambda: None) if kind == "function" else asyncio.run(coroutine(lambda: None))
    (note,) = hints(caught.value)
    assert "called instead of passed" in note
    assert "defer(f.close())" in note


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("end", ["pass", "raise LookupError"])
@pytest.mark.parametrize(
    "statement",
    [
        "if close: defer(close())",
        "for _ in range(1): defer(close())",
        "for _ in range(2): defer(close())",
        "for _ in range(1): defer(len, [1]); defer(close(), 1); defer(len, [2])",
        "for _ in range(1): using(contextlib.nullcontext()); errdefer(len, []); defer(close())",
    ],
)
def test_the_note_comes_wherever_the_statement_is(load, way, kind, end, statement):
    """`defer(None)` under a condition or in a loop gets the note, on every exit (D7, D8)."""
    module = load(
        f"import contextlib\n@decorate\n{kind} f(close):\n    {statement}\n    {end}\n", way
    )
    with pytest.raises(TypeError, match="'NoneType' object is not callable") as caught:
        result = module.f(lambda: None)
        asyncio.run(result)
    assert [note for note in hints(caught.value) if "called instead of passed" in note]


@pytest.mark.parametrize("where", ["body", "iterable"])
def test_an_error_of_the_body_gets_no_note(way, where):
    """A TypeError of the body is not that of a callee, with calls in a list or without (D7)."""

    @way
    def f(items, nothing=None):
        for item in items:
            defer(len, item)
        return nothing() if where == "body" else 1

    for items in [[], ["a"], None]:
        if where == "body" or items is None:
            with pytest.raises(TypeError) as caught:
                f(items)
            assert hints(caught.value) == []


def test_the_note_comes_with_the_other_statements_too(way):
    """`errdefer(None)` and `okdefer(None)` fail like `defer(None)`, at their turn (D7, D10)."""

    @way
    def f(error):
        errdefer(None)
        okdefer(None, 1)
        if error:
            raise error

    for error in [None, LookupError("body")]:
        with pytest.raises(TypeError, match="'NoneType' object is not callable") as caught:
            f(error)
        assert "called instead of passed" in hints(caught.value)[0]


def test_other_errors_get_no_note(way):
    """Wrong arguments, other callees and TypeErrors from inside a callee get no such note (D7)."""

    def inside(nothing=None):
        nothing()

    def no_arguments():
        pass

    @way
    def f(callee, *args):
        defer(callee, *args)

    for callee, args in [(42, ()), (no_arguments, (1,)), (inside, ()), (int, (None,))]:
        with pytest.raises(TypeError) as caught:
            f(callee, *args)
        assert hints(caught.value) == []


@pytest.mark.parametrize("callees", [[None], [None, None]], ids=["one", "two"])
def test_the_note_in_a_loop_of_a_function_that_fails(way, callees):
    """A None deferred in a loop gets the note too, if the function fails (D7)."""

    @way
    def f():
        for callee in callees:
            defer(callee)
        raise LookupError

    with pytest.raises(TypeError, match="'NoneType' object is not callable") as caught:
        f()
    [hint] = hints(caught.value)
    assert hint.startswith("The deferred callee is None")
