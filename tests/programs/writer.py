"""Random programs as source: the functions that a test runs, and their reference."""

from itertools import count

from tests.programs.reference import LEVELS
from tests.programs.vocabulary import (
    ASYNC,
    ASYNC_CALLEES,
    ASYNC_GENERATOR,
    CALLEES,
    COROUTINE,
    FUNCTION,
    GENERATOR,
    GENERATORS,
    HOW,
    RECOVERING,
)


class Writer:
    """Write the body of one function; *choose* makes every decision."""

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
        lines += self.end()
        return [*lines, *(["if False: yield"] if self.kind in GENERATORS else [])]

    def end(self):
        """Write the end of a body; a `return` may still have clean-ups of other kinds to pass."""
        leaving = self.choose(["return", "return", "raise", ""])
        if not leaving:
            return []
        last = self.simple(leaving, handler=False)
        around = self.choose(["", "finally", "with"])
        if around == "finally":
            return ["try:", f"    {last}", "finally:", f"    log({self.number()})"]
        return [f"with {self.manager()}:", f"    {last}"] if around else [last]

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
        if depth < 2:  # at the top level they would end most bodies early
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
            # A coroutine turns a StopIteration into a RuntimeError, and the coroutines of the
            # reference are not those of the program.
            if not self.program_is_async:
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
    """The functions of a program: the first is run, the others are called by earlier ones."""

    def __init__(self, choose, kind):
        self.kind = kind
        self.recovers = choose([True, False])  # whether anything in it may recover or suppress
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
        """Return the program as a user would write it."""
        lines = []
        for name, kind, body in self.functions:
            lines += ["@with_defers", self.head(name, kind), *("    " + line for line in body), ""]
        return "\n".join(lines)

    def reference(self):
        """Return the program with its calls as the clean-ups of nested statements."""
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
