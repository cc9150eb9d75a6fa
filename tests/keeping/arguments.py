"""Arguments that a kept exception must not keep alive, and the calls that get them."""

import weakref

from godefer import recover
from tests.helpers import pause

kept = []
arguments = []


class A:
    """An object to use as argument, callee or context manager."""

    def __init__(self):
        arguments.append(weakref.ref(self))

    def method(self, *args, **kwargs):
        pass

    def __enter__(self):
        pass

    def __exit__(self, *details):
        pass

    async def __aenter__(self):
        await pause()

    async def __aexit__(self, *details):
        await pause()


class Gives:
    """A context manager that returns an argument, and may suppress."""

    def __init__(self, suppresses):
        self.suppresses = suppresses

    def __enter__(self):
        return A()

    def __exit__(self, kind, error, traceback):
        kept.append(error)
        return self.suppresses


# The deferred functions themselves refer to no argument when they raise.


def clean(*args, **kwargs):
    pass


def bad(argument=None, **kwargs):
    del argument, kwargs
    raise ValueError("bad")


def stop(argument=None, **kwargs):
    del argument, kwargs
    raise SystemExit("stop")


def rescue(argument=None, **kwargs):
    kept.append(recover())


def rescue_fail(argument=None, **kwargs):
    del argument, kwargs
    kept.append(recover())
    raise LookupError("after recovering")


async def aclean(*args, **kwargs):
    del args, kwargs
    await pause()


async def abad(argument=None, **kwargs):
    del argument, kwargs
    await pause()
    raise ValueError("bad, later")


async def arescue(argument=None, **kwargs):
    del argument, kwargs
    await pause()
    kept.append(recover())


async def dropped(argument):
    pass


CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make
