"""How the reference reads our docstrings: what stands under "Example:" is a session at the prompt."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """The section is called "Examples:" by griffe, which takes any other for a note."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section in a docstring that was just read."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
