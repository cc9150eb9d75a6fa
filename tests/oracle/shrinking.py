"""Make a differing program as small as possible by leaving out its parts.

Each round writes every program that is one step smaller, and runs all of them at once. A single run
of the compiler costs as much as a hundred small programs.
"""

import copy

from tests.oracle.model import (
    KINDS,
    Function,
    Invalid,
    Panic,
    PanicAgain,
    Recover,
    Return,
    ReturnCall,
    all_functions,
    all_statements,
    check,
    own_statements,
)

AT_ONCE = 80


def shrink(program, runner, difference):
    """Return the smallest program that still differs in the same version and way.

    The second value is its difference.
    """
    runner.coroutines = 1
    only = difference.version, difference.way
    while True:
        smaller = sorted(_smaller(program), key=_size)
        for start in range(0, len(smaller), AT_ONCE):
            batch = {
                f"p{i}": candidate for i, candidate in enumerate(smaller[start : start + AT_ONCE])
            }
            found = runner.differences(batch, only)
            if found:
                difference = min(found, key=lambda found: _size(batch[found.name]))
                program = batch[difference.name]
                break
        else:
            return program, difference


def _size(program):
    functions = sum(1 + KINDS.index(f.kind) + f.decorated for f in all_functions(program))
    return (
        20 * sum(1 for _ in all_statements(program))
        + functions
        + sum(map(_detail, all_statements(program)))
    )


def _detail(statement):
    simple = {"value": 0, "spelling": "plain", "times": 1}
    return sum(getattr(statement, name, plain) != plain for name, plain in simple.items())


def _smaller(program):
    """Yield the valid programs that are one step smaller."""
    for edit in _edits(program):
        candidate = copy.deepcopy(program)
        edit(candidate)
        try:
            check(candidate)
        except Invalid:
            continue
        if _size(candidate) < _size(program):
            yield candidate


def _edits(program):
    """Yield the possible edits of a copy of the program.

    An edit counts its places, since the copy has other objects.
    """
    for i in range(len(program.functions)):
        if len(program.functions) > 1:
            yield lambda p, i=i: p.functions.pop(i)
    for b, block in enumerate(_blocks(program)):
        for i, statement in enumerate(block):
            for stop in {i + 1, i + 2, len(block)}:
                yield lambda p, b=b, i=i, stop=stop: _blocks(p)[b].__setitem__(slice(i, stop), [])
            if statement.blocks() and not isinstance(statement, Recover):
                yield lambda p, b=b, i=i: _unwrap(_blocks(p)[b], i)
            if statement.function() is not None:
                yield lambda p, b=b, i=i: _unwrap(_blocks(p)[b], i)
    for i, statement in enumerate(all_statements(program)):
        for name, plain in {"value": 0, "spelling": "plain", "times": 1}.items():
            if getattr(statement, name, plain) not in {plain, None}:
                yield lambda p, i=i, name=name, plain=plain: setattr(
                    list(all_statements(p))[i], name, plain
                )
    for b, block in enumerate(_blocks(program)):
        for i, statement in enumerate(block):
            if isinstance(statement, PanicAgain):
                yield lambda p, b=b, i=i: _blocks(p)[b].__setitem__(i, Panic(0))
    for i, function in enumerate(all_functions(program)):
        if function.decorated:
            yield lambda p, i=i: setattr(list(all_functions(p))[i], "decorated", False)
        for kind in KINDS[: KINDS.index(function.kind)]:
            yield lambda p, i=i, kind=kind: _give_less(list(all_functions(p))[i], kind)


def _unwrap(block, i):
    function = block[i].function()
    inner = [function.body] if function is not None else block[i].blocks()
    block[i : i + 1] = [statement for body in inner for statement in body]


def _give_less(function: Function, kind):
    """Give a function a simpler kind of result."""
    count = {"none": 0, "one": 1, "named": 1}[kind]
    function.kind = kind
    for statement in own_statements(function.body):
        if isinstance(statement, Return):
            statement.values = [*statement.values, 0][:count]
        elif isinstance(statement, ReturnCall) and kind == "none":
            statement.__class__ = Return
            statement.values = []


def _blocks(program):
    """Return the lists of statements of a program, from outside to inside."""
    blocks = [function.body for function in all_functions(program)]
    blocks += [block for statement in all_statements(program) for block in statement.blocks()]
    return blocks
