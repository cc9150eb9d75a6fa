"""A pending interrupt at a given instruction, so that the interpreter itself handles it.

The interpreter looks for signals only at a few places (when a function is entered, at a backward
jump, after a call of C), and these differ between versions. The tests do not guess these places.
A trace function written in C, `PyErr_SetInterruptEx` itself, marks the signal as arrived just
before an instruction, as the C part of a signal handler does. It runs no bytecode after that.

The interpreter then calls the Python handler at the next of its places, and the handler raises
KeyboardInterrupt. Marking a signal before every instruction finds every such place, rare ones too.
"""

import ctypes
import dis
import random
import signal
import sys
from pathlib import Path

import godefer
from tests.faults import shapes
from tests.faults.ledger import CALLEES, Ledger, Sweep

SIGNAL = signal.SIGINT

_CHECKING = (
    "RESUME",
    "JUMP",
    "POP_JUMP",
    "CALL",
    "PRECALL",
    "SEND",
    "FOR_ITER",
    "INSTRUMENTED",
    "ENTER_EXECUTOR",
)
_TURNS = 2  # count an instruction in a loop at most so many times
_codes = {}


def _may_check(frame):
    """Return whether some version of the interpreter may handle signals at the next instruction."""
    ops = _codes.get(frame.f_code)
    if ops is None:
        code = frame.f_code.co_code
        ops = _codes[frame.f_code] = [
            dis.opname[code[i]].startswith(_CHECKING) for i in range(0, len(code), 2)
        ]
    return ops[frame.f_lasti // 2]


class Interrupts:
    """Runs functions, and makes a signal pending at given instructions of them or of godefer."""

    def __init__(self, files, *, every=False):
        self.files = set(files)
        self.every = every  # count every instruction, or only those at which signals may be handled
        self.count = 0  # instructions counted so far
        self.turns = {}  # the number of runs of each instruction
        self.at = ()  # numbers of the instructions before which a signal arrives
        self.landed = []  # where signals were handled: (file, function, line, instruction)
        self.postponed = False  # a signal that was handled in this file has to arrive again
        watched = self

        class Instruction:
            @staticmethod
            def from_param(frame):
                arrives = False
                if watched.every or (_may_check(frame) and watched.turn(frame)):
                    watched.count += 1
                    arrives = watched.count in watched.at
                if arrives or watched.postponed:
                    watched.postponed = False
                    return ctypes.c_int(SIGNAL)
                return ctypes.c_int(0)  # not the number of a signal, so nothing happens

        class Ignored:
            @staticmethod
            def from_param(_):
                return ctypes.c_int(0)

        # Not an attribute of pythonapi: all users of that share one object with its argtypes.
        prototype = ctypes.PYFUNCTYPE(None, ctypes.c_int, ctypes.c_int, ctypes.c_int)
        self.interrupt = prototype(("PyErr_SetInterruptEx", ctypes.pythonapi))
        self.interrupt.argtypes = [Instruction, Ignored, Ignored]

    def turn(self, frame):
        """Count a run of the instruction; return whether it is one of the first `_TURNS` runs."""
        key = frame.f_code, frame.f_lasti
        self.turns[key] = self.turns.get(key, 0) + 1
        return self.turns[key] <= _TURNS

    def _called(self, frame, _event, _arg):
        if frame.f_code.co_filename not in self.files:
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self.interrupt

    def _handle(self, _signum, frame):
        where = frame.f_code
        if where.co_filename == __file__ and sys.gettrace() is not None:
            self.postponed = True
            return
        self.landed.append((where.co_filename, where.co_name, frame.f_lineno, frame.f_lasti))
        if self.count >= max(self.at):
            sys.settrace(None)  # the last signal has been handled
        raise KeyboardInterrupt

    def warm_up(self, fn, arguments):
        """Run *fn* twice: since 3.12, a code object has instruction events from its second run."""
        for _ in range(2):
            self.run((), fn, *arguments())

    def run(self, at, fn, *args):
        """Run *fn* with signals before the instructions *at*, and return its exception.

        Afterwards `landed` has the places where the signals were handled.
        """
        self.count, self.at, self.landed, self.postponed, self.turns = (
            0,
            frozenset(at),
            [],
            False,
            {},
        )
        before = signal.signal(SIGNAL, self._handle)
        try:
            sys.settrace(self._called)
            try:
                fn(*args)
            finally:
                sys.settrace(None)
        except BaseException as error:
            error.__traceback__ = None
            return error
        finally:
            signal.signal(SIGNAL, before)
        return None


FILES = [str(path) for path in Path(godefer.__file__).parent.rglob("*.py")] + [
    "<godefer wrapper>",
    shapes.__file__,
]


def _problems(shape, ledger, error, landed):
    struck = {where[1] for where in landed}
    problems = ledger.problems((struck & {*CALLEES, "__aexit__"} or {None}).pop())
    inside = [where for where in landed if where[0] in FILES]
    if inside and not isinstance(error, KeyboardInterrupt):
        problems.append(f"{error!r} was raised")
    return problems


def sweep(shape, way, *, every=False):
    """Interrupt the function before each instruction that can be interrupted, one at a time."""
    result = Sweep()
    fn = shape.decorated(way)
    interrupts = Interrupts(FILES, every=every)
    interrupts.warm_up(shape.run, lambda: (fn, Ledger(shape)))
    while True:
        ledger = Ledger(shape)
        error = interrupts.run({result.positions + 1}, shape.run, fn, ledger)
        if interrupts.count <= result.positions:
            return result
        result.positions += 1
        result.places.update(interrupts.landed)
        problems = _problems(shape, ledger, error, interrupts.landed)
        if not problems:
            continue
        if any(_outside_of_every_try(fn, where) for where in interrupts.landed):
            result.as_by_hand.append((interrupts.landed, problems))
        else:
            result.wrong.append(f"{interrupts.landed}: {problems}")


def pairs(shape, way, count, seed):
    """Interrupt each invocation twice, in *count* pairs of places drawn at random."""
    result = Sweep()
    fn = shape.decorated(way)
    interrupts = Interrupts(FILES)
    interrupts.warm_up(shape.run, lambda: (fn, Ledger(shape)))
    positions = range(1, interrupts.count + 1)
    draw = random.Random(f"{seed} {shape} {way}")
    for _ in range(count):
        first = draw.choice(positions)
        at = {first, first + draw.choice(range(1, 30))}
        ledger = Ledger(shape)
        error = interrupts.run(at, shape.run, fn, ledger)
        result.positions += 1
        problems = _problems(shape, ledger, error, interrupts.landed)
        if problems and not any(_outside_of_every_try(fn, where) for where in interrupts.landed):
            result.wrong.append(f"{interrupts.landed}: {problems}")
    return result


def _outside_of_every_try(fn, where):
    """Return whether CPython 3.13 or 3.14 left this backward jump out of the handler table.

    The jump is in a loop whose last statement is a condition. The `try` around the loop does not
    cover it, so an interrupt there skips a hand-written `finally` as well.
    """
    file, name, _, instruction = where
    if (
        sys.version_info[:2] not in {(3, 13), (3, 14)}
        or file != shapes.__file__
        or name != fn.__name__
    ):
        return False
    if dis.opname[fn.__code__.co_code[instruction]] != "JUMP_BACKWARD":
        return False
    return not any(
        entry.start <= instruction < entry.end
        for entry in dis.Bytecode(fn.__code__).exception_entries
    )
