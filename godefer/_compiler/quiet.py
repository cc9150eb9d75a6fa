"""Compile without warnings: the user's own compilation of the source has shown them all.

Only the list of filters in `warnings` can suppress a SyntaxWarning. So a filter for this file is
put first in that list while `compile` runs, and removed afterwards. The warnings of other files are
not lost, and the registries of shown warnings are not reset. (If another thread enters
`catch_warnings` meanwhile, its copy of the list has the filter until that thread leaves the block.)

Rejected:

- `warnings.catch_warnings` replaces the list. Another thread may have saved the old list or may
  change it, and the interpreter still uses the old list when it shuts down. It also counts as a
  change of the filters: a warning that is shown once for each location is then shown again.
- A filter whose pattern tests the thread. Its `match` would be Python code, so another thread could
  change the list meanwhile, and a filter would be skipped.
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
    """A context manager that suppresses the warnings about the source *filename*."""

    def __init__(self, filename: str) -> None:
        self._filters = _filters()
        # The interpreter calls the pattern's ``match(module)``, where the module is the file
        # without its suffix. `str.startswith` runs no Python code. (On 3.15 a plain string matches
        # no file.)
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
        except ValueError:  # another thread, or a finalizer, has removed it
            pass
        finally:
            _release_lock()


def compile_quietly(source: Any, filename: str, flags: int) -> Any:
    """Return the compiled *source*, without warnings and without this module's `__future__` flags.

    Raises:
        SyntaxError: It does not compile.
        ValueError: The source has a null byte.
    """
    for last in (False, False, True):
        quiet = Quiet(filename)
        with quiet:
            try:
                return compile(source, filename, "exec", flags, dont_inherit=True)
            except SyntaxError:  # perhaps a warning: another thread's filter makes it an error
                if last or quiet.comes_first():
                    raise
            except SystemError:  # two threads parsed at the same time, on 3.11 (gh-106905)
                if last:
                    raise
    return None


def _filters() -> list[Any]:
    """Return the list of filters in use: since 3.14, the one of the current context."""
    warnings: Any = sys.modules.get("warnings")
    if warnings is None:
        found: list[Any] = _warnings.filters
    elif hasattr(warnings, "_get_filters"):
        found = warnings._get_filters()
    else:
        found = warnings.filters
    return found
