"""`@defer` above a nested function defers that function: rule D12.

Its *host* is the decorated function in whose body it is defined.
"""

import asyncio
import contextlib
import functools
import itertools
import linecache
import sys
import traceback

import pytest

import godefer
from godefer import (
    DeferError,
    ausing,
    defer,
    errdefer,
    explain,
    okdefer,
    recover,
    using,
    with_defers,
)
from godefer import defer as later
from tests.outcomes import drive, pause

again = defer
count = itertools.count()


def frames(error):
    """Return the name and the line's text of *error*'s frames in this file, below the test."""
    found = [
        (frame.f_code.co_name, linecache.getline(__file__, line).strip())
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code.co_filename == __file__
    ]
    return found[1:]


def made(text, name="f", **names):
    """Return what *text* defines as *name*; the text is kept where its source can be found."""
    filename = f"<text {next(count)}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    exec(compile(text, filename, "exec"), names)
    return names[name]


# Shapes


def test_inline(way):
    """A function below `@defer` runs, without arguments, when its host exits (D12)."""
    log = []

    @way
    def f():
        @defer
        def cleanup(*args, **kwargs):
            log.append(("cleanup", args, kwargs))

        log.append("body")
        return "value"

    assert f() == "value"
    assert log == ["body", ("cleanup", (), {})]


def test_alone_in_its_function(way):
    """It may be all that the decorated function has (D12)."""
    log = []

    @way
    def f():
        @defer
        def cleanup():
            log.append("cleanup")

    assert f() is None
    assert log == ["cleanup"]


def test_the_function_does_not_run_at_the_statement(way):
    """The statement executes the `def`; the function runs at a failing exit, too (D2, D12)."""
    log = []

    @way
    def f():
        @defer
        def cleanup(default=log.append("def")):
            log.append("cleanup")

        log.append("body")
        raise KeyError(1)

    with pytest.raises(KeyError):
        f()
    assert log == ["def", "body", "cleanup"]


@pytest.mark.parametrize("reached", [True, False])
def test_under_if(way, reached):
    """Under an `if` it is deferred if the statement was executed (D8, D12)."""
    log = []

    @way
    def f(reached):
        if reached:

            @defer
            def cleanup():
                log.append("cleanup")

            log.append(cleanup)
        log.append("body")

    f(reached)
    assert log == ([None, "body", "cleanup"] if reached else ["body"])


@pytest.mark.parametrize(("value", "expected"), [(1, ["one"]), ((2, 3), ["pair 5"]), ("x", [])])
def test_under_match(way, value, expected):
    """In a `case` it is deferred if that case was taken, and sees the pattern's names (D8, D12)."""
    log = []

    @way
    def f(value):
        match value:
            case 1:

                @defer
                def one():
                    log.append("one")

            case (a, b):

                @defer
                def pair():
                    log.append(f"pair {a + b}")

    f(value)
    assert log == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, ["body", "finally", "else", "try"]),
        (KeyError, ["body", "finally", "except", "try"]),
    ],
)
def test_under_try(way, error, expected):
    """In each block of a `try` it is deferred if that block got to it (D8, D12)."""
    log = []

    @way
    def f():
        try:

            @defer
            def tried():
                log.append("try")

            if error is not None:
                raise error
        except KeyError:

            @defer
            def caught():
                log.append("except")

        else:

            @defer
            def succeeded():
                log.append("else")

        finally:

            @defer
            def left():
                log.append("finally")

        log.append("body")

    f()
    assert log == expected


def test_under_with(way):
    """In a `with` block it runs when the function exits, not when the block does (D2, D12)."""
    log = []

    @contextlib.contextmanager
    def block():
        yield
        log.append("block")

    @way
    def f():
        with block():

            @defer
            def cleanup():
                log.append("cleanup")

        log.append("body")

    f()
    assert log == ["block", "body", "cleanup"]


def test_in_a_for_loop(way):
    """In a loop every turn defers a function of its own, last in, first out (D2, D8, D12)."""
    log = []

    @way
    def f(n):
        for i in range(n):

            @defer
            def cleanup(i=i):
                log.append(i)

        log.append(cleanup)

    f(3)
    assert log == [None, 2, 1, 0]


def test_in_a_while_loop_that_is_left(way):
    """A loop that is left early keeps the functions that its turns deferred (D8, D12)."""
    log = []

    @way
    def f(end):
        i = 0
        while True:
            i += 1
            if i == 2:
                continue

            @defer
            def cleanup(i=i):
                log.append(i)

            if i == 4:
                if end is not None:
                    raise end
                break

    f(None)
    assert log == [4, 3, 1]
    with pytest.raises(KeyError):
        f(KeyError)
    assert log == [4, 3, 1] * 2


def test_more_than_can_be_nested(way):
    """Thirty in one function are deferred as one is (D8, D12)."""
    defs = "".join(f"    @defer\n    def c{i}():\n        log.append({i})\n" for i in range(30))
    log = []
    f = way(made(f"def f():\n{defs}    return c0, c29\n", log=log, defer=defer))
    assert f() == (None, None)
    assert log == [*reversed(range(30))]


def test_many_in_a_loop(way):
    """Thousands in one invocation are no problem (D8, D12)."""
    log = []

    @way
    def f():
        for i in range(5000):

            @defer
            def cleanup(i=i):
                log.append(i)

    f()
    assert log == [*reversed(range(5000))]


def test_order_among_other_statements(way):
    """It has its turn among the other statements: the last one executed runs first (D2, D12)."""
    log = []

    @contextlib.contextmanager
    def block():
        yield
        log.append("using")

    @way
    def f():
        defer(log.append, "first")

        @defer
        def second():
            log.append("second")

        using(block())

        @okdefer
        def fourth():
            log.append("fourth")

        if log == []:

            @defer
            def fifth():
                log.append("fifth")

            defer(log.append, "sixth")
        for i in (7, 8):

            @defer
            def turn(i=i):
                log.append(i)

    f()
    assert log == [8, 7, "sixth", "fifth", "fourth", "using", "second", "first"]


def test_each_invocation_has_its_own(way):
    """Each invocation, of a recursion too, defers a function of its own (D4, D12)."""
    log = []

    @way
    def f(n):
        @defer
        def cleanup():
            log.append(n)

        if n:
            f(n - 1)

    f(3)
    assert log == [0, 1, 2, 3]


# errdefer and okdefer


@pytest.mark.parametrize(("fails", "expected"), [(True, ["error"]), (False, ["ok"])])
@pytest.mark.parametrize("conditional", [False, True])
def test_errdefer_and_okdefer(way, conditional, fails, expected):
    """Below `@errdefer` it runs if its host fails, below `@okdefer` if it returns (D10, D12)."""
    log = []

    @way
    def inline():
        @errdefer
        def failed():
            log.append("error" if isinstance(sys.exc_info()[1], KeyError) else sys.exc_info())

        @okdefer
        def returned():
            log.append("ok")

        if fails:
            raise KeyError

    @way
    def in_blocks():
        if log == []:

            @errdefer
            def failed():
                log.append("error" if isinstance(sys.exc_info()[1], KeyError) else sys.exc_info())

        for _ in "x":

            @okdefer
            def returned():
                log.append("ok")

        if fails:
            raise KeyError

    with pytest.raises(KeyError) if fails else contextlib.nullcontext():
        (in_blocks if conditional else inline)()
    assert log == expected


def test_the_way_is_decided_at_its_turn(way):
    """Its turn decides whether the host is failing or returning (D10, D12)."""
    log = []

    @way
    def f():
        @okdefer
        def returned():
            log.append("returned")

        @errdefer
        def failed_early():
            log.append("never")

        @defer
        def rescue():
            log.append(recover())

        @errdefer
        def failed():
            log.append("failed")

        raise KeyError("x")

    assert f() is None
    assert [str(entry) for entry in log] == ["failed", "'x'", "returned"]


# Async functions and generators


def test_async_def_in_an_async_function(way):
    """An async function below `@defer` is awaited in its turn (D6, D12)."""
    log = []

    @way
    async def f(fails):
        @okdefer
        async def returned():
            await pause()
            log.append("returned")

        @defer
        async def first():
            await pause()
            log.append("first")

        if log == []:

            @defer
            def plain():
                log.append("plain")

        for i in range(2):

            @errdefer
            async def failed(i=i):
                await pause()
                log.append(i)

        await pause()
        log.append("body")
        if fails:
            raise KeyError
        return first, returned

    assert drive(f(False)) == (None, None)
    assert log == ["body", "plain", "first", "returned"]
    log.clear()
    with pytest.raises(KeyError):
        drive(f(True))
    assert log == ["body", 1, 0, "plain", "first"]


def test_async_def_when_the_task_is_cancelled(way):
    """A cancelled task runs it, and it may await (D2, D12)."""
    log = []

    @way
    async def f():
        @errdefer
        async def failed():
            await asyncio.sleep(0)
            log.append("failed")

        await asyncio.sleep(60)

    async def main():
        task = asyncio.create_task(f())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert log == ["failed"]


def test_async_def_in_an_async_generator(way):
    """An async generator awaits it when it is exhausted, and when it is closed (D2, D6, D12)."""
    log = []

    @way
    async def numbers():
        @defer
        async def cleanup():
            await pause()
            log.append("cleanup")

        for i in range(2):

            @defer
            async def turn(i=i):
                await pause()
                log.append(i)

            yield i

    async def exhaust():
        return [i async for i in numbers()]

    async def close():
        generator = numbers()
        await anext(generator)
        await generator.aclose()

    assert drive(exhaust()) == [0, 1]
    assert log == [1, 0, "cleanup"]
    log.clear()
    drive(close())
    assert log == [0, "cleanup"]


def test_async_def_beside_ausing(way):
    """It runs in its turn among `ausing`'s exits (D11, D12)."""
    log = []

    @contextlib.asynccontextmanager
    async def block(name):
        yield name
        log.append(name)

    @way
    async def f():
        await ausing(block("outer"))

        @defer
        async def cleanup():
            await pause()
            log.append("cleanup")

        name = await ausing(block("inner"))
        return name

    assert drive(f()) == "inner"
    assert log == ["inner", "cleanup", "outer"]


@pytest.mark.parametrize("end", ["exhausted", "closed", "thrown into"])
def test_in_a_generator(way, end):
    """A generator runs it when it is exhausted, closed or thrown into (D2, D12)."""
    log = []

    @way
    def numbers():
        @defer
        def cleanup():
            log.append("cleanup")

        @errdefer
        def failed():
            log.append(sys.exc_info()[0])

        for i in range(2):

            @defer
            def turn(i=i):
                log.append(i)

            yield i

    generator = numbers()
    if end == "exhausted":
        assert list(generator) == [0, 1]
        assert log == [1, 0, "cleanup"]
        return
    assert next(generator) == 0
    if end == "closed":
        generator.close()
        assert log == [0, GeneratorExit, "cleanup"]
    else:
        with pytest.raises(KeyError):
            generator.throw(KeyError)
        assert log == [0, KeyError, "cleanup"]


def test_async_def_in_a_sync_function_is_an_error(way):
    """An async function that is deferred in a sync one is a TypeError that names it (D6, D12)."""
    log = []

    @way
    def f():
        defer(log.append, "others run")

        @defer
        async def cleanup():
            log.append("never")

    with pytest.raises(TypeError, match=r"cleanup is a coroutine function deferred in sync code"):
        f()
    assert log == ["others run"]


# The name


def test_the_name_is_none_afterwards(way):
    """The statement leaves None in the function's name, wherever it stands (D12)."""
    seen = []

    @way
    def f():
        @defer
        def inline(): ...

        @errdefer
        def failed(): ...

        if seen == []:

            @okdefer
            def conditional(): ...

        for _ in "ab":

            @defer
            def turn(): ...

            seen.append(turn)
        seen.extend([inline, failed, conditional])
        return lambda: (inline, failed, conditional, turn)

    assert f()() == (None,) * 4
    assert seen == [None] * 5


def test_the_function_sees_none_in_its_own_name(way):
    """When it runs, its own name is None: a closure reads a variable as it is then (D12)."""
    seen = []

    @way
    def f():
        @defer
        def cleanup():
            seen.append(cleanup)

    f()
    assert seen == [None]


def test_the_name_may_be_used_again(way):
    """Functions of one name are all deferred, and the name may be bound or deleted (D12)."""
    log = []

    @way
    def f(cleanup):
        log.append(cleanup)

        @defer
        def cleanup():
            log.append(1)

        @defer
        def cleanup():
            log.append(2)

        cleanup = "bound"
        log.append(cleanup)
        del cleanup

        @defer
        def cleanup():
            log.append(3)

    f("parameter")
    assert log == ["parameter", "bound", 3, 2, 1]


def test_a_global_name(way):
    """A name that is declared global is None in the module afterwards (D12)."""
    global deferred_globally
    deferred_globally = "before"
    log = []

    @way
    def f():
        global deferred_globally

        @defer
        def deferred_globally():
            log.append("ran")

        log.append(globals()["deferred_globally"])

    f()
    assert log == [None, "ran"]
    assert deferred_globally is None
    del deferred_globally


def test_a_nonlocal_name(way):
    """A name that is declared nonlocal is None in the function around it afterwards (D12)."""
    log = []

    def outer():
        name = "before"

        @way
        def f():
            nonlocal name

            @defer
            def name():
                log.append("ran")

            log.append(name)

        f()
        return name

    assert outer() is None
    assert log == [None, "ran"]


class Private:
    """Its methods have class-private names, which the compiler mangles."""

    def __init__(self):
        self.__log = []

    def plain(self):
        @defer
        def __cleanup():
            self.__log.append(__cleanup)

        self.__log.append(__cleanup)
        return __cleanup

    def in_loop(self):
        for i in range(2):

            @defer
            def __cleanup(i=i):
                self.__log.append((i, __cleanup))

    @property
    def log(self):
        return self.__log


def test_a_class_private_name(way):
    """In a method the function's name may be a class-private one (D12)."""
    thing = Private()
    assert way(Private.plain)(thing) is None
    assert thing.log == [None, None]
    way(Private.in_loop)(thing)
    assert thing.log[2:] == [(1, None), (0, None)]


def test_a_function_is_itself(way):
    """It has the name, qualified name, doc and defaults that it has without the decorator (D12)."""
    seen = []

    def keep(fn):
        seen.append(fn)
        return fn

    @way
    def f():
        @defer
        @keep
        def cleanup(a: int = 1, *, b="b") -> None:
            """Clean up."""

    f()
    (fn,) = seen
    here = "test_a_function_is_itself.<locals>."
    assert (fn.__name__, fn.__qualname__) == ("cleanup", f"{here}f.<locals>.cleanup")
    assert fn.__doc__ == "Clean up."
    assert (fn.__defaults__, fn.__kwdefaults__) == ((1,), {"b": "b"})
    assert fn.__annotations__ == {"a": int, "return": None}
    assert fn.__module__ == __name__


@pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with 3.12 (PEP 695)")
def test_type_parameters(way):
    """It may have type parameters (D12)."""
    log = []
    text = "def f():\n    @defer\n    def cleanup[T](x: T = 1) -> T:\n        log.append(T.__name__)\n    return cleanup\n"
    assert way(made(text, log=log, defer=defer))() is None
    assert log == ["T"]


# Its variables


def test_closures(way):
    """It reads its host's variables as they are at the exit, unlike an argument (D1, D12)."""
    log = []

    @way
    def f(n):
        defer(log.append, n)

        @defer
        def cleanup():
            log.append(n)

        n += 1

    f(1)
    assert log == [2, 1]


def test_nonlocal(way):
    """It may change its host's variables; the next deferred function sees that (D12)."""
    log = []

    @way
    def f():
        n = 0

        @defer
        def last():
            log.append(n)

        @defer
        def first():
            nonlocal n
            n += 10

        n = 1
        return n

    assert f() == 1
    assert log == [11]


def test_named_results():
    """It may change a named result (D12, N)."""

    @with_defers(result="err")
    def f(fails):
        err = None

        @defer
        def rescue():
            nonlocal err
            error = recover()
            if error is not None:
                err = f"recovered {error!r}"

        if fails:
            raise KeyError(1)
        return "none"

    assert f(True) == "recovered KeyError(1)"
    assert f(False) == "none"


def test_default_arguments(way):
    """Default arguments are evaluated when the statement runs (D1, D12)."""
    log = []

    @way
    def f(n):
        @defer
        def cleanup(n=n, *, m=[n + 1]):
            log.append((n, m))

        n = None

    f(1)
    assert log == [(1, [2])]


def test_super_and_class(way):
    """In a method it may use `super()`'s cell by its own first argument's name (D12)."""
    log = []

    class Base:
        def close(self):
            log.append("base")

    class Child(Base):
        def close(self):
            @defer
            def cleanup():
                super(__class__, self).close()

            log.append("child")

    way(Child.close)(Child())
    assert log == ["child", "base"]


def test_a_function_that_needs_arguments(way):
    """One that needs arguments is a TypeError at the exit, and the others run (D7, D12)."""
    log = []

    @way
    def f():
        defer(log.append, "others")

        @defer
        def cleanup(file):
            log.append("never")

    with pytest.raises(TypeError, match=r"cleanup\(\) missing 1 required .* 'file'"):
        f()
    assert log == ["others"]


# Other decorators


def test_decorators_below_are_applied_first(way):
    """Decorators below `@defer` are applied at the statement; their result is deferred (D12)."""
    log = []

    def logged(name):
        log.append(f"made {name}")

        def decorate(fn):
            log.append(f"applied {name}")

            @functools.wraps(fn)
            def wrapper():
                log.append(f"before {name}")
                fn()

            return wrapper

        return decorate

    @way
    def f():
        @defer
        @logged("a")
        @logged("b")
        def cleanup():
            log.append("cleanup")

        log.append("body")

    f()
    made_and_applied = ["made a", "made b", "applied b", "applied a"]
    assert log == [*made_and_applied, "body", "before a", "before b", "cleanup"]


def test_functools_cache_below(way):
    """`functools.cache` below `@defer` gives an object that is deferred as a function is (D12)."""
    log = []

    @way
    def f():
        for _ in range(2):

            @defer
            @functools.cache
            def cleanup():
                log.append("cleanup")

        @defer
        @functools.cache
        def again():
            log.append("again")

    f()
    assert log == ["again", "cleanup", "cleanup"]


def test_a_decorator_below_that_fails(way):
    """If a decorator below `@defer` raises, nothing more is deferred (D1, D12)."""
    log = []

    def refuse(fn):
        raise KeyError(fn.__name__)

    @way
    def f():
        defer(log.append, "before")

        @defer
        @refuse
        def cleanup():
            log.append("never")

    with pytest.raises(KeyError, match="cleanup"):
        f()
    assert log == ["before"]


def test_above_a_decorated_function(way):
    """It may be decorated with `with_defers`, and be a host itself (D4, D12)."""
    log = []

    @way
    def f():
        @defer
        @with_defers
        def cleanup():
            @defer
            def last():
                log.append("last")

            defer(log.append, "second")
            log.append("first")

        log.append("body")

    f()
    assert log == ["body", "first", "second", "last"]


def test_a_decorator_above_gets_none():
    """A decorator above `@defer` gets its None; the host is run the runtime way (R4, D12)."""
    log = []

    @with_defers
    def f():
        @log.append
        @defer
        def cleanup():
            log.append("cleanup")

    assert explain(f).way == "runtime"
    f()
    assert log == [None, "cleanup"]


def test_above_a_class():
    """A class below `@defer` is called at the exit; the host is run the runtime way (R4, D12)."""
    log = []

    @with_defers
    def f():
        @defer
        class Cleanup:
            def __init__(self):
                log.append("made")

        log.append(Cleanup)

    f()
    assert log == [None, "made"]


# Ways to write it


def test_by_the_module(way):
    """`@godefer.defer` is `@defer` (D12)."""
    log = []

    @way
    def f():
        @godefer.okdefer
        def second():
            log.append("second")

        if log == []:

            @godefer.defer
            def first():
                log.append("first")

    f()
    assert log == ["first", "second"]


def test_by_an_alias(way):
    """An alias of `defer`, of the import or assigned, is `@defer` (D12)."""
    log = []
    local = defer

    @way
    def f():
        @later
        def third():
            log.append("third")

        @again
        def second():
            log.append("second")

        @local
        def first():
            log.append("first")

    f()
    assert log == ["first", "second", "third"]


def test_a_shadowed_name(way):
    """Another function by the name `defer` is a decorator as any: nothing is deferred (D12)."""
    log = []

    @way
    def f(defer):
        @defer
        def kept():
            log.append("called")

        @errdefer
        def failed():
            log.append("never")

        kept()

    f(lambda fn: fn)
    assert log == ["called"]


def test_multi_line_decorators(way):
    """The decorator, and those below it, may take several lines (D12)."""
    log = []

    @way
    def f():
        @(
            godefer
            .defer
        )  # fmt: skip
        def second():
            log.append("second")

        @defer
        # a comment
        @functools.lru_cache(
            maxsize=None,
        )
        def first(
            default=1,
        ):  # fmt: skip
            log.append("first")

        @errdefer
        def never(): log.append("never")  # fmt: skip

    f()
    assert log == ["first", "second"]


# recover


def test_recover(way):
    """`recover()` in it stops the panic, and the function returns (P2, P4, D12)."""
    seen = []

    @way
    def f():
        @defer
        def rescue():
            seen.append(recover())
            seen.append(recover())

        raise KeyError(1)

    assert f() is None
    assert [repr(error) for error in seen] == ["KeyError(1)", "None"]


def test_recover_under_a_condition_and_in_a_loop(way):
    """`recover()` stops the panic of each shape; the calls that run after it see none (P2, D12)."""
    seen = []

    @way
    def f(where):
        @defer
        def last():
            seen.append(repr(recover()))

        if where == "if":

            @defer
            def conditional():
                seen.append(repr(recover(LookupError)))

        for _ in range(where == "loop"):

            @errdefer
            def turn():
                seen.append(repr(recover(ValueError, KeyError)))

        raise KeyError(where)

    f("if")
    assert seen == ["KeyError('if')", "None"]
    f("loop")
    assert seen[2:] == ["KeyError('loop')", "None"]


def test_recover_in_async_def(way):
    """`recover()` works in an async function after it has awaited (P2, D12)."""
    seen = []

    @way
    async def f():
        @defer
        async def rescue():
            await pause()
            seen.append(recover())

        await pause()
        raise KeyError(1)

    assert drive(f()) is None
    assert repr(seen) == "[KeyError(1)]"


def test_recover_through_decorators(way):
    """`recover()` works in it if it is itself decorated with `with_defers` (P2, D12)."""
    seen = []

    @way
    def f():
        @defer
        @with_defers
        def rescue():
            defer(seen.append, "last")
            seen.append(repr(recover()))

        raise KeyError(1)

    assert f() is None
    assert seen == ["KeyError(1)", "last"]


def test_recover_in_a_helper_of_it(way):
    """`recover()` in a function that the deferred one calls is None (P2, D12)."""
    seen = []

    def helper():
        seen.append(recover())

    @way
    def f():
        @defer
        def cleanup():
            helper()

        raise KeyError(1)

    with pytest.raises(KeyError):
        f()
    assert seen == [None]


def test_a_panic_in_it(way):
    """An exception of it replaces the one in flight, which is its context (D5, P5, D12)."""
    log = []

    @way
    def f():
        @defer
        def last():
            log.append("last")

        @defer
        def failing():
            raise ValueError("second")

        raise KeyError("first")

    with pytest.raises(ValueError, match="second") as caught:
        f()
    assert repr(caught.value.__context__) == "KeyError('first')"
    assert log == ["last"]


# explain and tracebacks


def explained(body):
    """Return the sites of ``def f()`` with that *body*, which may name `log`."""
    text = f"def f():\n{body}"
    f = with_defers(made(text, **vars(godefer)))
    return [(d.line, d.statement, d.shape) for d in explain(f).defers]


def test_explain_shows_the_line_of_the_decorator(monkeypatch):
    """`explain` shows the line of the decorator, the statement's name, and the shape (R4, D12)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1")
    body = """\
    @defer
    @print
    def a(): ...
    if a:

        @errdefer
        async def b(): ...
    for _ in "x":
        @okdefer
        def c(): ...
    @(
        defer
    )
    def d(): ...
"""
    assert explained(body) == [
        (2, "defer", "inline"),
        (7, "errdefer", "conditional"),
        (10, "okdefer", "list"),
        (13, "defer", "inline"),
    ]


def test_explain_says_why_not(monkeypatch):
    """`@defer(1)` is a reason for the runtime way, and `explain` tells its line (R4, D12)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1")
    f = with_defers(made("def f():\n    @defer(1)\n    def a(): ...\n", defer=defer))
    assert explain(f).way == "runtime"
    assert explain(f).reason.endswith("at line 2")


def test_the_traceback_of_a_failing_function(way):
    """The host's frame shows the line of the decorator, and the function's comes next (P6, D12)."""

    @way
    def inline():
        @defer
        def cleanup():
            raise ValueError("inline")

    @way
    def conditional():
        if True:

            @errdefer
            @functools.cache
            def cleanup():
                raise ValueError("conditional")

        raise KeyError

    @way
    def in_loop():
        for _ in "x":

            @okdefer
            def cleanup():
                raise ValueError("in_loop")

    for fn, decorator in [(inline, "@defer"), (conditional, "@errdefer"), (in_loop, "@okdefer")]:
        with pytest.raises(ValueError, match=fn.__name__) as caught:
            fn()
        assert frames(caught.value) == [
            (fn.__name__, decorator),
            ("cleanup", f'raise ValueError("{fn.__name__}")'),
        ]


def test_the_traceback_in_an_async_function(way):
    """It shows the line of the decorator in an async function too (P6, D12)."""

    @way
    async def f():
        @defer
        async def cleanup():
            await pause()
            raise ValueError("async")

        await pause()

    with pytest.raises(ValueError, match="async") as caught:
        drive(f())
    assert frames(caught.value)[-2:] == [("f", "@defer"), ("cleanup", 'raise ValueError("async")')]


def test_the_line_of_an_uncallable_function(way):
    """A call that fails for want of arguments shows the decorator's line, too (D7, P6, D12)."""

    @way
    def f():
        @defer
        @functools.lru_cache
        def cleanup(needed): ...

    with pytest.raises(TypeError, match="missing 1 required positional argument") as caught:
        f()
    assert frames(caught.value) == [("f", "@defer")]


@pytest.mark.parametrize("fails", [False, True])
def test_the_lines_that_a_tracer_sees_at_the_exit(way, fails):
    """At the exit a debugger stops at the decorator's line, and at no other (A, P6, D12)."""
    lines = []

    def trace(frame, event, arg):
        code = frame.f_code
        if (code.co_name, code.co_filename, event) == ("traced", __file__, "line"):
            lines.append(linecache.getline(__file__, frame.f_lineno).strip())
        return trace

    @way
    def traced(log):
        @defer
        def cleanup():
            log.append("cleanup")

        if log == []:

            @errdefer
            def conditional():
                log.append("conditional")

        log[:] = [1 // (not fails)]

    sys.settrace(trace)
    with contextlib.suppress(ZeroDivisionError):
        traced([])
    sys.settrace(None)
    last = lines.index("log[:] = [1 // (not fails)]")
    assert set(lines[last + 1 :]) <= {"@defer", "@errdefer"}


def test_an_exception_from_the_body_shows_no_decorator(way):
    """An exception of the body keeps its line, and its frame no name that is hidden (P6, D12)."""

    @way
    def f(log):
        @defer
        def cleanup():
            log.append("cleanup")

        if log == []:

            @defer
            def conditional():
                log.append("conditional")

        raise KeyError("body")

    with pytest.raises(KeyError) as caught:
        f([])
    assert frames(caught.value) == [("f", 'raise KeyError("body")')]
    tb = caught.value.__traceback__
    while tb.tb_frame.f_code.co_name != "f" or tb.tb_frame.f_code.co_filename != __file__:
        tb = tb.tb_next
    names = dict(tb.tb_frame.f_locals)
    assert names == {"log": ["conditional", "cleanup"], "cleanup": None, "conditional": None}


# Misuse


def test_with_arguments(way):
    """`@defer(fn)` defers fn, and its None cannot decorate: a TypeError at its line (D12)."""
    log = []

    def f():
        @defer(log.append, 1)
        def cleanup():
            log.append("never")

    f = with_defers(f)
    with pytest.raises(TypeError, match="'NoneType' object is not callable") as caught:
        f()
    assert frames(caught.value)[-1] == ("f", "@defer(log.append, 1)")
    assert log == [1]


def test_using_above_a_function():
    """`@using` above a function is a TypeError: it is no context manager (D11)."""

    @with_defers
    def f():
        @using
        def cleanup(): ...

    with pytest.raises(TypeError, match="context manager"):
        f()


@pytest.mark.parametrize("statement", [defer, errdefer, okdefer], ids=lambda s: s.__name__)
def test_in_an_undecorated_function(way, statement):
    """In an undecorated function it is a DeferError, which names its line (D3, D12)."""
    log, lines = [], []

    def helper():
        lines.append(sys._getframe().f_lineno + 2)

        @statement
        def cleanup():
            log.append("never")

    @way
    def f():
        @defer
        def own():
            log.append("own")

        helper()

    with pytest.raises(DeferError) as caught:
        f()
    assert log == ["own"]
    name = statement.__name__
    place = f"{helper.__qualname__} ({__file__}:{lines[0]})"
    assert str(caught.value).startswith(f"{name}() is used in {place}")
    assert "put @with_defers on the line right above its own `def`" in str(caught.value)


def test_at_module_level():
    """At module level it is a DeferError that says to move it into a function (D3, D12)."""
    with pytest.raises(DeferError, match="module level, not a function; move it into a function"):
        made("@defer\ndef f(): ...\n", defer=defer)


def test_in_a_class_body(way):
    """In a class inside of a decorated function it is a DeferError (D3, D12)."""

    @way
    def f():
        @defer
        def own(): ...

        class C:
            @defer
            def method(self): ...

    with pytest.raises(DeferError, match=r"C \(.*not the body of a function; move it into"):
        f()


def test_in_a_nested_function_that_is_not_decorated(way):
    """A nested function that is not decorated has no defers of its host (D3, D12)."""
    log = []

    @way
    def f():
        @defer
        def own():
            log.append("own")

            @defer
            def nested():
                log.append("never")

    with pytest.raises(DeferError, match=r"is used in .*own"):
        f()
    assert log == ["own"]
