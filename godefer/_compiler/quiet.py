"""Compile without warnings: the user's own compilation of the source has shown them all.

The interpreter asks the filters of `warnings` about each SyntaxWarning, and its list is the only
thing that can stop one. So a filter for this file is put first in that list while `compile` runs,
and taken out again. No other warning is lost, and no registry of warnings that were shown is reset.

Rejected: `warnings.catch_warnings`. It replaces the list, which another thread may have saved or
changed meanwhile, and which the interpreter goes on using when it shuts down. It also counts as a
change of the filters, so that a warning that is shown once for each location is shown again. A
filter for this thread, by an object with a `match` of its own: while a thread runs that method,
another one can change the list, and the search for a filter skips one.
"""

from __future__ import annotations

import _warnings
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Quiet:
    """A context in which nobody is warned of the source *filename*."""

    def __init__(self, filename: str) -> None:
        self._filters = _filters()
        # A string is compared with the name that the interpreter makes of the file's; that runs no
        # code.
        self._filter = ("ignore", None, Warning, filename.removesuffix(".py"), 0)

    def __enter__(self) -> None:
        self._filters.insert(0, self._filter)

    def __exit__(self, *_: object) -> None:
        try:  # noqa: SIM105  # contextlib is slow to import
            self._filters.remove(self._filter)
        except ValueError:  # another thread, or a finalizer, has cleared them
            pass


def compile_quietly(source: Any, filename: str, flags: int) -> Any:
    """Return ``compile(source, filename, "exec", flags)``, without warnings and not inheriting.

    Raises:
        SyntaxError: It does not compile.
        ValueError: The source has a null byte.
    """
    with Quiet(filename):
        return compile(source, filename, "exec", flags, dont_inherit=True)


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
