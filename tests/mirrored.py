"""Helpers of the tests that mirror those of Go."""

from godefer import Panic, recover


def value(exception):
    """What a recovered panic was given; any other exception, and None, as it is."""
    return exception.value if isinstance(exception, Panic) else exception


def sub_call():
    """A call below a deferred function: too far down to recover."""
    return recover()


def squelch():
    """To be deferred."""
    recover()


class Log(list):
    """What was recovered, with who asked."""

    def note(self, *name):
        """To be deferred: recovers."""
        self.append((*name, value(recover())))

    def thrice(self, name):
        """To be deferred: asks in a sub-call, then itself, then once more."""
        self.append((name, sub_call(), value(recover()), recover()))

    def below(self, name):
        """To be deferred: asks in a sub-call only."""
        self.note(name)

    def recursive(self, name, depth=1):
        """To be deferred: asks in a call of itself."""
        if depth:
            self.recursive(name, depth - 1)
        else:
            self.note(name)
