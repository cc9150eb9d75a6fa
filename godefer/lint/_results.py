"""The rules about results of functions, and of deferred calls: GDF013, GDF014 and GDF015."""

from __future__ import annotations

import ast
import difflib
import re

from godefer.lint import _suggest
from godefer.lint._site import Finding, Fix, Replacement
from godefer.lint._tree import code, text
from godefer.lint._types import method_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode, FunctionOrLambda

_TYPING = ("typing.", "typing_extensions.", "collections.abc.")
# Names of `typing` that do not exclude None.
_PERHAPS_NONE = frozenset(
    {
        "Any",
        "AnyStr",
        "Optional",
        "Union",
        "TypeVar",
        "ParamSpec",
        "Self",
        "Never",
        "NoReturn",
        "Generic",
        "Protocol",
        "Literal",
        "Annotated",
        "TypeAlias",
        "TypeGuard",
        "Final",
        "ClassVar",
        "Hashable",
        "LiteralString",
    }
)
_RAISES = re.compile(r"raise|throw|fail|abort|exit|panic|translate|wrap|convert", re.IGNORECASE)
_LIBRARY_TYPES = frozenset(
    {
        "collections.Counter",
        "collections.OrderedDict",
        "collections.defaultdict",
        "collections.deque",
        "datetime.date",
        "datetime.datetime",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
        "pathlib.Path",
        "uuid.UUID",
    }
)


# GDF013


def recovers_to_none(module: Module, site: Site) -> Iterator[Finding]:
    """Report a function that may return None after a recovery, against its annotation (GDF013)."""
    function = site.frame.node
    if site.scoped or not site.defers or site.statement == "okdefer":
        return
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return
    if function.returns is None or any(
        module.is_with_defers(d) and isinstance(d, ast.Call) and d.keywords
        for d in function.decorator_list
    ):
        return
    if not any(module.is_with_defers(d) for d in function.decorator_list):
        return
    if any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in module.body(function)):
        return
    if not _recovers(module, site) or not _excludes_none(
        module, function.returns, module.scopes[function]
    ):
        return
    right = ast.BinOp(_evaluated(function.returns), ast.BitOr(), ast.Constant(None))
    message = (
        f"{function.name} returns None after a recovery, which `-> {text(function.returns)}` "
        f"excludes; write `-> {text(right)}`, or name the result: @with_defers(result=…)"
    )
    yield Finding("GDF013", message, site.node)


def _evaluated(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return ast.parse(annotation.value, mode="eval").body
    return annotation


def _deferred_definition(module: Module, site: Site) -> FunctionOrLambda | None:
    if site.function is not None or site.callee is None:
        return site.function
    return module.definition(site.callee)


def _recovers(module: Module, site: Site) -> bool:
    """Return whether the deferred function calls `recover()`, and raises nothing itself."""
    function = _deferred_definition(module, site)
    if function is None:
        return False
    body = module.body(function)
    calls = [module.path(n.func) or "" for n in body if isinstance(n, ast.Call)]
    ends = any(isinstance(n, ast.Raise) for n in body) or any(
        path in {"godefer.panic", "sys.exit", "os._exit", "os.abort"} for path in calls
    )
    # A function with such a name may raise the recovered exception.
    named = [code(n.func) for n in body if isinstance(n, ast.Call)]
    ends = ends or any(_RAISES.search(name) for name in named)
    return "godefer.recover" in calls and not ends


def _excludes_none(module: Module, annotation: ast.expr, scope: Scope) -> bool:
    """Return whether the annotation is certain not to include None."""
    try:
        annotation = _evaluated(annotation)
    except SyntaxError:
        return False
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return all(_excludes_none(module, n, scope) for n in (annotation.left, annotation.right))
    if isinstance(annotation, ast.Subscript):
        path = module.path(annotation.value, scope) or ""
        if path in {"typing.Union", "typing_extensions.Union"}:
            members = annotation.slice
            parts = members.elts if isinstance(members, ast.Tuple) else [members]
            return all(_excludes_none(module, part, scope) for part in parts)
        if path.startswith(("typing.", "typing_extensions.")) and path.endswith(".Annotated"):
            return False
        return _excludes_none(module, annotation.value, scope)
    named = module.path(annotation, scope)
    if named is None:
        found = module.bindings(annotation.id, scope) if isinstance(annotation, ast.Name) else []
        return len(found) == 1 and isinstance(found[0].node, ast.ClassDef)
    if named.startswith("builtins."):
        return named.removeprefix("builtins.") in {
            "bool",
            "bytearray",
            "bytes",
            "complex",
            "dict",
            "float",
            "frozenset",
            "int",
            "list",
            "memoryview",
            "range",
            "set",
            "slice",
            "str",
            "tuple",
            "type",
        }
    if named.startswith(_TYPING):
        return named.rpartition(".")[2] not in _PERHAPS_NONE
    return named in _LIBRARY_TYPES


# GDF014


def result_not_set(module: Module, function: FunctionNode) -> Iterator[Finding]:
    """Report a named result that is no local variable, or is not set where it was meant (GDF014).

    A nested function without `nonlocal` sets a variable of its own.
    """
    for decorator in function.decorator_list:
        if not module.is_with_defers(decorator) or not isinstance(decorator, ast.Call):
            continue
        if decorator.args:
            yield from _positional(decorator)
        for keyword in decorator.keywords:
            if keyword.arg == "result":
                yield from _named(module, function, decorator, keyword.value)


def _positional(decorator: ast.Call) -> Iterator[Finding]:
    given = decorator.args[0]
    if (
        len(decorator.args) == 1
        and isinstance(given, ast.Constant)
        and isinstance(given.value, str)
    ):
        right = _suggest.call(
            decorator.func, (), [*decorator.keywords, ast.keyword("result", given)]
        )
        message = f"the name of a result is a keyword argument; write @{text(right)}"
        yield Finding("GDF014", message, given, _suggest.replace(decorator, right))


def _named(
    module: Module, function: FunctionNode, decorator: ast.Call, value: ast.expr
) -> Iterator[Finding]:
    scope = module.scope_of_function[function]
    body = module.body(function)
    yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in body)
    if isinstance(function, ast.AsyncFunctionDef) and yields:
        message = (
            f"{function.name} is an async generator, which returns nothing; "
            f"write @{text(decorator.func)}"
        )
        yield Finding("GDF014", message, value, _suggest.replace(decorator, decorator.func))
        return
    parts = value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
    for part in parts:
        name = part.value if isinstance(part, ast.Constant) else None
        if not isinstance(name, str):
            continue
        found = scope.bindings.get(name, [])
        if not found or name in scope.declared:
            yield _no_local(scope, function, part, name)
        elif any(binding.kind == "parameter" for binding in found):
            message = (
                f"{name} is a parameter of {function.name}; "
                f"name a local variable, which starts as None"
            )
            yield Finding("GDF014", message, part)
        else:
            yield from _shadowed(module, function, scope, name)


def _no_local(scope: Scope, function: FunctionNode, part: ast.expr, name: str) -> Finding:
    local = [
        each
        for each, found in scope.bindings.items()
        if all(binding.kind in {"assign", "with", "for", "other"} for binding in found)
    ]
    near = difflib.get_close_matches(name, local, 1, 0.5)
    if near:
        fix = _suggest.replace(part, ast.Constant(near[0]), safe=False)
        return Finding(
            "GDF014",
            f"{name} is no local variable of {function.name}; write {near[0]!r}",
            part,
            fix,
        )
    message = (
        f"{name} is no local variable of {function.name}; "
        f"assign to {name} in its body, or name another variable"
    )
    return Finding("GDF014", message, part)


def _shadowed(module: Module, function: FunctionNode, scope: Scope, name: str) -> Iterator[Finding]:
    """Report a deferred function that sets a variable of its own instead of the result."""
    for site in module.sites.values():
        inner = _deferred_definition(module, site)
        if inner is None or site.frame is not scope or not module.inside(inner, function):
            continue
        own = module.scope_of_function[inner]
        found = [b for b in own.bindings.get(name, []) if b.kind in {"assign", "other", "for"}]
        if not found or len(found) != len(own.bindings[name]):
            continue
        if not (_is_lost(module, inner, own, name) or _only_there(module, function, scope, name)):
            continue
        message = (
            f"{name} is a variable of {own.name} here, and not the result of {function.name}; "
            f"write `nonlocal {name}` in {own.name}"
        )
        fix = None
        if not isinstance(inner, ast.Lambda):
            first = next((s for s in inner.body if not _is_docstring(s)), inner.body[0])
            above = Replacement(first, f"nonlocal {name}", "above")
            fix = Fix((above,), safe=first.lineno != inner.lineno)
            fix = fix if fix.safe else None
        else:
            message = (
                f"{name} is a variable of the lambda here, and not the result of {function.name}; "
                f"assign it in a `def` with `nonlocal {name}`"
            )
        yield Finding("GDF014", message, found[0].node, fix)


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _is_lost(module: Module, inner: FunctionOrLambda, own: Scope, name: str) -> bool:
    """Return whether the function assigns the variable, and reads it nowhere."""
    parts = module.body(inner)
    if any(isinstance(n, ast.AugAssign) and text(n.target) == name for n in parts):
        return True
    return not any(
        isinstance(n.ctx, ast.Load) and module.owner(name, module.scopes[n]) is own
        for n in module.name_nodes.get(name, [])
        if module.inside(n, inner)
    )


def _only_there(module: Module, function: FunctionNode, scope: Scope, name: str) -> bool:
    """Return whether *function* itself sets the result to constants only."""
    returns = any(isinstance(n, ast.Return) and n.value is not None for n in module.body(function))
    constants = all(
        b.kind == "assign" and isinstance(b.value, ast.Constant) for b in scope.bindings[name]
    )
    return constants and not returns


# GDF015


def never_iterated(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred generator function, or lazy `map`, which would never run (GDF015)."""
    if not site.defers:
        return
    place = site.callee or site.node
    function = site.function
    callee = site.callee
    made: ast.expr | None = callee
    arguments, keywords = site.arguments[1:], site.keywords
    in_lambda = isinstance(callee, ast.Lambda)
    if isinstance(callee, ast.Lambda):
        made = callee.body
        if isinstance(made, ast.GeneratorExp):
            right = ast.ListComp(made.elt, made.generators)
            message = (
                f"the lambda makes a generator, which nothing iterates, so it would never run; "
                f"{_suggest.write(right, 'make it a list comprehension')}"
            )
            yield Finding("GDF015", message, place, _suggest.replace(made, right))
            return
        if not isinstance(made, ast.Call):
            return
        arguments, keywords, made = made.args, made.keywords, made.func
    elif (
        isinstance(callee, ast.Call)
        and module.path(callee.func) == "functools.partial"
        and callee.args
    ):
        made, arguments = callee.args[0], [*callee.args[1:], *arguments]
        keywords = [*callee.keywords, *keywords]
    if function is None:
        if made is None:
            return
        if module.path(made) in {"builtins.map", "builtins.filter"}:
            yield _lazy(site, made, arguments, keywords, in_lambda=in_lambda)
            return
        found = module.definition(made) or method_of(module, made)
        if not isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return
        function = found
    if not _is_generator(module, function):
        return
    name = text(made) if made is not None else function.name
    kind = "an async generator" if isinstance(function, ast.AsyncFunctionDef) else "a generator"
    message = f"{name} is {kind} function, and nothing iterates it, so its body would never run; "
    if site.function is not None or isinstance(function, ast.AsyncFunctionDef):
        yield Finding("GDF015", f"{message}defer a function without `yield`", place)
        return
    finding = _lazy(site, made or place, arguments, keywords, in_lambda=in_lambda)
    yield finding._replace(message=message + finding.message.partition("; ")[2])


def _lazy(
    site: Site,
    made: ast.expr,
    arguments: list[ast.expr],
    keywords: list[ast.keyword],
    *,
    in_lambda: bool,
) -> Finding:
    """Return a finding with ``list(…)`` around the call of *made* as its remedy."""
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    assert site.callee is not None  # noqa: S101
    listed = _suggest.call(_suggest.name("list"), [_suggest.call(made, arguments, keywords)])
    message = f"{text(made)}() gives an iterator, which nothing iterates, so it would do nothing; "
    if in_lambda and isinstance(site.callee, ast.Lambda):
        right = _suggest.call(
            site.node.func,
            [ast.Lambda(site.callee.args, listed), *site.arguments[1:]],
            site.keywords,
        )
        fix = _suggest.replace(site.callee.body, listed)
    else:
        right = _suggest.call(site.node.func, [_suggest.function_of(listed)])
        fix = _suggest.replace(site.node, right, safe=False)
    message += _suggest.write(right, "defer a function that iterates it")
    return Finding("GDF015", message, site.callee, fix)


def _is_generator(module: Module, function: FunctionNode) -> bool:
    """Return whether calling *function* gives a generator: no decorator changes that."""
    if not any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in module.body(function)):
        return False
    plain = {"builtins.staticmethod", "builtins.classmethod"}
    return all(
        module.is_with_defers(d) or module.path(d) in plain or d in module.sites
        for d in function.decorator_list
    )
