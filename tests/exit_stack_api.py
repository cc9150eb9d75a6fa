"""defer_scope with the methods of ExitStack and AsyncExitStack, to run their tests on it.

Not a part of the library: docs/exitstack.md shows each method written with a scope, and this module
is that page as code.
"""

import functools

from godefer import defer_scope
from godefer._runtime.record import ASYNC_EXIT, EXIT


class Pushed:
    """A context manager that enters nothing, and exits by the given function."""

    # A special method is looked up on the type, as a descriptor, so it may be a slot.
    __slots__ = ("__aexit__", "__exit__")

    def __enter__(self):
        return self

    async def __aenter__(self):
        return self


def exit_of(thing, name):
    """Return the exit of a context manager, or *thing* itself if it is none."""
    for base in type(thing).__mro__:
        if name in vars(base):
            found = vars(base)[name]
            return found.__get__(thing, type(thing)) if hasattr(type(found), "__get__") else found
    return thing


class ExitStack:
    """The methods of contextlib.ExitStack, on a scope."""

    def __init__(self, scope=None):
        self.scope = defer_scope() if scope is None else scope

    def enter_context(self, cm):
        return self.scope.using(cm)

    def push(self, exit):
        pushed = Pushed()
        pushed.__exit__ = exit_of(exit, "__exit__")
        self.scope.using(pushed)
        return exit

    def callback(self, callback, /, *args, **kwds):
        self.scope(callback, *args, **kwds)
        return callback

    def pop_all(self):
        return type(self)(self.scope.detach())

    def close(self):
        self.scope.close()

    def __enter__(self):
        self.scope.__enter__()
        return self

    def __exit__(self, *details):
        return self.scope.__exit__(*details)

    @property
    def _exit_callbacks(self):
        """Return the pending calls as contextlib stores them: (is synchronous, function)."""
        found, d = [], self.scope._record.link
        while d is not None:
            found.insert(0, (d.when != ASYNC_EXIT, d.fn if d.when >= EXIT else _exit_wrapper(d.fn)))
            d = d.link
        return found


class AsyncExitStack(ExitStack):
    """The methods of contextlib.AsyncExitStack, on a scope."""

    __enter__ = __exit__ = close = None

    async def enter_async_context(self, cm):
        return await self.scope.ausing(cm)

    def push_async_exit(self, exit):
        pushed = Pushed()
        pushed.__aexit__ = exit_of(exit, "__aexit__")
        try:
            self.scope.ausing(pushed).send(None)  # its entry never waits
        except StopIteration:
            return exit
        raise AssertionError("it waits")

    push_async_callback = ExitStack.callback

    async def aclose(self):
        await self.scope.aclose()

    async def __aenter__(self):
        await self.scope.__aenter__()
        return self

    async def __aexit__(self, *details):
        return await self.scope.__aexit__(*details)


def _exit_wrapper(fn):
    wrapper = functools.partial(fn)
    wrapper.__wrapped__, wrapper.__name__, wrapper.__doc__ = fn, "_exit_wrapper", None
    return wrapper
