"""The notes that an invocation leaves, and the check that no deferred call was lost."""

import threading
from collections import deque

SIZE = 16

# Index in *done*: the body has ended and the exit begins.
BODY_ENDED = SIZE - 1

# The kinds of statement, as named in the *calls* of a shape.
ALWAYS, FAILING, RETURNING = "defer", "errdefer", "okdefer"


class Fault(BaseException):
    """An injected exception."""


# The deferred functions that are written in Python, with the number that they note.
CALLEES = {"__init__": 1}


class Ledger:
    """The notes of one invocation.

    *done* flags, by index, the statements that have finished (also lock acquisitions and the end
    of the body). *ran* lists the numbers of the calls that ran, in order.
    """

    def __init__(self, shape):
        self.shape = shape
        self.done = [0] * SIZE
        self.ran = deque()
        self.locks = [threading.Lock() for _ in range(2)]

    def problems(self, struck=None):
        """Return the problems of a finished invocation, as sentences.

        *struck* is the name of the function in which the fault was raised. If that is one of
        CALLEES, its call had begun: the call counts as run, though it left no note.

        A call must have run exactly once if its statement had ended, and at most once if its
        statement had only begun. Calls run last in, first out. A call of `okdefer` or `errdefer`
        may be missing. But if the fault came before the exit began, every `errdefer` call must
        have run, and no `okdefer` call.
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
    """The outcome of injecting faults one after another."""

    def __init__(self):
        self.positions = 0  # faults injected
        self.places = set()  # where they struck
        self.wrong = []
        # faults that a hand-written `finally` does not survive either; the callers check the kind
        self.as_by_hand = []
