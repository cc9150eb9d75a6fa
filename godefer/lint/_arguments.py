"""The rule about arguments that are evaluated too early: GDF005, which matches narrow patterns."""

from __future__ import annotations

import ast
import re

from godefer.lint._resources import LOG_METHODS
from godefer.lint._site import Finding
from godefer.lint._tree import WITHS, receiver, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site

_CLOCKS = frozenset(
    {
        *(
            f"time.{name}{suffix}"
            for name in ("time", "perf_counter", "monotonic", "process_time")
            for suffix in ("", "_ns")
        ),
        *(f"datetime.datetime.{name}" for name in ("now", "utcnow")),
    }
)
# Words of a message about the end of a function.
_END = re.compile(
    r"\b(end|ends|ended|finish|finished|done|took|elapsed|stop|stopped|closed"
    r"|exit|exits|exited|after|total)\b",
    re.IGNORECASE,
)
# Functions that handle exceptions: `__exit__`, `on_error`, `handle_failure`.
_HANDLER = re.compile(
    r"^__|^on_|handle|error|err\b|exc|fail|panic|crash|cleanup|clean_up|report|abort", re.IGNORECASE
)


def evaluated_now(module: Module, site: Site) -> Iterator[Finding]:
    """GDF005: an argument that is evaluated by the `defer`, and was meant for the call."""
    if not site.defers:
        return
    for argument in [*site.arguments[1:], *(keyword.value for keyword in site.keywords)]:
        for node in _executed(argument):
            if isinstance(node, ast.Call) and (why := _meant_for_later(module, site, node)):
                message = (
                    f"{text(node)} is evaluated now, {why}, and not when the call runs; "
                    f"write {site.written}(lambda: {_call_of(site)})"
                )
                yield Finding("GDF005", message, node)


def _call_of(site: Site) -> str:
    rest = [text(part) for part in [*site.arguments[1:], *site.keywords]]
    return f"{text(site.arguments[0])}({', '.join(rest)})"


def _executed(node: ast.expr) -> Iterator[ast.AST]:
    """Yield the parts of *node* that are evaluated with it; no lambdas and comprehensions."""
    stack: list[ast.AST] = [node]
    while stack:
        current = stack.pop()
        if not isinstance(
            current, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        ):
            yield current
            stack += ast.iter_child_nodes(current)


def _meant_for_later(module: Module, site: Site, call: ast.Call) -> str:
    """Return the evidence that *call* was meant for the time of the deferred call, else ""."""
    path = module.path(call.func) or ""
    if path in _CLOCKS:
        return _clock(module, site, call, path)
    if path in {"sys.exception", "sys.exc_info"} and not call.args:
        return _exception(module, site)
    if path == "builtins.len" and len(call.args) == 1 and isinstance(call.args[0], ast.Name):
        return _still_empty(module, site, call.args[0])
    return ""


def _clock(module: Module, site: Site, call: ast.Call, path: str) -> str:
    """Return the evidence that the clock is read for the end of the function, else ""."""
    parent = module.parents[call]
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Sub) and parent.left is call:
        start = parent.right
        previous = module.before(site)
        if isinstance(start, ast.Name) and previous and isinstance(previous[0], ast.Assign):
            value, targets = previous[0].value, previous[0].targets
            set_here = any(
                isinstance(target, ast.Name) and target.id == start.id for target in targets
            )
            if set_here and isinstance(value, ast.Call) and module.path(value.func) == path:
                return f"right after `{start.id}` was set"
    if not _prints(module, site):
        return ""
    words = [
        n.value
        for n in ast.walk(site.node)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
    words = [word for word in words if re.search(r"[a-z]{2}", word, re.IGNORECASE)]
    alone = not words and parent is site.node
    return (
        "when the end is still to come" if alone or any(_END.search(word) for word in words) else ""
    )


def _prints(module: Module, site: Site) -> bool:
    """Return whether `print` is deferred, or a method of a logger."""
    callee = site.callee
    if callee is not None and (module.path(callee) or "").startswith(
        ("builtins.print", "logging.")
    ):
        return True
    return (
        isinstance(callee, ast.Attribute)
        and callee.attr in LOG_METHODS
        and (receiver(callee) or "").rpartition(".")[2].lower().lstrip("_")
        in {"log", "logger", "logging"}
    )


def _exception(module: Module, site: Site) -> str:
    """Return the evidence that `sys.exception()` is None at the `defer`, else "".

    It is called in no handler, and its function is neither deferred nor called in a handler.
    """
    function = site.frame.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or _HANDLER.search(
        function.name
    ):
        return ""
    if module.deferred(function):
        return ""
    if _handles_exceptions(module, site.node, site.frame):
        return ""
    if module.scopes[function].kind == "class":
        uses: list[ast.AST] = [
            n for n in module.attributes.get(function.name, []) if isinstance(n.ctx, ast.Load)
        ]
    else:
        uses = [*(module.uses(function) or [])]
    for use in uses:
        call = module.parents[use]
        if not (isinstance(call, ast.Call) and call.func is use):
            return ""
        if _handles_exceptions(module, call, module.scopes[call].frame()):
            return ""
    return "when there is none yet"


def _handles_exceptions(module: Module, node: ast.AST, frame: Scope) -> bool:
    """Return whether *node* is in an `except` or `finally` clause, or in a `with` block."""
    return any(
        isinstance(outer, (ast.ExceptHandler, *WITHS)) or child in getattr(outer, "finalbody", ())
        for outer, child in module.outward(node, frame)
    )


def _still_empty(module: Module, site: Site, name: ast.Name) -> str:
    """Return the evidence that *name*, in `len(name)`, is still empty at the `defer`, else ""."""
    if sum(isinstance(n, ast.Name) and n.id == name.id for n in ast.walk(site.node)) > 1:
        return ""  # the call has the list as well, and may cut it back to this length
    found = module.bindings(name.id, module.scopes[name])
    for statement in module.before(site):
        if not any(isinstance(n, ast.Name) and n.id == name.id for n in ast.walk(statement)):
            if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.Expr)):
                continue
            return ""
        value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
        empty = (
            (isinstance(value, (ast.List, ast.Set)) and not value.elts)
            or (isinstance(value, ast.Dict) and not value.keys)
            or (
                isinstance(value, ast.Call)
                and not (value.args or value.keywords)
                and module.path(value.func) in {"builtins.list", "builtins.dict", "builtins.set"}
            )
        )
        set_here = any(module.statement(binding.node) is statement for binding in found)
        return f"when `{name.id}` is still empty" if empty and set_here else ""
    return ""
