"""The rules that know a mistake by its pattern: GDF005, 008 and 012, and in `_loops` GDF003 and 004.

What they look for can be meant, in other surroundings. So each pattern is narrow, and is written down in docs/checker.md as it is here: whatever
could give the code another sense (the value is handed on, the loop is left, the lock was released before) keeps the rule silent.
"""

from __future__ import annotations

import ast
import re

from godefer.lint._module import Anywhere, Finding, Module, Site, receiver, text
from godefer.lint._names import dotted
from godefer.lint._resources import CLOSERS, opens

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WITHS = (ast.With, ast.AsyncWith)

# GDF005

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
_END = re.compile(
    r"\b(end|ends|ended|finish|finished|done|took|elapsed|stop|stopped|closed|exit|exits|exited|after|total)\b",
    re.IGNORECASE,
)
_LOG_METHODS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})

# Names of functions that are called while an exception is handled: `__exit__`, `on_error`, `handle_failure`.
_HANDLER = re.compile(
    r"^__|^on_|handle|error|err\b|exc|fail|panic|crash|cleanup|clean_up|report|abort", re.IGNORECASE
)


def evaluated_now(module: Module, site: Site) -> Iterator[Finding]:
    """GDF005: an argument that is known when the `defer` runs, and was meant to be known when the call does."""
    if not site.defers:
        return
    for argument in [*site.arguments[1:], *(keyword.value for keyword in site.keywords)]:
        for node in _executed(argument):
            if isinstance(node, ast.Call) and (why := _meant_for_later(module, site, node)):
                message = f"{text(node)} is evaluated now, {why}, and not when the call runs; write {site.written}(lambda: {_call_of(site)})"
                yield Finding("GDF005", message, node)


def _call_of(site: Site) -> str:
    rest = [text(part) for part in [*site.arguments[1:], *site.keywords]]
    return f"{text(site.arguments[0])}({', '.join(rest)})"


def _executed(node: ast.expr) -> Iterator[ast.AST]:
    """What is executed when *node* is evaluated: not the bodies of lambdas, nor comprehensions."""
    stack: list[ast.AST] = [node]
    while stack:
        current = stack.pop()
        if not isinstance(
            current, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        ):
            yield current
            stack += ast.iter_child_nodes(current)


def _meant_for_later(module: Module, site: Site, call: ast.Call) -> str:
    path = module.path(call.func) or ""
    if path in _CLOCKS:
        return _clock(module, site, call, path)
    if path in {"sys.exception", "sys.exc_info"} and not call.args:
        return _exception(module, site)
    if path == "builtins.len" and len(call.args) == 1 and isinstance(call.args[0], ast.Name):
        return _still_empty(module, site, call.args[0])
    return ""


def _clock(module: Module, site: Site, call: ast.Call, path: str) -> str:
    """A clock that is read to say when, or how long after, the function ends."""
    parent = module.parents[call]
    if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Sub) and parent.left is call:
        start = parent.right
        previous = _straight_before(module, site)
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
    """Is `print` deferred, or a method of a logger?"""
    callee = site.callee
    if callee is not None and (module.path(callee) or "").startswith(
        ("builtins.print", "logging.")
    ):
        return True
    return (
        isinstance(callee, ast.Attribute)
        and callee.attr in _LOG_METHODS
        and (receiver(callee) or "").rpartition(".")[2].lower().lstrip("_")
        in {"log", "logger", "logging"}
    )


def _straight_before(module: Module, site: Site) -> list[ast.stmt]:
    """The statements above in the same block, nearest first, without statements of godefer right above."""
    block, place = module.block(module.statement(site.node))
    before = list(reversed(block[:place]))
    while before and module.is_site(before[0]):
        del before[0]
    return before


def _exception(module: Module, site: Site) -> str:
    """`sys.exception()` where none can be in flight yet: in no handler, in a function that no handler, and no `defer`, calls."""
    function = site.frame.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or _HANDLER.search(
        function.name
    ):
        return ""
    if module.deferred(function):
        return ""
    for outer, child in module.outward(site.node, site.frame):
        if isinstance(outer, (ast.ExceptHandler, *_WITHS)) or child in getattr(
            outer, "finalbody", ()
        ):
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
        for outer, child in module.outward(call, module.scopes[call].function()):
            if isinstance(outer, (ast.ExceptHandler, *_WITHS)) or child in getattr(
                outer, "finalbody", ()
            ):
                return ""
    return "when there is none yet"


def _still_empty(module: Module, site: Site, name: ast.Name) -> str:
    """`len(x)` where x was set to something empty, and has not been touched since."""
    if sum(isinstance(n, ast.Name) and n.id == name.id for n in ast.walk(site.node)) > 1:
        return ""  # the call is given x as well, and how long it was: to cut it back, say
    found = module.bindings(name.id, module.scopes[name])
    for statement in _straight_before(module, site):
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
_ALWAYS = frozenset({"acquire", "__enter__", "__aenter__"})


def opens_at_exit(module: Module, site: Site) -> Iterator[Finding]:
    """GDF008: what was opened above is deferred to be opened once more."""
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
            message = f"{site.written}({path.rpartition('.')[2]}, …) opens a file for reading when the function exits, and drops it; defer what closes it"
            yield Finding("GDF008", message, callee)
        return
    name = receiver(callee)
    if name is None or not isinstance(callee, ast.Attribute) or callee.attr not in _CLOSING:
        return
    if _opened_above(module, site, name, callee.attr) or (
        callee.attr in _ALWAYS
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
        message = f"{name}.{callee.attr} opens rather than closes, and would run when the function exits; {instead}"
        yield Finding("GDF008", message, callee)


def _opened_above(module: Module, site: Site, name: str, method: str) -> bool:
    """Does `name.method(…)` stand right above, with nothing of *name* in between?"""
    for statement in _straight_before(module, site):
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
    """Is it a lock, that only who has it releases? To acquire a semaphore may be to wait for others."""
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
    """Is it the first thing that a decorated function does, and its only word about *name*?"""
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


def gap(module: Module, site: Site) -> Iterator[Finding]:
    """GDF012: a statement between the one that acquires and the `defer` that releases can raise."""
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
            f"line {raising.lineno} can raise before this {site.written}() is reached, and {name} would {state}; "
            f"put the {site.written}() right below line {block[place - len(between) - 1].lineno}"
        )
        yield Finding("GDF012", message, site.node)


def _released(module: Module, site: Site) -> str | None:
    """The name of what the deferred call closes."""
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
    """`name = open(…)`, or `name.acquire()`."""
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
    """May somebody else close it if a statement between raises: is it handed on, tested, entered, or closed in another place?"""
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
    """Does *statement* make a call, raise, or give control away? What godefer's own statements do does not count.

    Nor does, with *past_handlers*, what an ``except Exception`` or a ``suppress(Exception)`` around it stops.
    """
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return False
    stack: list[ast.AST] = [statement]
    while stack:
        node = stack.pop()
        if isinstance(node, Anywhere):
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
            log = isinstance(node.func, ast.Attribute) and node.func.attr in _LOG_METHODS
            if not log:
                return True
        stack += ast.iter_child_nodes(node)
    return False


def _not_stopped(module: Module, node: ast.AST) -> list[ast.stmt] | None:
    """What is left of a statement that stops every Exception of its body; None if *node* is no such statement."""
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
