"""The visitor: what to ask of each node of a module."""

from __future__ import annotations

import ast

from godefer.lint import _loops, _patterns, _rules
from godefer.lint._module import Finding, Module
from godefer.lint._names import mentions_godefer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = {
    "GDF001": "the function is called, not passed",
    "GDF002": "the statement stands in no function decorated with @with_defers",
    "GDF003": "a resource per turn of a loop, all of them kept until the function exits",
    "GDF004": "a deferred function reads a loop variable when the loop is over",
    "GDF005": "an argument is evaluated now that was meant for later",
    "GDF006": "an async function is deferred where nothing awaits it",
    "GDF007": "recover() where it can never recover",
    "GDF008": "what is deferred opens rather than closes",
    "GDF009": "the statement is never reached",
    "GDF010": "ausing() or an async scope without await",
    "GDF011": "a decorated function that defers nothing",
    "GDF012": "a statement between acquiring and deferring can raise",
}

_OF_A_SITE = (
    _rules.called_not_passed,
    _rules.no_decorated_function,
    _loops.once_per_turn,
    _loops.captures_loop_variable,
    _patterns.evaluated_now,
    _rules.async_in_sync,
    _rules.recover_deferred,
    _patterns.opens_at_exit,
    _rules.not_awaited,
    _patterns.gap,
)


class Visitor:
    """Visits each node of *tree* once, in the order of the source, and collects what the rules find."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Module(tree)
        self.tree = tree
        self.findings: list[Finding] = []

    def visit(self) -> list[Finding]:
        """Visit all of it; the findings are in the order of the source."""
        self.findings += _rules.out_of_reach(self.module, self.tree)
        for node in self.module.scopes:
            self.findings += self._node(node)
        found = {(f.node, f.code): f for f in self.findings}
        return sorted(found.values(), key=_place)

    def _node(self, node: ast.AST) -> Iterator[Finding]:
        module = self.module
        site = module.sites.get(node)
        if site is not None:
            for rule in _OF_A_SITE:
                yield from rule(module, site)
        elif isinstance(node, ast.Call):
            if module.path(node.func) == "godefer.recover":
                yield from _rules.cannot_recover(module, node)
        elif isinstance(node, ast.Expr):
            yield from _rules.scope_not_entered(module, node)
        else:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _rules.nothing_deferred(module, node)
            if hasattr(node, "body"):
                yield from _rules.out_of_reach(module, node)


def _place(finding: Finding) -> tuple[int, int, str]:
    node = finding.node
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), finding.code


def check_tree(tree: ast.Module) -> list[Finding]:
    """What the rules find in a module; nothing, at once, if it does not import godefer."""
    return Visitor(tree).visit() if mentions_godefer(tree) else []
