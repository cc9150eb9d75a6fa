"""A deferred call's callee and arguments are evaluated at its statement: rule D1."""

import pytest

from godefer import defer
from tests.helpers import Log


def test_callee_and_arguments_are_evaluated_at_the_statement_from_left_to_right_once(way):
    """The callee, then every argument, stars too, is evaluated when the statement
    runs, in order, once (D1).
    """
    log = Log()

    @way
    def f():
        log("before")
        defer(
            log.value("callee", log.take),
            log.value("first", 1),
            *log.value("stars", [2, 3]),
            log.value("last", 4),
            key=log.value("keyword", 5),
            **log.value("double stars", {"more": 6}),
        )
        log("after")

    f()
    assert log == [
        "before",
        "callee",
        "first",
        "stars",
        "last",
        "keyword",
        "double stars",
        "after",
        ((1, 2, 3, 4), {"key": 5, "more": 6}),
    ]


def test_names_rebound_later_do_not_change_the_call(way):
    """Rebinding a variable that was the callee or an argument does not change the call (D1)."""
    log = Log()

    @way
    def f(fn, value, *, key):
        defer(fn, value, key=key)
        fn, value, key = None, None, None

    f(log.take, 1, key=2)
    assert log == [((1,), {"key": 2})]


def test_names_deleted_later_do_not_change_the_call(way):
    """Deleting a variable that was an argument does not change the call (D1)."""
    log = Log()

    @way
    def f(value):
        defer(log, value)
        del value

    f("kept")
    assert log == ["kept"]


def test_a_closure_variable_as_argument_is_evaluated_at_the_statement(way):
    """An argument that an inner function changes later keeps the value it
    had at the statement (D1).
    """
    log = Log()

    @way
    def f():
        n = 1

        def change():
            nonlocal n
            n = 2

        defer(log, n)
        change()
        log(n)

    f()
    assert log == [2, 1]


def test_a_method_is_looked_up_at_the_statement(way):
    """`obj.method` as callee is looked up when the statement runs, on the
    object of that moment (D1).
    """
    log = Log()

    class Resource:
        def close(self):
            log("the class's")

    @way
    def f(resource):
        defer(resource.close)
        resource.close = lambda: log("set later")
        resource = None

    f(Resource())
    assert log == ["the class's"]


def test_arguments_are_passed_by_reference(way):
    """The argument is passed by reference: the call sees the body's later changes to it (D1)."""
    log = Log()

    @way
    def f():
        items = []
        defer(log, items)
        items.append(1)
        return items

    items = f()
    assert log == [[1]]
    assert log[0] is items


@pytest.mark.parametrize("star", ["positional", "keyword"])
def test_star_arguments_are_copied_at_the_statement(way, star):
    """`*items` and `**items` are spread when the statement runs; later
    changes do not count (D1).
    """
    log = Log()

    @way
    def positional(items):
        defer(log.take, *items)
        items.append(2)

    @way
    def keyword(items):
        defer(log.take, **items)
        items["b"] = 2

    if star == "positional":
        positional([1])
        assert log == [((1,), {})]
    else:
        keyword({"a": 1})
        assert log == [((), {"a": 1})]


def test_keyword_names_that_the_library_could_claim_go_to_the_callee(way):
    """Every keyword belongs to the callee, whatever the parameters of `defer` are called (D1)."""
    log = Log()

    @way
    def f():
        defer(log.take, fn=1, self=2, args=3, kwargs=4, sp=5, frame=6, result=7)

    f()
    assert log == [
        ((), {"fn": 1, "self": 2, "args": 3, "kwargs": 4, "sp": 5, "frame": 6, "result": 7})
    ]


def test_an_argument_that_cannot_be_evaluated_defers_nothing(way):
    """An exception while an argument is evaluated leaves that call out,
    and earlier ones run (D1).
    """
    log = Log()

    @way
    def f():
        defer(log, "first")
        defer(log, 1 / 0)
        defer(log, "never reached")

    with pytest.raises(ZeroDivisionError):
        f()
    assert log == ["first"]
