"""A program: functions that defer, panic and recover, in no particular language.

Every function takes one number and has a variable of its own. The numbers of functions, events and
loops are unique in a program, so that no name hides another. A number is written as an int, as a
name, or as ``(name, int)``, their sum.
"""

from dataclasses import dataclass, field, fields

# A function's results: none, one without a name, one with a name (`r`), two with names
# (`r` and `e`).
KINDS = ("none", "one", "named", "pair")

# The ways to name a deferred function in Python; Go has one way.
SPELLINGS = ("plain", "partial", "method", "keyword", "star")


class Statement:
    """A line of a function, or several."""

    ends = False  # the function leaves here

    def blocks(self):
        """Return the lists of statements inside of this one, but for those of a nested function."""
        return []

    def function(self):
        """Return the function that it defines."""
        return None


@dataclass(eq=False)
class Function:
    """A function; a program begins with its last one."""

    number: int
    kind: str
    body: list
    decorated: bool = True  # whether Python decorates it even if it defers nothing itself

    @property
    def results(self):
        """Return the names of its results."""
        return {"named": [f"r{self.number}"], "pair": [f"r{self.number}", f"e{self.number}"]}.get(
            self.kind, []
        )

    @property
    def parameter(self):
        return f"p{self.number}"

    @property
    def variable(self):
        return f"v{self.number}"


@dataclass(eq=False)
class Program:
    functions: list


@dataclass(eq=False)
class Event(Statement):
    """Log a number, or the result of a function."""

    number: int
    value: object = None


@dataclass(eq=False)
class Assign(Statement):
    """Change a variable or a named result, of this function or of one around it."""

    name: str
    value: object


@dataclass(eq=False)
class Declare(Statement):
    """A closure with a name."""

    defined: Function

    def function(self):
        return self.defined


@dataclass(eq=False)
class Call(Statement):
    """Call a function and log its results; a *guarded* call is skipped after too many calls."""

    number: int
    callee: int
    value: object
    guarded: bool = False


@dataclass(eq=False)
class DeferClosure(Statement):
    """Defer a function that is written right there."""

    defined: Function
    value: object
    spelling: str = "plain"

    def function(self):
        return self.defined


@dataclass(eq=False)
class DeferFunction(Statement):
    """Defer a function that has a name."""

    callee: int
    value: object
    spelling: str = "plain"
    guarded: bool = False


@dataclass(eq=False)
class DeferEvent(Statement):
    number: int
    value: object
    spelling: str = "plain"


@dataclass(eq=False)
class DeferResult(Statement):
    """Call a function at once, and defer logging its result."""

    number: int
    callee: int
    value: object
    guarded: bool = False


@dataclass(eq=False)
class DeferRecovered(Statement):
    """Call `recover` at once, and defer logging its result."""

    number: int


@dataclass(eq=False)
class DeferRecover(Statement):
    pass


@dataclass(eq=False)
class DeferPanic(Statement):
    value: object


@dataclass(eq=False)
class DeferNil(Statement):
    """Defer nil, or None."""

    value: object


@dataclass(eq=False)
class Recover(Statement):
    """Recover and log it; the body runs if an exception was recovered."""

    number: int
    body: list = field(default_factory=list)

    def blocks(self):
        return [self.body]


@dataclass(eq=False)
class If(Statement):
    name: str
    remainder: int  # of the division by two
    body: list
    otherwise: list

    def blocks(self):
        return [self.body, self.otherwise]


@dataclass(eq=False)
class Switch(Statement):
    name: str
    cases: list

    def blocks(self):
        return self.cases


@dataclass(eq=False)
class Loop(Statement):
    number: int
    times: int
    body: list

    @property
    def variable(self):
        return f"i{self.number}"

    def blocks(self):
        return [self.body]


@dataclass(eq=False)
class Break(Statement):
    ends = True


@dataclass(eq=False)
class Continue(Statement):
    ends = True


@dataclass(eq=False)
class Panic(Statement):
    ends = True
    value: object  # a number, or None: nil


@dataclass(eq=False)
class PanicAgain(Statement):
    """Panic with a recovered value; in Python with the exception itself, or with its value."""

    ends = True
    name: str
    itself: bool


@dataclass(eq=False)
class Exit(Statement):
    """End the goroutine: `runtime.Goexit` against SystemExit."""

    ends = True


@dataclass(eq=False)
class Divide(Statement):
    """Divide by zero."""

    name: str


@dataclass(eq=False)
class CallNil(Statement):
    """Call nil, or None."""

    value: object


@dataclass(eq=False)
class Return(Statement):
    """Return as many values as the function has results; none where these have names."""

    ends = True
    values: list


@dataclass(eq=False)
class ReturnCall(Statement):
    """Return the result of another function."""

    ends = True
    callee: int
    value: object


def own_statements(block):
    """Yield the statements of a block and of its inner blocks, but not of other functions."""
    for statement in block:
        yield statement
        for inner in statement.blocks():
            yield from own_statements(inner)


def all_statements(program):
    """Yield every statement of a program."""
    functions = list(program.functions)
    while functions:
        for statement in own_statements(functions.pop().body):
            yield statement
            if statement.function() is not None:
                functions.append(statement.function())


def all_functions(program):
    """Yield every function of a program."""
    yield from program.functions
    for statement in all_statements(program):
        if statement.function() is not None:
            yield statement.function()


def defers(function):
    """Return whether the function itself defers anything."""
    return any(type(s).__name__.startswith("Defer") for s in own_statements(function.body))


def names_in(statement):
    """Return the names that the statement itself reads or changes."""
    for each in fields(statement):
        if each.name in {"name", "value", "values"}:
            value = getattr(statement, each.name)
            for part in value if isinstance(value, list) else [value]:
                name = part[0] if isinstance(part, tuple) else part
                if isinstance(name, str):
                    yield name


def names_used(function):
    """Return the names that a function or its inner functions use."""
    used = set()
    for statement in own_statements(function.body):
        used.update(names_in(statement))
        if statement.function() is not None:
            used |= names_used(statement.function())
    return used


class Invalid(Exception):
    """A program that Go would not compile, or that means different things in the languages."""


def check(program):
    """Raise `Invalid` unless the program has a meaning.

    For example, names are known where they are used, and `break` is in a loop.
    """
    kinds = {}
    for function in program.functions:
        kinds[function.number] = function.kind
        _check_function(function, frozenset(), frozenset(), dict(kinds))


def _check_function(function, numbers, results, kinds):
    numbers = numbers | {function.parameter, function.variable}
    results = results | set(function.results)
    _check_block(
        function, function.body, numbers, results, frozenset(), kinds, loop=False, switch=False
    )


def _check_block(function, block, numbers, results, recovered, kinds, *, loop, switch):
    kinds = dict(kinds)
    for statement in block:
        kind = type(statement)
        anything = numbers | recovered
        for name in names_in(statement):
            allowed = numbers
            if kind in {Return, Event, Panic, DeferEvent} or (
                kind is Assign and statement.name in results
            ):
                allowed = anything | results if kind in {Event, DeferEvent} else anything
            if kind is PanicAgain:
                allowed = recovered
            if name not in allowed and not (
                kind is Assign and name == statement.name and name in results
            ):
                raise Invalid(f"{kind.__name__} uses {name}")
        if kind in {Call, DeferFunction, DeferResult, ReturnCall} and statement.callee not in kinds:
            raise Invalid(f"{kind.__name__} of f{statement.callee}")
        if kind is Return and statement.values:
            if len(statement.values) != {"none": 0, "one": 1, "named": 1, "pair": 2}[function.kind]:
                raise Invalid("too few or too many results")
        elif kind is Return and function.kind == "one":
            raise Invalid("no result")
        if kind is DeferResult and kinds[statement.callee] == "none":
            raise Invalid("no result to log")
        if kind is ReturnCall:
            counts = {"none": 0, "one": 1, "named": 1, "pair": 2}
            if function.kind == "none" or counts[function.kind] != counts[kinds[statement.callee]]:
                raise Invalid("other results")
        if (kind is Break and (not loop or switch)) or (kind is Continue and not loop):
            raise Invalid("not in a loop")
        if statement.function() is not None:
            inner = statement.function()
            seen = dict(kinds)
            if kind is Declare:
                kinds[inner.number] = seen[inner.number] = inner.kind
            own_loops = {name for name in numbers if name.startswith("i")}
            _check_function(inner, numbers - own_loops, results, seen)
        for body in statement.blocks():
            _check_block(
                function,
                body,
                numbers | ({statement.variable} if kind is Loop else set()),
                results,
                recovered | ({f"q{statement.number}"} if kind is Recover else set()),
                kinds,
                loop=loop or kind is Loop,
                switch=(switch and kind is not Loop) or kind is Switch,
            )
