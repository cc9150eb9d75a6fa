"""The rule about the order of decorators: GDF018. `@with_defers` belongs next to the `def`."""

from __future__ import annotations

import ast

from godefer.lint._site import Finding, Fix, Replacement
from godefer.lint._tree import text
from godefer.lint._types import class_of, made_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._module import Module
    from godefer.lint._tree import FunctionNode

# Decorators that keep the function, or replace it by one without `__wrapped__`.
_HIDING = frozenset(
    {
        "asyncclick.command",
        "asyncclick.group",
        "atexit.register",
        "bottle.get",
        "bottle.post",
        "bottle.route",
        "click.command",
        "click.group",
        "dramatiq.actor",
        "fabric.task",
        "invoke.task",
        "nox.session",
        "numba.jit",
        "numba.njit",
        "rich_click.command",
        "rich_click.group",
        "typeguard.typechecked",
    }
)
_VERBS = frozenset({"delete", "get", "head", "options", "patch", "post", "put", "route"})
_WEB = _VERBS | {
    "after_request",
    "api_route",
    "before_request",
    "errorhandler",
    "exception_handler",
    "middleware",
    "on_event",
    "teardown_appcontext",
    "teardown_request",
    "websocket",
}
# Methods that register a function, and return another one or the function as it was.
_REGISTERING = {
    "aiohttp.web.RouteTableDef": _WEB,
    "bottle.Bottle": _WEB,
    "discord.ext.commands.Bot": frozenset({"command", "event"}),
    "fastapi.APIRouter": _WEB,
    "fastapi.FastAPI": _WEB,
    "flask.Blueprint": _WEB,
    "flask.Flask": _WEB,
    "sanic.Sanic": _WEB,
    "starlette.applications.Starlette": _WEB,
    "typer.Typer": frozenset({"callback", "command"}),
}
# Names of variables with such an object, if another file makes it.
_APPS = frozenset({"api", "app", "blueprint", "bp", "router", "routes"})
_GROUPS = frozenset({"app", "cli", "group", "main"})


def hidden_function(module: Module, function: FunctionNode) -> Iterator[Finding]:
    """Report `@with_defers` above a decorator that keeps the undecorated function (GDF018)."""
    decorators = function.decorator_list
    places = [n for n, d in enumerate(decorators) if module.is_with_defers(d)]
    if not places:
        return
    frame = module.scope_of_function[function]
    if not any(site.frame is frame and not site.scoped for site in module.sites.values()):
        return  # the wrapper that a decorator of this file makes may defer
    own = places[-1]
    hiding = next((d for d in decorators[own + 1 :] if _hides(module, d)), None)
    if hiding is None:
        return
    called = hiding.func if isinstance(hiding, ast.Call) else hiding
    applied = decorators[own]
    written = text(applied)
    if written == "…" and isinstance(applied, ast.Call):
        written = f"{text(applied.func)}(…)"
    message = (
        f"@{text(called)} is between @{written} and {function.name}, and keeps the function "
        f"without its defers; put @{written} right above the `def`"
    )
    fix = Fix(
        (
            Replacement(applied, "", "line"),
            Replacement(function, applied, "decorator"),
        ),
        safe=True,
    )
    yield Finding("GDF018", message, applied, fix)


def _hides(module: Module, decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    if module.path(called) in _HIDING:
        return True
    definition = module.definition(called)
    if isinstance(definition, ast.FunctionDef):
        factory = isinstance(decorator, ast.Call)
        return not definition.decorator_list and _drops(module, definition, factory=factory)
    cls = class_of(module, called)
    if cls is not None:
        return _class_drops(module, cls)
    return isinstance(called, ast.Attribute) and _registers(module, called, decorator)


def _registers(module: Module, called: ast.Attribute, decorator: ast.expr) -> bool:
    """Return whether the decorator is a method that registers the function."""
    base = called.value
    made = made_by(module, base)
    if called.attr in _REGISTERING.get(made, ()):
        return True
    group = module.definition(base)
    if isinstance(group, (ast.FunctionDef, ast.AsyncFunctionDef)):
        paths = {
            module.path(d.func if isinstance(d, ast.Call) else d) or ""
            for d in group.decorator_list
        }
        if called.attr in {"command", "group"} and any(
            path.endswith("click.group") for path in paths
        ):
            return True
        return called.attr == "register" and "functools.singledispatch" in paths
    if made or not isinstance(base, ast.Name) or not isinstance(decorator, ast.Call):
        return False
    if called.attr in _VERBS and base.id in _APPS and decorator.args:
        path = decorator.args[0]
        return (
            isinstance(path, ast.Constant)
            and isinstance(path.value, str)
            and path.value.startswith("/")
        )
    return called.attr == "command" and base.id in _GROUPS and module.imported(base)


def _drops(module: Module, decorator: ast.FunctionDef, *, factory: bool) -> bool:
    """Return whether a decorator of this file stores the function, or hides it in a wrapper."""
    returned = _returned_function(module, decorator)
    if _keeps_it(decorator):
        return False
    if returned is None:
        return not factory and _stores_it(module, decorator)
    if factory:
        return (
            _drops(module, returned, factory=False)
            if isinstance(returned, ast.FunctionDef)
            else False
        )
    positional = [*decorator.args.posonlyargs, *decorator.args.args]
    if len(positional) != 1 or getattr(returned, "decorator_list", None):
        return False
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == positional[0].arg
        for node in ast.walk(returned)
    )


def _stores_it(module: Module, decorator: ast.FunctionDef) -> bool:
    """Return whether the decorator stores the function, and returns it unchanged."""
    positional = [*decorator.args.posonlyargs, *decorator.args.args]
    body = module.body(decorator)
    returned = [n.value for n in body if isinstance(n, ast.Return)]
    if len(positional) != 1 or len(returned) != 1:
        return False
    own = positional[0].arg
    uses = [n for n in body if isinstance(n, ast.Name) and n.id == own]
    if not isinstance(returned[0], ast.Name) or returned[0].id != own:
        return False
    if any(isinstance(n.ctx, ast.Store) for n in uses):
        return False
    for use in uses:
        parent = module.parents[use]
        added = isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute)
        if added and isinstance(parent, ast.Call) and use in parent.args:
            return getattr(parent.func, "attr", "") in {"append", "add", "register", "setdefault"}
        if isinstance(parent, ast.Assign) and parent.value is use:
            return isinstance(parent.targets[0], (ast.Subscript, ast.Attribute))
    return False


def _returned_function(
    module: Module, function: ast.FunctionDef
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return the nested function that *function* returns, if it returns nothing else."""
    returned = [n.value for n in module.body(function) if isinstance(n, ast.Return)]
    if len(returned) != 1 or returned[0] is None:
        return None
    found = module.definition(returned[0])
    return found if found is not None and module.inside(found, function) else None


def _keeps_it(node: ast.AST) -> bool:
    """Return whether the decorator may set `__wrapped__`, by `functools.wraps` or by itself."""
    names = {"wraps", "update_wrapper", "__wrapped__", "wrapt", "decorator", "with_defers"}
    return any(
        (isinstance(n, ast.Name) and n.id in names)
        or (isinstance(n, ast.Attribute) and n.attr in names)
        or (isinstance(n, ast.Constant) and n.value == "__wrapped__")
        or (isinstance(n, ast.Attribute) and n.attr == "__dict__")
        for n in ast.walk(node)
    )


def _class_drops(module: Module, cls: ast.ClassDef) -> bool:
    names = module.scope_of_function[cls].bindings
    own: Sequence[ast.expr] = [*cls.bases, *cls.decorator_list]
    return not own and not cls.keywords and "__call__" in names and not _keeps_it(cls)
