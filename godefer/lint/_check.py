"""The visitor: it applies the rules to a module."""

from __future__ import annotations

import ast

from godefer.lint import (
    _arguments,
    _awaiting,
    _callees,
    _captures,
    _contexts,
    _decorating,
    _futures,
    _gaps,
    _loops,
    _openings,
    _order,
    _results,
    _rules,
    _scopes,
    _uncalled,
)
from godefer.lint._module import Module
from godefer.lint._tree import imports_godefer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._site import Finding

RULES = {
    "GDF001": "the function is called, not passed",
    "GDF002": "the statement is in no function decorated with @with_defers",
    "GDF003": "a resource per turn of a loop, kept until the function exits",
    "GDF004": "a deferred function reads a loop variable when the loop is over",
    "GDF005": "an argument is evaluated now that was meant for later",
    "GDF006": "an async function is deferred where nothing awaits it",
    "GDF007": "recover() where it can never recover",
    "GDF008": "the deferred call opens rather than closes",
    "GDF009": "the statement is never reached",
    "GDF010": "an async context manager, ausing() or aclose() without await",
    "GDF011": "a decorated function that defers nothing",
    "GDF012": "a statement between acquiring and deferring can raise",
    "GDF013": "a recovering function may return None, against its annotation",
    "GDF014": "a named result that is never set",
    "GDF015": "a generator function is deferred, and nothing iterates it",
    "GDF016": "a deferred call takes a future, or a task, out of a container",
    "GDF017": "a scope is never entered, or the result of detach() is dropped",
    "GDF018": "@with_defers above a decorator that hides the function",
    "GDF019": "a close runs before the commit, or flush, of the same object",
    "GDF020": "something with a `with` of its own is deferred",
    "GDF021": "an object is deferred that cannot be called",
    "GDF022": "the deferred function calls nothing",
}

_SITE_RULES = (
    _callees.called_not_passed,
    _rules.no_decorated_function,
    _loops.once_per_turn,
    _captures.captures_loop_variable,
    _arguments.evaluated_now,
    _awaiting.async_in_sync,
    _rules.recover_deferred,
    _rules.recovers_on_return,
    _openings.opens_at_exit,
    _awaiting.not_awaited,
    _gaps.gap_before_defer,
    _results.recovers_to_none,
    _results.never_iterated,
    _futures.future_handed_back,
    _contexts.has_its_own_with,
    _callees.not_callable,
    _uncalled.calls_nothing,
)


class Visitor:
    """A visitor that applies the rules to the nodes of *tree* that concern godefer."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Module(tree)
        self.tree = tree
        self.findings: list[Finding] = []

    def visit(self) -> list[Finding]:
        """Apply every rule; return the findings in the order of the source."""
        self.findings = [
            *self._sites(),
            *_order.closed_too_early(self.module),
            *self._calls(),
            *self._functions(),
            *self._blocks(),
        ]
        found = {(f.node, f.code): f for f in self.findings}
        return sorted(found.values(), key=_place)

    def _sites(self) -> Iterator[Finding]:
        """Apply the rules about statements of godefer."""
        for site in self.module.sites.values():
            for rule in _SITE_RULES:
                yield from rule(self.module, site)

    def _calls(self) -> Iterator[Finding]:
        """Apply the rules about other calls of godefer's functions."""
        module = self.module
        for node in module.suspect_nodes():
            if not isinstance(node, ast.Call) or node in module.sites:
                continue
            if module.path(node.func) == "godefer.recover":
                yield from _rules.cannot_recover(module, node)
            yield from _scopes.scope_dropped(module, module.statement(node))

    def _functions(self) -> Iterator[Finding]:
        """Apply the rules about decorated functions."""
        for node in self.module.scope_of_function:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list:
                yield from _rules.nothing_deferred(self.module, node)
                yield from _results.result_not_set(self.module, node)
                yield from _decorating.hidden_function(self.module, node)

    def _blocks(self) -> Iterator[Finding]:
        """Apply the rule about unreachable code to all blocks around statements of godefer."""
        around: dict[ast.AST, None] = {}
        for node in self.module.sites:
            outer: ast.AST | None = node
            while outer is not None and outer not in around:
                around[outer] = None
                outer = self.module.parents.get(outer)
        for node in around:
            if hasattr(node, "body"):
                yield from _rules.out_of_reach(self.module, node)


def _place(finding: Finding) -> tuple[int, int, str]:
    node = finding.node
    return getattr(node, "lineno", 1), getattr(node, "col_offset", 0), finding.code


def check_tree(tree: ast.Module) -> list[Finding]:
    """Return the findings in a module; none if it does not import godefer."""
    return Visitor(tree).visit() if imports_godefer(tree) else []
