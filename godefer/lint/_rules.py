"""The rules about the statements themselves: GDF002, GDF007, GDF009 and GDF011.

They fire only where a mistake is certain. Each rule takes a node, or a statement of godefer, and
yields findings. The pages in docs/checker/ explain each.
"""

from __future__ import annotations

import ast
import builtins

from godefer.lint import _suggest
from godefer.lint._bindings import SCOPE
from godefer.lint._site import STATEMENTS, Finding, Fix, Replacement
from godefer.lint._tree import FUNCTIONS, blocks, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode


def no_decorated_function(module: Module, site: Site) -> Iterator[Finding]:
    """Report a statement outside of a decorated function (GDF002)."""
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
    """Report `recover()` in code that is never a deferred function (GDF007)."""
    frame = module.scopes[call].frame()
    wrong = next((a for a in call.args if _is_no_type(module, a)), None)
    if wrong is not None:
        message = (
            f"recover() takes exception types, and {text(wrong)} is none; "
            f"write recover(OSError), or recover(OSError, ValueError)"
        )
        yield Finding("GDF007", message, wrong)
        return
    if any(
        isinstance(outer, ast.ExceptHandler) for outer, _ in module.outward(call, frame)
    ) and never_deferred_by_habit(module, frame):
        message = (
            "recover() is used in an `except` clause, which has caught the exception already; "
            "use the name of `except … as error`, or defer a function that calls recover()"
        )
        yield Finding("GDF007", message, call)
        return
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


def _is_no_type(module: Module, node: ast.expr) -> bool:
    """Return whether *node* is surely no exception type.

    That is a constant, a tuple, list or set, or a call that makes a built-in exception.
    """
    if isinstance(node, (ast.Tuple, ast.List, ast.Set, ast.Constant)):
        return True
    path = module.path(node.func) if isinstance(node, ast.Call) else None
    kind = getattr(builtins, (path or "").removeprefix("builtins."), None)
    return isinstance(kind, type) and issubclass(kind, BaseException)


def recovers_on_return(module: Module, site: Site) -> Iterator[Finding]:
    """Report `okdefer` of a function that recovers: a return has nothing to recover (GDF007)."""
    if site.statement != "okdefer":
        return
    function = site.function or (module.definition(site.callee) if site.callee else None)
    if function is None:
        return
    if site.callee is not None and isinstance(site.callee, ast.Name):
        uses = module.uses(function)
        if uses is None or len(uses) != 1:
            return  # it may be deferred elsewhere
    calls = [n for n in module.body(function) if isinstance(n, ast.Call)]
    if any(module.path(call.func) == "godefer.recover" for call in calls):
        other = site.written.removesuffix("okdefer").removesuffix("ok")
        other = f"{other}errdefer" if not site.scoped else f"{other}err"
        message = (
            f"{site.shown} runs only if the function returns, when there is nothing to recover; "
            f"write {other}"
        )
        yield Finding("GDF007", message, site.callee or site.node)


def recover_deferred(module: Module, site: Site) -> Iterator[Finding]:
    """Report `defer(recover)`, which does not stop a panic of its function (GDF007)."""
    if (
        site.scoped
        or not site.defers
        or site.callee is None
        or module.path(site.callee) != "godefer.recover"
    ):
        return
    frame = site.frame
    if isinstance(frame.node, (ast.FunctionDef, ast.AsyncFunctionDef)) and never_deferred_by_habit(
        module, frame
    ):
        assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
        late = _suggest.function_of(_suggest.call(site.callee, site.arguments[1:]))
        right = _suggest.call(site.node.func, [late])
        message = (
            f"{site.written}({text(site.callee)}) has no effect on the panic of {frame.name}, "
            f"as in Go; {_suggest.write(right, 'call it in a lambda')}, "
            f"or defer a function that calls recover()"
        )
        yield Finding("GDF007", message, site.callee, _suggest.replace(site.node, right))


def _never_deferred(module: Module, frame: Scope) -> bool:
    """Return whether the function of *frame* is certain never to be deferred.

    It is nested or private, this module only calls it, and `__all__` does not list it.
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


def never_deferred_by_habit(module: Module, frame: Scope) -> bool:
    """Return whether the function of *frame* does not look like a clean-up.

    It does not if the checked module only calls it, or if that module never uses it and it returns
    a value, raises or panics. A lambda, a method, a generator, or a function with another decorator
    than `with_defers` may always be a clean-up.
    """
    function = frame.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
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
    """Report a statement that can never be reached (GDF009)."""
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
    """Report `@with_defers` on a function that defers nothing (GDF011)."""
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
        remove = Fix((Replacement(decorators[0], "", "line"),), safe=True)
        yield Finding("GDF011", message, decorators[0], remove)


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
    """Return whether *function* has no body yet, or subclasses have to write it."""
    return all(
        isinstance(node, (ast.Pass, ast.Raise))
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )
