"""The visitor: it walks over a module and applies the rules."""

from __future__ import annotations

import ast

from godefer.lint import _arguments, _awaiting, _loops, _openings, _rules
from godefer.lint._bindings import imports_godefer
from godefer.lint._module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._site import Finding

RULES = {
    "GDF001": "the function is called, not passed",
    "GDF002": "the statement is used in no function decorated with @with_defers",
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

_SITE_RULES = (
    _rules.called_not_passed,
    _rules.no_decorated_function,
    _loops.once_per_turn,
    _loops.captures_loop_variable,
    _arguments.evaluated_now,
    _awaiting.async_in_sync,
    _rules.recover_deferred,
    _openings.opens_at_exit,
    _awaiting.not_awaited,
    _openings.gap_before_defer,
)


class Visitor:
    """Visits each node of *tree* once, in the order of the source, and collects the findings."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Module(tree)
        self.tree = tree
        self.findings: list[Finding] = []

    def visit(self) -> list[Finding]:
        """Visit the whole tree; return the findings in the order of the source."""
        self.findings += _rules.out_of_reach(self.module, self.tree)
        for node in self.module.scopes:
            self.findings += self._node(node)
        found = {(f.node, f.code): f for f in self.findings}
        return sorted(found.values(), key=_place)

    def _node(self, node: ast.AST) -> Iterator[Finding]:
        module = self.module
        site = module.sites.get(node)
        if site is not None:
            for rule in _SITE_RULES:
                yield from rule(module, site)
        elif isinstance(node, ast.Call):
            if module.path(node.func) == "godefer.recover":
                yield from _rules.cannot_recover(module, node)
        elif isinstance(node, ast.Expr):
            yield from _awaiting.scope_not_entered(module, node)
        else:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _rules.nothing_deferred(module, node)
            if hasattr(node, "body"):
                yield from _rules.out_of_reach(module, node)


def _place(finding: Finding) -> tuple[int, int, str]:
    node = finding.node
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), finding.code


def check_tree(tree: ast.Module) -> list[Finding]:
    """Return the findings in a module; none, without a visit, if it does not import godefer."""
    return Visitor(tree).visit() if imports_godefer(tree) else []
