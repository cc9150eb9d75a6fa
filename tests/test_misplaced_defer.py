"""A statement outside of a decorated function's body is a DeferError: rule D3.

It is attached to no other function.
"""

import asyncio
import contextlib
import contextvars
import functools
import runpy
import sys
import threading

import pytest

import godefer
from godefer import DeferError, ausing, defer, errdefer, okdefer, using, with_defers

STATEMENTS = [defer, errdefer, okdefer]


def here(offset=0):
    """Return ``file:line`` of the calling line, or of one *offset* lines below."""
    return f"{__file__}:{sys._getframe(1).f_lineno + offset}"


def statement_ids(statement):
    return statement.__name__


@pytest.mark.parametrize("statement", STATEMENTS, ids=statement_ids)
def test_in_a_helper(statement):
    """In an undecorated helper a statement raises, and attaches nothing to its caller (D3)."""
    ran, place = [], []

    def helper():
        place.append(here(1))
        statement(ran.append, "of the helper")

    @with_defers
    def f():
        defer(ran.append, "of f")
        helper()

    with pytest.raises(DeferError) as caught:
        f()
    assert ran == ["of f"]
    message = str(caught.value)
    assert message.startswith(
        f"{statement.__name__}() is used in {helper.__qualname__} ({place[0]})"
    )
    assert "right above its own `def`" in message
    assert "@with_defers" in message
    assert f"call {statement.__name__}() in that caller's body" in message


def test_the_caller_goes_on_when_it_handles_the_error(way):
    """A caller that handles the error keeps its own calls, and gets none of the helper's (D3)."""
    ran = []

    def helper():
        defer(ran.append, "of the helper")

    @way
    def f():
        defer(ran.append, "before")
        with contextlib.suppress(DeferError):
            helper()
        defer(ran.append, "after")

    f()
    assert ran == ["after", "before"]


def test_without_any_decorated_function_around():
    """In an undecorated function without decorated callers a statement raises, too (D3)."""

    def f():
        defer(print)

    with pytest.raises(DeferError, match="not decorated with @with_defers"):
        f()


def test_using_enters_nothing():
    """A misplaced `using` does not enter its context manager (D3, D11)."""
    entered = []

    @contextlib.contextmanager
    def block():
        entered.append(1)
        yield

    def helper():
        using(block())

    @with_defers
    def f():
        helper()

    with pytest.raises(DeferError, match="using\\(\\) is used in .*helper"):
        f()
    assert entered == []


def test_ausing_enters_nothing():
    """A misplaced `ausing` raises at the call, before anything is awaited or entered (D3, D11)."""
    entered = []

    @contextlib.asynccontextmanager
    async def block():
        entered.append(1)
        yield

    async def helper():
        awaitable = ausing(block())
        entered.append(2)
        await awaitable

    @with_defers
    async def f():
        await helper()

    with pytest.raises(DeferError, match="ausing\\(\\) is used in .*helper"):
        asyncio.run(f())
    assert entered == []


@pytest.mark.parametrize("called", ["called", "passed on"])
def test_in_a_lambda(called):
    """A lambda is a function of its own, wherever it is called (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "of f")
        fn = lambda i: defer(ran.append, i)
        if called == "called":
            fn(1)
        else:
            list(map(fn, [1]))

    with pytest.raises(DeferError) as caught:
        f()
    assert ran == ["of f"]
    assert "<lambda>" in str(caught.value)
    assert "call defer() in the body of the decorated function" in str(caught.value)


def test_in_a_generator_expression():
    """A generator expression is a function of its own; the error offers a comprehension (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "of f")
        return list(defer(ran.append, i) for i in range(3))

    with pytest.raises(DeferError) as caught:
        f()
    assert ran == ["of f"]
    message = str(caught.value)
    assert "<genexpr>" in message
    assert "generator expression" in message
    assert "list comprehension or a `for` statement" in message


def test_in_an_asynchronous_generator_expression():
    """An asynchronous generator expression is a function of its own too (D3)."""
    ran = []

    async def numbers():
        yield 1

    @with_defers
    async def f():
        defer(ran.append, "of f")
        async for _ in (defer(ran.append, i) async for i in numbers()):
            pass

    with pytest.raises(DeferError, match="generator expression"):
        asyncio.run(f())
    assert ran == ["of f"]


@pytest.mark.parametrize("kind", ["function", "generator", "coroutine"])
def test_in_a_nested_function(kind):
    """A function inside a decorated function is not itself decorated (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "of f")

        def nested():
            defer(ran.append, "nested")

        nested()

    @with_defers
    def g():
        defer(ran.append, "of f")

        def nested():
            defer(ran.append, "nested")
            yield

        yield from nested()

    @with_defers
    async def h():
        defer(ran.append, "of f")

        async def nested():
            defer(ran.append, "nested")

        await nested()

    calls = {"function": f, "generator": lambda: list(g()), "coroutine": lambda: asyncio.run(h())}
    with pytest.raises(DeferError, match=r"<locals>\.nested \("):
        calls[kind]()
    assert ran == ["of f"]


def test_a_decorated_nested_function_has_its_own(way):
    """A decorated function inside a decorated function keeps its calls to itself (D3, D4)."""
    ran = []

    @way
    def f():
        defer(ran.append, "of f")
        nested()
        ran.append("nested has returned")

    @way
    def nested():
        defer(ran.append, "of nested")

    f()
    assert ran == ["of nested", "nested has returned", "of f"]


def test_in_a_class_body():
    """A class body inside a decorated function is not the function's body (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "of f")

        class Inner:
            defer(ran.append, "of the class")

    with pytest.raises(DeferError) as caught:
        f()
    assert ran == ["of f"]
    assert "Inner" in str(caught.value)
    assert "not the body of a function" in str(caught.value)


def test_at_module_level_in_executed_text():
    """At module level the error says to move it into a decorated function (D3)."""
    text = "from godefer import defer\n\ndefer(print, 'never')\n"
    with pytest.raises(DeferError) as caught:
        exec(compile(text, "settings.py", "exec"), {})
    message = str(caught.value)
    assert message.startswith("defer() is used in <module> (settings.py:3), which is module level")
    assert "move it into a function" in message
    assert "@with_defers" in message


def test_at_module_level_of_a_file(tmp_path):
    """A module that runs as a program gets the error with its own file and line (D3)."""
    path = tmp_path / "program.py"
    path.write_text("import godefer\n\n\ngodefer.defer(print, 'never')\n")
    with pytest.raises(DeferError) as caught:
        runpy.run_path(str(path))
    assert f"<module> ({path}:4)" in str(caught.value)


def test_in_text_that_a_decorated_function_executes():
    """Text under `exec` in a decorated function is not its body (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "of f")
        exec("defer(ran.append, 'of the text')", {"defer": defer, "ran": ran})

    with pytest.raises(DeferError):
        f()
    assert ran == ["of f"]


def test_in_a_thread_started_by_a_decorated_function():
    """A function in another thread is no part of the function that started it (D3, D4)."""
    ran, errors = [], []

    def work():
        try:
            defer(ran.append, "of the thread")
        except DeferError as e:
            errors.append(str(e))

    @with_defers
    def f():
        defer(ran.append, "of f")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    f()
    assert ran == ["of f"]
    assert len(errors) == 1


def test_the_undecorated_function_under_a_decorated_one():
    """The undecorated body raises if it is called, since nothing would run its calls (D3)."""
    ran = []

    def f():
        defer(ran.append, 1)

    decorated = with_defers(f)

    @with_defers
    def g():
        defer(ran.append, "of g")
        f()

    for call in (f, g):
        with pytest.raises(DeferError, match="not decorated"):
            call()
    assert ran == ["of g"]
    decorated()
    assert ran == ["of g", 1]


@pytest.mark.parametrize("statement", STATEMENTS, ids=statement_ids)
@pytest.mark.parametrize("error", [None, LookupError("body")], ids=["returns", "raises"])
def test_a_statement_that_is_itself_deferred(statement, error):
    """`defer(defer, f)` fails at its turn: the function has exited; the others run (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, 1)
        defer(statement, ran.append, "never")
        defer(ran.append, 2)
        if error:
            raise error

    with pytest.raises(DeferError) as caught:
        f()
    assert ran == [2, 1]
    message = str(caught.value)
    assert f"{statement.__name__}() was itself deferred" in message
    assert f"defer a decorated function that calls {statement.__name__}() instead" in message
    assert caught.value.__context__ is error


def test_a_statement_that_is_itself_deferred_in_an_async_function():
    """`defer(defer, f)` fails in an async function as well (D3)."""
    ran = []

    @with_defers
    async def f():
        defer(ran.append, 1)
        defer(defer, ran.append, "never")
        defer(ran.append, 2)

    with pytest.raises(DeferError, match="was itself deferred"):
        asyncio.run(f())
    assert ran == [2, 1]


def test_in_a_deferred_function_that_is_not_decorated(way):
    """A deferred function has no defers of its own unless it is decorated (D3)."""
    ran = []

    def cleanup():
        defer(ran.append, "of cleanup")

    @way
    def f():
        defer(ran.append, 1)
        defer(cleanup)
        defer(ran.append, 2)

    with pytest.raises(DeferError, match=r"<locals>\.cleanup \("):
        f()
    assert ran == [2, 1]


@pytest.mark.parametrize("kind", ["list", "set", "dict", "nested", "nested in a lambda's call"])
def test_comprehensions_count_as_part_of_the_function(kind):
    """In a comprehension `defer` belongs to the function, on every Python version (D3)."""
    ran = []

    @with_defers
    def f():
        defer(ran.append, "first")
        if kind == "list":
            [defer(ran.append, i) for i in range(3)]
        elif kind == "set":
            {defer(ran.append, i) for i in range(3)}
        elif kind == "dict":
            {i: defer(ran.append, i) for i in range(3)}
        elif kind == "nested":
            [[defer(ran.append, i + j) for j in range(0, 3, 2)] for i in range(2)]
        else:
            (lambda values: values)([defer(ran.append, i) for i in range(3)])
        ran.append("body")

    f()
    assert ran == ["body", *([3, 1, 2, 0] if kind == "nested" else [2, 1, 0]), "first"]


def test_comprehensions_in_generators_and_async_functions():
    """Comprehensions, also async ones, are part of generators and async functions too (D3)."""
    ran = []

    async def numbers():
        for i in range(2):
            await asyncio.sleep(0)
            yield i

    async def number(i):
        await asyncio.sleep(0)
        return i

    @with_defers
    def g():
        [defer(ran.append, i) for i in range(2)]
        yield

    @with_defers
    async def f():
        [defer(ran.append, i) async for i in numbers()]
        {defer(ran.append, await number(i)) for i in range(2, 4)}
        ran.append("body")

    list(g())
    assert ran == [1, 0]
    ran.clear()
    asyncio.run(f())
    assert ran == ["body", 3, 2, 1, 0]


def test_a_comprehension_in_a_helper():
    """A comprehension in a helper counts as part of the helper, which the message names (D3)."""
    ran = []

    def helper():
        [defer(ran.append, i) for i in range(3)]

    @with_defers
    def f():
        defer(ran.append, "of f")
        helper()

    with pytest.raises(DeferError, match=r"<locals>\.helper \("):
        f()
    assert ran == ["of f"]


def test_a_comprehension_in_a_generator_expression_and_in_a_lambda():
    """A comprehension belongs to its generator expression or lambda, here undecorated (D3)."""
    ran = []

    @with_defers
    def f():
        return list([defer(ran.append, j) for j in range(2)] for i in range(2))

    @with_defers
    def g():
        (lambda: [defer(ran.append, j) for j in range(2)])()

    with pytest.raises(DeferError, match="<genexpr>"):
        f()
    with pytest.raises(DeferError, match="<lambda>"):
        g()
    assert ran == []


def test_a_generator_driven_by_a_decorated_function():
    """An undecorated generator that a decorated function iterates is not part of it (D3)."""
    ran = []

    def numbers():
        defer(ran.append, "of numbers")
        yield 1

    @with_defers
    def f():
        defer(ran.append, "of f")
        for _ in numbers():
            pass

    with pytest.raises(DeferError, match="numbers"):
        f()
    assert ran == ["of f"]


def test_a_misplaced_statement_in_a_decorated_generator_drives_nothing():
    """While a decorated generator is suspended, a statement elsewhere does not find it (D3, D4)."""
    ran = []

    @with_defers
    def g():
        defer(ran.append, "of g")
        yield

    generator = g()
    next(generator)
    with pytest.raises(DeferError):
        defer(ran.append, "of the test")
    generator.close()
    assert ran == ["of g"]


def test_a_defer_that_is_deferred_by_another_name(way):
    """`defer` deferred through a variable is an error with a place, on failure too (D3)."""

    @way
    def f(d):
        defer(d, print, 1)
        raise ValueError

    with pytest.raises(
        DeferError, match="was itself deferred at .*test_misplaced_defer.py"
    ) as raised:
        f(defer)
    assert isinstance(raised.value.__context__, ValueError)


# An open-coded function has no body of its own.
@pytest.mark.parametrize("way", ["runtime"], indirect=True)
def test_the_body_of_an_async_generator_inside_itself(way):
    """The undecorated body, iterated by the decorated one, has no invocation to defer on (D3)."""

    @way
    async def agen(n):
        defer(str)
        if n:
            async for _ in agen.__wrapped__(n - 1):
                pass
        yield n

    async def main():
        async for _ in agen(1):
            pass

    with pytest.raises(DeferError, match="agen"):
        asyncio.run(main())


# Statements called without their names in the body


def by_parameter(run, d):
    d(run, 1)


def by_attribute(run, d, holder=type("Holder", (), {"static": staticmethod(defer)})()):
    holder.own = d
    holder.own(run, 2)
    holder.static(run, 1)


def by_closure(run, d):
    (lambda: None)()
    d(run, 1)

    def keeps_it_in_a_cell():
        return d


def by_map(run, d):
    list(map(defer, [functools.partial(run, i) for i in (2, 1)]))


def by_map_of_a_parameter(run, d):
    list(map(d, [functools.partial(run, i) for i in (2, 1)]))


def by_partial(run, d):
    functools.partial(defer, run, 1)()
    later = functools.partial(functools.partial(d, run), 0)
    later()


def by_context(run, d):
    contextvars.copy_context().run(defer, run, 1)


def by_condition(run, d):
    (defer if run else errdefer)(run, 1)
    (d if run else errdefer)(run, 0)


def by_getattr(run, d):
    getattr(godefer, "defer")(run, 1)


def by_stars(run, d):
    defer(*[run, 2])
    defer(run, *[1], **{})


def by_import(run, d):
    from godefer import defer as later

    later(run, 1)
    import godefer as library

    library.defer(run, 0)


def by_assignment(run, d):
    (later := d)(run, 1)


def in_arguments(run, d):
    str(defer(run, 2) if run else 0)
    print(*[x for x in [d(run, i) for i in (1,)] if x], end="")


async def while_awaiting(run, d):
    d(run, await asyncio.sleep(0, 2))
    d(*[run, await asyncio.sleep(0, 1)])


def in_a_generator(run, d):
    d(run, 2 if (yield) else 1)


@pytest.mark.parametrize(
    "body",
    [
        by_parameter,
        by_attribute,
        by_closure,
        by_map,
        by_map_of_a_parameter,
        by_partial,
        by_context,
        by_condition,
        by_getattr,
        by_stars,
        by_import,
        by_assignment,
        in_arguments,
        while_awaiting,
        in_a_generator,
    ],
    ids=lambda body: body.__name__,
)
@pytest.mark.parametrize("way", ["runtime"], indirect=True)
def test_a_body_that_calls_a_statement_without_its_name(way, body):
    """A statement belongs to the body that calls it or passes it on (D3)."""
    ran, decorated = [], way(body)
    for _ in range(3):
        ran.clear()
        result = decorated(ran.append, defer)
        if body is while_awaiting:
            asyncio.run(result)
        elif body is in_a_generator:
            assert list(result) == [None]
        assert ran
        assert ran == sorted(ran)


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="a body there may defer if it names a statement: Limits",
)
def test_an_iterator_that_calls_a_statement(way):
    """A statement called through a foreign iterator does not belong to the running body (D3)."""
    ran = []
    waiting = map(defer, [functools.partial(ran.append, "attached")] * 4)

    @way
    def looping(items):
        defer(ran.append, "own")
        for _ in items:
            pass

    @way
    def unpacking(items):
        defer(ran.append, "own")
        _, _ = items

    @way
    def calling(items):
        defer(ran.append, "own")
        list(items)

    @way
    def naming(items):
        defer(ran.append, "own")
        try:
            next(items)
        except godefer.Panic:
            raise

    for f in (looping, unpacking, calling, naming):
        ran.clear()
        with pytest.raises(DeferError, match="was called in .* by compiled code") as caught:
            f(waiting)
        assert "`with defer_scope() as defer:`" in str(caught.value)
        assert ran == ["own"]


def test_one_call_in_a_body_vouches_for_no_other():
    """A statement called in a body allows no other misplaced call, there or elsewhere (D3)."""
    ran = []

    def body(call, *args):
        call(*args)

    f = with_defers(body)
    f(defer, ran.append, 1)
    assert ran == [1]
    with pytest.raises(DeferError, match="compiled code"):
        f(list, map(defer, [print]))
    f(defer, ran.append, 2)
    assert ran == [1, 2]


def test_one_closure_vouches_for_no_other():
    """After one closure has called a statement, another of the same code still may not (D3)."""
    ran = []

    def make(call):
        @with_defers
        def f(*args):
            call(*args)

        return f

    make(functools.partial(defer))(ran.append, 1)
    assert ran == [1]
    with pytest.raises(DeferError, match="compiled code"):
        make(list)(map(defer, [functools.partial(ran.append, "attached")]))
    assert ran == [1]


@pytest.mark.parametrize("statement", [*STATEMENTS, using, ausing], ids=statement_ids)
def test_called_by_no_python_code(statement):
    """A statement called by a thread or `atexit` is a DeferError, and enters nothing (D3)."""
    import _thread

    failed, found = _thread.allocate_lock(), []
    failed.acquire()
    hook = sys.unraisablehook

    def note(problem):
        found.append(problem.exc_value)
        failed.release()

    sys.unraisablehook = note
    try:
        _thread.start_new_thread(statement, (contextlib.nullcontext(),))
        assert failed.acquire(timeout=10)
    finally:
        sys.unraisablehook = hook
    assert [type(error) for error in found] == [DeferError]
    assert str(found[0]).startswith(f"{statement.__name__}() was not called by a Python function")
    assert found[0].__context__ is None or found[0].__suppress_context__
