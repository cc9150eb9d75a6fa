"""The rule about arguments that are evaluated too early: GDF005, which matches narrow patterns."""

from __future__ import annotations

import ast
import re

from godefer.lint import _suggest
from godefer.lint._resources import LOG_METHODS, is_logger
from godefer.lint._rules import never_deferred_by_habit
from godefer.lint._site import Finding
from godefer.lint._tree import FUNCTIONS, WITHS, default_values, text
from godefer.lint._types import only_binding

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
# Functions with results that change when their argument, a container, grows.
_OF_CONTAINERS = frozenset(
    f"builtins.{name}"
    for name in [
        "len",
        "sum",
        "str",
        "repr",
        "sorted",
        "list",
        "tuple",
        "set",
        "max",
        "min",
        "any",
        "all",
    ]
)
# Functions without effects, and with results that depend on the value of the arguments alone.
_PURE = frozenset(f"builtins.{name}" for name in ("abs", "float", "int", "repr", "round", "str"))
_EMPTY = frozenset(
    {
        "builtins.dict",
        "builtins.list",
        "builtins.set",
        "collections.Counter",
        "collections.OrderedDict",
        "collections.deque",
    }
)
_DEFAULTS = "collections.defaultdict"
# Words in messages about the end of a function.
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
    """Report an argument that is evaluated at the `defer`, but was meant for the exit (GDF005)."""
    if not site.defers:
        return
    for argument in [*site.arguments[1:], *(keyword.value for keyword in site.keywords)]:
        for node in _executed(argument):
            why = ""
            if isinstance(node, ast.Call):
                why = _meant_for_later(module, site, node)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                why = _set_later(module, site, node) or _formatted_empty(module, site, node)
            if why:
                yield _finding(module, site, node, why)


def _finding(module: Module, site: Site, node: ast.expr, why: str) -> Finding:
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    place = node
    for outer, _ in module.outward(node, site.frame):
        if isinstance(outer, ast.JoinedStr):
            place = outer  # Python 3.11 has wrong places for the parts of an f-string
    message = f"{text(node)} is evaluated now, {why}, and not when the call runs; "
    otherwise = "evaluate it in a function that is deferred"
    parts = [*site.arguments, *(keyword.value for keyword in site.keywords)]
    if not _suggest.can_be_late(parts):
        return Finding("GDF005", message + otherwise, place)
    made = _suggest.call(site.arguments[0], site.arguments[1:], site.keywords)
    right = _suggest.call(site.node.func, [_suggest.function_of(made)])
    fix = _suggest.replace(site.node, right, safe=_same_otherwise(module, site, node))
    return Finding("GDF005", message + _suggest.write(right, otherwise), place, fix)


def _same_otherwise(module: Module, site: Site, late: ast.expr) -> bool:
    """Return whether moving the call to the exit is certain to change only the value of *late*."""
    if any(
        isinstance(outer, (ast.For, ast.AsyncFor, ast.While))
        for outer, _ in module.outward(site.node, site.frame)
    ):
        return False
    function, *parts = [*site.arguments, *(keyword.value for keyword in site.keywords)]
    receiver = function
    if isinstance(function, ast.Attribute) and function.attr in LOG_METHODS:
        receiver = function.value if is_logger(function.value) else function
    known = (module.path(function) or "").startswith(("builtins.", "logging."))
    return (
        (known or isinstance(receiver, ast.Name))
        and _suggest.stable(module, site, [receiver])
        and all(keyword.arg is not None for keyword in site.keywords)
        and all(_same(module, site, part, late) for part in parts)
    )


def _same(module: Module, site: Site, part: ast.expr, late: ast.expr) -> bool:
    """Return whether *part* has the same value now and at the exit, apart from *late* in it."""
    if part is late:
        return _only_meant(module, site, late)
    if isinstance(part, ast.Name):
        return _suggest.stable(module, site, [part])
    if isinstance(part, (ast.Tuple, ast.List)):
        return all(_same(module, site, item, late) for item in part.elts)
    if isinstance(part, ast.Lambda):
        return all(_same(module, site, value, late) for value in default_values(part))
    if not any(inner is late for inner in ast.walk(part)):
        return _immutable(module, site, part)
    if isinstance(part, ast.Call):
        pure = module.path(part.func) in _PURE and not part.keywords
        return pure and all(_same(module, site, value, late) for value in part.args)
    if isinstance(part, ast.BinOp):
        if part.left is late and isinstance(part.op, ast.Sub):
            return _only_meant(module, site, late) and _same(module, site, part.right, late)
        inner: list[ast.expr] = [part.left, part.right]
    elif isinstance(part, ast.JoinedStr):
        inner = part.values
    elif isinstance(part, ast.FormattedValue):
        inner = [part.value, *([part.format_spec] if part.format_spec is not None else [])]
    else:
        return False
    return all(_same_text(module, site, value, late) for value in inner)


def _same_text(module: Module, site: Site, part: ast.expr, late: ast.expr) -> bool:
    """Return whether the text of *part*, too, is the same now and at the exit."""
    if isinstance(part, ast.Tuple):
        return all(_same_text(module, site, item, late) for item in part.elts)
    if any(inner is late for inner in ast.walk(part)):
        return _same(module, site, part, late)
    return _immutable(module, site, part)


def _only_meant(module: Module, site: Site, late: ast.expr) -> bool:
    """Return whether *late* reads nothing that may change, but the clock or the container."""
    if not isinstance(late, ast.Call):
        return True  # a variable that is set later
    known = module.path(late.func) is not None or (
        isinstance(late.func, ast.Attribute) and _immutable(module, site, late.func.value)
    )
    return known and _suggest.stable(module, site, late.args) and not late.keywords


def _immutable(module: Module, site: Site, node: ast.expr) -> bool:
    """Return whether *node* is a number or a string, now and at the exit."""
    if isinstance(node, ast.Name):
        binding = only_binding(module, node)
        value = binding.value if binding is not None and binding.kind == "assign" else None
        plain = isinstance(value, ast.Constant) or (
            isinstance(value, ast.Call) and module.path(value.func) in _CLOCKS
        )
        return plain and _suggest.stable(module, site, [node])
    if isinstance(node, ast.UnaryOp):
        return _immutable(module, site, node.operand)
    if isinstance(node, ast.BinOp):
        return _immutable(module, site, node.left) and _immutable(module, site, node.right)
    if isinstance(node, ast.JoinedStr):
        return all(_immutable(module, site, value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        spec = node.format_spec
        return _immutable(module, site, node.value) and (
            spec is None or _immutable(module, site, spec)
        )
    return isinstance(node, ast.Constant)


def _executed(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the parts of *node* that are evaluated with it, none in lambdas or comprehensions."""
    stack: list[ast.AST] = [node]
    while stack:
        current = stack.pop()
        if not isinstance(
            current, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
        ):
            if isinstance(current, ast.expr):
                yield current
            stack += ast.iter_child_nodes(current)


def _meant_for_later(module: Module, site: Site, call: ast.Call) -> str:
    """Return the evidence that *call* was meant to run at exit, else ""."""
    path = module.path(call.func) or ""
    if path in _CLOCKS:
        return _clock(module, site, call, path)
    if path in {"sys.exception", "sys.exc_info", "traceback.format_exc"} and not call.args:
        return _exception(module, site)
    if path == "godefer.recover":
        body = never_deferred_by_habit(module, site.frame)
        return "before anything can have failed" if body else ""
    if path in _OF_CONTAINERS and len(call.args) == 1 and isinstance(call.args[0], ast.Name):
        return _still_empty(module, site, call.args[0])
    joined = isinstance(call.func, ast.Attribute) and call.func.attr == "join"
    if joined and len(call.args) == 1 and isinstance(call.args[0], ast.Name):
        return _still_empty(module, site, call.args[0])
    return ""


def _set_later(module: Module, site: Site, name: ast.Name) -> str:
    """Return the evidence that *name* is printed with its first value, but set later, else ""."""
    if not _is_shown(module, site, name) or site.frame.bindings.get(name.id) is None:
        return ""
    if module.scopes[name] is not site.frame or not _prints(module, site) or not _words(site):
        return ""
    found = module.bindings(name.id, site.frame)
    if any(binding.scope.frame() is not site.frame for binding in found):
        return ""
    line = module.statement(site.node).lineno
    before = [b for b in found if getattr(b.node, "lineno", line) < line]
    after = [b for b in found if getattr(b.node, "lineno", line) > line]
    first = before[0].value if len(before) == 1 and before[0].kind == "assign" else None
    blank = isinstance(first, ast.Constant) and first.value in {None, 0, ""}
    sets = [b for b in after if b.kind in {"assign", "other"}]
    in_loop = any(
        isinstance(outer, (ast.For, ast.AsyncFor, ast.While))
        for outer, _ in module.outward(site.node, site.frame)
    )
    if not blank or not sets or len(sets) != len(after) or in_loop:
        return ""
    return f"when `{name.id}` is still {text(first)}" if first is not None else ""


def _is_shown(module: Module, site: Site, name: ast.Name) -> bool:
    """Return whether *name* is an argument of the deferred call, by itself or in a string."""
    parent = module.parents[name]
    if isinstance(parent, ast.keyword):
        return False
    return parent is site.node or isinstance(parent, (ast.FormattedValue, ast.BinOp, ast.Tuple))


def _formatted_empty(module: Module, site: Site, name: ast.Name) -> str:
    """Return the evidence that an f-string shows *name* while it is still empty, else ""."""
    if not isinstance(module.parents[name], ast.FormattedValue):
        return ""
    return _still_empty(module, site, name)


def _words(site: Site) -> list[str]:
    """Return the strings in the statement that contain words."""
    words = [
        n.value
        for n in ast.walk(site.node)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
    return [word for word in words if re.search(r"[a-z]{2}", word, re.IGNORECASE)]


def _clock(module: Module, site: Site, call: ast.Call, path: str) -> str:
    """Return the evidence that the clock was meant to be read at exit, else ""."""
    parent = module.parents[call]
    elapsed = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Sub)
    if isinstance(parent, ast.BinOp) and elapsed and parent.left is call:
        start = parent.right
        if isinstance(start, ast.Name) and _started_above(module, site, start, path):
            return f"right after `{start.id}` was set"
    if not _prints(module, site):
        return ""
    words = _words(site)
    alone = not words and parent is site.node
    ends = alone or any(_END.search(word) for word in words)
    return "when the end is still to come" if ends else ""


def _started_above(module: Module, site: Site, start: ast.Name, path: str) -> bool:
    """Return whether `start = clock()` is above, and no statement in between takes time.

    The godefer statements right above the site are not looked at (`Module.before`).
    """
    for statement in module.before(site):
        if isinstance(statement, ast.Assign):
            value = statement.value
            targets = [t.id for t in statement.targets if isinstance(t, ast.Name)]
            if start.id in targets:
                return isinstance(value, ast.Call) and module.path(value.func) == path
        elif not isinstance(statement, FUNCTIONS) and not module.is_site(statement):
            return False
        if not isinstance(statement, FUNCTIONS) and any(
            isinstance(n, (ast.Call, ast.Await, ast.Subscript)) and n not in module.sites
            for n in ast.walk(statement)
        ):
            return False
    return False


def _prints(module: Module, site: Site) -> bool:
    """Return whether `print`, or a logging function, is deferred."""
    callee = site.callee
    if callee is not None and (module.path(callee) or "").startswith(
        ("builtins.print", "logging.")
    ):
        return True
    return (
        isinstance(callee, ast.Attribute) and callee.attr in LOG_METHODS and is_logger(callee.value)
    )


def _exception(module: Module, site: Site) -> str:
    """Return the evidence that `sys.exception()` is None at the `defer`, else "".

    There is no evidence in a handler of exceptions, nor in a function that a handler may call.
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
        return ""  # the call also gets the container, and may cut it back to this length
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
                and module.path(value.func) in _EMPTY
            )
            or (isinstance(value, ast.Call) and module.path(value.func) == _DEFAULTS)
        )
        set_here = any(module.statement(binding.node) is statement for binding in found)
        return f"when `{name.id}` is still empty" if empty and set_here else ""
    return ""
