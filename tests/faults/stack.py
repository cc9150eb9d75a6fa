"""Run functions near the end of the stack: ``python -m tests.faults.stack WAY``.

The process prints its figures as JSON.
"""

import json
import sys

from tests.faults import shapes
from tests.faults.ledger import BODY_ENDED, Ledger

DEPTH = 300
FRAMES = range(1, 70)  # the numbers of frames left for the function and its callees


def main(way):
    """Run each function with every number of frames left."""
    overflows = 0
    wrong = []
    for shape in shapes.SHAPES:
        if way not in shape.ways:
            continue
        fn = shape.decorated(way)
        limit = sys.getrecursionlimit()
        for left in FRAMES:
            ledger = Ledger(shape)
            error = None
            sys.setrecursionlimit(DEPTH + left)
            try:
                descend(DEPTH - depth(), shape.run, fn, ledger)
            except BaseException as e:
                error = e
            finally:
                sys.setrecursionlimit(limit)
            overflows += isinstance(error, RecursionError)
            if isinstance(error, RecursionError) and lost_by_hand(shape, left):
                continue  # even a call of a C function finds no room
            # A deferred Python call may find no room and fail; C calls need none.
            problems = ledger.problems(
                "__init__" if shape.name in {"coroutine", "async_generator"} else None
            )
            if (
                shape.name == "failing_coroutine"
            ):  # its lock is released by a coroutine, which needs room
                problems = [problem for problem in problems if not problem.startswith("lock")]
            if problems:
                wrong.append(
                    f"{shape}, {left} frames left: {problems}, {error!r}, {ledger.done[BODY_ENDED]}"
                )
            if error is not None:
                error.__traceback__ = error = None
    print(json.dumps({"overflows": overflows, "wrong": wrong}))


def function(_, done, ran):
    try:
        done[0] = 1
    finally:
        ran.append(0)


def generator(_, done, ran):
    try:
        done[0] = 1
        yield
    finally:
        ran.append(0)


async def coroutine(_, done, ran):
    try:
        done[0] = 1
    finally:
        ran.append(0)


async def async_generator(_, done, ran):
    try:
        done[0] = 1
        yield
    finally:
        ran.append(0)


BY_HAND = {
    shapes.call: function,
    shapes.exhaust: generator,
    shapes.abandon: generator,
    shapes.drive: coroutine,
    shapes.aexhaust: async_generator,
}


def lost_by_hand(shape, left):
    """Return whether a hand-written function loses its clean-up with so few frames left."""
    ledger = Ledger(shape)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH + left)
    try:
        descend(DEPTH - depth(), shape.run, BY_HAND[shape.run], ledger)
    except RecursionError:
        pass
    finally:
        sys.setrecursionlimit(limit)
    return bool(ledger.done[0] and not ledger.ran)


def depth():
    """Return the number of frames down to the caller."""
    frame, n = sys._getframe(1), 0
    while frame is not None:
        frame, n = frame.f_back, n + 1
    return n


def descend(n, fn, *args):
    """Call *fn*, *n* frames further down."""
    if n <= 0:
        return fn(*args)
    return descend(n - 1, fn, *args)


if __name__ == "__main__":
    main(sys.argv[1])
