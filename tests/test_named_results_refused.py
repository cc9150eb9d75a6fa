"""Refused names of results, and functions that can have none: section N.

Named results are always compiled into the function, so these tests use `with_defers` itself, not
the fixture `way`.
"""

import linecache

import pytest

from godefer import (
    DeferError,
    defer,
    explain,
    with_defers,
)

# Refused names


def refused(fn, result):
    """Return the message of the DeferError for *fn*, without its leading name and place."""
    with pytest.raises(DeferError) as caught:
        with_defers(result=result)(fn)
    code = fn.__code__
    place = f"{code.co_filename}:{code.co_firstlineno}"
    start = f"with_defers(result={result!r}) on {code.co_qualname} ({place}): "
    message = str(caught.value)
    assert message.startswith(start)
    return message[len(start) :]


def test_not_a_variable():
    """Decorating refuses a name that the function does not bind, and says to assign it (N)."""

    def f():
        n = 1
        defer(int)
        return n

    words = "'err' is not a local variable of it; assign to err in the body"
    assert [refused(f, "err"), refused(f, ("n", "err")), refused(f, ("err", "n"))] == [words] * 3


def test_a_variable_of_another_scope():
    """A global, a closure variable and an inner function's variable are no local variables (N)."""
    outer = 1

    def f():
        nonlocal outer
        global module_level
        defer(int)
        outer = 2
        module_level = 3

        def inner():
            within = 4
            return within

        return inner

    for name in ("outer", "module_level", "within"):
        assert (
            refused(f, name)
            == f"{name!r} is not a local variable of it; assign to {name} in the body"
        )


def test_a_parameter():
    """Decorating refuses a parameter of any kind (N)."""

    def f(a, /, b, *c, d=1, **e):
        defer(int)
        a = b = c = d = e = 1
        return lambda: (a, b)

    for name in "abcde":
        assert (
            refused(f, name)
            == f"{name!r} is a parameter; name a local variable, which starts as None"
        )


def test_an_async_generator():
    """Decorating refuses an async generator, which has no return value (N)."""

    async def f():
        n = 1
        defer(int)
        yield n

    assert (
        refused(f, "n") == "an async generator returns no value; write @with_defers without result"
    )


@pytest.mark.parametrize("result", [3, [], ["n"], (), ("n", 3), "", b"n"])
def test_not_names(result):
    """Decorating refuses a result that is neither a name nor a tuple of names (N)."""

    def f():
        n = 1
        defer(int)
        return n

    assert refused(f, result)


def test_a_name_twice():
    """Decorating refuses equal names (N)."""

    def f():
        n = 1
        defer(int)
        return n, n

    assert refused(f, ("n", "n")) == "the names must differ"


def test_a_name_that_an_except_clause_deletes():
    """Decorating refuses a name that `except … as` binds, since the clause deletes it (N)."""

    def f():
        try:
            defer(int)
        except ValueError as err:
            return err

    assert "except" in refused(f, "err")


def test_without_source():
    """Decorating refuses a function without source, and gives the reason (N, R3)."""
    namespace = {"defer": defer}
    exec("def f():\n    n = 1\n    defer(print, n)\n    return n\n", namespace)
    message = refused(namespace["f"], "n")
    assert "named results need the function to be recompiled from its source" in message
    assert "the source of <string> is not available" in message


def test_a_source_that_was_edited(tmp_path):
    """Decorating refuses a function if its file has changed (N, R3)."""
    path = tmp_path / "edited.py"
    path.write_text("def f():\n    n = 1\n    defer(print, n)\n    return n\n")
    namespace = {"defer": defer}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    path.write_text("def f():\n    n = 2\n    defer(print, n)\n    return n\n")
    linecache.checkcache(str(path))
    assert "named results need" in refused(namespace["f"], "n")


def test_a_function_that_cannot_be_open_coded():
    """Decorating refuses a function that uses `defer` as a value (N, R3)."""

    def f():
        n = 1
        register = defer
        register(print, n)
        return n

    assert "named results need" in refused(f, "n")


# The environment


def test_open_coding_turned_off(monkeypatch):
    """GODEFER_OPEN_CODED=0 does not stop the compilation of named results (N, R4)."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "0")

    @with_defers(result="n")
    def f():
        def add():
            nonlocal n
            n += 1

        n = 0
        defer(add)
        return 1

    assert f() == 2
    assert explain(f).way == "open-coded"


def test_the_same_function_with_other_results():
    """The same code decorated with other names is compiled for those (N)."""

    def make():
        def f():
            def change():
                nonlocal a, b
                a, b = a + 1, b + 10

            a, b = 1, 2
            defer(change)
            return

        return f

    assert with_defers(result="a")(make())() == 2
    assert with_defers(result="b")(make())() == 12
    assert with_defers(result=("b", "a"))(make())() == (12, 2)
    assert with_defers(make())() is None
