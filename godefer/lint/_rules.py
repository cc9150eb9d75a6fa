"""The rules about the statements themselves: GDF001, 002, 007, 009 and 011.

They fire only where a mistake is certain. Each rule takes a node, or a statement of godefer, and
yields findings. docs/checker.md explains each.
"""

from __future__ import annotations

import ast

from godefer.lint._bindings import SCOPE
from godefer.lint._resources import CLOSERS
from godefer.lint._site import STATEMENTS, Finding
from godefer.lint._tree import FUNCTIONS, blocks, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode

# Functions whose results cannot be called.
_UNCALLABLE_RESULTS = frozenset(
    f"{module}.{name}"
    for module, names in {
        "asyncio": "sleep",
        "builtins": "delattr input len print repr setattr str sum",
        "gc": "collect disable enable",
        "godefer": "recover",
        "logging": "critical debug error exception info log shutdown warning",
        "os": (
            "chdir chmod close kill killpg link putenv remove removedirs rename replace rmdir "
            "symlink umask unlink unsetenv"
        ),
        "shutil": "copy copyfile move rmtree",
        "sys": "exit",
        "time": "sleep",
    }.items()
    for name in names.split()
)
_UNCALLABLE_TYPES = frozenset({"None", "NoReturn", "Never", "bool", "int", "float", "str", "bytes"})


def called_not_passed(module: Module, site: Site) -> Iterator[Finding]:
    """GDF001: `defer(f())` calls f now and defers the result; `@defer(…)` decorates with None."""
    decorated = module.parents[site.node]
    if (
        site.defers
        and isinstance(site.node, ast.Call)
        and site.node in getattr(decorated, "decorator_list", ())
    ):
        name = getattr(decorated, "name", "")
        message = (
            f"{site.written}() is called here, and {name} decorated with what it returns, which is "
            f"no function; write @{site.written} above a function that needs no arguments"
        )
        yield Finding("GDF001", message, site.node)
        return
    callee = site.callee
    call = callee.value if isinstance(callee, ast.Await) else callee
    if not site.defers or not isinstance(call, ast.Call):
        return
    result = _uncallable_result(module, call)
    if result:
        fn = text(call.func)
        rest = [text(a) for a in [*call.args, *site.arguments[1:]]]
        rest += [text(k) for k in [*call.keywords, *site.keywords]]
        right = f"{site.written}({', '.join([fn, *rest])})"
        message = f"{fn}() is called here, and {site.written}() is given {result}; write {right}"
        yield Finding("GDF001", message, call)


def _uncallable_result(module: Module, call: ast.Call) -> str:
    """Return the words for the result of *call*, if it is certain not to be callable, else ""."""
    path = module.path(call.func)
    if path in _UNCALLABLE_RESULTS:
        return "what it returns, which is no function"
    function = module.definition(call.func)
    if function is not None:
        awaited = isinstance(module.parents[call], ast.Await)
        return (
            ""
            if isinstance(function, ast.Lambda)
            else _uncallable_result_of(module, function, awaited=awaited)
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


def _uncallable_result_of(module: Module, function: FunctionNode, *, awaited: bool) -> str:
    """Return the words for the result of *function*, if it is certain not to be callable."""
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
            "None"
            if name == "None"
            else f"a value of type {name}"
            if name in _UNCALLABLE_TYPES
            else ""
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
    """GDF002: a statement outside of a decorated function."""
    if site.scoped or module.decorated(site.frame) is not False:
        return
    kind, name = site.frame.kind, site.frame.name
    if kind == "function":
        place = f"{name}, which is not decorated; put @with_defers on the line above its `def`"
    elif kind == "lambda":
        place = (
            "a lambda; call it in the body of the decorated function, "
            "or make the lambda a decorated `def`"
        )
    elif kind == "generator expression":
        place = (
            "a generator expression, a function of its own; "
            "use a list comprehension or a `for` statement"
        )
    elif kind == "class":
        place = f"{name}; move it into a function decorated with @with_defers"
    else:
        place = (
            "no function; move it into one decorated with @with_defers, "
            "or use `with defer_scope() as defer:`"
        )
    yield Finding("GDF002", f"{site.shown} is used in {place}", site.node)


def cannot_recover(module: Module, call: ast.Call) -> Iterator[Finding]:
    """GDF007: `recover()` in code that is never a deferred function."""
    frame = module.scopes[call].frame()
    if frame.kind in {"module", "class", "generator expression"}:
        where = {"module": "module level", "class": frame.name}.get(
            frame.kind, "a generator expression"
        )
        message = (
            f"recover() is used in {where}, which is never a deferred function; "
            f"call it in a function that is deferred"
        )
        yield Finding("GDF007", message, call)
    elif isinstance(frame.node, FUNCTIONS) and _never_deferred(module, frame):
        name = "the lambda" if frame.kind == "lambda" else frame.name
        message = (
            f"recover() is used in {name}, which is only called, never deferred, so there is "
            f"nothing to recover; call it in the deferred function itself, "
            f"and pass on what it returns"
        )
        yield Finding("GDF007", message, call)


def recover_deferred(module: Module, site: Site) -> Iterator[Finding]:
    """GDF007: `defer(recover)`, which does not stop a panic of its function."""
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
    """Return whether the function of *frame* is certain never to be deferred.

    It is nested or private, and this module only calls it.
    """
    function = frame.node
    assert isinstance(function, FUNCTIONS)  # noqa: S101  # for the type checker
    scope = module.scopes[function]
    private = (
        frame.name.startswith("_") and not frame.name.startswith("__") and scope.kind == "module"
    )
    nested = scope.frame().kind in {"function", "lambda"}
    return (
        (nested or private) and module.only_called(function) and not _exported(module, frame.name)
    )


def _never_deferred_by_habit(module: Module, frame: Scope) -> bool:
    """Return whether the function of *frame* does not look like a clean-up.

    This module only calls it; or it returns a value, or raises.
    """
    function = frame.node
    assert isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))  # noqa: S101
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
                        and site.frame is module.scopes[statement].frame()
                    ):
                        message = (
                            f"{site.shown} is never reached, because of {why} in line {line}; "
                            f"put it before that"
                        )
                        yield Finding("GDF009", message, site.node)
            else:
                why, line = module.leaves(statement), statement.lineno


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
        message = (
            f"{function.name} is decorated with @with_defers and defers nothing; "
            f"remove the decorator"
        )
        yield Finding("GDF011", message, decorators[0])


def _may_defer(module: Module, node: ast.AST) -> bool:
    """Return whether *node* may be a statement of godefer, under any name."""
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
        if node.args and (hidden or module.imported(node.func) or module.hides_statements):
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
    return name in STATEMENTS or path.removeprefix("godefer.") in STATEMENTS or passed_on


def _misplaced(module: Module, function: FunctionNode) -> bool:
    """Return whether a function inside of *function* has a statement that GDF002 may report."""
    return any(
        not site.scoped and module.inside(site.node, function) and not module.decorated(site.frame)
        for site in module.sites.values()
    )


def _is_stub(function: FunctionNode) -> bool:
    """Return whether *function* has no body yet, or leaves it to subclasses."""
    return all(
        isinstance(node, (ast.Pass, ast.Raise))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )
