"""A function makes its own deferred calls, and `recover` finds them: rules P2, P3, P6, R1.

The position in the code and the exception show whether a call is made because of an exception. So
the tests try similar situations: helpers, handlers of the body and of the deferred function,
coroutines resumed by throw().
"""

import asyncio
import contextlib
import gc
import io
import logging
import subprocess
import sys
import textwrap
import threading
import traceback

import pytest

from godefer import defer, errdefer, explain, okdefer, recover, with_defers
from godefer._runtime.recovery import recovered

ON_CPYTHON = sys.implementation.name == "cpython"


class Error(Exception):
    pass


@pytest.fixture(autouse=True)
def nothing_left():
    """Check after each test that `recovered` is empty."""
    yield
    assert not recovered


def run(coroutine):
    return asyncio.run(coroutine)


def helper():
    return recover()


# The caller of a deferred function


def caller(seen):
    frame = sys._getframe(1)
    seen.append((frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))


@with_defers
def inline(seen, fails):
    defer(caller, seen)
    errdefer(caller, seen)
    okdefer(caller, seen)
    if fails:
        raise Error


@with_defers
def conditional(seen, fails):
    if seen is not None:
        defer(caller, seen)
        errdefer(caller, seen)
        okdefer(caller, seen)
    if fails:
        raise Error


@with_defers
async def coroutine(seen, fails):
    defer(caller, seen)
    errdefer(caller, seen)
    okdefer(caller, seen)
    if fails:
        raise Error


@pytest.mark.parametrize(
    ("fn", "lines"),
    [(inline, (2, 3, 4)), (conditional, (3, 4, 5)), (coroutine, (2, 3, 4))],
    ids=lambda p: str(p),
)
@pytest.mark.parametrize("fails", [False, True])
def test_the_function_makes_its_calls_itself(fn, lines, fails):
    """An open-coded function calls its deferred functions, at the statement's line (P6, R1)."""
    seen = []
    always, failing, returning = ((fn.__name__, line) for line in lines)
    with pytest.raises(Error) if fails else contextlib.nullcontext():
        result = fn(seen, fails)
        if result is not None:
            run(result)
    assert explain(fn).way == "open-coded"
    assert seen == ([failing, always] if fails else [returning, always])


@pytest.mark.parametrize("fails", [False, True])
def test_a_logged_function_name_is_the_function_s(fails):
    """`defer(log.info, …)` logs the name of the function that defers it, on both exits (P6)."""
    out = io.StringIO()
    log = logging.getLogger("godefer.test_own_exits")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.handlers = [logging.StreamHandler(out)]
    log.handlers[0].setFormatter(logging.Formatter("%(funcName)s %(message)s"))

    @with_defers
    def transfer():
        defer(log.info, "left")
        errdefer(log.info, "failed")
        if fails:
            raise Error

    with pytest.raises(Error) if fails else contextlib.nullcontext():
        transfer()
    assert out.getvalue().split("\n")[:-1] == (["transfer failed"] if fails else []) + [
        "transfer left"
    ]


# The functions that may recover


@pytest.mark.parametrize("cause", [None, OSError()])
def test_in_an_except_block_of_the_deferred_function(way, cause):
    """A deferred function recovers its caller's exception, not the one it handles itself (P2)."""
    found = []

    def deferred():
        try:
            raise KeyError from cause
        except KeyError:
            found.append(recover())

    error = Error()

    @way
    def f():
        defer(deferred)
        raise error

    assert f() is None
    assert found == [error]


async def fails_later():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, OSError())
    await future


@pytest.mark.parametrize("where", ["in the handler", "after it"])
def test_an_async_call_that_the_loop_resumed_by_an_exception(way, where):
    """An async deferred function can recover after the loop threw an exception into it (P2)."""
    found = []

    async def deferred():
        try:
            await fails_later()
        except OSError:
            if where == "in the handler":
                found.append(recover())
        if where == "after it":
            found.append(recover())

    error = Error()

    @way
    async def f():
        defer(deferred)
        raise error

    assert run(f()) is None
    assert found == [error]


def test_a_helper_of_a_handler_of_the_body(way):
    """A helper called by the body while it handles an exception recovers nothing (P2)."""
    found = []

    @way
    def f():
        defer(found.append, "left")
        try:
            raise Error
        except Error:
            found.append(helper())
            raise

    with pytest.raises(Error):
        f()
    assert found == [None, "left"]


def test_a_helper_on_the_line_of_a_statement(way):
    """An argument evaluated while the body handles an exception recovers nothing (P2, D1)."""
    found = []

    @way
    def f():
        try:
            raise Error
        except Error:
            defer(found.append, helper())
        return "returned"

    assert f() == "returned"
    assert found == [None]


def test_a_call_on_a_normal_exit_after_an_exception_was_handled(way):
    """On a normal exit a deferred call recovers nothing that the body has handled (P2)."""
    found = []

    @way
    def f():
        defer(lambda: found.append(recover()))
        try:
            raise Error
        except Error:
            return "returned"

    assert f() == "returned"
    assert found == [None]


def test_a_call_on_a_normal_exit_while_the_caller_handles_an_exception(way):
    """On a normal exit a deferred call recovers nothing that a caller is handling (P2)."""
    found = []

    @way
    def f():
        defer(lambda: found.append(recover()))
        return "returned"

    try:
        raise Error
    except Error:
        assert f() == "returned"
    assert found == [None]


def test_the_result_s_finalizer(way):
    """The dropped result of a deferred call cannot recover in its finalizer (P2)."""
    found = []

    class Finalized:
        def __del__(self):
            found.append(recover())

    def deferred():
        return Finalized()

    @way
    def f():
        defer(deferred)
        raise Error

    with pytest.raises(Error):
        f()
    gc.collect()
    assert found == [None]


def test_a_recovery_that_is_followed_by_a_failure(way):
    """A deferred call that recovers and then raises has its own exception in flight (P2, P5)."""
    found = []

    def deferred():
        found.append(type(recover()))
        raise OSError

    @way
    def f():
        errdefer(lambda: found.append(type(recover())))
        defer(deferred)
        raise Error

    assert f() is None
    assert found == [Error, OSError]


def test_recovering_without_code_columns(tmp_path):
    """Calls at exits differ from other code on their line, without columns too (P2, R1)."""
    (tmp_path / "program.py").write_text(
        textwrap.dedent(
            """
            from godefer import defer, explain, recover, with_defers

            def helper():
                return recover()

            @with_defers
            def g():
                defer(lambda: print("recovered", repr(recover())))
                try:
                    raise KeyError
                except KeyError: defer(print, "argument", helper())
                raise OSError

            print(explain(g).way, g())
            """
        )
    )
    command = [sys.executable, "-X", "no_debug_ranges", "program.py"]
    found = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.splitlines() == ["argument None", "recovered OSError()", "open-coded None"]


def test_threads_recover_each_for_itself(way):
    """Functions that recover in many threads at once recover only their own exceptions (D4, P2)."""
    wrong = []

    @way
    def f(error):
        found = []
        okdefer(found.append, "ok")
        defer(lambda: wrong.extend([] if recover() is error else ["another's"]))
        defer(found.append, "first")
        if found is not None:
            raise error
        return found

    def work():
        for _ in range(300):
            try:
                wrong.extend([] if f(Error()) is None else ["returned"])
            except Error:
                wrong.append("raised")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_greenlets_recover_each_for_itself(way):
    """A deferred call may switch to another greenlet between its recovery and its end (D4, P2)."""
    greenlet = pytest.importorskip("greenlet", reason="greenlet is not installed")
    found = []

    @way
    def f(name):
        def deferred():
            error = recover()
            main.switch()
            found.append((name, error.args))

        okdefer(found.append, (name, "ok"))
        defer(deferred)
        raise Error(name)

    main = greenlet.getcurrent()
    one, two = greenlet.greenlet(f), greenlet.greenlet(f)
    one.switch("one")
    two.switch("two")
    one.switch()
    two.switch()
    assert found == [("one", ("one",)), ("one", "ok"), ("two", ("two",)), ("two", "ok")]


def test_a_coroutine_that_is_closed_after_a_recovery(way):
    """A coroutine closed while its recovering call awaits leaves nothing behind (D2, P2)."""
    found = []

    class Forever:
        def __await__(self):
            yield

    async def deferred():
        found.append(type(recover()))
        await Forever()

    @way
    async def f():
        defer(found.append, "left")
        defer(deferred)
        raise Error

    coroutine = f()
    coroutine.send(None)
    coroutine.close()
    assert found == [Error, "left"]


def raises_it_again():
    try:
        raise sys.exception()
    except Error:
        pass


def takes_its_traceback():
    sys.exception().__traceback__ = None


@pytest.mark.parametrize("changes", [raises_it_again, takes_its_traceback])
@pytest.mark.parametrize("handles", [False, True])
def test_a_traceback_that_was_changed(way, changes, handles):
    """A deferred call may change the traceback of the exception in flight (P2)."""
    found = []

    def deferred():
        if not handles:
            found.append(recover())
            return
        try:
            raise KeyError
        except KeyError:
            found.append(recover())

    error = Error()

    @way
    def f():
        defer(deferred)
        errdefer(changes)
        raise error

    try:
        raise OSError
    except OSError:
        assert f() is None
    assert found == [error]


def test_an_exit_whose_traceback_was_changed(way):
    """An exit goes on, whatever a deferred call does to its traceback before it raises (P3)."""

    def takes_and_raises():
        sys.exception().__traceback__ = None
        raise ValueError

    @way
    def f():
        defer(lambda: recover())
        defer(takes_and_raises)
        raise SystemExit(7)

    with pytest.raises(SystemExit):
        f()


def test_an_error_that_was_saved_is_raised_on_a_normal_exit(way):
    """On a normal exit, a deferred call that raises and catches an exception which the body has
    handled does not recover it (P2).
    """
    found = []

    @way
    def f():
        try:
            raise Error
        except Error:
            try:
                raise KeyError
            except KeyError as e:
                saved = e

        def deferred():
            try:
                raise saved
            except KeyError:
                found.append(recover())

        defer(deferred)
        return "returned"

    assert f() == "returned"
    assert found == [None]


def test_an_exception_that_a_caller_is_handling_too(way):
    """A call on a normal exit recovers nothing that its caller handles (P2).

    Here the function of the call has just raised the same exception, and recovered it.
    """
    found = []

    def look():
        found.append(recover())

    recovered_before = []

    @way
    def deferred():
        defer(look)
        recovered_before.append(recover())

        @way
        def inner():
            defer(recover)

        defer(inner)
        raise recovered_before[0]

    @way
    def f():
        defer(deferred)
        raise Error

    assert f() is None
    assert found == [None]
    assert len(recovered_before) == 1


# Exits that go on


def test_an_exit_goes_on_after_a_second_panic(way):
    """An exit goes on after its replacement was recovered by a call that panicked itself (P3)."""
    found = []

    def replaces():
        raise KeyError

    def recovers_and_panics():
        found.append(type(recover()))
        raise OSError

    @way
    def f():
        defer(lambda: found.append(type(recover())))
        defer(recovers_and_panics)
        defer(replaces)
        raise SystemExit(3)

    with pytest.raises(SystemExit) as caught:
        f()
    assert caught.value.code == 3
    assert found == [KeyError, OSError]


def test_an_exit_that_goes_on_shows_the_user_s_frames_alone():
    """The traceback of an exit that goes on has no frame of godefer's in it (P3, P6)."""

    @with_defers
    def f():
        defer(lambda: None)
        defer(recovers)
        defer(fails)
        raise SystemExit(3)

    def recovers():
        recover()

    def fails():
        raise KeyError

    with pytest.raises(SystemExit) as caught:
        f()
    names = {frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)}
    assert names == {__file__}
    assert caught.value.__context__ is None


# In other processes


@pytest.mark.skipif(not ON_CPYTHON, reason="cloudpickle takes functions by value on CPython alone")
def test_a_pickled_function_recovers(tmp_path):
    """An open-coded function pickled by value recovers in another process (P2, A)."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
    module = tmp_path / "travelling.py"
    module.write_text(
        textwrap.dedent(
            """
            from godefer import defer, recover, with_defers

            @with_defers
            def f(value):
                found = []
                defer(lambda: found.append(repr(recover())))
                defer(found.append, "first")
                raise OSError(value)

            @with_defers(result="found")
            def g(value):
                found = []
                defer(lambda: found.append(repr(recover())))
                defer(found.append, "first")
                raise OSError(value)
            """
        )
    )
    writing = (
        "import sys, cloudpickle, travelling; cloudpickle.register_pickle_by_value(travelling);"
        "sys.stdout.buffer.write(cloudpickle.dumps((travelling.f, travelling.g)))"
    )
    pickled = subprocess.run(
        [sys.executable, "-c", writing], cwd=tmp_path, capture_output=True, check=True, timeout=60
    ).stdout
    f, g = cloudpickle.loads(pickled)
    assert f(1) is None
    assert g(1) == ["first", "OSError(1)"]
