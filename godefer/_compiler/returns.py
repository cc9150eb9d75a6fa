"""The body of a lowered function and its `return` statements.

After a recovery, a function returns the value that a `return` has evaluated before (P4). Named
results are returned after the last call (N). So `lower` rewrites the `return` statements before it
puts the body into shapes.
"""

from __future__ import annotations

import _ast as ast

from godefer._compiler import nodes, shapes
from godefer._compiler.sites import Unclear

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from godefer._compiler.sites import Site

    Named = str | tuple[str, ...]

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Most statements have no blocks, and `blocks` is called several times for each statement.
_WITH_BLOCKS = frozenset(
    kind for kind in ast.stmt.__subclasses__() if {"body", "cases"} & {*kind._fields}
)


def blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """Return the lists of statements inside of a statement."""
    if type(node) not in _WITH_BLOCKS:
        return []
    blocks = []
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if block:
            blocks.append(block)
    for name in ("handlers", "cases"):
        blocks += [part.body for part in getattr(node, name, ())]
    return blocks


def own_statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements in the function's own scope, in no particular order."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _SCOPES):
            stack += [child for block in blocks(node) for child in block]


def own_returns(body: Iterable[ast.stmt]) -> list[ast.Return]:
    """Return the `return` statements with a value in the function's own scope."""
    return [
        node
        for node in own_statements(body)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def catches(body: Iterable[ast.stmt]) -> bool:
    """Return whether *body* has a `try` or a `with`, so that it can go on after an exception."""
    catching = (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)
    return any(isinstance(node, catching) for node in own_statements(body))


def recovery_can_return(body: Iterable[ast.stmt], sites: Sequence[Site]) -> bool:
    """Return whether a call can recover an exception raised after a `return` was evaluated (P4)."""
    calls = len(sites) + sum(site.in_loop for site in sites)
    return calls > 1 and any(own_returns(body))


def check_named(body: Iterable[ast.stmt], result: Named, shift: int) -> None:
    """Raise `Unclear` if an ``except … as`` deletes a named result at the end of its clause."""
    names = (result,) if isinstance(result, str) else result
    for node in own_statements(body):
        for handler in getattr(node, "handlers", ()):
            if handler.name in names:
                msg = (
                    f"`except ... as {handler.name}` at line {handler.lineno + shift} "
                    f"deletes that name at its end: use another one there"
                )
                raise Unclear(msg)


def keep_value(body: Iterable[ast.stmt], *, leaving: bool = False) -> list[ast.stmt]:
    """Let each ``return x`` assign ``@value``, which a recovery returns.

    A `return` does not happen if the exit of a `with` or a `finally` around it raises. Nor does it
    if that `finally` has a `break` or `continue`. Then ``@value`` is set to None again.

    Args:
        body: The statements.
        leaving: Whether they are in a `finally`.
    """
    kept: list[ast.stmt] = []
    for node in body:
        at = nodes.position(node)
        if isinstance(node, ast.Return):
            # `return` itself does not need `@value` for a constant, but a recovery does.
            value = node.value or nodes.none(at)
            again = value if isinstance(value, ast.Constant) else nodes.load("@value", at)
            kept += [nodes.assign("@value", value, at), ast.Return(again, **at)]
        elif isinstance(node, (ast.Break, ast.Continue)) and leaving:
            kept += [*nodes.clear(["@value"], at), node]
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


def assign_named(body: Iterable[ast.stmt], result: Named, *, pending: bool) -> list[ast.stmt]:
    """Let each ``return x`` assign the named results. If no call is *pending*, it returns them."""
    assigned: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.Return):
            at = nodes.position(node)
            if node.value is not None:
                assigned.append(_assign(result, node.value, at))
            assigned.append(ast.Return(None if pending else named_value(result, at), **at))
            continue
        if not isinstance(node, _SCOPES):
            for block in blocks(node):
                block[:] = assign_named(block, result, pending=pending)
        assigned.append(node)
    return assigned


def _assign(result: Named, value: ast.expr, at: nodes.Position) -> ast.stmt:
    if isinstance(result, str):
        return nodes.assign(result, value, at)
    return ast.Assign([nodes.targets(result, at)], value, **at)


def named_value(result: Named, at: nodes.Position) -> ast.expr:
    """Return the expression for the value of a function with named results."""
    if isinstance(result, str):
        return nodes.load(result, at)
    return nodes.pack((nodes.load(name, at) for name in result), at)
