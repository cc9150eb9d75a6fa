"""The rules about awaiting: GDF006 and GDF010. They fire only where a mistake is certain."""

from __future__ import annotations

import ast
from typing import NamedTuple

from godefer.lint import _suggest
from godefer.lint._managers import manager
from godefer.lint._scopes import entered_by, leaves_its_block
from godefer.lint._site import Finding
from godefer.lint._tree import code, text
from godefer.lint._types import made_by, method_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode

# Async functions and methods of libraries.
_ASYNC_FUNCTIONS = frozenset(
    f"asyncio.{name}"
    for name in (
        "open_connection",
        "sleep",
        "start_server",
        "to_thread",
        "wait",
        "wait_for",
    )
)
_ASYNC_METHODS = {
    "asyncio.Condition": {"acquire", "wait", "wait_for"},
    "asyncio.Event": {"wait"},
    "asyncio.Lock": {"acquire"},
    "asyncio.Queue": {"get", "join", "put"},
    "asyncio.Semaphore": {"acquire"},
    "contextlib.AsyncExitStack": {"aclose"},
    "httpx.AsyncClient": {"aclose"},
}
# Methods that are async in every class.
_ASYNC_NAMES = frozenset({"aclose", "wait_closed"})
# Words in the names of functions that await their arguments.
_AWAITERS = (
    "all",
    "any",
    "await",
    "collect",
    "concurrent",
    "enter",
    "first",
    "future",
    "gather",
    "join",
    "limit",
    "race",
    "retry",
    "run",
    "select",
    "shield",
    "start_soon",
    "task",
    "timeout",
    "wait",
    "within",
)


class _Async(NamedTuple):
    """A deferred call of an async function.

    Args:
        name: The name of the function, for a message.
        function: The expression of the function.
        arguments: Its positional arguments.
        keywords: Its keyword arguments.
        late: Whether a deferred lambda makes the call, so that its arguments are evaluated at exit.
    """

    name: str
    function: ast.expr
    arguments: list[ast.expr]
    keywords: list[ast.keyword]
    late: bool


def async_in_sync(module: Module, site: Site) -> Iterator[Finding]:
    """Report an async function that is deferred where the exit cannot await it (GDF006)."""
    if not site.defers:
        return
    place = site.callee or site.node
    deferred = None
    if site.function is not None:
        name = site.function.name if _gives_coroutine(module, site.function) else ""
    else:
        deferred = _async_callee(module, site)
        name = deferred.name if deferred is not None else ""
    if not name:
        return
    if site.scoped:
        entered = entered_by(module, site)
        if isinstance(entered, ast.With) and not leaves_its_block(module, entered, site):
            message = (
                f"{name} is async, and a scope entered by `with` cannot await it; "
                f"write `async with defer_scope()`"
            )
            yield Finding("GDF006", message, place)
        return
    if not isinstance(site.frame.node, ast.FunctionDef):
        return
    start = (
        f"{name} is async, and {site.frame.name} is not, so it would never run; "
        f"make {site.frame.name} `async def`, or "
    )
    if deferred is None:
        instead = f"make {name} a `def` that runs what it awaits by asyncio.run()"
        yield Finding("GDF006", f"{start}{instead}", place)
        return
    right = _run(module, site, deferred)
    otherwise = f"defer a function that runs {name} by asyncio.run()"
    message = f"{start}{_suggest.write(right, otherwise)}"
    yield Finding("GDF006", message, place, _suggest.replace(site.node, right, safe=False))


def _run(module: Module, site: Site, deferred: _Async) -> ast.Call:
    """Return the statement that defers the call with `asyncio.run`."""
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    asyncio = _suggest.spelled_module(module, site, "asyncio") or _suggest.name("asyncio")
    run = _suggest.attribute(asyncio, "run")
    values = [*deferred.arguments, *(keyword.value for keyword in deferred.keywords)]
    if deferred.late and isinstance(site.callee, ast.Lambda):
        body = _suggest.call(run, [site.callee.body])
        late = ast.Lambda(site.callee.args, body)
        return _suggest.call(site.node.func, [late, *site.arguments[1:]], site.keywords)
    if _suggest.stable(module, site, values) and all(map(_is_plain, values)):
        made = _suggest.call(deferred.function, deferred.arguments, deferred.keywords)
        return _suggest.call(site.node.func, [_suggest.function_of(_suggest.call(run, [made]))])
    # The arguments must be evaluated now, but the coroutine must be made at exit.
    stars: list[ast.expr] = [ast.Starred(_suggest.name("args"), ast.Load())]
    named = [ast.keyword(None, _suggest.name("kwargs"))] if deferred.keywords else []
    own = ast.arguments(
        [], [], ast.arg("args"), [], [], ast.arg("kwargs") if deferred.keywords else None, []
    )
    made = _suggest.call(deferred.function, stars, named)
    late = ast.Lambda(own, _suggest.call(run, [made]))
    return _suggest.call(site.node.func, [late, *deferred.arguments], deferred.keywords)


def _is_plain(node: ast.expr) -> bool:
    """Return whether evaluating *node* does nothing but read variables."""
    return all(
        isinstance(n, (ast.Constant, ast.Name, ast.expr_context, ast.Tuple)) for n in ast.walk(node)
    )


def _async_callee(module: Module, site: Site) -> _Async | None:
    """Return the call of an async function that *site* defers; None if there is no certain one."""
    callee = site.callee
    if callee is None:
        return None
    if isinstance(callee, ast.Lambda) and isinstance(callee.body, ast.Call):
        made = callee.body
        name = _async_name(module, made.func)
        return _Async(name, made.func, made.args, made.keywords, late=True) if name else None
    arguments, keywords = site.arguments[1:], site.keywords
    partial = isinstance(callee, ast.Call) and module.path(callee.func) == "functools.partial"
    if isinstance(callee, ast.Call) and partial and callee.args:
        arguments = [*callee.args[1:], *arguments]
        keywords = [*callee.keywords, *keywords]
        callee = callee.args[0]
    name = _async_name(module, callee)
    return _Async(name, callee, arguments, keywords, late=False) if name else None


def _async_name(module: Module, callee: ast.expr) -> str:
    """Return the name of *callee* if it is known to be a coroutine function, else ""."""
    function = module.definition(callee) or method_of(module, callee)
    if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        allowed = {"builtins.staticmethod", "builtins.classmethod"}
        if any(
            not module.is_with_defers(d) and module.path(d) not in allowed
            for d in function.decorator_list
        ):
            return ""
        return text(callee) if _gives_coroutine(module, function) else ""
    if module.path(callee) in _ASYNC_FUNCTIONS:
        return text(callee)
    if not isinstance(callee, ast.Attribute):
        return ""
    if callee.attr in _ASYNC_METHODS.get(made_by(module, callee.value), ()):
        return text(callee)
    named = module.functions.get(callee.attr, ())
    own = any(isinstance(node, ast.FunctionDef) for node in named)
    return text(callee) if callee.attr in _ASYNC_NAMES and not own else ""


def _gives_coroutine(module: Module, function: FunctionNode) -> bool:
    """Return whether *function* is a coroutine function, and not an async generator function."""
    return isinstance(function, ast.AsyncFunctionDef) and not any(
        isinstance(node, (ast.Yield, ast.YieldFrom)) for node in module.body(function)
    )


# GDF010


def not_awaited(module: Module, site: Site) -> Iterator[Finding]:
    """Report a statement that lacks an `await`, or that must not be awaited (GDF010)."""
    if site.statement == "ausing":
        yield from _ausing(module, site)
    elif site.statement == "using":
        yield from _using_async(module, site)
    elif site.statement == "aclose":
        if isinstance(module.parents[site.node], ast.Expr):
            yield _awaited(
                module,
                site,
                f"{site.written}() does nothing until it is awaited",
                f"{site.written}()",
            )
    elif site.defers and isinstance(module.parents[site.node], ast.Await):
        message = f"{site.written}() gives None, and not what is to be awaited; write "
        right = _suggest.quoted(site.node)
        yield Finding(
            "GDF010",
            message + (right or f"{site.written}(…) without `await`"),
            site.node,
            _suggest.replace(module.parents[site.node], site.node),
        )


def _awaited(module: Module, site: Site, problem: str, short: str) -> Finding:
    """Return a finding with an `await` as its remedy."""
    parent = module.parents[site.node]
    awaited = ast.Await(site.node)
    right: ast.AST = awaited
    if isinstance(parent, ast.Attribute):
        right = _suggest.attribute(awaited, parent.attr)
    elif isinstance(parent, ast.Assign) and parent.value is site.node:
        right = ast.Assign(parent.targets, awaited, lineno=0)
    elif isinstance(parent, ast.Return):
        right = ast.Return(awaited)
    code = _suggest.quoted(right) or f"await {short}"
    message = f"{problem}; write {code}"
    frame = site.frame.node
    if isinstance(frame, ast.FunctionDef):
        return Finding("GDF010", f"{message}, in an `async def`", site.node)
    fix = _suggest.replace(site.node, awaited)
    if isinstance(parent, (ast.Attribute, ast.Subscript, ast.Call)):
        if isinstance(parent, ast.Attribute):
            fix = _suggest.replace(parent, right)
        elif isinstance(parent, ast.Subscript):
            fix = _suggest.replace(parent, ast.Subscript(awaited, parent.slice, ast.Load()))
    return Finding("GDF010", message, site.node, fix)


def _ausing(module: Module, site: Site) -> Iterator[Finding]:
    parent = module.parents[site.node]
    written = f"{site.written}(…)"
    frame = site.frame.node
    if not site.scoped and isinstance(frame, ast.FunctionDef):
        if module.decorated(site.frame) is not False:
            message = (
                f"{site.frame.name} is not async, and cannot await its exit; "
                f"make it `async def`, or write using() with a context manager that is not async"
            )
            yield Finding("GDF010", message, site.node)
        return
    by_hand = isinstance(parent, ast.Attribute) and parent.attr == "__await__"
    if isinstance(parent, (ast.Expr, ast.Attribute, ast.Return, ast.Subscript)) and not by_hand:
        if not isinstance(parent, ast.Return) or isinstance(frame, ast.AsyncFunctionDef):
            yield _awaited(module, site, f"{written} enters nothing until it is awaited", written)
    elif isinstance(parent, ast.withitem):
        message = (
            f"{written} is to be awaited, not entered; write `x = await {written}`, "
            f"or `async with` without {site.written}"
        )
        yield Finding("GDF010", message, site.node)
    elif isinstance(parent, ast.Assign) and _never_awaited(module, parent, site):
        problem = f"{written} gives what is to be awaited, and it is not"
        yield _awaited(module, site, problem, written)
    elif isinstance(parent, ast.Call) and _is_consumer(module, parent):
        yield _awaited(module, site, f"{written} enters nothing until it is awaited", written)
    elif isinstance(parent, ast.Await):
        yield from _awaited_wrongly(module, site)


def _awaited_wrongly(module: Module, site: Site) -> Iterator[Finding]:
    if site.scoped:
        entered = entered_by(module, site)
        if isinstance(entered, ast.With) and not leaves_its_block(module, entered, site):
            message = (
                f"{site.written}(…) needs an exit that can await; "
                f"enter the scope by `async with defer_scope()`, not `with`"
            )
            yield Finding("GDF010", message, site.node)
            return
    callee = site.callee
    if callee is None or manager(module, callee) != "sync":
        return
    using = _suggest.spelled(module, site, "using")
    right = _suggest.call(using or _suggest.name("using"), site.arguments)
    message = (
        f"{text(callee)} is a context manager that is not async; "
        f"{_suggest.write(right, 'write using(…) instead')}"
    )
    fix = _suggest.replace(module.parents[site.node], right) if using is not None else None
    yield Finding("GDF010", message, site.node, fix)


def _using_async(module: Module, site: Site) -> Iterator[Finding]:
    callee = site.callee
    parent = module.parents[site.node]
    if callee is None:
        return
    is_async = manager(module, callee) == "async"
    if not is_async and not isinstance(parent, ast.Await):
        return
    ausing = _suggest.spelled(module, site, "ausing")
    entering = _suggest.call(ausing or _suggest.name("ausing"), site.arguments)
    problem = (
        f"{text(callee)} is an async context manager"
        if is_async
        else f"{site.written}(…) enters at once, and gives nothing to await"
    )
    right = ast.Await(entering)
    message = f"{problem}; {_suggest.write(right, 'write await ausing(…)')}"
    if isinstance(site.frame.node, ast.FunctionDef):
        yield Finding("GDF010", f"{message}, in an `async def`", site.node)
        return
    whole = parent if isinstance(parent, ast.Await) else site.node
    outer = module.parents[whole]
    fix = None
    if ausing is not None and not isinstance(outer, (ast.Attribute, ast.Subscript)):
        fix = _suggest.replace(whole, right)
    yield Finding("GDF010", message, site.node, fix)


def _never_awaited(module: Module, assignment: ast.Assign, site: Site) -> bool:
    """Return whether the assigned variable is used, and no use can await it."""
    target = assignment.targets[0]
    if (
        len(assignment.targets) != 1
        or not isinstance(target, ast.Name)
        or site.frame.kind != "function"
    ):
        return False
    others = [node for node in module.mentions(target.id, site.frame) if node is not target]
    return (
        len(module.bindings(target.id, site.frame)) == 1
        and site.frame.bindings.get(target.id) is not None
        and bool(others)
        and all(_uses_unawaited(module, node, site) for node in others)
    )


def _uses_unawaited(module: Module, node: ast.Name, site: Site) -> bool:
    """Return whether this use treats the variable as the entered object."""
    parent = module.parents[node]
    if module.scopes[node] is not site.frame:
        return False
    if isinstance(parent, ast.Attribute):
        return parent.attr != "__await__"
    if isinstance(parent, ast.Subscript):
        return parent.value is node
    if isinstance(parent, ast.Return):
        return isinstance(site.frame.node, ast.AsyncFunctionDef)
    if isinstance(parent, (ast.For, ast.AsyncFor)):
        return parent.iter is node
    return isinstance(parent, ast.Call) and node in parent.args and _is_consumer(module, parent)


def _is_consumer(module: Module, call: ast.Call) -> bool:
    """Return whether *call* is itself awaited, and does not await its arguments.

    A function counts as awaiting its arguments if it belongs to an async library, has a name like
    `gather`, or awaits a parameter in the checked file.
    """
    if not isinstance(module.parents[call], ast.Await) or call in module.sites:
        return False
    path = module.path(call.func) or ""
    if path.partition(".")[0] in {"asyncio", "anyio", "trio", "async_timeout"}:
        return False
    written = code(call.func).rpartition(".")[2].lower()
    if any(word in written for word in _AWAITERS):
        return False
    function = module.definition(call.func) or method_of(module, call.func)
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return True
    return not any(
        isinstance(n, ast.Await)
        and isinstance(n.value, ast.Name)
        and any(b.kind == "parameter" for b in module.bindings(n.value.id, module.scopes[n.value]))
        for n in module.body(function)
    )
