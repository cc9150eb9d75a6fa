"""The rules about opening and closing: GDF008 and GDF012.

They match patterns, as `_arguments` and `_loops` do. Code of such a pattern can be right in other
surroundings. So the patterns are narrow, and docs/checker.md describes them. A rule is silent if
anything may give the code another meaning: a value that is passed on, for example, a loop that is
left, or a lock that was released before.
"""

from __future__ import annotations

import ast
import re

from godefer.lint._resources import CLOSERS, LOG_METHODS, opens
from godefer.lint._site import Finding
from godefer.lint._tree import FUNCTIONS, dotted, receiver, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._module import Module
    from godefer.lint._site import Site

# GDF008

_CLOSING = {
    "acquire": "release",
    "open": "close",
    "connect": "close",
    "start": "stop",
    "lock": "unlock",
    "begin": "commit",
    "__enter__": "__exit__",
    "__aenter__": "__aexit__",
}
# Reported even without a first call right above.
_EVEN_ALONE = frozenset({"acquire", "__enter__", "__aenter__"})


def opens_at_exit(module: Module, site: Site) -> Iterator[Finding]:
    """GDF008: the call that opens is deferred, and not the one that closes."""
    callee = site.callee
    if not site.defers or callee is None:
        return
    path = module.path(callee) or ""
    if path in {"builtins.open", "io.open"}:
        if (
            len(site.arguments) == 2
            and not site.keywords
            and not isinstance(site.arguments[1], ast.Starred)
        ):
            message = (
                f"{site.written}({path.rpartition('.')[2]}, …) opens a file for reading when the "
                f"function exits, and drops it; defer what closes it"
            )
            yield Finding("GDF008", message, callee)
        return
    name = receiver(callee)
    if name is None or not isinstance(callee, ast.Attribute) or callee.attr not in _CLOSING:
        return
    if _opened_above(module, site, name, callee.attr) or (
        callee.attr in _EVEN_ALONE
        and (callee.attr != "acquire" or _is_lock(module, callee))
        and _comes_first(module, site, name, callee)
    ):
        right = f"{name}.{_CLOSING[callee.attr]}"
        if callee.attr in {"__enter__", "__aenter__"}:
            enter = "using" if callee.attr == "__enter__" else "await ausing"
            instead = f"write {enter}({name}), which enters now and exits then"
        elif callee.attr == "start":
            instead = "defer what stops it"
        else:
            instead = f"write {site.written}({right})"
        message = (
            f"{name}.{callee.attr} opens rather than closes, "
            f"and would run when the function exits; {instead}"
        )
        yield Finding("GDF008", message, callee)


def _opened_above(module: Module, site: Site, name: str, method: str) -> bool:
    """Return whether `name.method(…)` is right above, and *name* is not used in between."""
    for statement in module.before(site):
        mentioned = [
            node
            for node in ast.walk(statement)
            if isinstance(node, (ast.Name, ast.Attribute)) and dotted(node) == name
        ]
        if not mentioned:
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and not _can_raise(
                module, statement
            ):
                continue
            return False
        value = statement.value if isinstance(statement, (ast.Expr, ast.Assign)) else None
        if isinstance(statement, ast.If) and isinstance(statement.test, ast.UnaryOp):
            value = statement.test.operand  # `if not lock.acquire(timeout=1): return`
        call = value.value if isinstance(value, ast.Await) else value
        return (
            len(mentioned) == 1
            and isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == method
            and receiver(call.func) == name
        )
    return False


def _is_lock(module: Module, acquire: ast.Attribute) -> bool:
    """Return whether `acquire` is of a lock, and not of a semaphore, which others release."""
    found = (
        module.bindings(acquire.value.id, module.scopes[acquire])
        if isinstance(acquire.value, ast.Name)
        else []
    )
    if (
        len(found) == 1
        and isinstance(found[0].value, ast.Call)
        and (path := module.path(found[0].value.func))
    ):
        return path.rpartition(".")[2] in {"Lock", "RLock"}
    return bool(
        re.search(
            "(?<![bc])lock|mutex", (receiver(acquire) or "").rpartition(".")[2], re.IGNORECASE
        )
    )


def _comes_first(module: Module, site: Site, name: str, callee: ast.Attribute) -> bool:
    """Return whether *site* comes first in its function, which uses *name* nowhere else."""
    function = site.frame.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or site.scoped:
        return False
    statement = module.statement(site.node)
    if statement not in function.body:
        return False
    before = function.body[: function.body.index(statement)]
    if any(_can_raise(module, s) for s in before if not module.is_site(s)):
        return False
    return not any(
        isinstance(node, (ast.Name, ast.Attribute))
        and node is not callee.value
        and dotted(node) == name
        for node in ast.walk(function)
        if not module.inside(node, callee)
    )


# GDF012

_SAFE_CALLS = frozenset(
    {
        f"builtins.{name}"
        for name in ("print", "id", "isinstance", "type", "len", "list", "dict", "set")
    }
)


def gap_before_defer(module: Module, site: Site) -> Iterator[Finding]:
    """GDF012: a statement that can raise, between an opening and the `defer` that closes."""
    name = _released(module, site)
    if name is None or site.frame.kind == "class":
        return
    block, place = module.block(module.statement(site.node))
    between: list[ast.stmt] = []
    for statement in reversed(block[:place]):
        if _acquires(module, statement, name, site):
            break
        between.insert(0, statement)
    else:
        return
    if not between or module.ends(between) or _released_elsewhere(module, site, name, between):
        return
    raising = next((s for s in between if _can_raise(module, s, past_handlers=True)), None)
    if raising is not None:
        closing = site.callee.attr if isinstance(site.callee, ast.Attribute) else ""
        state = {
            "release": "stay locked",
            "rmtree": "be left behind",
            "rmdir": "be left behind",
        }.get(closing, "stay open")
        message = (
            f"line {raising.lineno} can raise before this {site.written}() is reached, "
            f"and {name} would {state}; put the {site.written}() right below "
            f"line {block[place - len(between) - 1].lineno}"
        )
        yield Finding("GDF012", message, site.node)


def _released(module: Module, site: Site) -> str | None:
    """Return the variable, or dotted name, that the deferred call closes; else None."""
    callee = site.callee
    if site.statement != "defer" or callee is None or site.keywords:
        return None
    if (
        isinstance(callee, ast.Attribute)
        and callee.attr in {"close", "release"}
        and len(site.arguments) == 1
    ):
        return receiver(callee)
    closing = module.path(callee) in {"os.close", "shutil.rmtree", "os.rmdir"}
    if closing and len(site.arguments) == 2 and isinstance(site.arguments[1], ast.Name):
        return site.arguments[1].id
    return None


def _acquires(module: Module, statement: ast.stmt, name: str, site: Site) -> bool:
    """Return whether *statement* is `name = open(…)`, or `name.acquire()`."""
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        parts = target.elts if isinstance(target, ast.Tuple) else [target]
        return any(isinstance(p, ast.Name) and p.id == name for p in parts) and opens(
            module, statement.value
        )
    if (
        isinstance(statement, ast.Expr)
        and isinstance(site.callee, ast.Attribute)
        and site.callee.attr == "release"
    ):
        call = statement.value.value if isinstance(statement.value, ast.Await) else statement.value
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "acquire"
        ):
            return receiver(call.func) == name and not call.args and not call.keywords
    return False


def _released_elsewhere(module: Module, site: Site, name: str, between: Sequence[ast.stmt]) -> bool:
    """Return whether other code may close *name*: it is passed on, tested, entered or closed."""
    for node in module.scopes:
        if not isinstance(node, (ast.Name, ast.Attribute)) or module.inside(node, site.node):
            continue
        if text(node) != name or not module.inside(node, site.frame.node):
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
            condition = any(
                isinstance(s, (ast.If, ast.While)) and module.inside(node, s.test)
                for s in ast.walk(module.statement(node))
            )
            if not method or condition:
                return True
        elif not isinstance(parent, ast.Attribute) and isinstance(parent, (ast.withitem, ast.Call)):
            return True
    return False


def _can_raise(module: Module, statement: ast.stmt, *, past_handlers: bool = False) -> bool:
    """Return whether *statement* can raise: it makes a call, raises, or yields control.

    Statements of godefer do not count. With *past_handlers* neither do exceptions that an
    ``except Exception`` or a ``suppress(Exception)`` in *statement* stops.
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
    """Return the parts of *node* outside of its body, if it stops every Exception of the body.

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
    # A cancellation and a GeneratorExit are no Exception.
    away = any(
        isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom)) for s in node.body for n in ast.walk(s)
    )
    return rest if all_of_them and not away else None


def _kinds(caught: ast.expr | None) -> list[ast.expr | None]:
    return [*caught.elts] if isinstance(caught, ast.Tuple) else [caught]
