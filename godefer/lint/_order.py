"""The rule about the order of deferred calls: GDF019. The last one that is deferred runs first."""

from __future__ import annotations

import ast
from typing import NamedTuple

from godefer.lint._site import Finding
from godefer.lint._tree import code, dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site

# Methods that need an open object.
_NEED_IT_OPEN = frozenset(
    {
        "commit",
        "drain",
        "execute",
        "executemany",
        "flush",
        "rollback",
        "sendall",
        "sync",
        "truncate",
        "write",
        "writelines",
    }
)
_CLOSE = frozenset({"aclose", "close"})


class _Call(NamedTuple):
    owner: str
    method: str
    node: ast.expr


def closed_too_early(module: Module) -> Iterator[Finding]:
    """Report a deferred close that runs before a deferred commit of the same object (GDF019)."""
    needing: dict[tuple[Scope, str, str], list[tuple[Site, _Call]]] = {}
    closing: list[tuple[tuple[Scope, str, str], Site, _Call]] = []
    for site in module.sites.values():
        call = _only_call(module, site) if site.defers else None
        if call is None:
            continue
        key = (site.frame, _scope_of(site), call.owner)
        if call.method in _CLOSE:
            closing.append((key, site, call))
        elif call.method in _NEED_IT_OPEN:
            needing.setdefault(key, []).append((site, call))
    for key, site, close in closing:
        if key in needing:
            yield from _too_early(module, site, close, needing[key])


def _too_early(
    module: Module, site: Site, close: _Call, needing: Sequence[tuple[Site, _Call]]
) -> Iterator[Finding]:
    above = _above(module, site)
    for other, call in needing:
        if module.statement(other.node) not in above:
            continue
        if _exclude_each_other(site, other) or _bound_between(module, close, other, site):
            continue
        first = module.statement(other.node).lineno
        message = (
            f"{close.owner}.{close.method} runs before {call.owner}.{call.method}, which is "
            f"deferred above it in line {first}: the last call deferred runs first; "
            f"put this statement above line {first}"
        )
        yield Finding("GDF019", message, site.node)
        return


def _exclude_each_other(site: Site, other: Site) -> bool:
    """Return whether at most one of the two calls runs."""
    return {site.statement, other.statement} == {"errdefer", "okdefer"}


def _above(module: Module, site: Site) -> set[ast.stmt]:
    """Return the statements above *site* in its block, and in each block around it."""
    statement = module.statement(site.node)
    places: list[ast.stmt] = [statement]
    places += [o for o, _ in module.outward(statement, site.frame) if isinstance(o, ast.stmt)]
    above: set[ast.stmt] = set()
    for place in places:
        block, index = module.block(place)
        above.update(block[:index])
    return above


def _scope_of(site: Site) -> str:
    """Return the expression of the scope that *site* defers on; "" for the function."""
    head = site.head
    if not site.scoped:
        return ""
    return code(head.value if isinstance(head, ast.Attribute) else head)


def _only_call(module: Module, site: Site) -> _Call | None:
    """Return the call of a variable's method, if the deferred function does nothing else."""
    callee = site.callee
    if callee is None:
        return _of_body(site.function.body) if site.function is not None else None
    if isinstance(callee, ast.Lambda):
        return _of_body([ast.Expr(callee.body)])
    definition = module.definition(callee)
    if isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    return _method(callee, site.node)


def _of_body(body: Sequence[ast.stmt]) -> _Call | None:
    value = getattr(body[0], "value", None) if len(body) == 1 else None
    call = value.value if isinstance(value, ast.Await) else value
    return _method(call.func, call) if isinstance(call, ast.Call) else None


def _method(function: ast.expr, node: ast.expr) -> _Call | None:
    if not isinstance(function, ast.Attribute):
        return None
    owner = dotted(function.value)
    return _Call(owner, function.attr, node) if owner is not None else None


def _bound_between(module: Module, close: _Call, other: Site, site: Site) -> bool:
    """Return whether the variable may get another object between the two statements."""
    name = close.owner.partition(".")[0]
    found = module.bindings(name, module.scopes[site.node])
    first, last = other.node.lineno, site.node.lineno
    return any(first <= getattr(b.node, "lineno", 0) <= last for b in found)
