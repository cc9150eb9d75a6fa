"""The rule about futures in containers: GDF016 (D6).

The exit drops the result of a container's method, and awaits the result of a lambda.
"""

from __future__ import annotations

import ast

from godefer.lint import _suggest
from godefer.lint._site import Finding
from godefer.lint._tree import dotted, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site

_TASKS = frozenset({"asyncio.create_task", "asyncio.ensure_future"})
_READING = frozenset({"__getitem__", "get", "setdefault"})
_REMOVING = frozenset({"pop", "popitem", "popleft"})


def future_handed_back(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred call that takes a future, or a task, out of a container (GDF016)."""
    if not site.defers or not isinstance(site.node, ast.Call) or site.callee is None:
        return
    if not isinstance(site.frame.node, ast.AsyncFunctionDef):
        return
    callee = site.callee
    if isinstance(callee, ast.Lambda):
        yield from _awaited_for_ever(module, site, callee)
        return
    arguments = site.arguments[1:]
    if isinstance(callee, ast.Call) and module.path(callee.func) == "functools.partial":
        arguments = [*callee.args[1:], *arguments]
        callee = callee.args[0] if callee.args else callee
    if not isinstance(callee, ast.Attribute) or callee.attr not in _READING | _REMOVING:
        return
    container = dotted(callee.value)
    stored = _stored(module, site, container) if container is not None else []
    kinds = {kind for kind, _ in stored}
    if not kinds:
        return
    if callee.attr in _READING:
        lost = True
    else:
        lost = kinds == {"task"} and _is_the_only_way(module, site, container or "", stored)
    if not lost:
        return
    what = "task" if "task" in kinds else "future"
    taken = _suggest.call(callee, arguments, site.keywords)
    waits = _suggest.call(site.node.func, [_suggest.function_of(taken)])
    message = (
        f"{text(callee)}() gives back a {what}, which is dropped, and never awaited; "
        f"{_suggest.write(waits, 'defer a lambda that gives it back')}"
    )
    fix = _suggest.replace(site.node, waits, safe=False)
    yield Finding("GDF016", message, site.callee, fix)


def _awaited_for_ever(module: Module, site: Site, function: ast.Lambda) -> Iterator[Finding]:
    """Report `defer(lambda: pending.pop(key))` if the function itself stores only futures there."""
    call = function.body
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return
    if call.func.attr not in _READING | _REMOVING:
        return
    container = dotted(call.func.value)
    stored = _stored(module, site, container) if container is not None else []
    if {kind for kind, _ in stored} != {"future"} or function.args.args:
        return
    right = _suggest.call(
        site.node.func,  # type: ignore[attr-defined]
        [call.func, *call.args],
        call.keywords,
    )
    message = (
        f"the lambda gives back a future, which the exit awaits, though nothing may ever set it; "
        f"{_suggest.write(right, 'defer the method itself, whose result is dropped')}"
    )
    yield Finding("GDF016", message, function, _suggest.replace(site.node, right, safe=False))


def _stored(module: Module, site: Site, container: str) -> list[tuple[str, ast.expr]]:
    """Return the futures and tasks that the function puts into *container*.

    Each is a pair: "future" or "task", and its expression. Return an empty list if the function
    also puts anything else into the container.
    """
    found: list[tuple[str, ast.expr]] = []
    for node in module.bodies.get(site.frame, []):
        values: list[ast.expr] = []
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Subscript) and dotted(t.value) == container for t in node.targets
        ):
            values = [node.value]
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"append", "appendleft", "add"}
            and dotted(node.func.value) == container
        ):
            values = node.args
        for value in values:
            kind = _kind(module, value)
            if not kind:
                return []
            found.append((kind, value))
    return found


def _kind(module: Module, value: ast.expr) -> str:
    if isinstance(value, ast.Name):
        bound = module.bindings(value.id, module.scopes[value])
        if len(bound) != 1 or bound[0].kind != "assign" or bound[0].value is None:
            return ""
        value = bound[0].value
    if not isinstance(value, ast.Call):
        return ""
    if module.path(value.func) in _TASKS:
        return "task"
    if module.path(value.func) == "asyncio.Future":
        return "future"
    method = value.func.attr if isinstance(value.func, ast.Attribute) else ""
    return {"create_task": "task", "create_future": "future", "run_in_executor": "task"}.get(
        method, ""
    )


def _is_the_only_way(
    module: Module, site: Site, container: str, stored: list[tuple[str, ast.expr]]
) -> bool:
    """Return whether only *container* holds the task: it is local, and used for nothing else."""
    if "." in container or container not in site.frame.bindings:
        return False
    if any(b.kind == "parameter" for b in site.frame.bindings[container]):
        return False
    if any(isinstance(value, ast.Name) for _, value in stored):
        return False
    for node in module.mentions(container, site.frame):
        if not isinstance(node.ctx, ast.Load) or module.inside(node, site.node):
            continue
        parent = module.parents[node]
        stores = isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Store)
        adds = isinstance(parent, ast.Attribute) and parent.attr in {"append", "appendleft", "add"}
        if not stores and not adds:
            return False
    return True
