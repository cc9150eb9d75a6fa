"""The rules about awaiting: GDF006 and GDF010. They fire only where a mistake is certain."""

from __future__ import annotations

import ast

from godefer.lint._site import Finding
from godefer.lint._tree import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode


def async_in_sync(module: Module, site: Site) -> Iterator[Finding]:
    """GDF006: an async function that is deferred where the exit is not async."""
    if not site.defers:
        return
    name = _coroutine_function(module, site)
    if not name:
        return
    place = site.callee or site.node
    if site.scoped:
        entered = _entered_by(module, site)
        if isinstance(entered, ast.With) and not _leaves_its_block(module, entered, site):
            message = (
                f"{name} is async, and a scope entered by `with` cannot await it; "
                f"write `async with defer_scope()`"
            )
            yield Finding("GDF006", message, place)
        return
    if isinstance(site.frame.node, ast.FunctionDef):
        instead = (
            f"defer what runs {name} to its end, as in {site.written}(asyncio.run, {name}())"
            if site.function is None
            else f"make {name} a `def` that runs what it awaits by asyncio.run()"
        )
        message = (
            f"{name} is async, and {site.frame.name} is not, so it would never run; "
            f"make {site.frame.name} `async def`, or {instead}"
        )
        yield Finding("GDF006", message, place)


def _coroutine_function(module: Module, site: Site) -> str:
    """Return the name of the coroutine function of this module that *site* defers, else ""."""
    callee = site.callee
    if site.function is not None:
        return site.function.name if _gives_coroutine(module, site.function) else ""
    if callee is None:
        return ""
    if (
        isinstance(callee, ast.Call)
        and module.path(callee.func) == "functools.partial"
        and callee.args
    ):
        callee = callee.args[0]
    if isinstance(callee, ast.Lambda) and isinstance(callee.body, ast.Call):
        callee = callee.body.func
    function = module.definition(callee)
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ""
    allowed = {"builtins.staticmethod", "builtins.classmethod"}
    if any(
        not module.is_with_defers(d) and module.path(d) not in allowed
        for d in function.decorator_list
    ):
        return ""
    return text(callee) if _gives_coroutine(module, function) else ""


def _gives_coroutine(module: Module, function: FunctionNode) -> bool:
    """Return whether *function* is a coroutine function, and not an async generator function."""
    return isinstance(function, ast.AsyncFunctionDef) and not any(
        isinstance(node, (ast.Yield, ast.YieldFrom)) for node in module.body(function)
    )


def _entered_by(module: Module, site: Site) -> ast.With | ast.AsyncWith | None:
    """Return the `with` statement around *site* that has entered its scope; None if unknown."""
    func = site.head
    base = func.value if isinstance(func, ast.Attribute) else func
    if not isinstance(base, ast.Name):
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


def _leaves_its_block(module: Module, entered: ast.With | ast.AsyncWith, site: Site) -> bool:
    """Return whether the scope may be closed after its block: it is passed on, or detached."""
    func = site.head
    base = func.value if isinstance(func, ast.Attribute) else func
    if not isinstance(base, ast.Name):
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


def not_awaited(module: Module, site: Site) -> Iterator[Finding]:
    """GDF010: `ausing(…)` or `aclose()` without `await`, or on a scope that cannot await."""
    parent = module.parents[site.node]
    written = f"{site.written}(…)"
    if site.statement == "aclose":
        if isinstance(parent, ast.Expr):
            yield Finding(
                "GDF010",
                f"{site.written}() does nothing until it is awaited; write await {site.written}()",
                site.node,
            )
        return
    if site.statement != "ausing":
        return
    by_hand = isinstance(parent, ast.Attribute) and parent.attr == "__await__"
    if isinstance(parent, (ast.Expr, ast.Attribute)) and not by_hand:
        message = f"{written} enters nothing until it is awaited; write await {written}"
        yield Finding("GDF010", message, site.node)
    elif isinstance(parent, ast.withitem):
        message = (
            f"{written} is to be awaited, not entered; write `x = await {written}`, "
            f"or `async with` without {site.written}"
        )
        yield Finding("GDF010", message, site.node)
    elif isinstance(parent, ast.Assign) and _only_attributes(module, parent, site):
        message = (
            f"{written} gives what is to be awaited, and it is not; "
            f"write `{text(parent.targets[0])} = await {written}`"
        )
        yield Finding("GDF010", message, site.node)
    elif site.scoped and isinstance(parent, ast.Await):
        entered = _entered_by(module, site)
        if isinstance(entered, ast.With) and not _leaves_its_block(module, entered, site):
            message = (
                f"{written} needs an exit that can await; "
                f"enter the scope by `async with defer_scope()`, not `with`"
            )
            yield Finding("GDF010", message, site.node)


def _only_attributes(module: Module, assignment: ast.Assign, site: Site) -> bool:
    """Return whether the assigned variable is used for its attributes only, so never awaited."""
    target = assignment.targets[0]
    if (
        len(assignment.targets) != 1
        or not isinstance(target, ast.Name)
        or site.frame.kind != "function"
    ):
        return False
    found = module.mentions(target.id, site.frame)
    others = [node for node in found if node is not target]
    return (
        len(module.bindings(target.id, site.frame)) == 1
        and site.frame.bindings.get(target.id) is not None
        and bool(others)
        and all(
            isinstance(parent := module.parents[n], ast.Attribute) and parent.attr != "__await__"
            for n in others
        )
    )


def scope_not_entered(module: Module, node: ast.Expr) -> Iterator[Finding]:
    """GDF010: a `defer_scope()` that nothing enters."""
    if isinstance(node.value, ast.Call) and module.path(node.value.func) == "godefer.defer_scope":
        name = text(node.value.func)
        message = (
            f"{name}() is not entered; write `with {name}() as defer:`, "
            f"or `async with` where calls are awaited"
        )
        yield Finding("GDF010", message, node.value)
