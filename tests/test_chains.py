"""Exception chains equal those of the same clean-ups written as nested `try`/`finally`: rule D5."""

import asyncio
import itertools
import random
import sys

import pytest

from godefer import defer, errdefer
from tests.helpers import chain, fail


def arguments(error):
    return [e.args[0] for e in chain(error)]


class Recorder:
    """Records every exception of one run, in order, so that two runs can be compared one by one."""

    def __init__(self):
        self.made = []

    def __call__(self, error):
        self.made.append(error)
        return error


# Clean-ups. Each takes the Recorder of its run, and its own number.


def fine(new, i):
    pass


def fails(new, i):
    raise new(ValueError(i))


def fails_from_another(new, i):
    raise new(ValueError(i)) from new(KeyError(i))


def fails_from_none(new, i):
    raise new(ValueError(i)) from None


def fails_from_the_one_in_flight(new, i):
    raise new(ValueError(i)) from sys.exception()


def fails_while_handling(new, i):
    try:
        raise new(KeyError(i))
    except KeyError:
        raise new(ValueError(i))


def fails_twice(new, i):
    try:
        raise new(KeyError(i))
    finally:
        raise new(ValueError(i))


def handles_its_own(new, i):
    try:
        raise new(KeyError(i))
    except KeyError:
        pass


def raises_the_one_in_flight_again(new, i):
    raise sys.exception() or new(ValueError(i))


def raises_bare(new, i):
    raise  # noqa: PLE0704  # with nothing in flight: a RuntimeError of the interpreter


def raises_the_oldest(new, i):
    raise new.made[0] if new.made else new(ValueError(i))


def raises_the_second_oldest(new, i):
    raise new.made[1] if len(new.made) > 1 else new(ValueError(i))


def raises_one_that_has_a_context(new, i):
    error = new(ValueError(i))
    error.__context__ = new(KeyError(i))
    raise error


def changes_the_one_in_flight(new, i):
    error = sys.exception()
    if error is not None:
        error.__suppress_context__ = not error.__suppress_context__
        error.__cause__ = new(KeyError(i))
        error.add_note(f"note {i}")


def fails_in_a_group(new, i):
    raise new(ExceptionGroup(f"group {i}", [sys.exception() or KeyError(i)]))


def fails_unlike_an_exception(new, i):
    raise new(KeyboardInterrupt(i))


def cuts_the_context_of_the_one_in_flight(new, i):
    error = sys.exception()
    if error is not None:
        error.__context__ = None


def stops_an_iteration(new, i):
    raise new(
        StopIteration(i)
    )  # which a generator or coroutine turns into RuntimeError when it leaves (PEP 479)


CLEANUPS = [
    fine,
    fails,
    fails_from_another,
    fails_from_none,
    fails_from_the_one_in_flight,
    fails_while_handling,
    fails_twice,
    handles_its_own,
    raises_the_one_in_flight_again,
    raises_bare,
    raises_the_oldest,
    raises_the_second_oldest,
    raises_one_that_has_a_context,
    changes_the_one_in_flight,
    fails_in_a_group,
    fails_unlike_an_exception,
    stops_an_iteration,
]


# The same body with the same clean-ups, by hand and deferred.

FLAVORS = {
    "function": ("def", ""),
    "generator": ("def", "yield"),
    "coroutine": ("async def", "await asyncio.sleep(0)"),
}


def by_hand(flavor, n):
    """Return a function with *n* nested `try`s, the first clean-up in the outermost `finally`."""
    define, pause = FLAVORS[flavor]
    lines = [f"{define} hand(cleanups, new, error):"]
    for depth in range(n):
        lines.append("    " * (depth + 1) + "try:")
    lines.append("    " * (n + 1) + (pause or "pass"))
    lines.append("    " * (n + 1) + "if error: raise new(error)")
    for depth in reversed(range(n)):
        lines.append("    " * (depth + 1) + "finally:")
        lines.append("    " * (depth + 2) + f"cleanups[{depth}](new, {depth})")
    namespace = {"asyncio": asyncio}
    exec("\n".join(lines), namespace)
    return namespace["hand"]


def deferred(way, flavor):
    @way
    def function(cleanups, new, error):
        for i, cleanup in enumerate(cleanups):
            defer(cleanup, new, i)
        if error:
            raise new(error)

    @way
    def generator(cleanups, new, error):
        for i, cleanup in enumerate(cleanups):
            defer(cleanup, new, i)
        yield
        if error:
            raise new(error)

    @way
    async def coroutine(cleanups, new, error):
        for i, cleanup in enumerate(cleanups):
            defer(cleanup, new, i)
        await asyncio.sleep(0)
        if error:
            raise new(error)

    return {"function": function, "generator": generator, "coroutine": coroutine}[flavor]


def call(flavor, function, *args):
    """Run *function* to its end; chains end at the exception that the caller handles."""
    if flavor == "function":
        function(*args)
    elif flavor == "generator":
        for _ in function(*args):
            pass
    else:
        coroutine = function(*args)
        try:
            while True:
                coroutine.send(None)
        except StopIteration:
            pass


def run(flavor, function, cleanups, raises, inside_except):
    """Return the exception that left, and all exceptions of the run."""
    new = Recorder()
    error = raises("body") if raises else None
    left = None
    if inside_except:
        try:
            try:
                raise new(OSError("before"))
            except OSError:
                raise new(OSError("handled by the caller"))
        except OSError:
            try:
                call(flavor, function, cleanups, new, error)
            except BaseException as e:
                left = e
    else:
        try:
            call(flavor, function, cleanups, new, error)
        except BaseException as e:
            left = e
    return left, new.made


def shape(left, made):
    """Return everything that two runs must agree on, with objects
    numbered in order of first sight.
    """
    met = []

    def number(error):
        if error is None:
            return None
        for i, known in enumerate(met):
            if known is error:
                return i
        met.append(error)
        return len(met) - 1

    rows = ["left", number(left)]
    for error in made:
        number(error)
    for error in met:  # `number` appends to it
        rows.append(
            (
                type(error),
                str(error)
                if not isinstance(error, BaseExceptionGroup)
                else [number(e) for e in error.exceptions],
                number(error.__context__),
                number(error.__cause__),
                error.__suppress_context__,
                [
                    note
                    for note in getattr(error, "__notes__", [])
                    if not note.startswith("deferred at ")
                ],
            )
        )
    return rows


def compare(flavor, deferring, hand, cleanups, raises, inside_except):
    ours = shape(*run(flavor, deferring, cleanups, raises, inside_except))
    theirs = shape(*run(flavor, hand, cleanups, raises, inside_except))
    assert ours == theirs, [cleanup.__name__ for cleanup in cleanups]


WHERE = pytest.mark.parametrize(
    "inside_except", [False, True], ids=["outside", "inside an except of the caller"]
)
BODY = pytest.mark.parametrize("raises", [None, LookupError, StopIteration])


@pytest.mark.parametrize("flavor", FLAVORS)
@WHERE
@BODY
@pytest.mark.parametrize("cleanup", CLEANUPS, ids=lambda cleanup: cleanup.__name__)
def test_ten_calls_that_fail_alike(way, flavor, inside_except, raises, cleanup):
    """Ten clean-ups that fail in the same way leave the chain of ten
    nested `finally` blocks (D5).
    """
    compare(
        flavor, deferred(way, flavor), by_hand(flavor, 10), [cleanup] * 10, raises, inside_except
    )


@pytest.mark.parametrize("flavor", FLAVORS)
@WHERE
@BODY
def test_ten_calls_that_fail_differently(way, flavor, inside_except, raises):
    """Any mixture of ten clean-ups leaves the chain of ten nested `finally` blocks (D5)."""
    deferring, hand = deferred(way, flavor), by_hand(flavor, 10)
    choose = random.Random(10)
    cleanups = CLEANUPS
    if sys.implementation.name == "pypy" and way.name == "runtime" and flavor != "function":
        # PyPy sets no `__context__` on an exception after None was assigned to it. The runtime way
        # assigns None to a StopIteration that it gets back from PEP 479's RuntimeError. A later
        # clean-up that raises the same object again shows the difference.
        cleanups = [
            cleanup
            for cleanup in CLEANUPS
            if cleanup not in {raises_the_oldest, raises_the_second_oldest}
        ]
    for _ in range(300):
        compare(flavor, deferring, hand, choose.choices(cleanups, k=10), raises, inside_except)


@WHERE
@BODY
def test_all_ways_in_which_three_calls_can_fail(way, inside_except, raises):
    """Every combination of three clean-ups leaves the chain of three
    nested `finally` blocks (D5).
    """
    deferring, hand = deferred(way, "function"), by_hand("function", 3)
    for cleanups in itertools.product(CLEANUPS, repeat=3):
        compare("function", deferring, hand, cleanups, raises, inside_except)


@WHERE
@BODY
def test_calls_that_cut_a_chain(way, inside_except, raises):
    """The chain is also that of nested `finally` blocks if a clean-up has cut it in two (D5)."""
    deferring, hand = deferred(way, "function"), by_hand("function", 3)
    for cleanups in itertools.product([*CLEANUPS, cuts_the_context_of_the_one_in_flight], repeat=3):
        if cuts_the_context_of_the_one_in_flight in cleanups:
            compare("function", deferring, hand, cleanups, raises, inside_except)


def stopping_generator():
    raise StopIteration("inner")
    yield


async def stopping_coroutine():
    raise StopIteration("inner")


@pytest.mark.parametrize("flavor", ["generator", "coroutine"])
@pytest.mark.parametrize("where", ["its own", "of what it waits for"])
def test_a_stop_iteration_that_leaves_a_body(way, flavor, where):
    """Deferred calls see the same exception as a `finally`: the body's own StopIteration, or the
    RuntimeError for that of an inner generator or coroutine (D5).
    """

    def note(seen):
        seen.append((type(sys.exception()), str(sys.exception())))

    @way
    def generator(seen):
        defer(note, seen)
        yield
        if where == "its own":
            raise StopIteration("own")
        yield from stopping_generator()

    def generator_by_hand(seen):
        try:
            yield
            if where == "its own":
                raise StopIteration("own")
            yield from stopping_generator()
        finally:
            note(seen)

    @way
    async def coroutine(seen):
        defer(note, seen)
        if where == "its own":
            raise StopIteration("own")
        await stopping_coroutine()

    async def coroutine_by_hand(seen):
        try:
            if where == "its own":
                raise StopIteration("own")
            await stopping_coroutine()
        finally:
            note(seen)

    functions = {
        "generator": (generator, generator_by_hand),
        "coroutine": (coroutine, coroutine_by_hand),
    }
    results = []
    for function in functions[flavor]:
        seen = []
        with pytest.raises(RuntimeError) as caught:
            call(flavor, function, seen)
        results.append((seen, shape(caught.value, [])))
    assert results[0] == results[1]


def test_the_whole_chain_of_ten_failing_calls_on_the_normal_exit(way):
    """When a function returns and ten calls fail, the last has all nine others behind it (D5)."""

    @way
    def f():
        for i in range(10):
            defer(fail, i)

    with pytest.raises(ValueError) as caught:
        f()
    assert arguments(caught.value) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_the_whole_chain_of_ten_failing_calls_on_an_exceptional_exit(way):
    """When a function raises and ten calls fail, the last has the nine others and the body's
    exception behind it (D5).
    """

    @way
    def f():
        for i in range(10):
            defer(fail, i)
        raise LookupError("body")

    with pytest.raises(ValueError) as caught:
        f()
    assert arguments(caught.value) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, "body"]


def test_the_chain_of_failing_calls_written_one_by_one(way):
    """Statements that are not in a loop leave the same chain (D5)."""

    @way
    def f():
        defer(fail, 0)
        errdefer(fail, 1)
        defer(fail, 2)
        raise LookupError("body")

    with pytest.raises(ValueError) as caught:
        f()
    assert arguments(caught.value) == [0, 1, 2, "body"]


def test_the_chain_goes_on_through_the_callers_deferred_calls(way):
    """A chain that began in an inner function goes on in the deferred calls of its callers (D5)."""

    @way
    def inner():
        defer(fail, "inner")
        raise LookupError("body")

    @way
    def outer():
        defer(fail, "outer 1")
        defer(fail, "outer 2")
        inner()

    with pytest.raises(ValueError) as caught:
        outer()
    assert arguments(caught.value) == ["outer 1", "outer 2", "inner", "body"]


def test_the_callers_exception_ends_the_chain(way):
    """Inside an `except` of the caller, the chain ends with the caller's handled exception (D5)."""

    @way
    def f():
        defer(fail, 1)
        defer(fail, 2)

    @way
    def g():
        defer(fail, 1)
        raise LookupError("body")

    for function, expected in [(f, [1, 2]), (g, [1, "body"])]:
        try:
            fail("handled")
        except ValueError:
            with pytest.raises(ValueError) as caught:
                function()
        assert arguments(caught.value) == [*expected, "handled"]


def test_an_exception_that_leaves_a_function_keeps_its_own_context(way):
    """An exception that no deferred call replaces keeps its original
    context, None included (D5).
    """
    ran = []

    @way
    def f():
        defer(ran.append, 1)
        raise error

    try:
        fail("handled")
    except ValueError:
        error = KeyError("with a context")
        with pytest.raises(KeyError):
            f()
        assert arguments(error) == ["with a context", "handled"]
        error.__context__ = None

        def stop():
            raise error

        @way
        def g():
            defer(ran.append, 2)
            try:
                stop()
            finally:
                error.__context__ = None

        with pytest.raises(KeyError):
            g()
    assert arguments(error) == ["with a context"]
    assert ran == [1, 2]


def test_async_calls_chain_while_they_are_awaited(way):
    """A deferred coroutine that fails after a suspension has the exception in
    flight as its context (D5, D6).
    """

    async def fail_later(name):
        await asyncio.sleep(0)
        raise ValueError(name)

    @way
    async def f(error):
        for i in range(10):
            defer(fail_later, i)
        if error:
            raise LookupError("body")

    for error, end in [(False, []), (True, ["body"])]:
        with pytest.raises(ValueError) as caught:
            asyncio.run(f(error))
        assert arguments(caught.value) == [*range(10), *end]


def test_async_generators_chain_likewise(way):
    """The clean-ups of an async generator leave the chain of nested `finally` blocks (D5)."""

    async def fail_later(name):
        await asyncio.sleep(0)
        raise ValueError(name)

    @way
    async def g():
        defer(fail_later, 0)
        defer(fail, 1)
        defer(fail_later, 2)
        yield
        raise LookupError("body")

    async def main():
        async for _ in g():
            pass

    with pytest.raises(ValueError) as caught:
        asyncio.run(main())
    assert arguments(caught.value) == [0, 1, 2, "body"]


def test_a_caller_that_handles_a_cycle(way):
    """An exit ends even if the caller's chain leads back to itself, as an
    assignment can make it (D5).
    """
    ran = []

    @way
    def f():
        defer(ran.append, 1)
        defer([].pop)
        raise KeyError

    first, second = ValueError(), ValueError()
    with pytest.raises(IndexError) as caught:
        try:
            raise first
        except ValueError:
            first.__context__, second.__context__ = second, first
            f()
    assert ran == [1]
    assert type(caught.value.__context__) is KeyError
    assert caught.value.__context__.__context__ is first
    first.__context__ = None
