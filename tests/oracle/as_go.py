"""Write a program in Go."""

from pathlib import Path

from tests.oracle.model import Exit, all_statements, names_in, names_used, own_statements

PRELUDE = Path(__file__).with_name("prelude.go").read_text(encoding="utf-8")


def directory(programs):
    """Return the files of one Go program that runs all of *programs*, given by their names."""
    files = {"go.mod": "module oracle\n\ngo 1.23\n", "prelude.go": PRELUDE}
    runs = []
    for name, program in programs.items():
        files[f"{name}.go"] = source(program, f"{name}_")
        begin = program.functions[-1]
        runs.append(
            f'\trun("{name}", func() {{ {_logged(begin, f"{name}_f{begin.number}(0)", 0)} }})\n'
        )
    files["main.go"] = f"package main\n\nfunc main() {{\n{''.join(runs)}}}\n"
    return files


def source(program, prefix=""):
    """Return one program as a file, with *prefix* before the names of its functions."""
    writer = _Writer(program, prefix)
    lines = ["package main"]
    if any(isinstance(s, Exit) for s in all_statements(program)):
        lines += ["", 'import "runtime"']
    for function in program.functions:
        lines += [
            "",
            f"func {prefix}f{function.number}{_signature(function)} {{",
            *writer.body(function),
            "}",
        ]
    return "\n".join([*lines, ""])


def _signature(function):
    results = {"none": "", "one": " any"}.get(
        function.kind
    ) or f" ({', '.join(function.results)} any)"
    return f"({function.parameter} int)" + ("" if function.kind == "none" else results)


def _logged(function, call, number):
    """Return the code of a call that logs its results."""
    return call if function.kind == "none" else f"event({number}, results({call})...)"


def _value(value):
    if value is None:
        return "nil"
    if isinstance(value, tuple):
        return f"{value[0]} + {value[1]}"
    return str(value)


def _indent(lines):
    return [f"\t{line}" for line in lines]


class _Writer:
    def __init__(self, program, prefix):
        self.functions = {function.number: function for function in program.functions}
        self.names = {number: f"{prefix}f{number}" for number in self.functions}

    def body(self, function):
        lines = []
        if function.variable in names_used(function):
            lines = [f"{function.variable} := {function.parameter}", f"_ = {function.variable}"]
        lines += self.block(function, function.body)
        if function.kind != "none" and not (
            function.body and type(function.body[-1]).__name__.startswith("Return")
        ):
            lines.append("return" if function.results else "return nil")
        return _indent(lines)

    def block(self, function, block):
        return [line for statement in block for line in self.statement(function, statement)]

    def statement(self, function, statement):
        return getattr(self, type(statement).__name__)(function, statement)

    def Event(self, _, s):
        return [f"event({s.number}{'' if s.value is None else f', {_value(s.value)}'})"]

    def Assign(self, _, s):
        return [f"{s.name} = {_value(s.value)}"]

    def Declare(self, _, s):
        f = s.defined
        self.functions[f.number], self.names[f.number] = f, f"f{f.number}"
        name = self.names[f.number]
        head = [f"var {name} func{_signature(f)}", f"{name} = func{_signature(f)} {{"]
        return [*head, *self.body(f), "}", f"_ = {name}"]

    def Call(self, _, s):
        call = f"{self.names[s.callee]}({_value(s.value)})"
        return self.guard(s, _logged(self.functions[s.callee], call, s.number))

    def guard(self, s, line):
        return ["if spend() {", f"\t{line}", "}"] if s.guarded else [line]

    def DeferClosure(self, _, s):
        return [
            f"defer func{_signature(s.defined)} {{",
            *self.body(s.defined),
            f"}}({_value(s.value)})",
        ]

    def DeferFunction(self, _, s):
        return self.guard(s, f"defer {self.names[s.callee]}({_value(s.value)})")

    def DeferEvent(self, _, s):
        return [f"defer event({s.number}, {_value(s.value)})"]

    def DeferResult(self, _, s):
        call = f"{self.names[s.callee]}({_value(s.value)})"
        return self.guard(s, f"defer {_logged(self.functions[s.callee], call, s.number)}")

    def DeferRecovered(self, _, s):
        return [f"defer event({s.number}, recover())"]

    def DeferRecover(self, *_):
        return ["defer recover()"]

    def DeferPanic(self, _, s):
        return [f"defer panic({_value(s.value)})"]

    def DeferNil(self, _, s):
        return [f"defer nothing({_value(s.value)})"]

    def Recover(self, f, s):
        name = f"q{s.number}"
        lines = [f"{name} := recover()", f"event({s.number}, {name})"]
        return (
            [*lines, f"if {name} != nil {{", *_indent(self.block(f, s.body)), "}"]
            if s.body
            else lines
        )

    def If(self, f, s):
        lines = [f"if {s.name}%2 == {s.remainder} {{", *_indent(self.block(f, s.body))]
        if s.otherwise:
            lines += ["} else {", *_indent(self.block(f, s.otherwise))]
        return [*lines, "}"]

    def Switch(self, f, s):
        lines = [f"switch {s.name} % {len(s.cases)} {{"]
        for i, case in enumerate(s.cases):
            lines += [f"case {i}:", *_indent(self.block(f, case))]
        return [*lines, "}"]

    def Loop(self, f, s):
        used = any(s.variable in names_in(inner) for inner in own_statements(s.body))
        head = f"for {s.variable} := range {s.times} {{" if used else f"for range {s.times} {{"
        return [head, *_indent(self.block(f, s.body)), "}"]

    def Break(self, *_):
        return ["break"]

    def Continue(self, *_):
        return ["continue"]

    def Panic(self, _, s):
        return [f"panic({_value(s.value)})"]

    def PanicAgain(self, _, s):
        return [f"panic({s.name})"]

    def Exit(self, *_):
        return ["runtime.Goexit()"]

    def Divide(self, _, s):
        return [f"_ = {s.name} / zero"]

    def CallNil(self, _, s):
        return [f"nothing({_value(s.value)})"]

    def Return(self, _, s):
        return [" ".join(["return", ", ".join(map(_value, s.values))]).strip()]

    def ReturnCall(self, _, s):
        return [f"return {self.names[s.callee]}({_value(s.value)})"]
