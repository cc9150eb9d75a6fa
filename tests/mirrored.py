"""Helpers of the tests that mirror those of Go."""

from godefer import Panic, recover


def value(exception):
    """Return the value of a Panic; return any other exception, or None, unchanged."""
    return exception.value if isinstance(exception, Panic) else exception


def sub_call():
    """Call `recover` one call below the deferred function, where it must return None."""
    return recover()


def squelch():
    """Recover; to be deferred."""
    recover()


class Log(list):
    """The recovered values, each with the name of its caller."""

    def note(self, *name):
        """Recover; to be deferred."""
        self.append((*name, value(recover())))

    def thrice(self, name):
        """Recover in a sub-call, then directly, then once more; to be deferred."""
        self.append((name, sub_call(), value(recover()), recover()))

    def below(self, name):
        """Recover only in a sub-call; to be deferred."""
        self.note(name)

    def recursive(self, name, depth=1):
        """Recover in a recursive call; to be deferred."""
        if depth:
            self.recursive(name, depth - 1)
        else:
            self.note(name)
