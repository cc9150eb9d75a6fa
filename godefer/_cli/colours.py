"""The colours of the command line's output."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO


class Paint:
    """Colours text for a terminal, and leaves it plain for a pipe."""

    def __init__(self, out: TextIO) -> None:
        self.colours = has_colours(out)

    def __call__(self, code: str, text: str) -> str:
        """Return *text* in the style of an ECMA-48 *code*; plain if colours are off."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours and code and text else text


def has_colours(out: TextIO) -> bool:
    """Return whether output to *out* is coloured.

    NO_COLOR turns colours off, and otherwise FORCE_COLOR turns them on. If neither is set, *out*
    must be a terminal, and TERM must not be ``dumb``.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return out.isatty() and os.environ.get("TERM") != "dumb"
