"""Functions of every shape: the caller chooses the exit.

The tests decorate them. Run as a program, under a debugger too, the module calls each of them and
prints the outcomes. It runs nothing but godefer, so that a debugger meets no other code.
"""

import os
import sys
import types

from godefer import ausing, defer, errdefer, okdefer, recover, using, with_defers

SHAPES = {}  # the functions, by name
OPTIONS = {}  # of the decorator, by the function's name


def shape(fn=None, /, **options):
    """Register a function, and return it unchanged."""
    if fn is None:
        return lambda fn: shape(fn, **options)
    SHAPES[fn.__name__] = fn
    OPTIONS[fn.__name__] = options
    return fn


class Exit:
    """Selects how a function exits: the function and its deferred calls get it as argument."""

    def __init__(self, *, fails=False, raises=False, recovers=False):
        self.divisor = 0 if fails else 1
        self.raises = raises
        self.recovers = recovers
        self.look = None  # if not None, each deferred call calls it

    def __repr__(self):
        return "<exit>"


EXITS = {
    "returns": {},
    "fails": {"fails": True},
    "raises on the way": {"raises": True},
    "fails and raises": {"fails": True, "raises": True},
    "recovers": {"fails": True, "recovers": True},
    "recovers and raises": {"fails": True, "recovers": True, "raises": True},
}


class Cleanup(Exception):
    """The exception that a deferred call raises."""


def call(x, *_, **__):
    """Recover, fail, or do nothing, as *x* says; to be deferred."""
    if x.look is not None:
        x.look()
    if x.recovers:
        recover()
    if x.raises:
        raise Cleanup


async def later(x, *_, **__):
    """Do the same as `call` after a pause; to be deferred by async functions."""
    await pause()
    if x.look is not None:
        x.look()
    if x.recovers:
        recover()
    if x.raises:
        raise Cleanup


@types.coroutine
def pause():
    yield


class Managed:
    """A context manager whose exit fails or suppresses as *x* says."""

    def __init__(self, x):
        self.x = x

    def __repr__(self):
        return "<managed>"

    def __enter__(self):
        return self, (self, self)

    def __exit__(self, *_):
        return self.leave()

    async def __aenter__(self):
        await pause()
        return self

    async def __aexit__(self, *_):
        await pause()
        return self.leave()

    def leave(self):
        if self.x.look is not None:
            self.x.look()
        if self.x.raises:
            raise Cleanup
        return self.x.recovers


# Inline


@shape
def inline_defer(x):
    """The doc."""
    y = x
    defer(call, x, 1, k=y)
    return 1 / x.divisor  # leaves


@shape
def inline_without_arguments(x):
    def cleanup():
        call(x)

    defer(cleanup)
    return 1 / x.divisor  # leaves


@shape
def inline_errdefer(x):
    errdefer(call, x)
    return 1 / x.divisor  # leaves


@shape
def inline_okdefer(x):
    okdefer(call, x)
    return 1 / x.divisor  # leaves


@shape
def two_defers(x):
    defer(call, x)
    defer(call, x)
    return 1 / x.divisor  # leaves


@shape
def one_of_each(x):
    defer(call, x)
    errdefer(call, x)
    okdefer(call, x)
    y = 1 / x.divisor  # leaves
    defer(call, x)
    return y


@shape
def end_of_the_body(x):
    defer(call, x)
    okdefer(call, x)
    _ = 1 / x.divisor  # leaves


@shape
def over_several_lines(x):
    defer(
        call,
        x,
        k=x,
    )
    errdefer(
        call,
        x,
    )
    return (
        1  # leaves
        / x.divisor
    )


@shape
def starred_arguments(x, *args, **kwargs):
    defer(call, x, *args, y=1, **kwargs)
    errdefer(call, x, *args)
    return 1 / x.divisor  # leaves


@shape
def nested_functions(x):
    okdefer(call, x)

    def inner():
        return 1 / x.divisor  # leaves

    defer(call, x)
    return inner()


@shape
def decorated_nested_function(x):
    y = 1

    @defer
    def cleanup():
        nonlocal y
        y += 1
        call(x)

    @errdefer
    def and_another():
        call(x, y)

    return y / x.divisor  # leaves


@shape
def caught_in_the_body(x):
    defer(call, x)
    try:
        y = 1 / x.divisor
    except ZeroDivisionError as e:
        y = str(e)
    errdefer(call, x)
    return y, 1 / x.divisor  # leaves


# Conditional


@shape
def under_if(x):
    if x.divisor:
        defer(call, x)
    else:
        errdefer(call, x)
    return 1 / x.divisor  # leaves


@shape
def errdefer_under_if(x):
    if x.divisor is not None:
        errdefer(call, x)
        defer(call, x)
    return 1 / x.divisor  # leaves


@shape
def loop_in_try_finally(x):
    try:
        for _ in range(2):
            defer(call, x)
        return 1 / x.divisor  # leaves
    finally:
        y = 0
        assert y == 0


@shape
def under_match(x):
    match [x]:
        case [y]:
            defer(call, y, k=1)
    return 1 / x.divisor  # leaves


@shape
def under_try(x):
    try:
        y = 1 / x.divisor
    except ZeroDivisionError:
        defer(call, x)
        y = 0
    else:
        okdefer(call, x)
    finally:
        errdefer(call, x)
    return y, 1 / x.divisor  # leaves


@shape
def under_with(x):
    with Managed(Exit()) as y:
        defer(call, x)
        return y and 1 / x.divisor  # leaves


@shape
def nested_function_under_if(x):
    if x:

        @defer
        def cleanup():
            call(x)

    okdefer(call, x)
    return 1 / x.divisor  # leaves


# Lists


@shape
def loop_with_one_site(x):
    for y in range(3):
        defer(call, x, k=y)
    return 1 / x.divisor  # leaves


@shape
def loop_with_several_sites(x):
    for y in range(2):
        defer(call, x, k=y)
        errdefer(call, x)
        z, _ = using(Managed(x))
    return z and 1 / x.divisor  # leaves


@shape
def nested_function_in_a_loop(x):
    for y in range(2):

        @defer
        def cleanup():
            call(x)

    return y / x.divisor  # leaves


@shape
def loop_after_inline(x):
    defer(call, x)
    while True:
        errdefer(call, x)
        okdefer(call, x)
        return 1 / x.divisor  # leaves


@shape
def more_than_the_limit(x):
    defer(call, x)
    defer(call, x)
    okdefer(call, x)
    defer(call, x)
    errdefer(call, x)
    defer(call, x)
    defer(call, x)
    defer(call, x)
    if x:
        defer(call, x)
    defer(call, x)
    return 1 / x.divisor  # leaves


# Context managers


@shape
def using_without_target(x):
    using(Managed(x))
    return 1 / x.divisor  # leaves


@shape
def using_with_targets(x):
    y = z = using(Managed(x))
    u: tuple = using(Managed(x))
    v, (w, *_) = using(Managed(x))
    return [y, z, u, v, w] and 1 / x.divisor  # leaves


@shape
def using_and_defer(x):
    defer(call, x)
    y = using(Managed(x))
    errdefer(call, x)
    return y and 1 / x.divisor  # leaves


@shape
def using_under_a_condition(x):
    if x:
        y = using(Managed(x))
    return y and 1 / x.divisor  # leaves


# Returns


@shape
def several_returns(x):
    defer(call, x)
    okdefer(call, x)
    if x.divisor:
        return x.divisor
    return 1 / x.divisor  # leaves


@shape
def return_inside_try_finally(x):
    okdefer(call, x)
    defer(call, x)
    try:
        return 1 / x.divisor  # leaves
    finally:
        y = 1


@shape
def return_inside_with(x):
    okdefer(call, x)
    defer(call, x)
    with Managed(Exit()) as y:
        return y and 1 / x.divisor  # leaves


@shape(result="err")
def one_named_result(x):
    defer(call, x)
    errdefer(call, x)
    err = 1
    return err / x.divisor  # leaves


@shape(result=("n", "err"))
def several_named_results(x):
    n = err = 0
    if x:
        defer(call, x)
    return 1 / x.divisor, (n, err)  # leaves


# Generators and async functions


@shape
def generator(x):
    okdefer(call, x)
    defer(call, x)
    y = yield x
    yield 1 / x.divisor  # leaves
    return y


@shape
def generator_with_a_loop(x):
    for y in range(2):
        defer(call, x)
        yield y
    yield 1 / x.divisor  # leaves


@shape
async def async_function(x):
    defer(later, x)
    await pause()
    return 1 / x.divisor  # leaves


@shape
async def async_function_with_several(x):
    defer(later, x)
    if x:
        errdefer(later, x)
    okdefer(call, x)
    await pause()
    return 1 / x.divisor  # leaves


@shape
async def async_function_with_a_loop(x):
    for y in range(2):
        defer(later, x, y)
        await ausing(Managed(x))
    return 1 / x.divisor  # leaves


@shape
async def async_nested_function(x):
    y = 1

    @defer
    async def cleanup():
        await later(x)

    await pause()
    return y / x.divisor  # leaves


@shape
async def ausing_inline(x):
    y = await ausing(Managed(x))
    await pause()
    return y and 1 / x.divisor  # leaves


@shape
async def async_generator(x):
    okdefer(later, x)
    defer(later, x)
    yield x
    yield 1 / x.divisor  # leaves


# Running them


def drive(coroutine):
    """Run a coroutine that waits only for `pause`."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


async def exhaust(async_generator):
    """Run an async generator to its end; return the last item."""
    item = None
    async for item in async_generator:
        pass
    return item


def leave(fn, x):
    """Call a function; run its generator or coroutine to the end."""
    made = fn(x)
    kind = type(made)
    if kind is types.GeneratorType:
        item = None
        for item in made:
            pass
        return item
    if kind is types.CoroutineType:
        return drive(made)
    if kind is types.AsyncGeneratorType:
        return drive(exhaust(made))
    return made


def outcome(fn, x):
    """Return the name of the exception, or the result, of a call."""
    try:
        result = leave(fn, x)  # the call
    except BaseException as e:
        return e.__class__.__name__  # it failed
    return f"returned {result!r}"


def makes_calls(fn, x):
    """Return whether a function makes any deferred call on this exit."""
    fails = x.divisor == 0
    return (fn.__name__, fails) not in {("inline_errdefer", False), ("inline_okdefer", True)}


def failure(fn, x):
    """Return the exception of a call, or None if it returns, as *x* says."""
    error = None
    try:
        leave(fn, x)
    except BaseException as e:
        error = e
    fails = x.divisor == 0
    if (fails and not x.recovers) or (x.raises and makes_calls(fn, x)):
        assert error is not None
    if not fails and not x.raises:
        assert error is None
    return error


def every_exit(shapes, exits):
    """Leave each function in each way; print the outcomes."""
    for name, fn in shapes.items():
        for exit_ in exits:
            result = outcome(fn, Exit(**EXITS[exit_]))
            print(f"outcome: {name}, {exit_}: {result}")


def main(shapes, exits):
    """Decorate the functions of these names, and leave each in these ways."""
    decorated = {name: with_defers(SHAPES[name], **OPTIONS[name]) for name in shapes.split(",")}
    every_exit(decorated, exits.split(","))
    print("the end", flush=True)
    os._exit(0)  # otherwise pdb would restart the program


if __name__ == "__main__":
    main(*sys.argv[1:])
