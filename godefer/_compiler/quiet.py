"""Compile without warnings: the user's own compilation of the source has shown them all.

The interpreter asks the filters of `warnings` about each SyntaxWarning, and its list is the only
thing that can stop one. So a filter is put first in that list while `compile` runs, and taken out
again. It matches only in this thread and for this file. No other thread loses a warning, and no
registry of warnings that were shown is reset.

Rejected: `warnings.catch_warnings`. It replaces the list, which another thread may have saved or
changed meanwhile, and which the interpreter goes on using when it shuts down. It also counts as a
change of the filters, so that a warning that is shown once for each location is shown again.
"""

from __future__ import annotations

import _warnings
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def compile_quietly(source: Any, filename: str, flags: int) -> Any:
    """Return ``compile(source, filename, "exec", flags)``, without warnings and not inheriting.

    Raises:
        SyntaxError: It does not compile.
        ValueError: The source has a null byte.
    """
    filters = _filters()
    quiet = ("ignore", None, Warning, _Here(filename), 0)
    try:
        filters.insert(0, quiet)
        return compile(source, filename, "exec", flags, dont_inherit=True)
    finally:
        if quiet in filters:  # a finalizer that ran meanwhile may have cleared them
            filters.remove(quiet)


class _Here:
    """The pattern of the filter, for a module's name: it matches a file, in this thread."""

    def __init__(self, filename: str) -> None:
        self.module = filename.removesuffix(".py")
        self.thread = get_ident()

    def match(self, module: str) -> bool:
        """Return whether a warning is from here."""
        return module == self.module and get_ident() == self.thread


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
