"""The `return` statements of a lowered function: kept values (P4) and named results (N)."""

from __future__ import annotations

import ast

from godefer._compiler import shapes
from godefer._compiler.sites import blocks, own_returns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from godefer._compiler.sites import Site

    Named = str | tuple[str, ...]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def recovery_can_return(body: Sequence[ast.stmt], sites: Sequence[Site]) -> bool:
    """Return whether a call can recover an exception that follows a `return` (P4)."""
    calls = len(sites) + sum(site.in_loop for site in sites)
    return calls > 1 and any(own_returns(body))


def keep_value(body: Sequence[ast.stmt], *, leaving: bool = False) -> list[ast.stmt]:
    """Let each ``return x`` assign ``@value``, which a recovery returns.

    A `return` can be overtaken, by what the exit of a `with` or a `finally` around it raises, or
    by a `break` or `continue` in that `finally` (*leaving*). Then it has not happened, and the
    value is None again.
    """
    kept: list[ast.stmt] = []
    for node in body:
        at = shapes.position(node)
        if isinstance(node, ast.Return):
            # A constant need not be kept to be known, but `@value` is what a recovery returns.
            value = node.value or shapes.none(at)
            again = value if isinstance(value, ast.Constant) else shapes.load("@value", at)
            kept += [shapes.assign("@value", value, at), ast.Return(again, **at)]
        elif isinstance(node, (ast.Break, ast.Continue)) and leaving:
            kept += [*shapes.clear(["@value"], at), node]
        elif isinstance(node, _SCOPES):
            kept.append(node)
        else:
            final = getattr(node, "finalbody", None)
            for block in blocks(node):
                block[:] = keep_value(block, leaving=leaving or block is final)
            overtaken = (isinstance(node, (ast.With, ast.AsyncWith)) or final) and any(
                own_returns([node])
            )
            kept += shapes.OVERTAKEN.fill(at, STATEMENT=[node]) if overtaken else [node]
    return kept


def assign_named(body: Sequence[ast.stmt], result: Named, *, pending: bool) -> list[ast.stmt]:
    """Let each ``return x`` assign the named results, and return them if no call is *pending*."""
    assigned: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.Return):
            at = shapes.position(node)
            if node.value is not None:
                assigned.append(_assigned(result, node.value, at))
            assigned.append(ast.Return(None if pending else named_value(result, at), **at))
            continue
        if not isinstance(node, _SCOPES):
            for block in blocks(node):
                block[:] = assign_named(block, result, pending=pending)
        assigned.append(node)
    return assigned


def _assigned(result: Named, value: ast.expr, at: shapes.Position) -> ast.stmt:
    if isinstance(result, str):
        return shapes.assign(result, value, at)
    return ast.Assign([shapes.targets(result, at)], value, **at)


def named_value(result: Named, at: shapes.Position) -> ast.expr:
    """Return the expression that is the value of the function."""
    if isinstance(result, str):
        return shapes.load(result, at)
    return shapes.pack((shapes.load(name, at) for name in result), at)
