"""Run functions while allocations fail: ``python -m tests.faults.memory WAY``.

The process prints its figures as JSON.
"""

import _testcapi
import json
import sys

from tests.faults import shapes
from tests.faults.ledger import Ledger

ENOUGH = 30  # so many starts in a row without a MemoryError end the loop

# These calls need memory themselves, for an object or a coroutine, so they may fail.
OWN = {
    "coroutine": ["call 1 (defer) is lost"],
    "async_generator": ["call 1 (defer) is lost"],
    "failing_coroutine": ["lock 0 was not released"],
}

# On 3.11 `co_lines` crashes the interpreter when memory is out. The runtime way uses it to find the
# line of a call that raised.
CRASHING = {"recovering", "recovering_in_a_loop"}


def main(way):
    """Run each function many times, and let a later allocation fail each time."""
    failures = 0
    wrong = []
    for shape in shapes.SHAPES:
        if way not in shape.ways or (
            way == "runtime" and shape.name in CRASHING and sys.version_info < (3, 12)
        ):
            continue
        fn = shape.decorated(way)
        for _ in range(3):
            shape_run(shape, fn)
        undisturbed = 0
        for start in range(1, 1000):
            ledger = Ledger(shape)
            error = None
            _testcapi.set_nomemory(start, start + 1)
            try:
                shape.run(fn, ledger)
            except BaseException as e:
                error = e
            finally:
                _testcapi.remove_mem_hooks()
            undisturbed = 0 if out_of_memory(error) else undisturbed + 1
            if undisturbed > ENOUGH:
                break
            failures += not undisturbed
            name = innermost(error)
            if error is not None:
                error.__traceback__ = None
            problems = ledger.problems(name)
            if problems and problems != OWN.get(shape.name):
                wrong.append(f"{shape}, allocation {start}, in {name}: {problems}, {error!r}")
            error = None
            after = shape_run(shape, fn)  # no allocation fails here
            if after:
                wrong.append(f"{shape}, allocation {start}: afterwards {after}")
    print(json.dumps({"failures": failures, "wrong": wrong}))


def shape_run(shape, fn):
    """Run the shape without a failing allocation, and return the problems."""
    ledger = Ledger(shape)
    try:
        shape.run(fn, ledger)
    except LookupError:
        pass
    return ledger.problems()


def out_of_memory(error):
    """Return whether *error* is, or has replaced, a MemoryError."""
    while error is not None and not isinstance(error, MemoryError):
        error = error.__context__
    return error is not None


def innermost(error):
    """Return the name of the function that raised *error*."""
    tb = error and error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb and tb.tb_frame.f_code.co_name


if __name__ == "__main__":
    main(sys.argv[1])
