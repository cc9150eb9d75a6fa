"""Functions with deferred calls that exit by an exception, recover one, or catch one."""

import asyncio

from godefer import defer, errdefer, okdefer, panic, using
from tests.keeping.arguments import (
    A,
    Gives,
    bad,
    case,
    clean,
    dropped,
    kept,
    rescue,
    rescue_fail,
    stop,
)


@case
def ret_with_caught(w):
    @w
    def f():
        defer(clean, A(), k=A())
        try:
            raise KeyError
        except KeyError as e:
            kept.append(e)

    return f


@case
def raises_inline(w):
    @w
    def f():
        defer(clean, A(), k=A())
        okdefer(clean, A(), k=A())
        errdefer(clean, A(), k=A())
        defer(A().method)
        raise KeyError

    return f


@case
def raises_stars(w):
    @w
    def f():
        defer(clean, *[A()], **{"k": A()})
        okdefer(clean, *[A()], **{"k": A()})
        errdefer(clean, *[A()], **{"k": A()})
        raise KeyError

    return f


@case
def raises_cond(w):
    @w
    def f(c=True):
        if c:
            defer(clean, A(), k=A())
            okdefer(clean, A(), k=A())
            errdefer(clean, A(), k=A())
        raise KeyError

    return f


@case
def raises_loop(w):
    @w
    def f(c=True):
        for i in range(3):
            defer(clean, A(), k=A())
            okdefer(clean, A(), k=A())
            errdefer(clean, A(), k=A())
            using(A())
        raise KeyError

    return f


@case
def raises_loop_single(w):
    @w
    def f(c=True):
        for i in range(3):
            defer(clean, A(), k=A())
        raise KeyError

    return f


@case
def raises_loop_single_ok(w):
    @w
    def f(c=True):
        for i in range(3):
            okdefer(clean, A(), k=A())
        raise KeyError

    return f


@case
def bad_inline(w):
    @w
    def f():
        defer(clean, A(), k=A())
        defer(bad, A(), k=A())
        defer(clean, A(), k=A())

    return f


@case
def bad_inline_kw(w):
    @w
    def f():
        defer(clean, A(), k=A())
        defer(bad, A(), k=A())
        defer(clean, A(), k=A())
        defer(bad, *[A()], **{"k": A()})
        raise KeyError

    return f


@case
def bad_cond(w):
    @w
    def f(c=1):
        if c:
            defer(clean, A(), k=A())
            defer(bad, A(), k=A())
            defer(clean, A(), k=A())

    return f


@case
def bad_loop(w):
    @w
    def f(c=1):
        for i in range(3):
            defer(clean, A(), k=A())
            defer(bad, A(), k=A())
            defer(clean, A(), k=A())

    return f


@case
def bad_loop_single(w):
    @w
    def f(c=1):
        for i in range(3):
            defer(bad, A(), k=A())

    return f


@case
def recovered_inline(w):
    @w
    def f():
        defer(clean, A(), k=A())
        okdefer(clean, A(), k=A())
        errdefer(clean, A(), k=A())
        defer(rescue, A())
        defer(clean, A(), k=A())
        raise KeyError

    return f


@case
def recovered_once(w):
    @w
    def f():
        defer(rescue, A())
        raise KeyError

    return f


@case
def recovered_cond(w):
    @w
    def f(c=1):
        if c:
            defer(clean, A(), k=A())
            okdefer(clean, A(), k=A())
            errdefer(clean, A(), k=A())
            defer(rescue, A())
            defer(clean, A(), k=A())
        raise KeyError

    return f


@case
def recovered_loop(w):
    @w
    def f(c=1):
        for i in range(3):
            defer(clean, A(), k=A())
            okdefer(clean, A(), k=A())
            errdefer(clean, A(), k=A())
            defer(rescue, A())
            defer(clean, A(), k=A())
        raise KeyError

    return f


@case
def recovered_loop_single(w):
    @w
    def f(c=1):
        for i in range(3):
            defer(rescue, A())
        raise KeyError

    return f


@case
def recovered_loop_inside(w):
    @w
    def f(c=1):
        defer(clean, A(), k=A())
        for i in range(3):
            defer(rescue, A())
        raise KeyError

    return f


@case
def recovered_value(w):
    @w
    def f(c=1):
        defer(clean, A(), k=A())
        defer(rescue, A())
        defer(bad, A())
        return A()

    return lambda: f() and None


@case
def rescue_and_fail(w):
    @w
    def f(c=1):
        defer(clean, A(), k=A())
        defer(rescue, A())
        defer(rescue_fail, A())
        return A()

    return lambda: f() and None


@case
def value_replaced(w):
    @w
    def f(c=1):
        defer(clean, A(), k=A())
        defer(bad, A())
        return A()

    return lambda: f() and None


@case
def value_replaced_single(w):
    @w
    def f(c=1):
        defer(bad, A())
        return A()

    return lambda: f() and None


@case
def value_replaced_loop(w):
    @w
    def f(c=1):
        for i in range(2):
            defer(bad, A())
        return A()

    return lambda: f() and None


@case
def using_raise(w):
    @w
    def f(c=1):
        using(A())
        raise KeyError

    return f


@case
def using_cond(w):
    @w
    def f(c=1):
        if c:
            using(A())
        raise KeyError

    return f


@case
def capture_fails(w):
    @w
    def f():
        defer(A().method, A(), 1 / 0)

    return f


@case
def capture_fails_cond(w):
    @w
    def f(c=1):
        if c:
            defer(A().method, A(), 1 / 0)

    return f


@case
def capture_fails_loop(w):
    @w
    def f(c=1):
        for i in range(2):
            defer(A().method, A(), 1 / i)

    return f


@case
def capture_fails_stars(w):
    @w
    def f(c=1):
        defer(A().method, *[A()], **{"k": 1 / 0})

    return f


@case
def returns_coroutine(w):
    @w
    def f(c=1):
        defer(dropped, A())

    return f


@case
def returns_coroutine_loop(w):
    @w
    def f(c=1):
        for i in range(2):
            defer(dropped, A())

    return f


@case
def returns_coroutine_raise(w):
    @w
    def f(c=1):
        defer(dropped, A())
        raise KeyError

    return f


@case
def not_callable(w):
    @w
    def f(c=1):
        defer(None, A())
        defer(clean, A())

    return f


@case
def not_callable2(w):
    @w
    def f(c=1):
        defer(A(), A())
        defer(clean, A())

    return f


@case
def exit_goes_on(w):
    @w
    def f(c=1):
        defer(clean, A())
        defer(rescue, A())
        defer(bad, A())
        raise SystemExit

    return f


@case
def exit_goes_on_loop(w):
    @w
    def f(c=1):
        for i in range(2):
            defer(clean, A())
            defer(rescue, A())
            defer(bad, A())
        raise SystemExit

    return f


@case
def named(w):
    @w(result="err")
    def f(c=1):
        err = None
        defer(clean, A(), k=A())
        defer(bad, A())
        raise KeyError

    return f


@case
def named_return_bad(w):
    @w(result="err")
    def f(c=1):
        err = None
        defer(clean, A(), k=A())
        defer(bad, A())
        return 5

    return f


@case
def many_crowded(w):
    @w
    def f(c=1):
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        okdefer(clean, A())
        errdefer(clean, A())
        defer(bad, A())

    return f


@case
def many_crowded_raise(w):
    @w
    def f(c=1):
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        defer(clean, A())
        okdefer(clean, A())
        errdefer(clean, A())
        defer(bad, A())
        raise KeyError

    return f


@case
def rescue_and_fail_of_the_first(w):
    @w
    def f():
        defer(clean, A(), k=A())
        defer(rescue_fail, A(), k=A())
        panic("panic")

    return f


@case
def rescue_and_fail_only(w):
    @w
    def f():
        defer(rescue_fail, A(), k=A())
        panic("panic")

    return f


@case
def capture_fails_on_the_second(w):
    @w
    def f():
        defer(clean, A())
        okdefer(clean, A(), 1 / 0)

    return f


@case
def errdefer_raises(w):
    @w
    def f():
        defer(clean, A())
        errdefer(bad, A(), k=A())
        okdefer(clean, A())
        raise KeyError

    return f


@case
def okdefer_raises(w):
    @w
    def f():
        errdefer(clean, A())
        okdefer(bad, A(), k=A())
        defer(clean, A())
        return A()

    return f


@case
def an_exit_in_a_deferred_call(w):
    @w
    def f():
        defer(rescue, A())
        defer(stop, A())
        defer(clean, A())

    return f


@case
def each_exit(w):
    @w
    def f(kind):
        defer(clean, A())
        defer(rescue, A())
        errdefer(clean, k=A())
        raise kind

    def run():
        for kind in (
            SystemExit,
            KeyboardInterrupt,
            GeneratorExit,
            asyncio.CancelledError,
            BaseException,
        ):
            try:
                f(kind)
            except BaseException as e:
                kept.append(e)

    return run


@case
def suppressed(w):
    @w
    def f():
        defer(clean, A())
        value = using(Gives(suppresses=True))
        del value
        defer(clean, A())
        raise KeyError

    return f


@case
def suppressed_with_a_return(w):
    @w
    def f(flag=True):
        defer(clean, A())
        value = using(Gives(suppresses=True))
        del value
        defer(bad, A())
        if flag:
            return A()

    return lambda: f() and None


@case
def suppressed_in_a_loop(w):
    @w
    def f():
        for _ in range(2):
            defer(clean, A())
            value = using(Gives(suppresses=True))
            del value
        raise KeyError

    return f


@case
def several_targets(w):
    @w
    def f():
        defer(clean, A())
        a = b = using(Gives(suppresses=False))
        del a, b
        raise KeyError

    return f
