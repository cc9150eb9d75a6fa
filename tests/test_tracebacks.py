"""Tracebacks show the user's frames with their real lines: rule P6."""

import contextlib
import linecache
import os
import sys
import traceback

import pytest

import godefer
from godefer import DeferError, ausing, defer, errdefer, okdefer, panic, recover, using
from tests.helpers import drive, fail, pause

PACKAGE = os.path.dirname(godefer.__file__)


def is_godefers(filename):
    return filename == "<godefer wrapper>" or filename.startswith(PACKAGE)


def frames(tb):
    """Return the user's frames as (function name, text of the line).

    At most one frame of godefer may be between two of them.
    """
    found = []
    in_a_row = 0
    for frame, line in traceback.walk_tb(tb):
        filename = frame.f_code.co_filename
        if is_godefers(filename):
            in_a_row += 1
        else:
            assert in_a_row <= 1, "".join(traceback.format_tb(tb))
            in_a_row = 0
            found.append((frame.f_code.co_name, linecache.getline(filename, line).strip()))
    return found


def failure(function, *args):
    """Return the exception of a call, and the frames of its traceback below this one."""
    try:
        function(*args)
    except BaseException as e:
        return e, frames(e.__traceback__.tb_next)
    raise AssertionError("it did not fail")


async def fail_later(argument):
    await pause()
    raise ValueError(argument)


FAIL = ("fail", "raise ValueError(argument)")
FAIL_LATER = ("fail_later", "raise ValueError(argument)")
DRIVE = ("drive", "coroutine.send(None)")


# An exception of the body


def test_a_failing_body(way):
    """The traceback shows the body's own line, and every frame once (P6)."""

    @way
    def f():
        defer(int)
        fail("body")

    _, found = failure(f)
    assert found == [("f", 'fail("body")'), FAIL]


def test_a_failing_body_that_deferred_nothing(way):
    """An invocation that has deferred nothing shows the same traceback (P6)."""

    @way
    def f(deferring):
        if deferring:
            defer(int)
        fail("body")

    _, found = failure(f, False)
    assert found == [("f", 'fail("body")'), FAIL]


def test_a_failing_body_with_every_kind_of_statement(way):
    """The deferred calls add no frame to the traceback of the body's exception (P6)."""

    @way
    def f():
        defer(int)
        errdefer(int)
        okdefer(int)
        using(contextlib.nullcontext())
        for _ in range(3):
            defer(int)
        if sys:
            defer(int)
        fail("body")

    _, found = failure(f)
    assert found == [("f", 'fail("body")'), FAIL]


def test_decorated_functions_that_call_each_other(way):
    """The traceback shows each function on the way once, with the line of its call (P6)."""

    @way
    def inner():
        defer(int)
        fail("body")

    @way
    def middle():
        defer(int)
        return inner()

    @way
    def outer():
        defer(int)
        middle()

    _, found = failure(outer)
    assert found == [
        ("outer", "middle()"),
        ("middle", "return inner()"),
        ("inner", 'fail("body")'),
        FAIL,
    ]


def test_recursion(way):
    """The traceback shows each level of a recursion once (P6)."""

    @way
    def f(n):
        defer(int)
        if n:
            f(n - 1)
        fail("bottom")

    _, found = failure(f, 2)
    assert found == [("f", "f(n - 1)"), ("f", "f(n - 1)"), ("f", 'fail("bottom")'), FAIL]


def test_a_failing_generator(way):
    """A generator shows the frames of the same generator without defers (P6)."""

    @way
    def g():
        defer(int)
        yield
        fail("body")

    @way
    def delegating():
        defer(int)
        yield from g()

    def iterate(generator):
        for _ in generator:
            pass

    _, found = failure(iterate, g())
    assert found == [("iterate", "for _ in generator:"), ("g", 'fail("body")'), FAIL]
    _, found = failure(iterate, delegating())
    expected = [("delegating", "yield from g()"), ("g", 'fail("body")'), FAIL]
    assert found == [("iterate", "for _ in generator:"), *expected]


def test_a_failing_coroutine(way):
    """An async function shows the frames of the same function without defers (P6)."""

    @way
    async def inner():
        defer(pause)
        await pause()
        fail("body")

    @way
    async def outer():
        defer(pause)
        await inner()

    _, found = failure(drive, outer())
    assert found == [DRIVE, ("outer", "await inner()"), ("inner", 'fail("body")'), FAIL]


def test_a_failing_async_generator(way):
    """An async generator shows the frames of the same one without defers (P6)."""

    @way
    async def g():
        defer(pause)
        yield
        await pause()
        fail("body")

    async def iterate():
        async for _ in g():
            pass

    _, found = failure(drive, iterate())
    assert found == [DRIVE, ("iterate", "async for _ in g():"), ("g", 'fail("body")'), FAIL]


def test_an_exception_thrown_into_a_generator(way):
    """The traceback of an exception thrown into a generator has the line of its `yield` (P6)."""

    @way
    def g():
        defer(int)
        yield

    generator = g()
    next(generator)
    _, found = failure(generator.throw, ValueError("thrown"))
    assert found == [("g", "yield")]


def test_a_panic(way):
    """A panic shows the line of its `panic` (P6)."""

    @way
    def f():
        defer(int)
        panic("p")

    _, found = failure(f)
    assert found == [("f", 'panic("p")')]


# An exception of a deferred call


def test_a_failing_deferred_call(way):
    """A failing deferred call shows the line of its `defer`, then the deferred function (P6)."""

    @way
    def f(error):
        defer(int)
        defer(fail, "deferred")
        defer(int)
        if error:
            raise error

    for error in (None, KeyError("body")):
        _, found = failure(f, error)
        assert found == [("f", 'defer(fail, "deferred")'), FAIL]


def test_a_failing_deferred_call_without_a_frame(way):
    """A callee without a Python frame leaves the line of the `defer` as the last (P6)."""

    @way
    def f():
        defer(int, "x")
        defer(int)

    _, found = failure(f)
    assert found == [("f", 'defer(int, "x")')]


def test_a_failing_deferred_call_over_several_lines(way):
    """A statement over several lines is shown by the line of its `defer` (P6)."""

    @way
    def f():
        defer(
            fail,
            "deferred",
        )
        defer(int)

    _, found = failure(f)
    assert found == [("f", "defer("), FAIL]


def test_failing_deferred_calls_in_a_loop_and_a_condition(way):
    """The traceback shows the statement's line in any place of the body (P6)."""

    @way
    def f(n):
        for i in range(n):
            defer(fail, "in the loop")
        if not n:
            defer(fail, "in the condition")

    assert failure(f, 2)[1] == [("f", 'defer(fail, "in the loop")'), FAIL]
    assert failure(f, 0)[1] == [("f", 'defer(fail, "in the condition")'), FAIL]


def test_the_other_statements(way):
    """Failing calls of `errdefer` and `okdefer` show the line of their statement (P6)."""

    @way
    def f(error):
        errdefer(fail, "e")
        okdefer(fail, "o")
        if error:
            raise error

    assert failure(f, KeyError())[1] == [("f", 'errdefer(fail, "e")'), FAIL]
    # The okdefer call fails first. The errdefer call runs next, and its exception leaves f.
    error, found = failure(f, None)
    assert found == [("f", 'errdefer(fail, "e")'), FAIL]
    assert frames(error.__context__.__traceback__) == [("f", 'okdefer(fail, "o")'), FAIL]


class FailingExit:
    def __enter__(self):
        return self

    def __exit__(self, *details):
        fail("exit")

    async def __aenter__(self):
        await pause()
        return self

    async def __aexit__(self, *details):
        await pause()
        fail("exit")


def test_a_failing_context_manager(way):
    """A failing exit of a context manager shows the line of its `using` (P6, D11)."""

    @way
    def f(error):
        using(FailingExit())
        if error:
            raise error

    @way
    async def g(error):
        value = await ausing(FailingExit())
        if error:
            raise error
        return value

    for error in (None, KeyError("body")):
        assert failure(f, error)[1] == [
            ("f", "using(FailingExit())"),
            ("__exit__", 'fail("exit")'),
            FAIL,
        ]
        _, found = failure(drive, g(error))
        assert found == [
            DRIVE,
            ("g", "value = await ausing(FailingExit())"),
            ("__aexit__", 'fail("exit")'),
            FAIL,
        ]


def test_a_deferred_call_that_fails_in_a_generator(way):
    """A failing deferred call shows the same frames in a generator as in a function (P6)."""

    @way
    def g(error):
        defer(fail, "deferred")
        yield
        if error:
            raise error

    def iterate(generator):
        for _ in generator:
            pass

    for error in (None, KeyError("body")):
        _, found = failure(iterate, g(error))
        assert found == [("iterate", "for _ in generator:"), ("g", 'defer(fail, "deferred")'), FAIL]
    generator = g(None)
    next(generator)
    _, found = failure(generator.close)
    assert found == [("g", 'defer(fail, "deferred")'), FAIL]


def test_a_deferred_call_that_fails_in_a_coroutine(way):
    """In an async function a failing call shows its `defer` line, awaited or not (P6, D6)."""

    @way
    async def awaited(error):
        defer(fail_later, "deferred")
        await pause()
        if error:
            raise error

    @way
    async def plain(error):
        defer(fail, "deferred")
        await pause()
        if error:
            raise error

    for error in (None, KeyError("body")):
        _, found = failure(drive, awaited(error))
        assert found == [DRIVE, ("awaited", 'defer(fail_later, "deferred")'), FAIL_LATER]
        _, found = failure(drive, plain(error))
        assert found == [DRIVE, ("plain", 'defer(fail, "deferred")'), FAIL]


def test_a_deferred_call_that_fails_in_an_async_generator(way):
    """A failing deferred call shows the same frames in an async generator as elsewhere (P6)."""

    @way
    async def g():
        defer(fail_later, "deferred")
        yield

    async def iterate():
        async for _ in g():
            pass

    _, found = failure(drive, iterate())
    assert found == [
        DRIVE,
        ("iterate", "async for _ in g():"),
        ("g", 'defer(fail_later, "deferred")'),
        FAIL_LATER,
    ]


def test_a_deferred_function_that_is_decorated(way):
    """A decorated deferred function is shown once, after its `defer` (P6)."""

    @way
    def deferred():
        defer(int)
        fail("deferred")

    @way
    def f():
        defer(deferred)

    _, found = failure(f)
    assert found == [("f", "defer(deferred)"), ("deferred", 'fail("deferred")'), FAIL]


def test_a_coroutine_in_a_function_that_is_not_async(way):
    """The TypeError for a dropped coroutine shows the line of the `defer` (P6, D6)."""

    @way
    def f():
        defer(int)
        defer(fail_later, "never runs")

    error, found = failure(f)
    assert type(error) is TypeError
    assert found == [("f", 'defer(fail_later, "never runs")')]


def test_a_misplaced_statement(way):
    """A DeferError shows the frames that lead to the misplaced statement (P6, D3)."""

    def helper():
        defer(int)

    @way
    def f():
        defer(int)
        helper()

    error, found = failure(f)
    assert type(error) is DeferError
    assert found == [("f", "helper()"), ("helper", "defer(int)")]


# The other exceptions of a chain


def test_the_exceptions_of_a_chain(way):
    """Each exception of a chain has its own frames from the deferring function down (P6, D5)."""

    @way
    def f():
        defer(fail, "third")
        defer(fail, "second")
        fail("first")

    error, found = failure(f)
    assert found == [("f", 'defer(fail, "third")'), FAIL]
    assert frames(error.__context__.__traceback__) == [("f", 'defer(fail, "second")'), FAIL]
    assert frames(error.__context__.__context__.__traceback__) == [("f", 'fail("first")'), FAIL]


def test_the_exceptions_of_a_chain_of_a_coroutine(way):
    """In an async function, too, each exception of a chain has its own frames, once (P6, D5)."""

    @way
    async def f():
        defer(fail_later, "third")
        defer(fail, "second")
        await pause()
        fail("first")

    error, found = failure(drive, f())
    assert found == [DRIVE, ("f", 'defer(fail_later, "third")'), FAIL_LATER]
    assert frames(error.__context__.__traceback__) == [("f", 'defer(fail, "second")'), FAIL]
    assert frames(error.__context__.__context__.__traceback__) == [("f", 'fail("first")'), FAIL]


def test_the_traceback_that_a_deferred_call_sees(way):
    """A deferred call sees a traceback that starts at the function that failed (P6)."""
    seen = []

    def note():
        seen.append(frames(sys.exception().__traceback__))

    @way
    def f():
        defer(note)
        defer(fail, "deferred")
        defer(note)
        fail("body")

    failure(f)
    assert seen == [[("f", 'fail("body")'), FAIL], [("f", 'defer(fail, "deferred")'), FAIL]]


def test_a_recovered_exception(way):
    """The traceback of a recovered exception starts at the function that recovered it (P6, P4)."""
    seen = []

    @way
    def f():
        defer(lambda: seen.append(recover()))
        fail("body")

    @way
    def g():
        defer(lambda: seen.append(recover()))
        defer(fail, "deferred")

    f()
    g()
    assert [frames(e.__traceback__) for e in seen] == [
        [("f", 'fail("body")'), FAIL],
        [("g", 'defer(fail, "deferred")'), FAIL],
    ]


def test_an_exit_that_goes_on(way):
    """An exit that goes on after its replacement was recovered shows its origin (P6, P3).

    An open-coded function also shows the recovering call, since it raises the exit again there.
    """

    @way
    def f():
        defer(lambda: recover())
        defer(fail, "deferred")
        sys.exit(3)

    error, found = failure(f)
    assert type(error) is SystemExit
    again = [("f", "defer(lambda: recover())")] if way.name == "open-coded" else []
    assert found == [*again, ("f", "sys.exit(3)")]


def test_an_exception_raised_again_by_a_deferred_call(way):
    """An exception raised again by a deferred call shows that line, then its origin (P6)."""

    def again():
        raise sys.exception()

    @way
    def f():
        defer(again)
        fail("body")

    def by_hand():
        try:
            fail("body")
        finally:
            again()

    _, found = failure(f)
    _, expected = failure(by_hand)
    rename = {
        ("by_hand", "again()"): ("f", "defer(again)"),
        ("by_hand", 'fail("body")'): ("f", 'fail("body")'),
    }
    assert found == [rename.get(frame, frame) for frame in expected]


# The note


def notes_of(error):
    return getattr(error, "__notes__", [])


def test_the_note_of_the_runtime_way(way):
    """On the runtime way a note says `deferred at file:line in function` (P6).

    Open-coded functions need no note and have none.
    """
    first = sys._getframe().f_lineno + 4

    class Resource:
        @way
        def use(self):  # the line *first*
            defer(fail, "second to run")
            errdefer(fail, "first to run")
            raise KeyError

    error, _ = failure(Resource().use)
    name = f"{test_the_note_of_the_runtime_way.__name__}.<locals>.Resource.use"
    notes = [notes_of(error), notes_of(error.__context__)]
    if way.name == "runtime":
        assert notes == [[f"deferred at {__file__}:{first + i} in {name}"] for i in (1, 2)]
    else:
        assert notes == [[], []]


def test_the_body_gets_no_note(way):
    """An exception of the body gets no note, even after deferred calls (P6, D5)."""

    @way
    def f():
        defer(int)
        errdefer(int)
        fail("body")

    error, _ = failure(f)
    assert not hasattr(error, "__notes__")


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_printed_traceback(way, kind):
    """A printed traceback names the user's files and lines, in the order of the calls (P6)."""

    @way
    def function():
        defer(fail, "deferred")

    @way
    async def coroutine():
        defer(fail_later, "deferred")

    error, _ = failure(function) if kind == "function" else failure(drive, coroutine())
    text = "".join(traceback.format_exception(error))
    statement = 'defer(fail, "deferred")' if kind == "function" else 'defer(fail_later, "deferred")'
    assert (
        text.index(f"in {kind}") < text.index(statement) < text.index("raise ValueError(argument)")
    )
    assert f'File "{__file__}"' in text
    assert "ValueError: deferred" in text


def test_each_failing_call_of_a_loop_shows_its_statement_once(way):
    """A replaced exception shows the `defer` of its call too, and no frame twice (P6)."""

    def bad(n):
        raise KeyError(n)

    @way
    def f():
        for n in range(2):
            defer(bad, n)
        raise ValueError

    with pytest.raises(KeyError) as raised:
        f()
    here = getattr(f, "__wrapped__", f).__code__.co_firstlineno + 3
    for error in (raised.value, raised.value.__context__):
        frames = [
            frame
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == __file__
        ]
        found = [(frame.name, frame.lineno) for frame in frames]
        assert [frame for frame in found if frame[0] == "f"] == [("f", here)]
        assert found[-1][0] == "bad"
