"""An exception raised by a trace function, at each line event of given functions in turn."""

import linecache
import sys

from tests.faults import shapes
from tests.faults.ledger import Fault, Ledger, Sweep


class Lines:
    """Runs functions, and raises a fault at the n-th line that they execute."""

    def __init__(self, codes):
        self.codes = codes
        self.count = 0
        self.at = 0
        self.where = None  # the function and the line at which it was injected
        self.lines = []

    def _called(self, frame, _event, _arg):
        return self._line if frame.f_code in self.codes else None

    def _line(self, frame, event, _arg):
        if event == "line":
            self.count += 1
            self.lines.append(frame.f_lineno)
            if self.count == self.at:
                self.where = (frame.f_code.co_name, frame.f_lineno)
                raise Fault
        return self._line

    def run(self, at, fn, *args):
        """Run *fn* with a fault at line event number *at*, and return its exception."""
        self.count, self.at, self.where, self.lines = 0, at, None, []
        sys.settrace(self._called)
        try:
            fn(*args)
        except BaseException as error:
            error.__traceback__ = None
            return error
        finally:
            sys.settrace(None)
        return None


def _watched(decorated):
    """Return the code of a decorated function's body and of its deferred functions."""
    body = getattr(decorated, "__wrapped__", decorated)
    inside = (shapes.fail, shapes.caught, shapes.Awaited.__init__, shapes.Awaited.__await__)
    return {fn.__code__ for fn in (body, *inside, shapes.ALock.__aenter__, shapes.ALock.__aexit__)}


def sweep(shape, way):
    """Inject a fault at each line that the function executes, one at a time.

    `as_by_hand` collects two kinds of line event, which only open-coded functions have. At the
    exit the line of a `defer` statement is executed again: that is the deferred call, and a fault
    there replaces the call. At the line ``try:`` the block has not begun, so its handlers do not
    catch a fault there.
    """
    result = Sweep()
    fn = shape.decorated(way)
    injector = Lines(_watched(fn))
    while True:
        ledger = Ledger(shape)
        error = injector.run(result.positions + 1, shape.run, fn, ledger)
        if injector.where is None:
            return result
        result.positions += 1
        result.places.add(injector.where)
        name, line = injector.where
        text = linecache.getline(shapes.__file__, line).strip()
        problems = ledger.problems(name)
        if not isinstance(error, (Fault, LookupError)) and shape.name not in {
            "recovering",
            "recovering_in_a_loop",
        }:
            problems.append(f"{error!r} was raised")
        if not problems:
            continue
        again = line in injector.lines[:-1] and text.startswith(
            ("defer(", "using(", "await ausing(")
        )
        if way == "open-coded" and name == shape.name and (text == "try:" or again):
            result.as_by_hand.append((text, problems))
        else:
            result.wrong.append(f"line {line}, {text}: {problems}")
