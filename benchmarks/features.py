"""The groups for recoveries, managers, `errdefer`, named results, generators, coroutines."""

from __future__ import annotations

from contextlib import AsyncExitStack, ExitStack

import godefer
from benchmarks.group import File, Group, awaits, exhausts, fails
from godefer import errdefer, recover, using


def hand_recover(call):
    def run():
        try:
            raise LookupError("key")
        except Exception as error:
            call(error.args[0])

    return run


def deferring_recover(with_defers, defer, call):
    def caught():
        error = recover()
        if error is not None:
            call(error.args[0])

    @with_defers
    def run():
        defer(caught)
        raise LookupError("key")

    return run


def stack_recover(call):
    def caught(_, error, __):
        if isinstance(error, Exception):
            call(error.args[0])
            return True
        return False

    def run():
        with ExitStack() as stack:
            stack.push(caught)
            raise LookupError("key")

    return run


def scope_recover(call):
    def caught():
        error = recover()
        if error is not None:
            call(error.args[0])

    def run():
        with godefer.defer_scope() as defer:
            defer(caught)
            raise LookupError("key")

    return run


def hand_using(file):
    def run():
        with file:
            return "done"

    return run


def deferring_using(with_defers, _, file):
    @with_defers
    def run():
        using(file)
        return "done"

    return run


def stack_using(file):
    def run():
        with ExitStack() as stack:
            stack.enter_context(file)
            return "done"

    return run


def scope_using(file, scope=godefer.defer_scope):
    def run():
        with scope() as defer:
            defer.using(file)
            return "done"

    return run


def hand_errdefer(call):
    def run():
        f = call
        try:
            return "done"
        except BaseException:
            f(1)
            raise

    return run


def deferring_errdefer(with_defers, _, call):
    @with_defers
    def run():
        errdefer(call, 1)
        return "done"

    return run


def _on_error(call):
    def leave(kind, _, __):
        if kind is not None:
            call(1)

    return leave


def stack_errdefer(call):
    leave = _on_error(call)

    def run():
        with ExitStack() as stack:
            stack.push(leave)
            return "done"

    return run


def scope_errdefer(call):
    def run():
        with godefer.defer_scope() as defer:
            defer.err(call, 1)
            return "done"

    return run


def hand_errdefer_failing(call):
    def run():
        f = call
        try:
            raise LookupError
        except BaseException:
            f(1)
            raise

    return run


def deferring_errdefer_failing(with_defers, _, call):
    @with_defers
    def run():
        errdefer(call, 1)
        raise LookupError

    return run


def stack_errdefer_failing(call):
    leave = _on_error(call)

    def run():
        with ExitStack() as stack:
            stack.push(leave)
            raise LookupError

    return run


def scope_errdefer_failing(call):
    def run():
        with godefer.defer_scope() as defer:
            defer.err(call, 1)
            raise LookupError

    return run


def hand_result(call):
    def run():
        n = None

        def add():
            nonlocal n
            n += 1

        f = add
        try:
            n = 41
        finally:
            f()
        return n

    return run


def deferring_result(with_defers, defer, call):
    @with_defers(result="n")
    def run():
        n = None

        def add():
            nonlocal n
            n += 1

        defer(add)
        return 41

    return run


def stack_result(call):
    def run():
        n = None

        def add():
            nonlocal n
            n += 1

        with ExitStack() as stack:
            stack.callback(add)
            n = 41
        return n

    return run


def hand_generator(call):
    def run():
        f = call
        try:
            for i in range(3):  # noqa: UP028  # a user's loop would do something
                yield i
        finally:
            f(1)

    return run


def deferring_generator(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        for i in range(3):  # noqa: UP028
            yield i

    return run


def stack_generator(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            for i in range(3):  # noqa: UP028
                yield i

    return run


def scope_generator(call):
    def run():
        with godefer.defer_scope() as defer:
            defer(call, 1)
            for i in range(3):  # noqa: UP028
                yield i

    return run


def _async(call):
    async def awaited(n):  # it does not wait, so that only the `await` itself is timed
        call(n)

    return awaited


def hand_coroutine(call):
    deferred = _async(call)

    async def run():
        f = deferred
        try:
            return "done"
        finally:
            await f(1)

    return run


def deferring_coroutine(with_defers, defer, call):
    deferred = _async(call)

    @with_defers
    async def run():
        defer(deferred, 1)
        return "done"

    return run


def stack_coroutine(call):
    deferred = _async(call)

    async def run():
        async with AsyncExitStack() as stack:
            stack.push_async_callback(deferred, 1)
            return "done"

    return run


def scope_coroutine(call):
    deferred = _async(call)

    async def run():
        async with godefer.defer_scope() as defer:
            defer(deferred, 1)
            return "done"

    return run


def aiotools_coroutine(with_defers, _, call):
    deferred = _async(call)

    @with_defers
    async def run(defer):
        defer(deferred(1))
        return "done"

    return run


GROUPS = [
    Group(
        "recover",
        None,
        ["key"],
        hand_recover,
        deferring_recover,
        stack_recover,
        scope_recover,
        peers=False,
    ),
    Group(
        "using",
        "done",
        ["enter", "exit"],
        hand_using,
        deferring_using,
        stack_using,
        scope_using,
        timed=File(),
        peers=False,
    ),
    Group(
        "errdefer, return",
        "done",
        [],
        hand_errdefer,
        deferring_errdefer,
        stack_errdefer,
        scope_errdefer,
        peers=False,
    ),
    Group(
        "errdefer, exception",
        LookupError,
        [1],
        hand_errdefer_failing,
        deferring_errdefer_failing,
        stack_errdefer_failing,
        scope_errdefer_failing,
        drive=fails,
        peers=False,
    ),
    Group(
        "a named result",
        42,
        [],
        hand_result,
        deferring_result,
        stack_result,
        peers=False,
        runtime=False,
    ),
    Group(
        "a generator",
        [0, 1, 2],
        [1],
        hand_generator,
        deferring_generator,
        stack_generator,
        scope_generator,
        drive=exhausts,
    ),
    Group(
        "a coroutine",
        "done",
        [1],
        hand_coroutine,
        deferring_coroutine,
        stack_coroutine,
        scope_coroutine,
        aiotools_coroutine,
        drive=awaits,
    ),
]
