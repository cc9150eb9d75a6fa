"""The rules that fire only where it is certain: GDF001, 002, 006, 007, 009, 010 and 011.

Each is a function from what the visitor meets to findings. docs/checker.md says of each what is wrong and what is right.
"""

from __future__ import annotations

import ast

from godefer.lint._module import Anywhere, Finding, Module, Site, blocks, text
from godefer.lint._names import SCOPE, FunctionNode, Scope
from godefer.lint._resources import CLOSERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FUNCTIONS_WITHOUT_RESULT = frozenset(
    {
        *(
            f"builtins.{name}"
            for name in ("print", "setattr", "delattr", "input", "len", "sum", "repr", "str")
        ),
        *(
            f"os.{name}"
            for name in (
                "remove",
                "unlink",
                "rmdir",
                "removedirs",
                "close",
                "chdir",
                "kill",
                "killpg",
            )
        ),
        *(
            f"os.{name}"
            for name in (
                "rename",
                "replace",
                "umask",
                "chmod",
                "putenv",
                "unsetenv",
                "symlink",
                "link",
            )
        ),
        *(f"shutil.{name}" for name in ("rmtree", "move", "copy", "copyfile")),
        *(
            f"logging.{name}"
            for name in (
                "debug",
                "info",
                "warning",
                "error",
                "critical",
                "exception",
                "log",
                "shutdown",
            )
        ),
        *(
            "time.sleep",
            "asyncio.sleep",
            "sys.exit",
            "gc.collect",
            "gc.enable",
            "gc.disable",
            "godefer.recover",
        ),
    }
)
_NOT_CALLABLE = frozenset({"None", "NoReturn", "Never", "bool", "int", "float", "str", "bytes"})
_STUB = (ast.Pass, ast.Raise)


def called_not_passed(module: Module, site: Site) -> Iterator[Finding]:
    """GDF001: `defer(f())` calls now, and defers what that gives; `@defer(…)` decorates with None."""
    decorated = module.parents[site.node]
    if (
        site.defers
        and isinstance(site.node, ast.Call)
        and site.node in getattr(decorated, "decorator_list", ())
    ):
        name = getattr(decorated, "name", "")
        message = (
            f"{site.written}() is called here, and {name} decorated with what it returns, which is no function; "
            f"write @{site.written} above a function that needs no arguments"
        )
        yield Finding("GDF001", message, site.node)
        return
    callee = site.callee
    call = callee.value if isinstance(callee, ast.Await) else callee
    if not site.defers or not isinstance(call, ast.Call):
        return
    what = _no_callable(module, call)
    if what:
        fn = text(call.func)
        rest = [text(a) for a in [*call.args, *site.arguments[1:]]]
        rest += [text(k) for k in [*call.keywords, *site.keywords]]
        right = f"{site.written}({', '.join([fn, *rest])})"
        message = f"{fn}() is called here, and {site.written}() is given {what}; write {right}"
        yield Finding("GDF001", message, call)


def _no_callable(module: Module, call: ast.Call) -> str:
    """What *call* gives, if that is certain to be nothing that can be called."""
    path = module.path(call.func)
    if path in _FUNCTIONS_WITHOUT_RESULT:
        return "what it returns, which is no function"
    function = module.definition(call.func)
    if function is not None:
        awaited = isinstance(module.parents[call], ast.Await)
        return (
            ""
            if isinstance(function, ast.Lambda)
            else _result_of(module, function, awaited=awaited)
        )
    if (
        isinstance(call.func, ast.Attribute)
        and call.func.attr in CLOSERS
        and not call.args
        and not call.keywords
    ):
        own = any(
            isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and node.name == call.func.attr
            for node in module.scope_of_function
        )
        return "" if own else "what it returns, which is no function"
    return ""


def _result_of(module: Module, function: FunctionNode, *, awaited: bool) -> str:
    """What calling *function* gives, if that is certain to be nothing that can be called."""
    plain = all(
        module.is_with_defers(d)
        or module.path(d) in {"builtins.staticmethod", "builtins.classmethod"}
        for d in function.decorator_list
    )
    body = module.body(function)
    if not plain or any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in body):
        return ""
    if isinstance(function, ast.AsyncFunctionDef) is not awaited:
        return "" if awaited else "a coroutine"
    if function.returns is not None:
        name = (
            str(function.returns.value)
            if isinstance(function.returns, ast.Constant)
            else text(function.returns)
        )
        return (
            "None" if name == "None" else f"a value of type {name}" if name in _NOT_CALLABLE else ""
        )
    # Without an annotation: a subclass may return something, and a named result may be anything.
    known = module.scopes[function].kind != "class" and not any(
        isinstance(d, ast.Call) for d in function.decorator_list
    )
    returned = [n.value for n in body if isinstance(n, ast.Return) and n.value is not None]
    return (
        "None"
        if known and all(isinstance(v, ast.Constant) and v.value is None for v in returned)
        else ""
    )


def no_decorated_function(module: Module, site: Site) -> Iterator[Finding]:
    """GDF002: a statement that belongs to no decorated function."""
    if site.scoped or module.decorated(site.frame) is not False:
        return
    kind, name = site.frame.kind, site.frame.name
    if kind == "function":
        what = f"{name}, which is not decorated; put @with_defers on the line above its `def`"
    elif kind == "lambda":
        what = "a lambda; call it in the body of the decorated function, or make the lambda a decorated `def`"
    elif kind == "generator expression":
        what = "a generator expression, a function of its own; use a list comprehension or a `for` statement"
    elif kind == "class":
        what = f"{name}; move it into a function decorated with @with_defers"
    else:
        what = "no function; move it into one decorated with @with_defers, or use `with defer_scope() as defer:`"
    yield Finding("GDF002", f"{site.shown} stands in {what}", site.node)


def async_in_sync(module: Module, site: Site) -> Iterator[Finding]:
    """GDF006: nobody awaits what an async function returns, where the exit is not async."""
    if not site.defers:
        return
    name = _coroutine_function(module, site)
    if not name:
        return
    place = site.callee or site.node
    if site.scoped:
        entered = entered_by(module, site.head)
        if isinstance(entered, ast.With) and not _leaves_its_block(module, entered, site):
            message = f"{name} is async, and a scope entered by `with` cannot await it; write `async with defer_scope()`"
            yield Finding("GDF006", message, place)
        return
    if isinstance(site.frame.node, ast.FunctionDef):
        instead = (
            f"defer what runs {name} to its end, as in {site.written}(asyncio.run, {name}())"
            if site.function is None
            else f"make {name} a `def` that runs what it awaits by asyncio.run()"
        )
        message = (
            f"{name} is async, and {site.frame.name} is not, so it would never run; "
            f"make {site.frame.name} `async def`, or {instead}"
        )
        yield Finding("GDF006", message, place)


def _coroutine_function(module: Module, site: Site) -> str:
    """The name of the coroutine function that is deferred, if the callee is, or only calls, one of this module."""
    callee = site.callee
    if site.function is not None:
        return site.function.name if _gives_coroutine(module, site.function) else ""
    if callee is None:
        return ""
    if (
        isinstance(callee, ast.Call)
        and module.path(callee.func) == "functools.partial"
        and callee.args
    ):
        callee = callee.args[0]
    if isinstance(callee, ast.Lambda) and isinstance(callee.body, ast.Call):
        callee = callee.body.func
    function = module.definition(callee)
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return ""
    allowed = {"builtins.staticmethod", "builtins.classmethod"}
    if any(
        not module.is_with_defers(d) and module.path(d) not in allowed
        for d in function.decorator_list
    ):
        return ""
    return text(callee) if _gives_coroutine(module, function) else ""


def _gives_coroutine(module: Module, function: FunctionNode) -> bool:
    """Return whether *function* is a coroutine function, and not an async generator function."""
    return isinstance(function, ast.AsyncFunctionDef) and not any(
        isinstance(node, (ast.Yield, ast.YieldFrom)) for node in module.body(function)
    )


def entered_by(module: Module, func: ast.expr) -> ast.With | ast.AsyncWith | None:
    """The statement that entered the scope that *func* is, or is a method of; None if there may be several."""
    base = func.value if isinstance(func, ast.Attribute) else func
    if not isinstance(base, ast.Name):
        return None
    found = {
        module.statement(binding.node)
        for binding in module.bindings(base.id, module.scopes[base])
        if binding.kind == "with"
    }
    around = [
        outer
        for outer, _ in module.outward(base, module.scopes[base].function())
        if isinstance(outer, (ast.With, ast.AsyncWith)) and outer in found
    ]
    return around[0] if around else None


def _leaves_its_block(module: Module, entered: ast.With | ast.AsyncWith, site: Site) -> bool:
    """Can the scope be closed elsewhere than at the end of its block: is it handed on, or detached?"""
    func = site.head
    base = func.value if isinstance(func, ast.Attribute) else func
    if not isinstance(base, ast.Name):
        return True
    for node in module.mentions(base.id, site.frame):
        parent = module.parents[node]
        called = node in module.sites or (isinstance(parent, ast.Call) and parent.func is node)
        method = isinstance(parent, ast.Attribute) and parent.attr not in {"detach", "aclose"}
        if not (called or method or isinstance(parent, ast.withitem)) and module.inside(
            node, entered
        ):
            return True
    return False


def cannot_recover(module: Module, call: ast.Call) -> Iterator[Finding]:
    """GDF007: `recover()` that nothing can call as a deferred function."""
    frame = module.scopes[call].function()
    if frame.kind in {"module", "class", "generator expression"}:
        where = {"module": "module level", "class": frame.name}.get(
            frame.kind, "a generator expression"
        )
        message = f"recover() stands in {where}, which is never a deferred function; call it in a function that is deferred"
        yield Finding("GDF007", message, call)
    elif isinstance(frame.node, Anywhere) and _never_deferred(module, frame):
        name = "the lambda" if frame.kind == "lambda" else frame.name
        message = (
            f"recover() stands in {name}, which is only called, never deferred, so there is nothing to recover; "
            f"call it in the deferred function itself, and pass on what it returns"
        )
        yield Finding("GDF007", message, call)


def recover_deferred(module: Module, site: Site) -> Iterator[Finding]:
    """GDF007: `defer(recover)` does not stop the panic of the function it stands in."""
    if (
        site.scoped
        or not site.defers
        or site.callee is None
        or module.path(site.callee) != "godefer.recover"
    ):
        return
    frame = site.frame
    if isinstance(frame.node, (ast.FunctionDef, ast.AsyncFunctionDef)) and _never_deferred_by_habit(
        module, frame
    ):
        message = (
            f"{site.written}(recover) has no effect on the panic of {frame.name}, as in Go; "
            f"write {site.written}(lambda: recover()), or defer a function that calls recover()"
        )
        yield Finding("GDF007", message, site.callee)


def _never_deferred(module: Module, frame: Scope) -> bool:
    """Is the function certain never to be deferred: a nested or private one, which this module only ever calls?"""
    function = frame.node
    assert isinstance(function, Anywhere)  # noqa: S101  # for the type checker
    scope = module.scopes[function]
    private = (
        frame.name.startswith("_") and not frame.name.startswith("__") and scope.kind == "module"
    )
    nested = scope.function().kind in {"function", "lambda"}
    return (
        (nested or private) and module.only_called(function) and not _exported(module, frame.name)
    )


def _never_deferred_by_habit(module: Module, frame: Scope) -> bool:
    """As `_never_deferred`, or a function that this module only calls, or that returns a value or raises, as no clean-up does."""
    function = frame.node
    assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))  # noqa: S101  # for the type checker
    if module.scopes[function].kind == "class" or not all(
        module.is_with_defers(d) for d in function.decorator_list
    ):
        return False
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in module.body(function)):
        return False
    if module.uses(function):
        return module.only_called(function)
    return any(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Return) and node.value is not None)
        or (isinstance(node, ast.Call) and module.path(node.func) == "godefer.panic")
        for node in module.body(function)
    )


def _exported(module: Module, name: str) -> bool:
    for binding in module.module.bindings.get("__all__", []):
        value = binding.value
        if value is None or any(
            isinstance(n, ast.Constant) and n.value == name for n in ast.walk(value)
        ):
            return True
    return False


def out_of_reach(module: Module, node: ast.AST) -> Iterator[Finding]:
    """GDF009: a statement that can never be reached."""
    for block in blocks(node):
        why, line = "", 0
        for statement in block:
            if why:
                for site in module.sites.values():
                    if (
                        module.inside(site.node, statement)
                        and site.frame is module.scopes[statement].function()
                    ):
                        message = f"{site.shown} is never reached, because of {why} in line {line}; put it before that"
                        yield Finding("GDF009", message, site.node)
            else:
                why, line = module.leaves(statement), statement.lineno


def not_awaited(module: Module, site: Site) -> Iterator[Finding]:
    """GDF010: `ausing(…)` or `aclose()` without `await`, or an async scope without `async with`."""
    parent = module.parents[site.node]
    written = f"{site.written}(…)"
    if site.statement == "aclose":
        if isinstance(parent, ast.Expr):
            yield Finding(
                "GDF010",
                f"{site.written}() does nothing until it is awaited; write await {site.written}()",
                site.node,
            )
        return
    if site.statement != "ausing":
        return
    by_hand = isinstance(parent, ast.Attribute) and parent.attr == "__await__"
    if isinstance(parent, (ast.Expr, ast.Attribute)) and not by_hand:
        message = f"{written} enters nothing until it is awaited; write await {written}"
        yield Finding("GDF010", message, site.node)
    elif isinstance(parent, ast.withitem):
        message = f"{written} is to be awaited, not entered; write `x = await {written}`, or `async with` without {site.written}"
        yield Finding("GDF010", message, site.node)
    elif isinstance(parent, ast.Assign) and _only_attributes(module, parent, site):
        message = f"{written} gives what is to be awaited, and it is not; write `{text(parent.targets[0])} = await {written}`"
        yield Finding("GDF010", message, site.node)
    elif site.scoped and isinstance(parent, ast.Await):
        entered = entered_by(module, site.head)
        if isinstance(entered, ast.With) and not _leaves_its_block(module, entered, site):
            message = f"{written} needs an exit that can await; enter the scope by `async with defer_scope()`, not `with`"
            yield Finding("GDF010", message, site.node)


def _only_attributes(module: Module, assignment: ast.Assign, site: Site) -> bool:
    """Is what is assigned used for nothing but its attributes, so never awaited, nor handed to who might?"""
    target = assignment.targets[0]
    if (
        len(assignment.targets) != 1
        or not isinstance(target, ast.Name)
        or site.frame.kind != "function"
    ):
        return False
    found = module.mentions(target.id, site.frame)
    others = [node for node in found if node is not target]
    return (
        len(module.bindings(target.id, site.frame)) == 1
        and site.frame.bindings.get(target.id) is not None
        and bool(others)
        and all(
            isinstance(parent := module.parents[n], ast.Attribute) and parent.attr != "__await__"
            for n in others
        )
    )


def scope_not_entered(module: Module, node: ast.Expr) -> Iterator[Finding]:
    """GDF010: a `defer_scope()` that nothing enters."""
    if isinstance(node.value, ast.Call) and module.path(node.value.func) == "godefer.defer_scope":
        name = text(node.value.func)
        message = f"{name}() is not entered; write `with {name}() as defer:`, or `async with` where calls are awaited"
        yield Finding("GDF010", message, node.value)


def nothing_deferred(module: Module, function: FunctionNode) -> Iterator[Finding]:
    """GDF011: `@with_defers` on a function without a defer."""
    decorators = [d for d in function.decorator_list if module.is_with_defers(d)]
    known = all(module.harmless(d) for d in function.decorator_list if d not in decorators)
    if (
        not decorators
        or not known
        or any(isinstance(d, ast.Call) for d in decorators)
        or _is_stub(function)
    ):
        return
    if not any(_may_defer(module, node) for node in module.body(function)) and not _misplaced(
        module, function
    ):
        message = f"{function.name} is decorated with @with_defers and defers nothing; remove the decorator"
        yield Finding("GDF011", message, decorators[0])


def _may_defer(module: Module, node: ast.AST) -> bool:
    """Can *node* be a statement of godefer, by whatever name?"""
    if isinstance(node, ast.Call):
        path = module.path(node.func) or ""
        if path in {"builtins.exec", "builtins.eval"}:
            return True
        bound = (
            module.bindings(node.func.id, module.scopes[node])
            if isinstance(node.func, ast.Name)
            else []
        )
        hidden = any(
            b.kind not in {"def", "class", "import"} for b in bound
        ) and not path.startswith(SCOPE)
        if node.args and (hidden or module.imported(node.func) or module.keeps_statements):
            return True
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return any(alias.name.partition(".")[0] == "godefer" for alias in node.names) or (
            isinstance(node, ast.ImportFrom) and node.module == "godefer"
        )
    if not isinstance(node, (ast.Name, ast.Attribute)):
        return False
    path = module.path(node) or ""
    if path.startswith(SCOPE):
        return False
    name = node.id if isinstance(node, ast.Name) else node.attr
    passed_on = path == "godefer" and not isinstance(module.parents[node], ast.Attribute)
    return name in _NAMES or path.removeprefix("godefer.") in _NAMES or passed_on


_NAMES = frozenset({"defer", "errdefer", "okdefer", "using", "ausing"})


def _misplaced(module: Module, function: FunctionNode) -> bool:
    """Is there a statement that GDF002 reports, or one that cannot be judged, in a function inside of *function*?"""
    return any(
        not site.scoped and module.inside(site.node, function) and not module.decorated(site.frame)
        for site in module.sites.values()
    )


def _is_stub(function: FunctionNode) -> bool:
    """Has *function* no body yet, or a body that others are to give?"""
    return all(
        isinstance(node, _STUB)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )
