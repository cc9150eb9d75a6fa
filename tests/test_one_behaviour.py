"""Both ways of running, and nested statements written out, do the same (R3): random functions, each run in all three.

A program is the source of a few functions. It is run open-coded, the runtime way, and as a reference, in which the same body stands
inside of twelve nested statements: ``try: … finally:``, or, where something may recover, ``with``, which can suppress. The clean-up
of the i-th of them from outside is the i-th deferred call. So the interpreter itself decides when the reference's calls run and how
its exceptions are chained; only `recover` is modelled here.
"""

import asyncio
import contextlib
import functools
import gc
import linecache
import os
import re
import sys
import types
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import godefer

EXAMPLES = os.environ.get(
    "GODEFER_EXAMPLES"
)  # a number: that many new ones, instead of always the same few
SETTINGS = settings(
    max_examples=int(EXAMPLES or 100),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # a program takes as many choices as it takes
)

FUNCTION, GENERATOR, COROUTINE, ASYNC_GENERATOR = KINDS = (
    "function",
    "generator",
    "coroutine",
    "async generator",
)
ASYNC = (COROUTINE, ASYNC_GENERATOR)
GENERATORS = (GENERATOR, ASYNC_GENERATOR)
LEVELS = 12  # the interpreter allows twenty nested blocks, and the body has its own


# The reference


class Running:
    """A deferred call that is run because of *error*; recovering is setting *recovered*."""

    def __init__(self, error):
        self.error = error
        self.recovered = False


class Calls:
    """What one invocation has deferred."""

    def __init__(self):
        self.calls = []
        self.failing = False

    def defer(self, fn, /, *args, **kwargs):
        self.calls.append(("defer", fn, args, kwargs))

    def errdefer(self, fn, /, *args, **kwargs):
        self.calls.append(("errdefer", fn, args, kwargs))

    def okdefer(self, fn, /, *args, **kwargs):
        self.calls.append(("okdefer", fn, args, kwargs))

    def using(self, manager):
        value = manager.__enter__()
        self.calls.append(("using", manager.__exit__, (), {}))
        return value

    async def ausing(self, manager):
        value = await manager.__aenter__()
        self.calls.append(("using", manager.__aexit__, (), {}))
        return value

    def due(self, level):
        """The call to be made at the exit of *level*; or None."""
        if len(self.calls) > LEVELS:
            UNKNOWN.append(self)
        if level >= len(self.calls):
            return None
        when, fn, args, kwargs = self.calls[level]
        if when == ("okdefer" if self.failing else "errdefer"):
            return None
        error = sys.exception() if self.failing else None
        if when == "using":
            args = (
                (None, None, None) if error is None else (type(error), error, error.__traceback__)
            )
        return when, Running(error), fn, args, kwargs

    def failed(self, when, call):
        """The call raised."""
        self.failing = True
        error = sys.exception()
        if when != "using" and call.error is not None:
            gone = call.recovered or isinstance(call.error, Exception)
            exit_ = ABORTED.get(call.error) if gone else call.error
            if exit_ is not None and exit_ is not error:
                ABORTED[error] = exit_

    def returned(self, when, call, result):
        """The call returned; does the function return now, though it was failing?"""
        if not (result if when == "using" else call.recovered) or call.error is None:
            return False
        exit_ = ABORTED.pop(call.error, None) if when != "using" else None
        if exit_ is not None:  # the exit that the recovered exception had aborted goes on (P3)
            chain, error = [(exit_, exit_.__context__)], sys.exception()
            while error is not None and all(error is not seen for seen, _ in chain):
                chain.append((error, error.__context__))
                error = error.__context__
            try:
                raise exit_
            finally:
                for error, context in chain:
                    error.__context__ = context
        self.failing = False
        return True


class Level:
    """What stands around the body, once for each call that may be deferred: a context manager of both kinds."""

    def __init__(self, calls, level):
        self.calls = calls
        self.level = level

    def __enter__(self):
        pass

    async def __aenter__(self):
        pass

    def __exit__(self, *_):
        found = self.calls.due(self.level)
        if found is None:
            return False
        when, running, fn, args, kwargs = found
        try:
            result = fn(*args, **kwargs)
            if isinstance(result, types.CoroutineType):
                result.close()
                raise TypeError(
                    f"{result.__qualname__} is a coroutine function deferred in sync code, so nothing would await "
                    "it. Make the function `async def` (or the scope `async with`), or defer a function that runs it."
                )
        except BaseException:
            self.calls.failed(when, running)
            raise
        return self.calls.returned(when, running, result)

    async def __aexit__(self, *_):
        found = self.calls.due(self.level)
        if found is None:
            return False
        when, running, fn, args, kwargs = found
        try:
            result = fn(*args, **kwargs)
            if hasattr(type(result), "__await__"):
                result = await result
        except BaseException:
            self.calls.failed(when, running)
            raise
        return self.calls.returned(when, running, result)


RUNNERS = {Level.__exit__.__code__, Level.__aexit__.__code__}


class ByIdentity(dict):
    """A dictionary of exceptions by identity; it keeps them."""

    def __setitem__(self, key, value):
        super().__setitem__(id(key), (key, value))

    def get(self, key):
        return super().get(id(key), (None, None))[1]

    def pop(self, key, default):
        return super().pop(id(key), (None, default))[1]


ABORTED = ByIdentity()  # exception -> the exit that was aborted by it
UNKNOWN = []  # invocations that defer more calls than the reference has levels


def reference_recover(*types):
    """`recover` by the rule: its caller's caller, the frames of `partial` having none, is what runs deferred calls (P2)."""
    caller = sys._getframe(1)
    if caller.f_code in RUNNERS:  # defer(recover)
        if caller.f_locals["running"].error is not None:
            return None
        caller = caller.f_back
    if caller.f_back.f_code not in RUNNERS:
        return None
    running = caller.f_back.f_locals["running"]
    if (
        caller.f_back.f_locals["when"] == "using"
        or running.recovered
        or not isinstance(running.error, types or Exception)
    ):
        return None
    running.recovered = True
    return running.error


# What programs are made of


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
    if isinstance(value, TypeError):  # the reference does not know the whole message
        return ("TypeError", *(arg.partition(":")[0] for arg in value.args))
    return (type(value).__name__, *value.args) if isinstance(value, BaseException) else value


def vocabulary(events, recover):
    """The globals of a program: what can be called, deferred or entered in it. All of it notes in *events* what is done."""

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
        """A context manager; *how* says what its exit does."""

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


CALLEES = """note fail rec val rec_type rec_raise fail_from fail_from_none exits interrupted raises_again annotates rec_any
    rec_raise_from rec_any_raise rec_raise_again rec_exit rec_in_handler helped partial method recover None anote"""
CALLEES = (*CALLEES.split(), "fail", "note", "rec", "rec", "rec_raise")
ASYNC_CALLEES = (*CALLEES, *("anote", "afail", "arec", "arec_raise") * 3)
RECOVERING = {name for name in ASYNC_CALLEES if "rec" in name} | {"partial", "method"}
HOW = ("suppresses", "plain", "raises", "unenterable")


# Programs


class Writer:
    """Writes the body of one function; *choose* makes every decision."""

    def __init__(self, choose, kind, others, *, recovers, program_is_async):
        self.choose = choose
        self.kind = kind
        self.others = others  # name -> kind: the functions that this one may call or defer
        self.recovers = recovers
        self.program_is_async = program_is_async
        self.numbers = count(1)

    def number(self):
        return next(self.numbers)

    def argument(self):
        forms = ["{n}", "x", "val({n})", "x + {n}"]
        if self.kind in GENERATORS:
            forms.append("(yield {n})")
        if self.kind in ASYNC:
            forms.append("await pause({n})")
        return self.choose(forms).format(n=self.number())

    def callee(self):
        names = list(ASYNC_CALLEES if self.kind in ASYNC else CALLEES)
        if not self.recovers:
            names = [name for name in names if name not in RECOVERING]
        names += [
            name
            for name, kind in self.others.items()
            if kind == FUNCTION or (kind == COROUTINE and self.kind in ASYNC)
        ] * 6
        return self.choose(names)

    def manager(self, name="Manager"):
        return f"{name}({self.number()}, {self.choose(HOW if self.recovers else HOW[1:])!r})"

    def body(self):
        lines = ["x = n", "def bump(n):", "    nonlocal x", "    x += n", "    log('bump', x)"]
        for _ in range(self.choose([2, 1, 3, 4, 6, 10])):
            lines += self.statement(2, loop=False, handler=False)
        lines += self.choose(
            [[self.simple("return", handler=False)], [self.simple("raise", handler=False)], []]
        )
        return [*lines, *(["if False: yield"] if self.kind in GENERATORS else [])]

    def block(self, depth, *, loop, handler):
        lines = []
        for _ in range(self.choose([1, 2, 3])):
            lines += self.statement(depth - 1, loop=loop, handler=handler)
        return ["    " + line for line in lines]

    def statement(self, depth, *, loop, handler):
        kinds = [
            "log",
            "defer",
            "defer",
            "defer",
            "defer",
            "defer",
            "errdefer",
            "okdefer",
            "using",
            "assign",
            "call",
        ]
        if self.kind in GENERATORS:
            kinds += ["yield", "yield"]
        if self.kind in ASYNC:
            kinds += ["await", "await", "ausing"]
        if loop:
            kinds.append("leave")
        if depth < 2:  # at the top level a body would seldom go on after them
            kinds += ["raise", "return"]
        if depth:
            kinds += ["if", "for", "try", "finally", "with", "match", "while", "try"]
        kind = self.choose(kinds)
        if kind in {"defer", "errdefer", "okdefer"}:
            return [self.deferred(kind)]
        if hasattr(self, kind + "_"):
            return getattr(self, kind + "_")(depth, loop=loop, handler=handler)
        return [self.simple(kind, handler=handler)]

    def deferred(self, statement):
        callee = self.callee()
        forms = [
            "({f}, {a})",
            "({f}, n={a})",
            "({f}, *[{a}])",
            "({f}, **{{'n': {a}}})",
            "(pick({f}), {a})",
        ]
        if callee == "recover":
            forms = ["({f})", "({f}, E1)", "(bump, {a})"]
        elif callee != "None":
            forms.append("(lambda: {f}(x))")
        return statement + self.choose(forms).format(f=callee, a=self.argument())

    def simple(self, kind, *, handler):
        n = self.number()
        if kind == "log":
            forms = [f"log({n})", f"log({n}, x)", f"log({n}, recover())", f"log({n}, recover(E1))"]
            return self.choose(forms if self.recovers else forms[:2])
        if kind == "assign":
            return f"x = {self.argument()}"
        if kind == "raise":
            forms = [
                "raise E1({n})",
                "fail({n})",
                "raise E2({n}) from E3({n})",
                "raise E3({n}) from None",
            ]
            forms += ["raise SystemExit({n})", "raise Stop({n})"]
            if (
                not self.program_is_async
            ):  # no StopIteration passes through a coroutine, and the reference has other ones
                forms.append("raise StopIteration({n})")
            return self.choose([*forms, *["raise"] * 5 * handler]).format(n=n)
        if kind == "return":
            forms = [
                "return",
                "return None",
                f"return {n}",
                "return x",
                f"return val({n})",
                f"return fail({n})",
            ]
            return "return" if self.kind == ASYNC_GENERATOR else self.choose(forms)
        if kind == "using":
            manager = self.manager(self.choose(["Manager", "generated"]))
            return self.choose(
                ["using({m})", "x = using({m})", "x: int = using({m})", "y = x = using({m})"]
            ).format(m=manager)
        if kind == "ausing":
            manager = self.manager("AsyncManager")
            return self.choose(["await ausing({m})", "x = await ausing({m})"]).format(m=manager)
        if kind == "yield":
            return self.choose([f"log('sent', (yield {n}))", f"yield {n}"])
        if kind == "await":
            return self.choose([f"log('sent', await pause({n}))", f"await anote({n})"])
        if kind == "leave":
            return self.choose(["break", "continue"])
        return self.called(n)

    def called(self, n):
        forms = (
            [f"fail({n})", f"rec({n})", f"bump({n})"]
            if self.recovers
            else [f"fail({n})", f"bump({n})"]
        )
        for name, kind in self.others.items():
            if kind == FUNCTION:
                forms += [f"log({name}({n}))"] * 3
            elif kind == GENERATOR:
                forms += [f"log((yield from {name}({n})))"] * 3
            elif kind == COROUTINE:
                forms += [f"log(await {name}({n}))"] * 3
            else:
                forms += [f"async for x in {name}({n}): log(x)"] * 3
        return self.choose(forms)

    def if_(self, depth, **where):
        lines = [self.choose(["if True:", "if x % 2:", "if False:"]), *self.block(depth, **where)]
        return (
            [*lines, "else:", *self.block(depth, **where)] if self.choose([False, True]) else lines
        )

    def match_(self, depth, **where):
        lines = [
            "match x % 3:",
            "    case 0:",
            *("    " + line for line in self.block(depth, **where)),
        ]
        return [*lines, "    case x:", *("    " + line for line in self.block(depth, **where))]

    def for_(self, depth, *, loop, handler):
        lines = [
            f"for x in range({self.choose([2, 1, 3])}):",
            *self.block(depth, loop=True, handler=handler),
        ]
        return (
            [*lines, "else:", *self.block(depth, loop=loop, handler=handler)]
            if self.choose([False, True])
            else lines
        )

    def while_(self, depth, *, loop, handler):
        return ["while tick():", *self.block(depth, loop=True, handler=handler)]

    def with_(self, depth, **where):
        if self.kind in ASYNC and self.choose([False, True]):
            return [f"async with {self.manager('AsyncManager')}:", *self.block(depth, **where)]
        return [f"with {self.manager()} as x:", *self.block(depth, **where)]

    def try_(self, depth, *, loop, handler):
        caught = self.choose(
            ["except E1:", "except Exception as e:", "except BaseException:", "except:"]
        )
        lines = ["try:", *self.block(depth, loop=loop, handler=handler), caught]
        lines += self.block(depth, loop=loop, handler=True)
        if self.choose([False, True]):
            lines += ["else:", *self.block(depth, loop=loop, handler=handler)]
        if self.choose([False, True]):
            lines += ["finally:", *self.block(depth, loop=loop, handler=False)]
        return lines

    def finally_(self, depth, *, loop, handler):
        lines = ["try:", *self.block(depth, loop=loop, handler=handler)]
        return [*lines, "finally:", *self.block(depth, loop=loop, handler=False)]


class Program:
    """Functions, the first to be run and the others to be called by those before them."""

    def __init__(self, choose, kind):
        self.kind = kind
        self.recovers = choose([True, False])  # may anything in it recover or suppress?
        self.functions = []  # name, kind, body
        others = {}
        kinds = [FUNCTION, kind, *([COROUTINE] if kind in ASYNC else [])]
        for i in range(choose([1, 1, 2, 3]), 0, -1):
            name, own = f"f{i}", kind if i == 1 else choose(kinds)
            reachable = {
                n: k
                for n, k in others.items()
                if k in {FUNCTION, own} or (k == COROUTINE and own in ASYNC)
            }
            writer = Writer(
                choose, own, reachable, recovers=self.recovers, program_is_async=kind in ASYNC
            )
            self.functions.append((name, own, writer.body()))
            others[name] = own

    def text(self):
        """The program as one would write it."""
        lines = []
        for name, kind, body in self.functions:
            lines += ["@with_defers", self.head(name, kind), *("    " + line for line in body), ""]
        return "\n".join(lines)

    def reference(self):
        """The program with its calls as the clean-ups of nested statements."""
        lines = []
        for name, kind, body in self.functions:
            result = "return" if kind == ASYNC_GENERATOR else "return R"
            lines += [self.head(name, kind), "    R, D = None, Calls()"]
            lines += [
                "    defer, errdefer, okdefer = D.defer, D.errdefer, D.okdefer",
                "    using, ausing = D.using, D.ausing",
            ]
            lines += [" " * (4 + i) + self.opened(kind, i) for i in range(LEVELS)]
            lines.append(" " * (4 + LEVELS) + "try:")
            indent = " " * (5 + LEVELS)
            for line in body:
                before, found, value = line.partition("return")
                lines.append(indent + (f"{before}R = {value or None}; {result}" if found else line))
            lines += [indent + "R = None", indent[1:] + "except BaseException:"]
            lines += [indent + line for line in ("R, D.failing = None, True", "raise")]
            lines += [line for i in reversed(range(LEVELS)) for line in self.closed(kind, i)]
            lines.append("    " + result)
        return "\n".join([*lines, ""])

    def opened(self, kind, level):
        if not self.recovers:
            return "try:"
        return f"{'async ' if kind in ASYNC else ''}with Level(D, {level}):"

    def closed(self, kind, level):
        if self.recovers:
            return []
        leaving = "await Level(D, {}).__aexit__()" if kind in ASYNC else "Level(D, {}).__exit__()"
        return [" " * (4 + level) + "finally:", " " * (5 + level) + leaving.format(level)]

    @staticmethod
    def head(name, kind):
        return f"{'async ' if kind in ASYNC else ''}def {name}(n):"


# Running them


class Script:
    """What is done to a suspended function, step by step; afterwards it is resumed until it ends."""

    def __init__(self, actions):
        self.actions = iter(actions)
        self.done = []

    def next(self, suspended, *, awaiting=False):
        what, how = next(self.actions, ("send", None))
        # Not thrown into what a coroutine awaits: GeneratorExit. That is closed instead, and answers in an order which depends on
        # the coroutines in between (PEP 380), which are not the same ones in the reference.
        if (what == "close" or how is GeneratorExit) and (
            awaiting or awaits_deferred_call(suspended)
        ):
            what, how = "send", None
        self.done.append((what, how))
        if what == "throw":
            return what, (how("thrown"),)
        return what, () if what == "close" else (how,)


def awaits_deferred_call(suspended):
    """Is the coroutine, of a reference, in a deferred call?"""
    while suspended is not None:
        if getattr(suspended, "cr_code", None) is Level.__aexit__.__code__:
            return True
        suspended = getattr(suspended, "cr_await", None)
    return False


def drive(kind, function, script):
    """Run *function*, doing what *script* says whenever it is suspended; note what happens each time."""
    outcomes = []

    def step(action, *args):
        """Do one thing; true if it has left what is suspended so."""
        try:
            result = action(*args)
        except (StopIteration, StopAsyncIteration) as stop:
            outcomes.append((type(stop).__name__, show(stop.args)))
        except BaseException as error:
            outcomes.append(("raised", chain(error)))
        else:
            outcomes.append(("closed" if action.__name__ == "close" else "suspended", result))
        return outcomes[-1][0] == "suspended"

    if kind == FUNCTION:
        step(function, 0)
        return outcomes
    suspended = function(0)
    what, args = "send", (None,)
    while kind != ASYNC_GENERATOR:
        if not step(getattr(suspended, what), *args) and IGNORED not in repr(outcomes[-1]):
            return outcomes
        what, args = script.next(suspended)
    operations = {"send": suspended.asend, "throw": suspended.athrow, "close": suspended.aclose}
    while True:
        awaited = operations[what](*args)
        then, args = "send", (None,)
        while step(getattr(awaited, then), *args):
            then, args = script.next(suspended, awaiting=True)
        end, detail = outcomes[-1]
        if (
            end == "StopAsyncIteration"
            or (end == "raised" and IGNORED not in repr(detail))
            or what == "close"
        ):
            return outcomes
        what, args = script.next(suspended)


IGNORED = "ignored GeneratorExit"


def chain(error):
    """All that is to be equal of an exception and those that it leads to."""
    described, numbers, queue = [], {}, [error]

    def number(error):
        if error is None:
            return None
        if id(error) not in numbers:
            numbers[id(error)] = len(numbers)
            queue.append(error)
        return numbers[id(error)]

    number(queue.pop())
    for error in queue:
        notes = [
            note
            for note in getattr(error, "__notes__", ())
            if not note.startswith(("deferred at", "The deferred callee"))
        ]
        cause, context = number(error.__cause__), number(error.__context__)
        described.append((show(error), cause, context, error.__suppress_context__, notes))
    return described


def load(path, text, names):
    path.write_text(text, encoding="utf-8")
    exec(compile(text, str(path), "exec"), names)
    return names


LIBRARY = {name: getattr(godefer, name) for name in godefer.__all__}
REFERENCE = {"recover": reference_recover, "Calls": Calls, "Level": Level}
NUMBERS = count()


def run_all(directory, kind, program, script, monkeypatch):
    """Run the program as the reference and in the two ways; returns of each the events, the outcomes and what could not be raised."""
    results = {}
    for way in ("reference", "open-coded", "runtime"):
        events, unraisable = [], []
        monkeypatch.setattr(
            sys, "unraisablehook", lambda args, seen=unraisable: seen.append(show(args.exc_value))
        )
        path = directory / f"{way}_{next(NUMBERS)}.py"
        try:
            if way == "reference":
                names = load(
                    path, program.reference(), vocabulary(events, reference_recover) | REFERENCE
                )
            else:
                monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way == "open-coded" else "0")
                names = load(path, program.text(), vocabulary(events, godefer.recover) | LIBRARY)
                for name, _, body in program.functions:
                    open_coded = way == "open-coded" and any(
                        re.search(r"(defer|using)\(", line) for line in body
                    )
                    if hasattr(names[name], "__wrapped__") == open_coded:
                        pytest.fail(f"meant to be run {way}: {godefer.explain(names[name])}")
            actions = Script(script)
            outcomes = drive(kind, names["f1"], actions)
        finally:
            linecache.cache.pop(str(path), None)
            path.unlink(missing_ok=True)
        script = actions.done
        ABORTED.clear()
        if kind in ASYNC and IGNORED in repr((events, outcomes, unraisable)):
            gc.collect()
            return {}  # see `Script.next`
        if UNKNOWN:
            UNKNOWN.clear()
        else:
            results[way] = events, outcomes, unraisable
    return results


ACTIONS = st.one_of(
    st.tuples(st.just("send"), st.integers(100, 103)),
    st.tuples(st.just("send"), st.none()),
    st.tuples(
        st.just("throw"),
        st.sampled_from([E1, asyncio.CancelledError, E3, KeyboardInterrupt, GeneratorExit]),
    ),
    st.tuples(st.just("close"), st.none()),
)


KINDS_HERE = [
    pytest.param(
        kind,
        marks=pytest.mark.skipif(
            crashes, reason="PyPy crashes in some of these coroutines when written by hand"
        ),
    )
    for kind in KINDS
    for crashes in [kind == "coroutine" and sys.implementation.name == "pypy"]
]


@pytest.mark.parametrize("kind", KINDS_HERE)
def test_one_behaviour(kind, tmp_path, monkeypatch):
    """A function does the same open-coded, the runtime way, and written out with nested statements (R3, D5)."""

    @SETTINGS
    @given(st.data())
    def check(data):
        program = Program(lambda options: data.draw(st.sampled_from(options)), kind)
        script = [] if kind == FUNCTION else data.draw(st.lists(ACTIONS, max_size=6))
        with monkeypatch.context() as patch:
            results = run_all(tmp_path, kind, program, script, patch)
        if results:
            expected = results.get("reference", results["runtime"])
            different = [way for way, result in results.items() if result != expected]
            if different:
                pytest.fail(explanation(program, script, results, different))

    check()


def explanation(program, script, results, different):
    lines = [f"{' and '.join(different)}: not as expected", program.text(), f"script: {script}"]
    for way, (events, outcomes, unraisable) in results.items():
        lines += [f"--- {way}", *map(str, events), *map(str, outcomes), *map(str, unraisable)]
    return "\n".join(lines)
