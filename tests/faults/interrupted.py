"""The process that `tests.faults.signals` interrupts:
``python -m tests.faults.interrupted WAY SIGNALS SEED``.
"""

import json
import random
import signal
import sys

from tests.faults.interrupts import FILES, _outside_of_every_try
from tests.faults.ledger import CALLEES, Ledger
from tests.faults.shapes import SHAPES

SHORTEST, LONGEST = 2e-6, 300e-6  # seconds until the next signal

# The code that runs generators and coroutines, and closes them after an interrupt. A second
# interrupt in there says nothing about godefer.
DRIVERS = {"exhaust", "abandon", "drive", "aexhaust", "finish"}


class Timer:
    """Sends signals at random times."""

    def __init__(self, seed, again):
        self.again = again
        self.draw = random.Random(seed)
        self.handled = 0
        self.armed = False
        self.struck = []  # the places of the signals in this invocation

    def start(self, longest=LONGEST):
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, self.draw.uniform(SHORTEST, longest))

    def handle(self, _signum, frame):
        self.armed = False
        running = frame
        while running is not None and running.f_code.co_filename not in FILES:
            running = running.f_back
        if running is None or (
            self.struck and frame.f_code.co_name in DRIVERS
        ):  # between two invocations, or a second one in a driver
            return
        self.handled += 1
        code = frame.f_code
        self.struck.append((code.co_filename, code.co_name, frame.f_lineno, frame.f_lasti))
        if (
            self.draw.random() < self.again
        ):  # a second one soon after, perhaps while the first is still being handled
            self.start(10 * SHORTEST)
        raise KeyboardInterrupt


def main(way, signals, seed, again):
    timer = Timer(seed, again)
    functions = [(shape, shape.decorated(way)) for shape in SHAPES if way in shape.ways]
    result = dict.fromkeys(
        ("signals", "struck", "invocations", "registered", "unfinished", "lost", "twice"), 0
    )
    examples = []
    signal.signal(signal.SIGALRM, timer.handle)
    while timer.handled < signals:
        for shape, fn in functions:
            ledger = Ledger(shape)
            timer.struck = []
            if not timer.armed:
                timer.start()
            try:
                shape.run(fn, ledger)
            except BaseException as error:
                error.__traceback__ = None
            if timer.struck:
                signal.setitimer(signal.ITIMER_REAL, 0)
                timer.armed = False
            judge(shape, fn, ledger, timer.struck, result, examples)
    signal.setitimer(signal.ITIMER_REAL, 0)
    result["signals"] = timer.handled
    print(json.dumps({**result, "examples": examples[:5]}))


def judge(shape, fn, ledger, struck, result, examples):
    """Add the figures of one invocation to *result*."""
    names = {where[1] for where in struck} & {*CALLEES, "__aexit__"}
    result["invocations"] += 1
    result["struck"] += sum(where[0] in FILES for where in struck)
    result["registered"] += sum(ledger.done[: len(shape.calls)])
    result["unfinished"] += sum(not ledger.done[number] for number in set(ledger.ran))
    problems = ledger.problems(names.pop() if names else None)
    if problems and not any(_outside_of_every_try(fn, where) for where in struck):
        result["lost"] += sum("lost" in problem or "released" in problem for problem in problems)
        result["twice"] += sum("times" in problem for problem in problems)
        examples.append(f"{shape}: {problems} after {struck}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
