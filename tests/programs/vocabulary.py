"""The names of a random program: the functions, exceptions and context managers that it uses."""

import asyncio
import contextlib
import functools
import sys
import types

FUNCTION, GENERATOR, COROUTINE, ASYNC_GENERATOR = KINDS = (
    "function",
    "generator",
    "coroutine",
    "async generator",
)
ASYNC = (COROUTINE, ASYNC_GENERATOR)
GENERATORS = (GENERATOR, ASYNC_GENERATOR)


class E1(Exception):
    pass


class E2(E1):
    pass


class E3(Exception):
    pass


class Stop(BaseException):
    pass


ERRORS = (
    E1,
    E2,
    E3,
    Stop,
    SystemExit,
    KeyboardInterrupt,
    asyncio.CancelledError,
    GeneratorExit,
    StopIteration,
)


@types.coroutine
def pause(value):
    return (yield value)


def show(value):
    if isinstance(value, TypeError):  # the messages of the reference differ after the colon
        return ("TypeError", *(arg.partition(":")[0] for arg in value.args))
    return (type(value).__name__, *value.args) if isinstance(value, BaseException) else value


def vocabulary(events, recover):
    """Return the globals of a program: callables and context managers that note in *events*."""

    def log(*values):
        events.append((*map(show, values), show(sys.exception())))

    def val(n):
        log("val", n)
        return n

    ticks = iter([True, True, False, True, False])

    def tick():
        return next(ticks, False)

    def pick(fn):
        log("pick", getattr(fn, "__name__", None))
        return fn

    def note(n):
        log("note", n)
        return n  # dropped

    def fail(n):
        log("fail", n)
        raise E1("fail", n)

    def fail_from(n):
        log("fail_from", n)
        raise E2("fail_from", n) from E3("cause", n)

    def fail_from_none(n):
        log("fail_from_none", n)
        raise E3("fail_from_none", n) from None

    def exits(n):
        log("exits", n)
        raise SystemExit("exits", n)

    def interrupted(n):
        log("interrupted", n)
        raise KeyboardInterrupt("interrupted", n)

    def raises_again(n):
        log("raises_again", n)
        if sys.exception() is not None:
            raise  # noqa: PLE0704

    def annotates(n):
        log("annotates", n)
        if sys.exception() is not None:
            sys.exception().add_note(f"note {n}")

    def rec(n):
        log("rec", n, recover())
        log("once more", recover())

    def rec_type(n):
        log("rec_type", n, recover(E1))

    def rec_any(n):
        log("rec_any", n, recover(BaseException))

    def rec_raise(n):
        log("rec_raise", n, recover())
        raise E3("rec_raise", n)

    def rec_raise_from(n):
        raise E3("rec_raise_from", n) from recover()

    def rec_any_raise(n):
        log("rec_any_raise", n, recover(BaseException))
        raise E1("rec_any_raise", n)

    def rec_raise_again(n):
        error = recover()
        log("rec_raise_again", n, error)
        if error is not None:
            raise error

    def rec_exit(n):
        log("rec_exit", n, recover())
        raise SystemExit("rec_exit", n)

    def rec_in_handler(n):
        try:
            raise E3("rec_in_handler", n)
        except E3:
            log("rec_in_handler", n, recover())

    def helped(n):
        def helper():
            return recover()

        log("helped", n, helper())

    class Thing:
        def method(self, n):
            log("method", n, recover())

    async def anote(n):
        log("anote", n)
        log("resumed", await pause(n))

    async def afail(n):
        await pause(n)
        raise E1("afail", n)

    async def arec(n):
        await pause(n)
        log("arec", n, recover())
        await pause(n)

    async def arec_raise(n):
        log("arec_raise", n, recover())
        await pause(n)
        raise E3("arec_raise", n)

    class Manager:
        """A context manager; *how* selects the behaviour of its exit."""

        def __init__(self, n, how):
            self.n = n
            self.how = how

        def __enter__(self):
            log("enter", self.n)
            if self.how == "unenterable":
                raise E1("enter", self.n)
            return self.n

        def __exit__(self, kind, error, traceback):
            log("exit", self.n, kind and kind.__name__, error, recover(), error is sys.exception())
            if self.how == "raises":
                raise E2("exit", self.n)
            return self.how == "suppresses"

    class AsyncManager(Manager):
        async def __aenter__(self):
            await pause(self.n)
            return self.__enter__()

        async def __aexit__(self, *details):
            await pause(self.n)
            return self.__exit__(*details)

    @contextlib.contextmanager
    def generated(n, how):
        try:
            yield n
        except E1 as error:
            log("generated", n, error)
            if how == "raises":
                raise E3("generated", n) from error
            if how != "suppresses":
                raise

    names = locals()
    names["partial"] = functools.partial(rec)
    names["method"] = Thing().method
    names["__name__"] = "program"
    names["pause"] = pause
    names.update((error.__name__, error) for error in ERRORS)
    return names


CALLEES = """note fail rec val rec_type rec_raise fail_from fail_from_none exits interrupted
    raises_again annotates rec_any
    rec_raise_from rec_any_raise rec_raise_again rec_exit rec_in_handler helped partial method
    recover None anote"""
CALLEES = (*CALLEES.split(), "fail", "note", "rec", "rec", "rec_raise")
ASYNC_CALLEES = (*CALLEES, *("anote", "afail", "arec", "arec_raise") * 3)
RECOVERING = {name for name in ASYNC_CALLEES if "rec" in name} | {"partial", "method"}
HOW = ("suppresses", "plain", "raises", "unenterable")
