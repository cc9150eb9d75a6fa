"""Help the reference to read our docstrings and our overloads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    import ast


class Source(griffe.Extension):
    """Sections of docstrings, and overloads."""

    def __init__(self) -> None:
        super().__init__()
        self.overloads: dict[str, list[griffe.Function]] = {}

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rename the section "Example:" to griffe's name for it; griffe takes it for a note."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$",
                "Examples:",
                obj.docstring.value,
                flags=re.MULTILINE,
            )

    def on_function_instance(
        self,
        *,
        node: ast.AST | griffe.ObjectNode,  # noqa: ARG002
        func: griffe.Function,
        **_: Any,
    ) -> None:
        """Collect overloads by name: griffe knows only an `overload` imported from typing."""
        if any(
            str(decorator.value) == "overload"
            for decorator in func.decorators
        ):
            self.overloads.setdefault(func.path, []).append(func)
        elif func.path in self.overloads:
            func.overloads = self.overloads.pop(func.path)
            for parameter in (
                func.parameters
            ):  # a private default is for the code below them
                for overload in func.overloads:
                    if parameter.name in overload.parameters:
                        parameter.default = overload.parameters[
                            parameter.name
                        ].default
