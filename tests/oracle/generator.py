"""Random programs, with the frequency of each feature."""

import random

from tests.oracle.model import (
    SPELLINGS,
    Assign,
    Break,
    Call,
    CallNil,
    Continue,
    Declare,
    DeferClosure,
    DeferEvent,
    DeferFunction,
    DeferNil,
    DeferPanic,
    DeferRecover,
    DeferRecovered,
    DeferResult,
    Divide,
    Event,
    Exit,
    Function,
    If,
    Loop,
    Panic,
    PanicAgain,
    Program,
    Recover,
    Return,
    ReturnCall,
    Switch,
)

DEPTH = 5  # of nested functions
RESULTS = {"none": 0, "one": 1, "named": 1, "pair": 2}


def program(seed, number):
    """Return program *number* of the series that *seed* defines."""
    return _Generator(random.Random(f"{seed}/{number}")).program()


class _Scope:
    """The names that can be used at one place of the program."""

    def __init__(self, function, around=None, *, deferred=False):
        self.function = function
        self.depth = 0 if around is None else around.depth + 1
        self.numbers = [*(around.numbers if around else ()), function.parameter, function.variable]
        self.results = [*(around.results if around else ()), *function.results]
        self.recovered = []
        self.functions = list(around.functions) if around else []  # those that can be called
        self.around = [*(around.around if around else ())]  # those around: calling one recurs
        self.loops = []
        self.breakable = False
        self.deferred = deferred

    def block(self):
        """Return a copy for a block of the same function."""
        inner = object.__new__(_Scope)
        inner.__dict__.update(self.__dict__)
        inner.recovered = list(self.recovered)
        inner.functions = list(self.functions)
        inner.loops = list(self.loops)
        return inner


class _Generator:
    def __init__(self, rng):
        self.rng = rng
        self.number = 0
        self.left = rng.choice((8, 14, 20, 28, 40))  # statements
        # Named results are always open-coded. Some programs have none, so that all of their
        # functions can run the runtime way.
        self.kinds = {"none": 4, "one": 4, "named": rng.choice((0, 3)), "pair": 0}
        self.kinds["pair"] = self.kinds["named"] // 2

    def next(self):
        self.number += 1
        return self.number

    def chance(self, probability):
        return self.rng.random() < probability

    def program(self):
        functions = []
        total = self.left
        for _ in range(helpers := self.rng.choice((0, 0, 1, 1, 2, 3))):
            self.left = max(3, total // (helpers + 2))
            functions.append(self.function(None, functions, deferred=self.chance(0.5)))
        self.left = max(4, total // (2 if helpers else 1))
        functions.append(self.function(None, functions, deferred=False, begin=True))
        return Program(functions)

    def function(self, around, others=(), *, deferred, named=False, begin=False):
        function = Function(
            self.next(),
            self.rng.choices(list(self.kinds), list(self.kinds.values()))[0],
            [],
            decorated=self.chance(0.5),
        )
        scope = _Scope(function, around, deferred=deferred)
        scope.functions += others
        if named or around is None:
            scope.functions.append(function)
            scope.around.append(function)
        function.body = self.body(scope, begin=begin)
        return function

    def body(self, scope, *, begin):
        """Return the body of a function, which likely defers first and fails at the end."""
        first = scope.block()
        block = [
            self.defer_closure(scope)
            for _ in range(2)
            if self.chance(0.6 if begin else 0.25) and self.room(scope)
        ]
        block += self.block(scope, self.rng.randint(2, 6) if begin else self.rng.randint(1, 4))
        if not (block and block[-1].ends) and self.chance(0.5 if begin else 0.3):
            block.append(self.end(scope))
        if scope.deferred and self.chance(0.5) and not any(isinstance(s, Recover) for s in block):
            block.insert(self.rng.randint(0, max(0, len(block) - 1)), self.recover(first))
        return block or [Event(self.next())]

    def room(self, scope):
        """Return whether the scope can get one more nested function."""
        return scope.depth < DEPTH and self.left > 1

    def block(self, scope, most):
        block = []
        while self.left > 0 and len(block) < most:
            self.left -= 1
            statement = self.statement(scope, last=len(block) == most - 1)
            block.append(statement)
            if statement.ends:
                break
        return block

    def inner(self, scope, most=3):
        return self.block(scope.block(), self.rng.randint(1, most))

    def statement(self, scope, *, last):
        nested = self.room(scope)
        able = {
            self.event: 3,
            self.assign: 3,
            self.condition: 3,
            self.switch: 0.6,
            self.loop: 2 if len(scope.loops) < 2 else 0,
            self.declare: 1.4 if nested else 0,
            self.call: 2 if scope.functions else 0,
            self.defer_closure: 6 if nested else 0,
            self.defer_function: 2.5 if scope.functions else 0,
            self.defer_event: 3.3,
            self.defer_result: 1 if any(f.kind != "none" for f in scope.functions) else 0,
            self.defer_recovered: 0.8 if scope.deferred else 0.1,
            self.defer_recover: 0.9 if scope.deferred else 0.4,
            self.defer_panic: 0.8,
            self.defer_nil: 0.4,
            self.recover: 4 if scope.deferred else 0.6,
            self.end: 4 if last else 1.2,
            self.fault: 0.5,
        }
        (made,) = self.rng.choices(list(able), list(able.values()))
        statement = made(scope)
        if (statement.ends or made == self.fault) and not last and self.chance(0.8):
            return If(self.rng.choice(scope.numbers), self.rng.randint(0, 1), [statement], [])
        return statement

    # --- a method for each kind of statement

    def value(self, scope):
        """Return a number."""
        name = self.rng.choice([*scope.numbers[-6:], *scope.loops])
        return self.rng.choice((self.rng.randint(0, 9), name, (name, self.rng.randint(1, 3))))

    def anything(self, scope):
        """Return a number, or a recovered value."""
        return (
            self.rng.choice(scope.recovered)
            if scope.recovered and self.chance(0.4)
            else self.value(scope)
        )

    def spelling(self):
        return self.rng.choice(SPELLINGS) if self.chance(0.4) else "plain"

    def event(self, scope):
        if scope.results and self.chance(0.4):
            return Event(self.next(), self.rng.choice(scope.results))
        return Event(self.next(), self.value(scope))

    def assign(self, scope):
        if scope.results and self.chance(0.6):
            return Assign(self.rng.choice(scope.results), self.anything(scope))
        name = self.rng.choice(scope.numbers[-6:])
        return Assign(name, self.rng.choice(((name, 1), (name, 1), self.value(scope))))

    def condition(self, scope):
        otherwise = self.inner(scope) if self.chance(0.3) else []
        name = self.rng.choice([*scope.numbers[-6:], *scope.loops])
        return If(name, self.rng.randint(0, 1), self.inner(scope) or [self.event(scope)], otherwise)

    def switch(self, scope):
        inner = scope.block()
        inner.breakable = False
        cases = [self.inner(inner, 2) or [self.event(scope)] for _ in range(self.rng.randint(2, 3))]
        return Switch(self.rng.choice(scope.numbers), cases)

    def loop(self, scope):
        loop = Loop(self.next(), self.rng.choice((1, 2, 2, 3, 3, 4)), [])
        inner = scope.block()
        inner.loops.append(loop.variable)
        inner.breakable = True
        loop.body = self.inner(inner, 4) or [self.event(inner)]
        if self.chance(0.2):
            leave = If(
                self.rng.choice([*scope.numbers, loop.variable]),
                self.rng.randint(0, 1),
                [self.leave_loop(inner)],
                [],
            )
            loop.body.insert(self.rng.randint(0, len(loop.body)), leave)
        return loop

    def declare(self, scope):
        function = self.function(scope, deferred=self.chance(0.4), named=True)
        scope.functions.append(function)
        return Declare(function)

    def call(self, scope):
        callee = self.rng.choice(scope.functions)
        return Call(
            self.next(), callee.number, self.value(scope), guarded=self.guarded(scope, callee)
        )

    def guarded(self, scope, callee):
        """Return whether the call needs a limit, as it may recur or is in a loop."""
        return callee in scope.around or bool(scope.loops)

    def defer_closure(self, scope):
        return DeferClosure(self.function(scope, deferred=True), self.value(scope), self.spelling())

    def defer_function(self, scope):
        callee = self.rng.choice(scope.functions)
        return DeferFunction(
            callee.number, self.value(scope), self.spelling(), guarded=self.guarded(scope, callee)
        )

    def defer_event(self, scope):
        spelling = self.spelling()
        value = (
            self.rng.choice(scope.results)
            if scope.results and self.chance(0.3)
            else self.value(scope)
        )
        return DeferEvent(
            self.next(), value, "plain" if spelling in {"method", "keyword"} else spelling
        )

    def defer_result(self, scope):
        callee = self.rng.choice([f for f in scope.functions if f.kind != "none"])
        return DeferResult(
            self.next(), callee.number, self.value(scope), guarded=self.guarded(scope, callee)
        )

    def defer_recovered(self, scope):
        return DeferRecovered(self.next())

    def defer_recover(self, scope):
        return DeferRecover()

    def defer_panic(self, scope):
        return DeferPanic(self.value(scope))

    def defer_nil(self, scope):
        return DeferNil(self.value(scope))

    def recover(self, scope):
        recover = Recover(self.next())
        if self.chance(0.6):
            inner = scope.block()
            inner.recovered.append(f"q{recover.number}")
            recover.body = self.block(inner, self.rng.randint(0, 2))
            if scope.results and self.chance(0.4):
                recover.body.insert(0, Assign(self.rng.choice(scope.results), self.anything(inner)))
            if not (recover.body and recover.body[-1].ends) and self.chance(0.4):
                recover.body.append(self.end(inner))
        return recover

    def fault(self, scope):
        if self.chance(0.5):
            return Divide(self.rng.choice(scope.numbers))
        return CallNil(self.value(scope))

    def end(self, scope):
        """Return a statement that ends its block."""
        able = {
            self.panic: 5,
            self.panic_again: 5 if scope.recovered else 0,
            self.exit: 1.6,
            self.give: 2,
            self.give_call: 1.5,
            self.leave_loop: 6 if scope.loops else 0,
        }
        (made,) = self.rng.choices(list(able), list(able.values()))
        return made(scope)

    def panic(self, scope):
        return Panic(None if self.chance(0.06) else self.anything(scope))

    def panic_again(self, scope):
        return PanicAgain(self.rng.choice(scope.recovered), itself=self.chance(0.7))

    def exit(self, scope):
        return Exit()

    def leave_loop(self, scope):
        return self.rng.choice((Break, Continue))() if scope.breakable else Continue()

    def give(self, scope):
        count = RESULTS[scope.function.kind]
        if scope.function.results and self.chance(0.3):
            count = 0
        return Return([self.anything(scope) for _ in range(count)])

    def give_call(self, scope):
        count = RESULTS[scope.function.kind]
        able = [
            f
            for f in scope.functions
            if f not in scope.around and count and RESULTS[f.kind] == count
        ]
        if not able or scope.loops:
            return self.give(scope)
        return ReturnCall(self.rng.choice(able).number, self.value(scope))
