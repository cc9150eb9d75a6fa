"""The features of a program, and the number of times they really run.

A random program may be long and do nothing.
"""

from collections import Counter

from tests.oracle import as_python
from tests.oracle.model import Assign, Exit, Loop, PanicAgain, Recover, Return, all_statements
from tests.oracle.running import work


def labels(program):
    """Return the features of each statement."""
    found = {}
    for function in program.functions:
        _label_block(found, function, function.body, deferred=False, depth=0, around=())
    return found


def _label_block(found, function, block, *, deferred, depth, around):
    for i, s in enumerate(block):
        name = type(s).__name__
        names = [name]
        if name.startswith("Defer"):
            names += ["in a loop"] if Loop in around else ["in a condition"] if around else []
            names += [s.spelling] if getattr(s, "spelling", "plain") != "plain" else []
        elif isinstance(s, Recover):
            names.append("deferred" if deferred else "not deferred")
            names.append(f"{depth} deep")
        elif s.ends:
            names += ["deferred"] if deferred else []
            names += ["early"] if isinstance(s, Return) and around else []
        elif isinstance(s, Assign) and s.name[0] in "re":
            names.append("own result" if s.name in function.results else "outer result")
        found[s] = [name, *(f"{name} {detail}" for detail in names[1:])]
        if s.function() is not None:
            inner = s.function()
            runs_deferred = name == "DeferClosure"
            _label_block(
                found, inner, inner.body, deferred=runs_deferred, depth=depth + 1, around=()
            )
        for body in s.blocks():
            inside = (*around, type(s))
            _label_block(found, function, body, deferred=deferred, depth=depth, around=inside)


def count(programs, directory):
    """Return the numbers of written features, and of executed places, of named programs."""
    written, executed = Counter(), Counter()
    files = {}
    for name, program in programs.items():
        known = labels(program)
        for names in known.values():
            written.update(names)
        file = directory / f"{name}.py"
        file.write_text(as_python.source(program, labels=known), encoding="utf-8")
        files[str(file)] = program, file.read_text(encoding="utf-8").splitlines()
    for file, log, _, lines in work(list(files), "runtime", "--trace"):
        program, text = files[file]
        for number in lines:
            executed.update(text[number - 1].partition("  # ")[2].split(", "))
        executed.update(_outcome(program, log))
    del executed[""]
    return written, executed


def _outcome(program, log):
    end = log[-1].partition(":")[0]
    yield f"ends by {end}"
    recovers = {str(s.number) for s in all_statements(program) if isinstance(s, Recover)}
    values = [line.split(": ")[1] for line in log[:-1] if line.partition(":")[0] in recovers]
    if "nil" in values:
        yield "recover finds nothing"
    if any(value != "nil" for value in values):
        yield "recover finds a panic"
        kinds = {type(s) for s in all_statements(program)}
        if end == "exit":
            yield "recover finds a panic, and an exit goes on"
        if end == "panic" and PanicAgain in kinds:
            yield "recover finds a panic, and a panic goes on"
        if end == "return" and Exit in kinds:
            yield "recover finds a panic, and nothing goes on"
