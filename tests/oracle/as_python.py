"""Write a program in Python."""

from tests.oracle.model import (
    Call,
    DeferClosure,
    DeferFunction,
    DeferResult,
    all_functions,
    defers,
    names_used,
    own_statements,
)

HEAD = """\
from functools import partial
from types import MethodType

from godefer import defer, panic, recover
from tests.oracle.prelude import event, given, nothing, spend, with_defers
"""


def source(program, *, asynchronous=False, labels=None):
    """Return one program as a module.

    Args:
        program: The program.
        asynchronous: Make coroutine functions of all its functions.
        labels: The comments to write next to each statement's place.
    """
    writer = _Writer(program, asynchronous=asynchronous, labels=labels or {})
    begin = program.functions[-1]
    lines = HEAD.splitlines()
    for function in program.functions:
        lines += ["", "", *writer.function(function)]
    call = writer.logged(begin, writer.awaited(f"f{begin.number}(0)"), 0)
    return "\n".join([*lines, "", "", f"{writer.define} begin():", f"    {call}", ""])


def _value(value):
    return f"{value[0]} + {value[1]}" if isinstance(value, tuple) else str(value)


def _indent(lines):
    return [f"    {line}" for line in lines]


class _Writer:
    def __init__(self, program, *, asynchronous, labels):
        self.labels = labels
        self.functions = {function.number: function for function in all_functions(program)}
        self.asynchronous = asynchronous
        self.define = "async def" if asynchronous else "def"

    def awaited(self, call):
        return f"await {call}" if self.asynchronous else call

    def logged(self, function, call, number):
        """Return the code of a call that logs its results."""
        return call if function.kind == "none" else f"event({number}, {call})"

    def function(self, function):
        lines = []
        if function.results:
            result = function.results[0] if len(function.results) == 1 else tuple(function.results)
            lines.append(f"@with_defers(result={result!r})".replace("'", '"'))
        elif function.decorated or defers(function):
            lines.append("@with_defers")
        lines.append(f"{self.define} f{function.number}({function.parameter}):")
        own = {function.parameter, function.variable, *function.results}
        assigned = {s.name for s in own_statements(function.body) if type(s).__name__ == "Assign"}
        body = [f"nonlocal {name}" for name in sorted(assigned - own)]
        # A named result must be assigned in the body; it begins as None, like Go's nil.
        body += [f"{name} = None" for name in function.results if name not in assigned]
        if function.variable in names_used(function):
            body.append(f"{function.variable} = {function.parameter}")
        body += self.block(function.body)
        return [*lines, *_indent(body or ["pass"])]

    def block(self, block):
        return [line for statement in block for line in self.statement(statement)]

    def nested(self, block):
        return _indent(self.block(block) or ["pass"])

    def statement(self, statement):
        lines = getattr(self, type(statement).__name__)(statement)
        if statement in self.labels:
            last = type(statement) in {
                Call,
                DeferClosure,
                DeferFunction,
                DeferResult,
            }  # their own line is the last; before it are lines of a function, or a guard
            lines[-last] += f"  # {', '.join(self.labels[statement])}"
        return lines

    def guard(self, s, line):
        return ["if spend():", f"    {line}"] if s.guarded else [line]

    def deferred(self, spelling, callee, parameter, *values):
        if spelling == "partial":
            return f"defer(partial({', '.join([callee, *values])}))"
        if spelling == "method":
            return f"defer(MethodType({', '.join([callee, *values])}))"
        if spelling == "keyword":
            return f"defer({callee}, {parameter}={values[0]})"
        if spelling == "star":
            return f"defer({callee}, *[{', '.join(values)}])"
        return f"defer({', '.join([callee, *values])})"

    def Event(self, s):
        return [f"event({s.number}{'' if s.value is None else f', {_value(s.value)}'})"]

    def Assign(self, s):
        return [f"{s.name} = {_value(s.value)}"]

    def Declare(self, s):
        return self.function(s.defined)

    def Call(self, s):
        callee = self.functions[s.callee]
        return self.guard(
            s, self.logged(callee, self.awaited(f"f{s.callee}({_value(s.value)})"), s.number)
        )

    def DeferClosure(self, s):
        f = s.defined
        return [
            *self.function(f),
            self.deferred(s.spelling, f"f{f.number}", f.parameter, _value(s.value)),
        ]

    def DeferFunction(self, s):
        f = self.functions[s.callee]
        return self.guard(
            s, self.deferred(s.spelling, f"f{f.number}", f.parameter, _value(s.value))
        )

    def DeferEvent(self, s):
        return [self.deferred(s.spelling, "event", None, str(s.number), _value(s.value))]

    def DeferResult(self, s):
        call = self.awaited(f"f{s.callee}({_value(s.value)})")
        return self.guard(s, self.deferred("plain", "event", None, str(s.number), call))

    def DeferRecovered(self, s):
        return [self.deferred("plain", "event", None, str(s.number), "recover()")]

    def DeferRecover(self, _):
        return ["defer(recover)"]

    def DeferPanic(self, s):
        return [f"defer(panic, {_value(s.value)})"]

    def DeferNil(self, s):
        return [f"defer(nothing, {_value(s.value)})"]

    def Recover(self, s):
        name = f"q{s.number}"
        lines = [f"{name} = recover()", f"event({s.number}, {name})"]
        return [*lines, f"if {name} is not None:", *self.nested(s.body)] if s.body else lines

    def If(self, s):
        lines = [f"if {s.name} % 2 == {s.remainder}:", *self.nested(s.body)]
        return [*lines, "else:", *self.nested(s.otherwise)] if s.otherwise else lines

    def Switch(self, s):
        lines = [f"match {s.name} % {len(s.cases)}:"]
        for i, case in enumerate(s.cases):
            lines += [f"    case {i}:", *_indent(self.nested(case))]
        return lines

    def Loop(self, s):
        return [f"for {s.variable} in range({s.times}):", *self.nested(s.body)]

    def Break(self, _):
        return ["break"]

    def Continue(self, _):
        return ["continue"]

    def Panic(self, s):
        return [f"panic({_value(s.value)})"]

    def PanicAgain(self, s):
        return [f"panic({s.name})" if s.itself else f"panic(given({s.name}))"]

    def Exit(self, _):
        return ["raise SystemExit"]

    def Divide(self, s):
        return [f"{s.name} // 0"]

    def CallNil(self, s):
        return [f"nothing({_value(s.value)})"]

    def Return(self, s):
        return [" ".join(["return", ", ".join(map(_value, s.values))]).strip()]

    def ReturnCall(self, s):
        return [f"return {self.awaited(f'f{s.callee}({_value(s.value)})')}"]
