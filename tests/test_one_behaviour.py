"""Random functions do the same in both ways and as nested statements (R3).

A program is the source of a few functions. It runs open-coded, the runtime way, and as a reference.
The reference has the same body inside of twelve nested statements: ``try: … finally:``, or ``with``
where something may recover, since ``with`` can suppress. The i-th of them from outside makes the
i-th deferred call. So the interpreter itself decides when the reference's calls run and how its
exceptions are chained; only `recover` is modelled here.
"""

import asyncio
import gc
import linecache
import os
import re
import sys
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import godefer
from tests.programs.reference import ABORTED, UNKNOWN, Calls, Level, reference_recover
from tests.programs.vocabulary import (
    ASYNC,
    ASYNC_GENERATOR,
    E1,
    E3,
    FUNCTION,
    KINDS,
    show,
    vocabulary,
)
from tests.programs.writer import Program

# If set, the number of new examples; otherwise the same hundred run each time.
EXAMPLES = os.environ.get("GODEFER_EXAMPLES")
SETTINGS = settings(
    max_examples=int(EXAMPLES or 100),
    derandomize=EXAMPLES is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # a program may need many choices
)


class Script:
    """The steps of the driver of a suspended function; afterwards it resumes until the end."""

    def __init__(self, actions):
        self.actions = iter(actions)
        self.done = []

    def next(self, suspended, *, awaiting=False):
        what, how = next(self.actions, ("send", None))
        # Do not throw GeneratorExit while an object is awaited. Python closes that object instead,
        # and the order of events depends on the coroutines in between (PEP 380), which differ in
        # the reference.
        if (what == "close" or how is GeneratorExit) and (
            awaiting or awaits_deferred_call(suspended)
        ):
            what, how = "send", None
        self.done.append((what, how))
        if what == "throw":
            return what, (how("thrown"),)
        return what, () if what == "close" else (how,)


def awaits_deferred_call(suspended):
    """Return whether a coroutine of the reference is in a deferred call."""
    while suspended is not None:
        if getattr(suspended, "cr_code", None) is Level.__aexit__.__code__:
            return True
        suspended = getattr(suspended, "cr_await", None)
    return False


def drive(kind, function, script):
    """Run *function* and take a step of *script* at each suspension; return the outcomes."""
    outcomes = []

    def step(action, *args):
        """Take one step; return whether the function is suspended again."""
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
    """Describe an exception with its contexts and causes, for a comparison."""
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
    """Run the program as the reference and in the two ways.

    Return the events, outcomes and unraisable exceptions of each run.
    """
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
    """A function does the same open-coded, the runtime way, and as nested statements (R3, D5)."""

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
