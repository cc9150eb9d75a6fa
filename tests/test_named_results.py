"""Named results: the function's result is a local variable that deferred calls read and change:
section N.

Named results are always compiled into the function, so these tests use `with_defers` itself, not
the fixture `way`. The values are those of the same programs in Go.
"""

import asyncio
import inspect

import pytest

from godefer import (
    ausing,
    defer,
    errdefer,
    explain,
    okdefer,
    recover,
    using,
    with_defers,
)
from tests.managers import Answering

# The caller's value


def test_starts_as_none():
    """The variable is None before the body assigns it, and so is the result (N)."""
    seen = []

    @with_defers(result="err")
    def f(assign):
        defer(lambda: seen.append(err))
        seen.append(err)
        if assign:
            err = 1

    assert f(assign=False) is None
    assert f(assign=True) == 1
    assert seen == [None, None, None, 1]


def test_return_assigns_before_the_calls_run():
    """`return x` assigns the variable, then the deferred calls run and read it (N)."""
    seen = []

    @with_defers(result="n")
    def f():
        n = 1
        defer(lambda: seen.append(n))
        return n + 1

    assert f() == 2
    assert seen == [2]


def test_a_call_changes_the_result():
    """The caller gets the value that the last deferred call left in the variable (N)."""

    @with_defers(result="n")
    def f():
        def times_ten():
            nonlocal n
            n *= 10

        def plus_two():
            nonlocal n
            n += 2

        defer(times_ten)
        defer(plus_two)
        n = 100
        return 5

    assert f() == 70


def test_a_bare_return_gives_the_current_value():
    """A bare `return`, and the end of the body, give the variable's value (N)."""

    @with_defers(result="s")
    def f(early):
        def exclaim():
            nonlocal s
            s += "!"

        defer(exclaim)
        if early:
            s = "early"
            return
        s = "end"

    assert [f(early=True), f(early=False)] == ["early!", "end!"]


def test_return_none_assigns_none():
    """`return None` is not a bare `return`: it assigns None (N)."""

    @with_defers(result="n")
    def f():
        n = 1
        defer(int)
        return None

    assert f() is None
    assert explain(f).way == "open-coded"


def test_without_a_defer():
    """A named result works without any deferred call: the function returns the variable's
    value (N).
    """

    @with_defers(result="n")
    def f(stop):
        n = 1
        if stop:
            return
        n = 2

    assert [f(stop=True), f(stop=False)] == [1, 2]
    assert explain(f).way == "open-coded"


def test_the_variable_is_read_after_the_last_call():
    """The variable is read once, after the last deferred call (N)."""

    @with_defers(result="items")
    def f():
        def replace():
            nonlocal items
            items = [*items, "replaced"]

        items = None
        defer(replace)
        defer(lambda: items.append("changed"))
        return []

    assert f() == ["changed", "replaced"]


def test_arguments_are_the_values_at_the_defer():
    """A named result passed as an argument is evaluated when the `defer` runs (N, D1)."""
    seen = []

    @with_defers(result="n")
    def f():
        n = 4

        def add(k):
            nonlocal n
            n += k

        defer(seen.append, n)
        defer(add, n)
        n = 10
        return n * 2

    assert f() == 24
    assert seen == [4]


def test_each_invocation_has_its_own():
    """The variable belongs to the invocation (N, D4)."""

    @with_defers(result="n")
    def f(k):
        def add():
            nonlocal n
            n += k

        defer(add)
        n = None
        if k == 0:
            return 100
        return f(k - 1)

    assert f(4) == 110


def test_a_name_used_by_an_inner_function():
    """An inner function's variable of the same name is its own, its `return` too (N)."""

    @with_defers(result="n")
    def outer():
        def plain():
            n = 7
            return n + 1

        @with_defers(result="n")
        def named():
            def add():
                nonlocal n
                n += 1

            defer(add)
            n = 0
            return 10

        def add():
            nonlocal n
            n += named() + plain()

        defer(add)
        n = 0
        return named()

    assert outer() == 30


# Several


def test_several_are_a_tuple():
    """With several names the caller gets a tuple of their values (N)."""

    @with_defers(result=("n", "err"))
    def f():
        def change():
            nonlocal n, err
            n, err = n + 1, "changed"

        defer(change)
        n = err = None
        return 3, "returned"

    assert f() == (4, "changed")


def test_several_start_as_none():
    """Each of several names starts as None (N)."""

    @with_defers(result=("n", "err"))
    def f(which):
        defer(int)
        if which == "n":
            n = 1
        if which == "err":
            err = 2

    assert [f("n"), f("err"), f("")] == [(1, None), (None, 2), (None, None)]


def test_several_are_assigned_at_once():
    """`return b, a` evaluates both before it assigns either (N)."""

    @with_defers(result=("a", "b"))
    def f():
        a, b = 1, 2
        defer(int)
        return b, a

    assert f() == (2, 1)


def test_several_from_any_iterable():
    """Returned values are unpacked as in an assignment to the names (N)."""

    @with_defers(result=("a", "b"))
    def f(value):
        a = b = 0
        defer(int)
        return value

    assert [f([1, 2]), f("xy"), f(iter((3, 4)))] == [(1, 2), ("x", "y"), (3, 4)]


def test_one_in_a_tuple():
    """A tuple of one name gives a tuple of one value (N)."""

    @with_defers(result=("n",))
    def f():
        n = 0
        defer(int)
        return (n + 1,)

    assert f() == (1,)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        ((1,), ValueError, r"not enough values to unpack \(expected 2, got 1\)"),
        ((1, 2, 3), ValueError, r"too many values to unpack \(expected 2"),
        (5, TypeError, "cannot unpack non-iterable int object"),
    ],
)
def test_a_wrong_count(value, error, words):
    """A wrong count is Python's own unpacking error in the `return`; the calls run (N)."""
    events = []

    @with_defers(result=("n", "err"))
    def f():
        n = err = 0
        errdefer(lambda: events.append((n, err)))
        okdefer(events.append, "returned")
        return value

    with pytest.raises(error, match=words):
        f()
    assert events == [(0, 0)]


# Places of `return` and `defer`


def test_more_than_eight_defers():
    """Any number of calls run in the same order, on the same variable (N, D8)."""

    @with_defers(result="n")
    def f():
        def add(k):
            nonlocal n
            n += k

        def double():
            nonlocal n
            n *= 2

        n = 0
        defer(add, 1)
        defer(double)
        defer(add, 3)
        defer(double)
        defer(add, 5)
        defer(double)
        defer(add, 7)
        defer(double)
        defer(add, 9)
        defer(double)
        defer(add, 11)
        return 1

    assert f() == 611
    assert {site.shape for site in explain(f).defers} == {"inline", "list"}


def test_defers_in_a_loop():
    """Calls deferred in a loop all change the result before it is read (N, D8)."""

    @with_defers(result="n")
    def f(stop):
        def put(k):
            nonlocal n
            n = n * 2 + k % 2

        def recovers():
            recover()

        n = 0
        for i in range(12):
            defer(put, i)
            if i == stop:
                return 1
        defer(recovers)
        n = 1
        raise ValueError

    assert f(None) == 0b1101010101010  # as in Go: the last one, 11, is put first
    assert f(1) == 0b110


def test_conditional_defers():
    """A conditional call that is not pending does not touch the result (N, D8)."""

    @with_defers(result="n")
    def f(which):
        def add(k):
            nonlocal n
            n += k

        n = 0
        if which == 1:
            defer(add, 10)
        elif which == 2:
            defer(add, 20)
        return 2

    assert [f(0), f(1), f(2)] == [2, 12, 22]


def test_return_in_a_loop_a_with_and_a_try():
    """A `return` in any block assigns the variable (N)."""
    events = []

    @with_defers(result="n")
    def f(where):
        def negate():
            nonlocal n
            n = -n

        defer(negate)
        n = 0
        for i in range(3):
            with Answering(events):
                if where == "with" and i == 1:
                    return 1
            try:
                if where == "try":
                    return 2
                if where == "except":
                    raise KeyError
            except KeyError:
                return 3
            finally:
                events.append(n)
            while where == "while":
                return 4
        else:
            match where:
                case "else":
                    return 5
        return 6

    assert [f(where) for where in ("with", "try", "except", "while", "else", "end")] == [
        -1,
        -2,
        -3,
        -4,
        -5,
        -6,
    ]
    assert events == [None, 0, None, None, 2, None, 3, None, 0] + [None, 0] * 6


def test_a_finally_that_returns():
    """If a `finally` returns another value, its `return` assigns last (N)."""

    @with_defers(result="n")
    def f():
        def add():
            nonlocal n
            n += 10

        n = 0
        defer(add)
        try:
            return 1
        finally:
            return n + 1  # noqa: B012

    assert f() == 12


def test_a_return_that_is_given_up():
    """A `return` that a `finally` undoes has still assigned the variable (N)."""

    @with_defers(result="n")
    def f():
        n = 0
        defer(int)
        while True:
            try:
                return 1
            finally:
                break  # noqa: B012

    assert f() == 1


def test_the_result_closes_over_itself():
    """A result that is a function is changed as any other (N)."""

    @with_defers(result="f")
    def make():
        x = 1

        def change():
            nonlocal x, f
            x = 50
            g = f
            f = lambda: g() + 1

        defer(change)
        f = None
        return lambda: x

    assert make()() == 51


def test_bound_by_other_statements():
    """Targets of loops, `with`, walrus and annotated assignments are local variables too (N)."""

    @with_defers(result="n")
    def loop():
        defer(int)
        for n in range(3):
            pass

    @with_defers(result="n")
    def entered():
        defer(int)
        with Answering([]) as n:
            pass

    @with_defers(result="n")
    def walrus():
        defer(int)
        if (n := 4) > 1:
            return

    @with_defers(result="n")
    def annotated():
        n: int = 5
        defer(int)

    @with_defers(result="n")
    def entering():
        n = using(Answering([]))

    assert loop() == 2
    assert isinstance(entered(), Answering)
    assert walrus() == 4
    assert annotated() == 5
    assert isinstance(entering(), Answering)


# Kinds of functions


def test_a_method():
    """Methods, class methods, static methods and properties name their results (N, A)."""

    class Thing:
        factor = 3

        @with_defers(result="n")
        def method(self, value):
            def change():
                nonlocal n
                n *= self.factor

            defer(change)
            n = None
            return value

        @classmethod
        @with_defers(result="n")
        def of_class(cls, value):
            n = cls.factor
            defer(int)
            return n + value

        @with_defers(result="n")
        @staticmethod
        def static(value):
            n = 1
            defer(int)
            return n + value

        @with_defers(result="n")
        @property
        def attribute(self):
            n = super().__init__ and 8
            defer(int)

    thing = Thing()
    assert [thing.method(2), thing.of_class(2), thing.static(2), thing.attribute] == [6, 5, 3, 8]


class Mangling:
    """Functions with a private variable, which belongs to the innermost class around them."""

    @staticmethod
    def in_a_method(decorate):
        @decorate
        def f():
            defer(int)
            __n = 1

        return f

    @staticmethod
    def further_in(decorate):
        def inside():
            @decorate
            def f():
                defer(int)
                __n = 1

            return f

        return inside()

    @staticmethod
    def a_method_in_a_method(decorate):
        class _Inner:
            @decorate
            def f():
                defer(int)
                __n = 1

        return _Inner.f

    class _Nested:
        @staticmethod
        def in_a_method(decorate):
            @decorate
            def f():
                defer(int)
                __n = 1

            return f

    class __:  # a name of underscores only does not mangle
        @staticmethod
        def in_a_method(decorate):
            @decorate
            def f():
                defer(int)
                __n = 1

            return f


def no_class(decorate):
    """Return a function outside of all classes."""

    @decorate
    def f():
        defer(int)
        __n = 1

    return f


@pytest.mark.parametrize(
    ("make", "variable"),
    [
        (Mangling.in_a_method, "_Mangling__n"),
        (Mangling.further_in, "_Mangling__n"),
        (Mangling.a_method_in_a_method, "_Inner__n"),
        (Mangling._Nested.in_a_method, "_Nested__n"),
        (Mangling.__.in_a_method, "__n"),
        (no_class, "__n"),
    ],
)
def test_a_private_name(make, variable):
    """A private name is that of the innermost class, also in a function in a method (N)."""
    undecorated = make(lambda f: f)
    assert variable in undecorated.__code__.co_varnames
    assert make(with_defers(result="__n"))() == 1
    assert make(with_defers(result=variable))() == 1


def test_a_generator():
    """A generator's result is the value of its StopIteration (N)."""
    events = []

    @with_defers(result="n")
    def f():
        def change():
            nonlocal n
            n += 1
            events.append(n)

        defer(change)
        n = yield "first"
        yield "second"
        return n * 2

    def delegate():
        return (yield from f())

    assert inspect.isgeneratorfunction(f)
    generator = f()
    assert [next(generator), generator.send(5)] == ["first", "second"]
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == 11

    generator = delegate()
    assert [next(generator), generator.send(1)] == ["first", "second"]
    with pytest.raises(StopIteration) as stopped:
        next(generator)
    assert stopped.value.value == 3
    assert events == [11, 3]


def test_a_generator_that_is_closed():
    """A closed generator runs its calls, and its GeneratorExit goes on (N, D2)."""
    events = []

    @with_defers(result="n")
    def f():
        n = 1
        defer(lambda: events.append(n))
        yield
        events.append("not reached")

    generator = f()
    next(generator)
    generator.close()
    assert events == [1]
    with pytest.raises(StopIteration):
        next(generator)


def test_a_generator_that_is_thrown_into():
    """An exception thrown into a generator and recovered gives the current value (N, P4)."""

    @with_defers(result="n")
    def f():
        def recovers():
            nonlocal n
            n = (n, repr(recover()))

        n = 1
        defer(recovers)
        yield

    generator = f()
    next(generator)
    with pytest.raises(StopIteration) as stopped:
        generator.throw(KeyError(2))
    assert stopped.value.value == (1, "KeyError(2)")


def test_a_coroutine():
    """A coroutine function's result is read after the last awaited call (N, D6)."""

    @with_defers(result="n")
    async def f(error):
        async def change():
            nonlocal n
            before = n
            await asyncio.sleep(0)
            n = before, repr(recover())

        defer(change)
        await ausing(Answering([]))
        n = 1
        await asyncio.sleep(0)
        if error:
            raise error
        return 2

    assert inspect.iscoroutinefunction(f)
    assert asyncio.run(f(None)) == (2, "None")
    assert asyncio.run(f(KeyError(3))) == (1, "KeyError(3)")


def test_a_coroutine_that_is_cancelled():
    """A cancelled task runs its calls and stays cancelled, whatever the variable holds (N, P3)."""
    events = []

    @with_defers(result="n")
    async def f():
        def change():
            nonlocal n
            n += 1
            events.append((n, recover()))

        n = 1
        defer(change)
        await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(main()) is True
    assert events == [(2, None)]
