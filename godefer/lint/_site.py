"""The statements of godefer in a module, and the findings of the rules."""

from __future__ import annotations

import ast
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from godefer.lint._bindings import Scope
    from godefer.lint._tree import FunctionNode

DEFERRING = frozenset({"defer", "errdefer", "okdefer"})
STATEMENTS = DEFERRING | {"using", "ausing"}


class Replacement(NamedTuple):
    """One edit of a fix.

    Args:
        node: The node that gives the place.
        code: The new code: a tree, or plain text.
        kind: ``node`` to replace the node, ``line`` to remove its lines, ``above`` to insert a
            line above it with the same indentation, and ``decorator`` to insert there the
            decorator *code*, as the source spells it.
    """

    node: ast.AST
    code: ast.AST | str
    kind: str = "node"


class Fix(NamedTuple):
    """Edits that turn a mistake into the suggested code.

    Args:
        replacements: The edits, none of which overlaps another.
        safe: Whether the result is certain to be meant. `--fix` applies only safe fixes, unless
            `--unsafe-fixes` is given, too.
    """

    replacements: tuple[Replacement, ...]
    safe: bool


class Finding(NamedTuple):
    """The finding of a rule.

    Args:
        code: The rule.
        message: The problem, and the remedy.
        node: The node that gives the place in the source.
        fix: The edits that apply the remedy, if it is code.
    """

    code: str
    message: str
    node: ast.AST
    fix: Fix | None = None


class Site(NamedTuple):
    """One statement of godefer: a call of `defer`, `using` or a scope's method, or a decorator.

    Args:
        statement: The name in godefer, such as ``errdefer`` for ``scope.err``.
        written: The name in the checked module.
        node: The call, or the decorator.
        scoped: Whether it defers on a `defer_scope`, and not on the function.
        frame: The scope with the frame that runs it.
        callee: The expression that is deferred, or entered; None if there is none, or a star hides
            it.
        function: The function that a decorator defers; None for a call, and if another decorator
            may replace the function.
    """

    statement: str
    written: str
    node: ast.expr
    scoped: bool
    frame: Scope
    callee: ast.expr | None
    function: FunctionNode | None

    @property
    def defers(self) -> bool:
        """Return whether it is `defer`, `errdefer` or `okdefer`."""
        return self.statement in DEFERRING

    @property
    def shown(self) -> str:
        """Return the statement in its form for a message, such as ``defer()`` or ``@defer``."""
        return f"{self.written}()" if isinstance(self.node, ast.Call) else f"@{self.written}"

    @property
    def head(self) -> ast.expr:
        """Return the expression that names the statement."""
        return self.node.func if isinstance(self.node, ast.Call) else self.node

    @property
    def arguments(self) -> list[ast.expr]:
        """Return the positional arguments of the call, from the callee on."""
        return self.node.args if isinstance(self.node, ast.Call) else []

    @property
    def keywords(self) -> list[ast.keyword]:
        """Return the keyword arguments of the call."""
        return self.node.keywords if isinstance(self.node, ast.Call) else []
