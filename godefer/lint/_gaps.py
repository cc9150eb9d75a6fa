"""The rule about a gap between opening and deferring: GDF012, which matches narrow patterns."""

from __future__ import annotations

import ast
import re

from godefer.lint._resources import CLOSERS, LOG_METHODS, READERS, closed, opens
from godefer.lint._site import Finding
from godefer.lint._tree import FUNCTIONS, jumps, own_nodes, receiver

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._module import Module
    from godefer.lint._site import Site

_SAFE_CALLS = frozenset(
    {
        f"builtins.{name}"
        for name in ("print", "id", "isinstance", "type", "len", "list", "dict", "set")
    }
)


def gap_before_defer(module: Module, site: Site) -> Iterator[Finding]:
    """Report a statement between an opening and its `defer` that can raise or leave (GDF012)."""
    name = _released(module, site)
    if name is None or site.frame.kind == "class":
        return
    block, place = module.block(module.statement(site.node))
    between: list[ast.stmt] = []
    for statement in reversed(block[:place]):
        if _acquires(module, statement, name):
            break
        between.insert(0, statement)
    else:
        return
    if not between or module.ends(between) or _released_elsewhere(module, site, name, between):
        return
    line = block[place - len(between) - 1].lineno
    closing = site.callee.attr if isinstance(site.callee, ast.Attribute) else "close"
    if site.callee is not None and closing == "close":
        closing = (module.path(site.callee) or "close").rpartition(".")[2]
    state = {
        "release": "stay locked",
        "rmtree": "be left behind",
        "rmdir": "be left behind",
    }.get(closing, "stay open")
    raising = next((s for s in between if can_raise(module, s, past_handlers=True)), None)
    leaving = next(jumps(between), None)
    if leaving is not None and (raising is None or leaving.lineno <= raising.lineno):
        how = f"the `{type(leaving).__name__.lower()}` in line {leaving.lineno} leaves"
    elif raising is not None:
        how = f"line {raising.lineno} can raise"
    else:
        return
    message = (
        f"{how} before this {site.shown} is reached, "
        f"and {name} would {state}; put the {site.shown} right below "
        f"line {line}"
    )
    yield Finding("GDF012", message, site.node)


def _released(module: Module, site: Site) -> str | None:
    """Return the variable, or dotted name, that the deferred call closes; else None."""
    if site.statement != "defer" or site.keywords:
        return None
    callee = site.callee
    if site.function is not None:
        closes = closed(site)
        return closes.id if closes is not None else _closed_by_body(site.function.body)
    if callee is None:
        return None
    if isinstance(callee, ast.Lambda) and len(site.arguments) == 1:
        return _closed_by_body([ast.Expr(callee.body)])
    if isinstance(callee, ast.Attribute) and len(site.arguments) == 1:
        return receiver(callee) if callee.attr in _CLOSES else None
    closing = module.path(callee) in {"os.close", "shutil.rmtree", "os.rmdir"}
    if closing and len(site.arguments) == 2 and isinstance(site.arguments[1], ast.Name):
        return site.arguments[1].id
    return None


_CLOSES = frozenset(
    {"aclose", "cleanup", "close", "disconnect", "kill", "release", "server_close", "terminate"}
)


def _closed_by_body(body: Sequence[ast.stmt]) -> str | None:
    """Return the variable that a function closes, if it does nothing else."""
    call = getattr(body[0], "value", None) if len(body) == 1 else None
    call = call.value if isinstance(call, ast.Await) else call
    if isinstance(call, ast.Call) and not call.args and isinstance(call.func, ast.Attribute):
        return receiver(call.func) if call.func.attr in _CLOSES else None
    return None


# Methods that tell whether a resource is open. Code that tests one may leave if it is closed.
_STATE = re.compile(r"acquire|open|close|valid|alive|connect|is_|lock|poll", re.IGNORECASE)


def _acquires(module: Module, statement: ast.stmt, name: str) -> bool:
    """Return whether *statement* is `name = open(…)`, or `name.acquire()`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        return any(isinstance(p, ast.Name) and p.id == name for p in parts) and opens(
            module, statement.value
        )
    if isinstance(statement, ast.Expr):
        call = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "acquire"
        ):
            return receiver(call.func) == name and not call.args and not call.keywords
    return False


def _mentions(module: Module, name: str) -> Iterator[ast.expr]:
    """Yield every expression of the module that spells the dotted *name*."""
    parts = name.split(".")
    for root in module.name_nodes.get(parts[0], ()):
        node: ast.AST = root
        for part in parts[1:]:
            node = module.parents[node]
            if not isinstance(node, ast.Attribute) or node.attr != part:
                break
        else:
            assert isinstance(node, ast.expr)  # noqa: S101  # for the type checker
            yield node


def _released_elsewhere(module: Module, site: Site, name: str, between: Sequence[ast.stmt]) -> bool:
    """Return whether other code may close *name*: it is passed on, tested, entered or closed."""
    for node in _mentions(module, name):
        if module.inside(node, site.node) or not module.inside(node, site.frame.node):
            continue
        if site.function is not None and module.inside(node, site.function):
            continue
        parent = module.parents[node]
        if isinstance(parent, ast.Attribute) and parent.attr in CLOSERS | {
            "__exit__",
            "__aexit__",
            "detach",
            "quit",
        }:
            return True
        if any(module.inside(node, statement) for statement in between):
            method = isinstance(parent, ast.Attribute) and isinstance(
                module.parents[parent], ast.Call
            )
            if isinstance(parent, ast.Call) and node in parent.args:
                method = module.path(parent.func) in READERS
            condition = any(
                isinstance(s, (ast.If, ast.While)) and module.inside(node, s.test)
                for s in ast.walk(module.statement(node))
            )
            called = parent.attr if isinstance(parent, ast.Attribute) else ""
            if not method or (condition and (not called or _STATE.search(called))):
                return True
        elif not isinstance(parent, ast.Attribute) and isinstance(parent, (ast.withitem, ast.Call)):
            return True
    return False


def can_raise(module: Module, statement: ast.stmt, *, past_handlers: bool = False) -> bool:
    """Return whether *statement* can raise: it makes a call, raises, asserts or yields control.

    Statements of godefer, calls of loggers and a few builtins do not count. With *past_handlers*,
    exceptions that an ``except Exception`` or ``suppress(Exception)`` stops do not count, either.
    """
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, FUNCTIONS):
            continue
        if past_handlers and (rest := _not_stopped(module, node)) is not None:
            stack += rest
            continue
        if isinstance(node, (ast.Raise, ast.Assert, ast.Await, ast.Yield, ast.YieldFrom)):
            return True
        if (
            isinstance(node, ast.Call)
            and node not in module.sites
            and module.path(node.func) not in _SAFE_CALLS
        ):
            log = isinstance(node.func, ast.Attribute) and node.func.attr in LOG_METHODS
            if not log:
                return True
        stack += ast.iter_child_nodes(node)
    return False


def _not_stopped(module: Module, node: ast.AST) -> list[ast.stmt] | None:
    """Return the parts of *node* that can raise, if it stops every Exception of its body.

    Return None for any other node.
    """
    if isinstance(node, (ast.Try, ast.TryStar)):
        caught = [kind for handler in node.handlers for kind in _kinds(handler.type)]
        rest = [
            *node.orelse,
            *node.finalbody,
            *(s for handler in node.handlers for s in handler.body),
        ]
    elif (
        isinstance(node, ast.With)
        and len(node.items) == 1
        and isinstance(node.items[0].context_expr, ast.Call)
    ):
        call, rest = node.items[0].context_expr, []
        caught = list(call.args) if module.path(call.func) == "contextlib.suppress" else []
    else:
        return None
    all_of_them = any(
        k is None or module.path(k) in {"builtins.Exception", "builtins.BaseException"}
        for k in caught
    )
    # A cancellation or a GeneratorExit is no Exception, and passes the handler.
    away = any(isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom)) for n in own_nodes(node.body))
    return rest if all_of_them and not away else None


def _kinds(caught: ast.expr | None) -> list[ast.expr | None]:
    return [*caught.elts] if isinstance(caught, ast.Tuple) else [caught]
