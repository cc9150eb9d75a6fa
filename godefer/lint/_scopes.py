"""The rule about block scopes: GDF017, and helpers for other rules about scopes."""

from __future__ import annotations

import ast

from godefer.lint import _suggest
from godefer.lint._bindings import SCOPE
from godefer.lint._site import Finding
from godefer.lint._tree import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site


def entered_by(module: Module, site: Site) -> ast.With | ast.AsyncWith | None:
    """Return the `with` statement around *site* that has entered its scope; None if unknown."""
    base = _scope_of(site)
    if base is None:
        return None
    found = {
        module.statement(binding.node)
        for binding in module.bindings(base.id, module.scopes[base])
        if binding.kind == "with"
    }
    around = [
        outer
        for outer, _ in module.outward(base, module.scopes[base].frame())
        if isinstance(outer, (ast.With, ast.AsyncWith)) and outer in found
    ]
    return around[0] if around else None


def leaves_its_block(module: Module, entered: ast.With | ast.AsyncWith, site: Site) -> bool:
    """Return whether the scope may be closed after its block: it is passed on, or detached."""
    base = _scope_of(site)
    if base is None:
        return True
    for node in module.mentions(base.id, site.frame):
        parent = module.parents[node]
        called = node in module.sites or (isinstance(parent, ast.Call) and parent.func is node)
        method = isinstance(parent, ast.Attribute) and parent.attr not in {"detach", "aclose"}
        if not (called or method or isinstance(parent, ast.withitem)) and module.inside(
            node, entered
        ):
            return True
    return False


def _scope_of(site: Site) -> ast.Name | None:
    base = site.head.value if isinstance(site.head, ast.Attribute) else site.head
    return base if isinstance(base, ast.Name) else None


# GDF017


def scope_dropped(module: Module, node: ast.stmt) -> Iterator[Finding]:
    """Report a `defer_scope()` that nothing enters, or a dropped result of `detach()` (GDF017)."""
    value = getattr(node, "value", None)
    if not isinstance(value, ast.Call):
        return
    made = module.path(value.func)
    if made not in {"godefer.defer_scope", f"{SCOPE}.detach"}:
        return
    written = text(value.func)
    if isinstance(node, ast.Expr):
        dropped = True
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        dropped = _never_closed(module, node)
    else:
        return
    if not dropped:
        return
    if made == "godefer.defer_scope":
        message = (
            f"{written}() is not entered, so nothing runs its calls; "
            f"write `with {written}() as defer:`, or `async with` where calls are awaited"
        )
        yield Finding("GDF017", message, value)
    else:
        kept = isinstance(node, ast.Expr)
        message = (
            f"{written}() moves the pending calls to a new scope, which is dropped, so they never "
            f"run; {'keep what it gives' if kept else 'return it'}, and close() it later"
        )
        fix = None
        if kept and isinstance(value.func, ast.Attribute):
            message += f", or write {text(value.func.value)}.close() to run them now"
            right = _suggest.call(_suggest.attribute(value.func.value, "close"))
            fix = _suggest.replace(value, right, safe=False)
        yield Finding("GDF017", message, value, fix)


def _never_closed(module: Module, node: ast.Assign | ast.AnnAssign) -> bool:
    """Return whether the assigned scope is local, and nothing enters, closes or passes it on."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    target = targets[0]
    scope = module.scopes[node]
    if len(targets) != 1 or not isinstance(target, ast.Name) or scope.kind != "function":
        return False
    if target.id not in scope.bindings or len(module.bindings(target.id, scope)) != 1:
        return False
    for use in module.mentions(target.id, scope):
        if use is target:
            continue
        parent = module.parents[use]
        called = isinstance(parent, ast.Call) and parent.func is use
        method = isinstance(parent, ast.Attribute) and parent.attr in {"err", "ok", "using"}
        measured = isinstance(parent, ast.Call) and module.path(parent.func) == "builtins.len"
        if not (called or method or measured or use in module.sites):
            return False
    return True
