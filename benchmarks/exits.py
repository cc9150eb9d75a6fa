"""The groups for ways to leave a function, with calls deferred as users defer them."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks.group import File, Group, fails
from godefer import defer_scope


def hand_1(call):
    def run():
        f = call
        try:
            return "done"
        finally:
            f(1)

    return run


def deferring_1(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        return "done"

    return run


def stack_1(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            return "done"

    return run


def scope_1(call, scope=defer_scope):
    def run():
        with scope() as defer:
            defer(call, 1)
            return "done"

    return run


def aiotools_1(with_defers, _, call):
    @with_defers
    def run(defer):
        defer(partial(call, 1))
        return "done"

    return run


def hand_3(call):
    def run():
        f = call
        try:
            g = call
            try:
                h = call
                try:
                    return "done"
                finally:
                    h(3)
            finally:
                g(2)
        finally:
            f(1)

    return run


def deferring_3(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        defer(call, 2)
        defer(call, 3)
        return "done"

    return run


def stack_3(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            stack.callback(call, 2)
            stack.callback(call, 3)
            return "done"

    return run


def scope_3(call):
    def run():
        with defer_scope() as defer:
            defer(call, 1)
            defer(call, 2)
            defer(call, 3)
            return "done"

    return run


def aiotools_3(with_defers, _, call):
    @with_defers
    def run(defer):
        defer(partial(call, 1))
        defer(partial(call, 2))
        defer(partial(call, 3))
        return "done"

    return run


def hand_8(call):
    def run():
        f1 = call
        try:
            f2 = call
            try:
                f3 = call
                try:
                    f4 = call
                    try:
                        f5 = call
                        try:
                            f6 = call
                            try:
                                f7 = call
                                try:
                                    f8 = call
                                    try:
                                        return "done"
                                    finally:
                                        f8(8)
                                finally:
                                    f7(7)
                            finally:
                                f6(6)
                        finally:
                            f5(5)
                    finally:
                        f4(4)
                finally:
                    f3(3)
            finally:
                f2(2)
        finally:
            f1(1)

    return run


def deferring_8(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        defer(call, 2)
        defer(call, 3)
        defer(call, 4)
        defer(call, 5)
        defer(call, 6)
        defer(call, 7)
        defer(call, 8)
        return "done"

    return run


def stack_8(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            stack.callback(call, 2)
            stack.callback(call, 3)
            stack.callback(call, 4)
            stack.callback(call, 5)
            stack.callback(call, 6)
            stack.callback(call, 7)
            stack.callback(call, 8)
            return "done"

    return run


def scope_8(call, scope=defer_scope):
    def run():
        with scope() as defer:
            defer(call, 1)
            defer(call, 2)
            defer(call, 3)
            defer(call, 4)
            defer(call, 5)
            defer(call, 6)
            defer(call, 7)
            defer(call, 8)
            return "done"

    return run


def aiotools_8(with_defers, _, call):
    @with_defers
    def run(defer):
        defer(partial(call, 1))
        defer(partial(call, 2))
        defer(partial(call, 3))
        defer(partial(call, 4))
        defer(partial(call, 5))
        defer(partial(call, 6))
        defer(partial(call, 7))
        defer(partial(call, 8))
        return "done"

    return run


def hand_method(file):
    def run():
        close = file.close
        try:
            return "done"
        finally:
            close()

    return run


def deferring_method(with_defers, defer, file):
    @with_defers
    def run():
        defer(file.close)
        return "done"

    return run


def stack_method(file):
    def run():
        with ExitStack() as stack:
            stack.callback(file.close)
            return "done"

    return run


def scope_method(file):
    def run():
        with defer_scope() as defer:
            defer(file.close)
            return "done"

    return run


def aiotools_method(with_defers, _, file):
    @with_defers
    def run(defer):
        defer(file.close)
        return "done"

    return run


def hand_conditional(call):
    def run(wanted=True):
        f = None
        try:
            if wanted:
                f = call
            return "done"
        finally:
            if f is not None:
                f(1)

    return run


def deferring_conditional(with_defers, defer, call):
    @with_defers
    def run(wanted=True):
        if wanted:
            defer(call, 1)
        return "done"

    return run


def stack_conditional(call):
    def run(wanted=True):
        with ExitStack() as stack:
            if wanted:
                stack.callback(call, 1)
            return "done"

    return run


def scope_conditional(call):
    def run(wanted=True):
        with defer_scope() as defer:
            if wanted:
                defer(call, 1)
            return "done"

    return run


def aiotools_conditional(with_defers, _, call):
    @with_defers
    def run(defer, wanted=True):
        if wanted:
            defer(partial(call, 1))
        return "done"

    return run


def hand_loop(call):
    def run(n=100):
        pending = []
        try:
            for i in range(n):
                pending.append((call, i))
            return "done"
        finally:
            while pending:
                f, argument = pending.pop()
                f(argument)

    return run


def deferring_loop(with_defers, defer, call):
    @with_defers
    def run(n=100):
        for i in range(n):
            defer(call, i)
        return "done"

    return run


def stack_loop(call):
    def run(n=100):
        with ExitStack() as stack:
            for i in range(n):
                stack.callback(call, i)
            return "done"

    return run


def scope_loop(call):
    def run(n=100):
        with defer_scope() as defer:
            for i in range(n):
                defer(call, i)
            return "done"

    return run


def aiotools_loop(with_defers, _, call):
    @with_defers
    def run(defer, n=100):
        for i in range(n):
            defer(partial(call, i))
        return "done"

    return run


def hand_exception_1(call):
    def run():
        f = call
        try:
            raise LookupError
        finally:
            f(1)

    return run


def deferring_exception_1(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        raise LookupError

    return run


def stack_exception_1(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            raise LookupError

    return run


def scope_exception_1(call, scope=defer_scope):
    def run():
        with scope() as defer:
            defer(call, 1)
            raise LookupError

    return run


def aiotools_exception_1(with_defers, _, call):
    @with_defers
    def run(defer):
        defer(partial(call, 1))
        raise LookupError

    return run


def hand_exception_8(call):
    def run():
        f1 = call
        try:
            f2 = call
            try:
                f3 = call
                try:
                    f4 = call
                    try:
                        f5 = call
                        try:
                            f6 = call
                            try:
                                f7 = call
                                try:
                                    f8 = call
                                    try:
                                        raise LookupError
                                    finally:
                                        f8(8)
                                finally:
                                    f7(7)
                            finally:
                                f6(6)
                        finally:
                            f5(5)
                    finally:
                        f4(4)
                finally:
                    f3(3)
            finally:
                f2(2)
        finally:
            f1(1)

    return run


def deferring_exception_8(with_defers, defer, call):
    @with_defers
    def run():
        defer(call, 1)
        defer(call, 2)
        defer(call, 3)
        defer(call, 4)
        defer(call, 5)
        defer(call, 6)
        defer(call, 7)
        defer(call, 8)
        raise LookupError

    return run


def stack_exception_8(call):
    def run():
        with ExitStack() as stack:
            stack.callback(call, 1)
            stack.callback(call, 2)
            stack.callback(call, 3)
            stack.callback(call, 4)
            stack.callback(call, 5)
            stack.callback(call, 6)
            stack.callback(call, 7)
            stack.callback(call, 8)
            raise LookupError

    return run


def scope_exception_8(call, scope=defer_scope):
    def run():
        with scope() as defer:
            defer(call, 1)
            defer(call, 2)
            defer(call, 3)
            defer(call, 4)
            defer(call, 5)
            defer(call, 6)
            defer(call, 7)
            defer(call, 8)
            raise LookupError

    return run


def aiotools_exception_8(with_defers, _, call):
    @with_defers
    def run(defer):
        defer(partial(call, 1))
        defer(partial(call, 2))
        defer(partial(call, 3))
        defer(partial(call, 4))
        defer(partial(call, 5))
        defer(partial(call, 6))
        defer(partial(call, 7))
        defer(partial(call, 8))
        raise LookupError

    return run


GROUPS = [
    Group("return, 1 call", "done", [1], hand_1, deferring_1, stack_1, scope_1, aiotools_1),
    Group("return, 3 calls", "done", [3, 2, 1], hand_3, deferring_3, stack_3, scope_3, aiotools_3),
    Group(
        "return, 8 calls",
        "done",
        [8, 7, 6, 5, 4, 3, 2, 1],
        hand_8,
        deferring_8,
        stack_8,
        scope_8,
        aiotools_8,
    ),
    Group(
        "a bound method",
        "done",
        ["close"],
        hand_method,
        deferring_method,
        stack_method,
        scope_method,
        aiotools_method,
        timed=File(),
    ),
    Group(
        "in an if",
        "done",
        [1],
        hand_conditional,
        deferring_conditional,
        stack_conditional,
        scope_conditional,
        aiotools_conditional,
    ),
    Group(
        "a loop of 100",
        "done",
        list(reversed(range(100))),
        hand_loop,
        deferring_loop,
        stack_loop,
        scope_loop,
        aiotools_loop,
    ),
    Group(
        "exception, 1 call",
        LookupError,
        [1],
        hand_exception_1,
        deferring_exception_1,
        stack_exception_1,
        scope_exception_1,
        aiotools_exception_1,
        drive=fails,
    ),
    Group(
        "exception, 8 calls",
        LookupError,
        [8, 7, 6, 5, 4, 3, 2, 1],
        hand_exception_8,
        deferring_exception_8,
        stack_exception_8,
        scope_exception_8,
        aiotools_exception_8,
        drive=fails,
    ),
]
