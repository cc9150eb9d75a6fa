"""The rule about a deferred function that names another one and calls nothing: GDF022."""

from __future__ import annotations

import ast

from godefer.lint import _suggest
from godefer.lint._callees import UNCALLABLE_RESULTS
from godefer.lint._resources import CLOSERS
from godefer.lint._site import Finding
from godefer.lint._tree import default_values, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site


def calls_nothing(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred function that names another function without calling it (GDF022)."""
    if not site.defers:
        return
    callee = site.callee
    if isinstance(callee, ast.Lambda):
        found = _uncalled(module, callee.body)
        if found is None:
            return
        given = callee.args
        plain = not (given.args or given.posonlyargs or given.kwonlyargs or given.vararg)
        direct = plain and not given.kwarg and found is callee.body
        direct = direct and _same_now(module, site, found)
        right = found if direct else _suggest.call(found)
        if direct:
            assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
            shown = _suggest.call(site.node.func, [found, *site.arguments[1:]], site.keywords)
            fix = _suggest.replace(callee, right)
        else:
            shown, fix = _suggest.call(found), _suggest.replace(found, right)
        message = (
            f"the lambda gives {text(found)} and calls nothing; {_suggest.write(shown, 'call it')}"
        )
        yield Finding("GDF022", message, callee, fix)
        return
    function = site.function
    if function is None and isinstance(callee, ast.Name):
        definition = module.definition(callee)
        function = None if isinstance(definition, ast.Lambda) else definition
    if function is None or module.scopes[function].frame() is not site.frame:
        return
    for statement in function.body:
        if isinstance(statement, ast.Expr):
            found = _uncalled(module, statement.value)
            if found is not None and found is statement.value:
                right = _suggest.call(found)
                message = f"{text(found)} is named here, and not called; write {text(right)}"
                yield Finding("GDF022", message, found, _suggest.replace(found, right))


def _same_now(module: Module, site: Site, found: ast.expr) -> bool:
    """Return whether the value of *found* is certain to be the same at the `defer` and at exit."""
    if isinstance(found, ast.Attribute):
        if _suggest.is_assigned(module, found):
            return False
        parts = [found.value]
    elif isinstance(found, ast.Call):
        parts = [*found.args, *(keyword.value for keyword in found.keywords)]
    else:
        parts = default_values(found) if isinstance(found, ast.Lambda) else [found]
    return all(
        isinstance(part, ast.Constant)
        or (isinstance(part, ast.Name) and _suggest.same_until_exit(module, site, part))
        for part in parts
    )


def _uncalled(module: Module, body: ast.expr) -> ast.expr | None:
    """Return the function that is the value of *body* and is not called, else None."""
    while isinstance(body, (ast.BoolOp, ast.IfExp)):
        body = body.values[-1] if isinstance(body, ast.BoolOp) else body.body
    if isinstance(body, ast.Attribute):
        own = any(node.decorator_list for node in module.functions.get(body.attr, ()))
        closes = body.attr in CLOSERS and not own
        return body if closes or (module.path(body) or "") in UNCALLABLE_RESULTS else None
    if isinstance(body, ast.Name):
        known = module.definition(body) is not None or module.path(body) in UNCALLABLE_RESULTS
        return body if known else None
    if isinstance(body, ast.Call):
        return body if module.path(body.func) == "functools.partial" else None
    return body if isinstance(body, ast.Lambda) else None
