"""Compile without warnings: the user's own compilation of the source has shown them all.

The interpreter asks the filters of `warnings` about each SyntaxWarning, and its list is the only
thing that can stop one. So a filter for this file is put first in that list while `compile` runs,
and taken out again. No warning of another file is lost, and no registry of warnings that were
shown is reset. (If another thread enters `catch_warnings` at that moment, its copy of the list has
the filter until it leaves.)

Rejected: `warnings.catch_warnings`. It replaces the list, which another thread may have saved or
changed meanwhile, and which the interpreter goes on using when it shuts down. It also counts as a
change of the filters, so that a warning that is shown once for each location is shown again.
Rejected, too: a filter whose pattern tests the thread. Its `match` is Python code; another thread
can change the list meanwhile, and a filter would be skipped.
"""

from __future__ import annotations

import _warnings
import sys
from types import SimpleNamespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _no_lock() -> None:
    """Do nothing."""


# Since 3.14 the interpreter holds this lock while it walks through the filters. Before that, no
# other thread runs meanwhile (unless a finalizer is run there: then one warning may be lost).
_acquire_lock = getattr(_warnings, "_acquire_lock", _no_lock)
_release_lock = getattr(_warnings, "_release_lock", _no_lock)


class Quiet:
    """A context in which nobody is warned of the source *filename*."""

    def __init__(self, filename: str) -> None:
        self._filters = _filters()
        # The interpreter asks for ``match(module)``, where the module is the file without its
        # suffix. This pattern runs no Python code. (3.15 compares no plain string with a file.)
        pattern = SimpleNamespace(match=filename.removesuffix(".py").startswith)
        self._filter = ("ignore", None, Warning, pattern, 0)

    def __enter__(self) -> None:
        try:
            _acquire_lock()  # in here: an interrupt can come after it, but not before
            self._filters.insert(0, self._filter)
        finally:
            _release_lock()

    def comes_first(self) -> bool:
        """Return whether no other filter has been put before this one."""
        return bool(self._filters) and self._filters[0] is self._filter

    def __exit__(self, *_: object) -> None:
        try:
            _acquire_lock()
            self._filters.remove(self._filter)
        except ValueError:  # another thread, or a finalizer, has cleared them
            pass
        finally:
            _release_lock()


def compile_quietly(source: Any, filename: str, flags: int) -> Any:
    """Return ``compile(source, filename, "exec", flags)``, without warnings and not inheriting.

    Raises:
        SyntaxError: It does not compile.
        ValueError: The source has a null byte.
    """
    for last in (False, False, True):
        quiet = Quiet(filename)
        with quiet:
            try:
                return compile(source, filename, "exec", flags, dont_inherit=True)
            except SyntaxError:  # it may be a warning that another thread has made an error
                if last or quiet.comes_first():
                    raise
            except SystemError:  # of two threads that parse at once, in 3.11 (gh-106905)
                if last:
                    raise
    return None


def _filters() -> list[Any]:
    """Return the list of filters that counts here: that of the context, since 3.14."""
    warnings: Any = sys.modules.get("warnings")
    if warnings is None:
        found: list[Any] = _warnings.filters
    elif hasattr(warnings, "_get_filters"):
        found = warnings._get_filters()
    else:
        found = warnings.filters
    return found
