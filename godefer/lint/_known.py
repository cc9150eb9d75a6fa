"""Names of functions, methods and decorators of libraries, for `_module`."""

from __future__ import annotations

FRAME_READERS = frozenset(
    {"builtins.locals", "builtins.vars", "builtins.eval", "builtins.exec", "builtins.dir"}
)
# Decorators that are known not to apply with_defers. Any other decorator may apply it.
HARMLESS = frozenset(
    {
        "builtins.property",
        "builtins.staticmethod",
        "builtins.classmethod",
        "functools.cache",
        "functools.lru_cache",
        "functools.cached_property",
        "functools.wraps",
        "contextlib.contextmanager",
        "contextlib.asynccontextmanager",
        "abc.abstractmethod",
        "atexit.register",
        "dataclasses.dataclass",
        "functools.total_ordering",
        "pytest.fixture",
        *(
            f"{t}.{n}"
            for t in ("typing", "typing_extensions")
            for n in ("final", "override", "runtime_checkable")
        ),
    }
)
# Decorators with a result that still runs the body of their function.
KEEPING = frozenset({"functools.cache", "functools.lru_cache", "functools.wraps"})
ACCESSORS = frozenset({"setter", "getter", "deleter"})
HARMLESS_BASES = ("pytest.mark", "unittest.skip", "unittest.mock.patch")
# Methods that call a function that they get, and do not decorate it.
CALLING = frozenset(
    {
        "add_done_callback",
        "apply_async",
        "call_at",
        "call_later",
        "call_soon",
        "call_soon_threadsafe",
        "imap",
        "run_in_executor",
        "sort",
        "starmap",
        "submit",
    }
)
# Functions of the standard library that return, or store, their arguments.
PASSING_ON = frozenset({"functools.partial", "functools.partialmethod", "builtins.setattr"})
NEVER_RETURN = frozenset(
    {"os._exit", "os.abort", "sys.exit", "builtins.exit", "builtins.quit", "godefer.panic"}
)
