"""What an invocation has noted, and the judgement on it."""

import threading
from collections import deque

SIZE = 16

# The index in *done* that says: the body is over, and nothing but the exit is left.
BODY_ENDED = SIZE - 1

# The kinds of statement by their name in a shape's *calls*.
ALWAYS, FAILING, RETURNING = "defer", "errdefer", "okdefer"


class Fault(BaseException):
    """What is injected."""


# The deferred functions that are written in Python, with the number that they note.
CALLEES = {"__init__": 1}


class Ledger:
    """What one invocation has noted, and the judgement on it."""

    def __init__(self, shape):
        self.shape = shape
        self.done = [0] * SIZE
        self.ran = deque()
        self.locks = [threading.Lock() for _ in range(2)]

    def problems(self, struck=None):
        """What is wrong, as a list of sentences; called when the invocation is over.

        *struck* is the name of the function that the fault struck. If that is one of CALLEES, its call had begun: it ran, though it left no
        note.

        A call whose statement had ended must have run exactly once; one whose statement had been begun may have, once. Those that ran
        did so last in, first out. An `okdefer` and an `errdefer` may each be left out, but if the fault struck before the exit began,
        every `errdefer` ran and no `okdefer`.
        """
        wrong = []
        ran, done = list(self.ran), self.done
        for number, kind in enumerate(self.shape.calls):
            times = ran.count(number)
            if times > 1:
                wrong.append(f"call {number} ({kind}) ran {times} times")
            if times and not done[number] and number and not done[number - 1]:
                wrong.append(f"call {number} ({kind}) ran though it was not reached")
            if CALLEES.get(struck) == number and not times:
                continue
            if done[number] and not times and kind == ALWAYS:
                wrong.append(f"call {number} ({kind}) is lost")
            if (
                not done[BODY_ENDED]
                and kind != ALWAYS
                and done[number]
                and (times == 1) != (kind == FAILING)
            ):
                wrong.append(
                    f"call {number} ({kind}) ran {times} times after a failure of the body"
                )
        if ran != sorted(ran, reverse=True):
            wrong.append(f"the order is {ran}")
        if self.shape.locks and struck != "__aexit__":
            for number, lock in enumerate(self.locks):
                if lock.locked() and done[len(self.shape.calls) + number]:
                    wrong.append(f"lock {number} was not released")
        return wrong


class Sweep:
    """What injecting faults one after another has shown."""

    def __init__(self):
        self.positions = 0  # faults injected
        self.places = set()  # where they struck
        self.wrong = []
        self.as_by_hand = []  # the faults that a hand-written `finally` does not survive either; the callers check which
