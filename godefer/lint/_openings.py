"""The rule about a deferred opening: GDF008.

It matches patterns, like `_arguments`, `_captures`, `_gaps` and `_loops`. Code that matches can
still be right. So the patterns are narrow, and docs/checker/ describes them. A rule is silent if
other code may change the meaning: a value is passed on, a loop is left, or a lock was released.
"""

from __future__ import annotations

import ast
import re

from godefer.lint import _suggest
from godefer.lint._gaps import can_raise
from godefer.lint._site import Finding
from godefer.lint._tree import code, dotted, receiver, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Fix, Site

# GDF008

_CLOSING = {
    "acquire": "release",
    "open": "close",
    "connect": "close",
    "start": "stop",
    "lock": "unlock",
    "begin": "commit",
    "attach": "detach",
    "disable": "enable",
    "enable": "disable",
    "makedirs": "rmdir",
    "mkdir": "rmdir",
    "mount": "unmount",
    "pause": "resume",
    "register": "unregister",
    "subscribe": "unsubscribe",
    "suspend": "resume",
    "__enter__": "__exit__",
    "__aenter__": "__aexit__",
}
# The closing call needs the same arguments.
_SAME_ARGUMENTS = frozenset({"attach", "makedirs", "mkdir", "mount", "register", "subscribe"})
_WITHOUT_ARGUMENTS = frozenset(
    {"acquire", "open", "connect", "start", "lock", "begin", "__enter__", "__aenter__"}
)
# Methods that are reported even without the same call right above.
_EVEN_ALONE = frozenset({"acquire", "__enter__", "__aenter__"})


def opens_at_exit(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred call that opens, if one that closes was meant (GDF008)."""
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
    if _opened_above(module, site, name, callee) or (
        callee.attr in _EVEN_ALONE
        and (callee.attr != "acquire" or _is_lock(module, callee))
        and _comes_first(module, site, name, callee)
    ):
        instead, fix = _remedy(module, site, callee)
        message = (
            f"{name}.{callee.attr} opens rather than closes, "
            f"and would run when the function exits; {instead}"
        )
        yield Finding("GDF008", message, callee, fix)


def _remedy(module: Module, site: Site, callee: ast.Attribute) -> tuple[str, Fix | None]:
    """Return the words for the remedy, and its fix."""
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    if callee.attr == "start":
        return "defer what stops it", None
    if callee.attr in {"__enter__", "__aenter__"}:
        statement = "using" if callee.attr == "__enter__" else "ausing"
        known = _suggest.spelled(module, site, statement)
        entering: ast.expr = _suggest.call(known or _suggest.name(statement), [callee.value])
        entering = entering if statement == "using" else ast.Await(entering)
        fix = _suggest.replace(site.node, entering, safe=False) if known is not None else None
        return f"write {text(entering)}, which enters now and exits then", fix
    closing = _suggest.attribute(callee.value, _CLOSING[callee.attr])
    same = callee.attr in _SAME_ARGUMENTS
    rest = site.arguments[1:] if same else []
    right = _suggest.call(site.node.func, [closing, *rest], site.keywords if same else [])
    return (
        _suggest.write(right, f"defer {text(closing)}"),
        _suggest.replace(site.node, right, safe=False),
    )


def _opened_above(module: Module, site: Site, name: str, callee: ast.Attribute) -> bool:
    """Return whether `name.method(…)` is right above, and *name* is not used in between."""
    for statement in module.before(site):
        mentioned = [
            node
            for node in ast.walk(statement)
            if isinstance(node, (ast.Name, ast.Attribute)) and dotted(node) == name
        ]
        if not mentioned:
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and not can_raise(
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
            and call.func.attr == callee.attr
            and receiver(call.func) == name
            and (
                callee.attr in _WITHOUT_ARGUMENTS
                or [code(a) for a in call.args] == [code(a) for a in site.arguments[1:]]
            )
        )
    return False


def _is_lock(module: Module, acquire: ast.Attribute) -> bool:
    """Return whether *acquire* belongs to a lock; not to a semaphore, which others may release."""
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
    """Return whether nothing above *site* can raise, and its function uses *name* nowhere else."""
    function = site.frame.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or site.scoped:
        return False
    statement = module.statement(site.node)
    if statement not in function.body:
        return False
    before = function.body[: function.body.index(statement)]
    if any(can_raise(module, s) for s in before if not module.is_site(s)):
        return False
    return not any(
        isinstance(node, (ast.Name, ast.Attribute))
        and node is not callee.value
        and dotted(node) == name
        for node in ast.walk(function)
        if not module.inside(node, callee)
    )
