"""Go's test of `recover` in methods and in functions made at run time (test/recover.go): rule P2.

docs/go-cases.md lists Go's files, and those without a counterpart here.
"""

import functools
import operator
import types

import pytest

from godefer import defer, panic, recover
from tests.mirrored import Log, sub_call, value

# Receivers


class Plain:
    def __init__(self, log):
        self.log = log

    def method(self):
        self.log.append((type(self).__name__, sub_call(), value(recover()), recover()))


class Slotted(Plain):
    __slots__ = ("log",)


class Word(int):
    """A receiver that is a number: a subclass of a built-in type."""

    method = Plain.method


class Promoting:
    """A method that comes from an object inside, as an embedded field's does in Go."""

    def __init__(self, log):
        self.inside = Plain(log)

    def __getattr__(self, name):
        return getattr(self.inside, name)


RECEIVERS = {
    "method": lambda log: (Plain(log).method,),
    "method of the class": lambda log: (Plain.method, Plain(log)),
    "method made from a function": lambda log: (types.MethodType(Plain.method, Plain(log)),),
    "method called by name": lambda log: (operator.methodcaller("method"), Plain(log)),
    "method of a slotted object": lambda log: (Slotted(log).method,),
    "inherited method": lambda log: (super(Slotted, Slotted(log)).method,),
    "method of a number": lambda log: (word(log).method,),
    "method of a number, called by name": lambda log: (operator.methodcaller("method"), word(log)),
    "promoted method": lambda log: (Promoting(log).method,),
}


def word(log):
    made = Word(7)
    made.log = log
    return made


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_methods_recover(way, receiver):
    """A deferred method recovers, whatever its receiver and the way it was reached (P2).

    Mirrors recover.go, test9 to test14 with their reflect variants.
    """
    log = []
    callee, *arguments = RECEIVERS[receiver](log)

    @way
    def f():
        defer(callee, *arguments)
        panic(9)

    f()
    ((_, *found),) = log
    assert found == [None, 9, None]


def test_a_method_that_panics_and_recovers_on_the_way(way):
    """A panic that began and ended below the deferred method leaves the outer
    one to be recovered (P2).

    Mirrors recover.go, test111.
    """
    log = Log()

    class Tiny:
        def method(self):
            panic(112)

    class Deeper:
        def method(self):
            bad_state()
            log.append(value(recover()))

    @way
    def bad_state():
        def squelch():
            log.append(value(recover()))

        defer(squelch)
        Tiny().method()

    @way
    def f():
        defer(Deeper().method)
        panic(111)

    f()
    assert log == [112, 111]


# Functions made at run time


def made_at_run_time(source, **names):
    exec(source, names)
    return names["made"]


MADE = {
    "by exec": lambda log: made_at_run_time(
        "def made(): log.append((sub_call(), recover(), recover()))",
        log=log,
        recover=recover,
        sub_call=sub_call,
    ),
    "by lambda": lambda log: lambda: log.append((sub_call(), recover(), recover())),
    "from a code object": lambda log: types.FunctionType(
        (lambda: log.append((sub_call(), recover(), recover()))).__code__,
        globals(),
        closure=(types.CellType(log),),
    ),
}


@pytest.mark.parametrize("made", MADE)
def test_functions_made_at_run_time_recover(way, made):
    """A deferred function recovers wherever it comes from (P2).

    Mirrors recover.go, test15.
    """
    log = []
    error = ValueError()

    @way
    def f():
        defer(MADE[made](log))
        raise error

    f()
    assert log == [(None, error, None)]


@pytest.mark.parametrize("made", ["function", "partial", "methodcaller"])
def test_a_made_function_that_calls_another_hides_it(way, made):
    """One more function between the panic and `recover` is too many,
    transparent callables or not (P2).

    Mirrors recover.go, test16.
    """
    log = Log()
    inner = functools.partial(log.note, "inner")

    def outer(callee):
        callee()

    callees = {
        "function": outer,
        "partial": functools.partial(outer),
        "methodcaller": lambda callee: operator.methodcaller("__call__")(callee),
    }

    @way
    def f():
        defer(log.thrice, "itself")
        defer(callees[made], inner)
        panic(16)

    f()
    assert log == [("inner", None), ("itself", None, 16, None)]


# A helper below


@pytest.mark.parametrize("how", ["function", "method", "promoted", "called by name"])
def test_a_helper_of_a_method_finds_nothing(way, how):
    """A helper that a deferred function or method calls recovers nothing,
    whatever is in between (P2).

    Mirrors fixedbugs/issue73916.go, issue73917.go and issue73920.go, which are newer than Go 1.19.
    """
    log = Log()

    class Calls:
        def method(self, _):
            log.note("helper")

    class Has:
        def __init__(self):
            self.inside = Calls()

        def __getattr__(self, name):
            return getattr(self.inside, name)

    callee = {
        "function": functools.partial(Calls.method, Calls()),
        "method": Calls().method,
        "promoted": Has().method,
        "called by name": functools.partial(operator.methodcaller("method", 1), Calls()),
    }[how]

    @way
    def f():
        defer(log.thrice, "itself")
        if how == "called by name":
            defer(callee)
        else:
            defer(callee, 1)
        panic("XXX")

    f()
    assert log == [("helper", None), ("itself", None, "XXX", None)]
