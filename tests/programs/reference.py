"""The reference of a random program: the interpreter runs its calls at the exits of nested blocks.

Only `recover` is modelled here.
"""

import sys
import types

LEVELS = 12  # the interpreter allows twenty nested blocks, and the body has its own


class Running:
    """A deferred call that runs because of *error*; recovering sets *recovered*."""

    def __init__(self, error):
        self.error = error
        self.recovered = False


class Calls:
    """The calls that one invocation has deferred."""

    def __init__(self):
        self.calls = []
        self.failing = False

    def defer(self, fn, /, *args, **kwargs):
        self.calls.append(("defer", fn, args, kwargs))

    def errdefer(self, fn, /, *args, **kwargs):
        self.calls.append(("errdefer", fn, args, kwargs))

    def okdefer(self, fn, /, *args, **kwargs):
        self.calls.append(("okdefer", fn, args, kwargs))

    def using(self, manager):
        value = manager.__enter__()
        self.calls.append(("using", manager.__exit__, (), {}))
        return value

    async def ausing(self, manager):
        value = await manager.__aenter__()
        self.calls.append(("using", manager.__aexit__, (), {}))
        return value

    def due(self, level):
        """Return the call for the exit of *level*, or None."""
        if len(self.calls) > LEVELS:
            UNKNOWN.append(self)
        if level >= len(self.calls):
            return None
        when, fn, args, kwargs = self.calls[level]
        if when == ("okdefer" if self.failing else "errdefer"):
            return None
        error = sys.exception() if self.failing else None
        if when == "using":
            args = (
                (None, None, None) if error is None else (type(error), error, error.__traceback__)
            )
        return when, Running(error), fn, args, kwargs

    def failed(self, when, call):
        """Note that the call raised."""
        self.failing = True
        error = sys.exception()
        if when != "using" and call.error is not None:
            gone = call.recovered or isinstance(call.error, Exception)
            exit_ = ABORTED.get(call.error) if gone else call.error
            if exit_ is not None and exit_ is not error:
                ABORTED[error] = exit_

    def returned(self, when, call, result):
        """Return whether this call makes the failing function return."""
        if not (result if when == "using" else call.recovered) or call.error is None:
            return False
        exit_ = ABORTED.pop(call.error, None) if when != "using" else None
        if exit_ is not None:  # the exit that the recovered exception had aborted goes on (P3)
            chain, error = [(exit_, exit_.__context__)], sys.exception()
            while error is not None and all(error is not seen for seen, _ in chain):
                chain.append((error, error.__context__))
                error = error.__context__
            try:
                raise exit_
            finally:
                for error, context in chain:
                    error.__context__ = context
        self.failing = False
        return True


class Level:
    """A context manager, sync and async, around the body: one for each possible deferred call."""

    def __init__(self, calls, level):
        self.calls = calls
        self.level = level

    def __enter__(self):
        pass

    async def __aenter__(self):
        pass

    def __exit__(self, *_):
        found = self.calls.due(self.level)
        if found is None:
            return False
        when, running, fn, args, kwargs = found
        try:
            result = fn(*args, **kwargs)
            if isinstance(result, types.CoroutineType):
                result.close()
                raise TypeError(
                    f"{result.__qualname__} is a coroutine function deferred in sync code, so "
                    "nothing would await it. Make the function `async def` (or the scope "
                    "`async with`), or defer a function that runs it."
                )
        except BaseException:
            self.calls.failed(when, running)
            raise
        return self.calls.returned(when, running, result)

    async def __aexit__(self, *_):
        found = self.calls.due(self.level)
        if found is None:
            return False
        when, running, fn, args, kwargs = found
        try:
            result = fn(*args, **kwargs)
            if hasattr(type(result), "__await__"):
                result = await result
        except BaseException:
            self.calls.failed(when, running)
            raise
        return self.calls.returned(when, running, result)


RUNNERS = {Level.__exit__.__code__, Level.__aexit__.__code__}


class ByIdentity(dict):
    """A dictionary of exceptions by identity; it keeps them alive."""

    def __setitem__(self, key, value):
        super().__setitem__(id(key), (key, value))

    def get(self, key):
        return super().get(id(key), (None, None))[1]

    def pop(self, key, default):
        return super().pop(id(key), (None, default))[1]


ABORTED = ByIdentity()  # exception -> the exit that it has aborted
UNKNOWN = []  # invocations that defer more calls than the reference has levels


def reference_recover(*types):
    """Recover by the rule: the caller's caller must run deferred calls (P2).

    `partial` has no frame of its own.
    """
    caller = sys._getframe(1)
    if caller.f_code in RUNNERS:  # defer(recover)
        if caller.f_locals["running"].error is not None:
            return None
        caller = caller.f_back
    if caller.f_back.f_code not in RUNNERS:
        return None
    running = caller.f_back.f_locals["running"]
    if (
        caller.f_back.f_locals["when"] == "using"
        or running.recovered
        or not isinstance(running.error, types or Exception)
    ):
        return None
    running.recovered = True
    return running.error
