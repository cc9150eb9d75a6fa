"""GDF004: a deferred function in a loop reads a variable that the loop changes."""

from __future__ import annotations

import ast

from godefer.lint import _suggest
from godefer.lint._resources import CLOSERS
from godefer.lint._site import Finding
from godefer.lint._tree import WITHS, jumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._module import Module
    from godefer.lint._site import Fix, Site
    from godefer.lint._tree import FunctionOrLambda

_Loop = ast.For | ast.AsyncFor | ast.While
_LOOPS = (ast.For, ast.AsyncFor, ast.While)


def captures_loop_variable(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred function that reads a variable of a loop after the loop (GDF004)."""
    function = _deferred_function(module, site)
    if function is None or module.scopes[function].frame() is not site.frame:
        return
    free = _free_names(module, function)
    captured = [*_loop_variables(module, site, free), *_set_in_turn(module, site, free)]
    if not captured:
        return
    name, loop_variable = captured[0]
    variable = (
        f"the loop variable `{name}`" if loop_variable else f"`{name}`, which each turn sets,"
    )
    names = list(dict.fromkeys(each for each, _ in captured))
    # The other variables of the same loops change as well.
    names = list(dict.fromkeys([*names, *_changing(module, site, free)]))
    words, fix = _remedy(module, site, function, names)
    reader = "the lambda" if isinstance(function, ast.Lambda) else function.name
    message = (
        f"{reader} reads {variable} when the loop is over, so each call sees its last value; "
        f"{words}"
    )
    yield Finding("GDF004", message, site.callee or site.node, fix)


def _around(module: Module, site: Site) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Yield each node around *site* where the call stays pending, with its child on that path."""
    for outer, child in module.outward(site.node, site.frame):
        if isinstance(outer, WITHS) and site.scoped and _enters_scope(outer, site):
            return  # the call runs at the end of this block, in the same turn
        if (
            isinstance(outer, ast.stmt)
            and isinstance(child, ast.stmt)
            and _left_after(module, child)
        ):
            return
        yield outer, child


def _loop_variables(
    module: Module, site: Site, free: dict[str, list[ast.Name]]
) -> Iterator[tuple[str, bool]]:
    """Yield each captured variable of a loop or comprehension around *site*, with True."""
    for outer, child in _around(module, site):
        for name, same in _captured_targets(module, outer, child, free):
            if _every_turn(module, outer, site) or any(_closes(module, n) for n in same):
                yield name, True


def _captured_targets(
    module: Module, outer: ast.AST, child: ast.AST, free: dict[str, list[ast.Name]]
) -> Iterator[tuple[str, list[ast.Name]]]:
    targets: Sequence[ast.expr] = []
    if isinstance(outer, (ast.For, ast.AsyncFor)) and child in outer.body:
        targets = [outer.target]
    elif isinstance(outer, (ast.ListComp, ast.SetComp)) and child is outer.elt:
        targets = [generator.target for generator in outer.generators]
    names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
    for name in sorted(names & set(free)):
        owner = module.owner(name, module.scopes[targets[0]])
        same = [n for n in free[name] if module.owner(name, module.scopes[n]) is owner]
        if same:
            yield name, same


def _set_in_turn(
    module: Module, site: Site, free: dict[str, list[ast.Name]]
) -> Iterator[tuple[str, bool]]:
    """Yield each captured variable that a loop's block sets and *site* closes, with False."""
    for outer, child in _around(module, site):
        if isinstance(outer, _LOOPS) and child in outer.body:
            for name in sorted(free):
                if _set_by_each_turn(module, outer, free[name]):
                    yield name, False


def _changing(module: Module, site: Site, free: dict[str, list[ast.Name]]) -> Iterator[str]:
    """Yield every captured variable that a loop around *site* binds."""
    for outer, child in _around(module, site):
        for name, _ in _captured_targets(module, outer, child, free):
            yield name
        if not isinstance(outer, _LOOPS):
            continue
        for name in sorted(free):
            found = module.bindings(name, module.scopes[free[name][0]])
            if any(module.inside(b.node, outer) and b.scope is site.frame for b in found):
                yield name


def _deferred_function(module: Module, site: Site) -> FunctionOrLambda | None:
    """Return the lambda or function of this module that is deferred, by name or by decorator."""
    if site.callee is None or not site.defers:
        return site.function
    function = module.definition(site.callee)
    return (
        function if isinstance(function, ast.Lambda) or isinstance(site.callee, ast.Name) else None
    )


def _set_by_each_turn(module: Module, loop: _Loop, nodes: Sequence[ast.Name]) -> bool:
    """Return whether the variable is closed, and only a call in the block of *loop* binds it."""
    if not any(_closes(module, node) for node in nodes):
        return False
    bindings = module.bindings(nodes[0].id, module.scopes[nodes[0]])
    if (
        len(bindings) != 1
        or bindings[0].kind != "assign"
        or not isinstance(bindings[0].value, (ast.Call, ast.Await))
    ):
        return False
    statement = module.statement(bindings[0].node)
    return module.parents.get(statement) is loop and statement in loop.body


def _remedy(
    module: Module, site: Site, function: FunctionOrLambda, names: list[str]
) -> tuple[str, Fix | None]:
    """Return the words for the remedy, and its fix: the variables become parameters."""
    if isinstance(function, ast.Lambda):
        right = _passed_now(module, site, function, names)
        otherwise = f"make {', '.join(f'`{name}`' for name in names)} a parameter, and pass it"
        if right is None or not isinstance(site.node, ast.Call):
            return otherwise, None
        source = _suggest.quoted(right)
        fix = _suggest.replace(site.node, right) if site.callee is function else None
        return (f"pass it: {source}" if source else otherwise), fix
    given = ", ".join(f"{name}={name}" for name in names)
    plain = not any(_parameters(function.args))
    if site.function is not None or _defined_in_turn(module, site, function):
        changed = ast.unparse(_suggest.with_defaults(function.args, names))
        return f"make it a parameter: def {function.name}({changed})", None
    if not plain or not isinstance(site.node, ast.Call):
        return f"make it a parameter: def {function.name}(…, {given})", None
    right = _suggest.call(
        site.node.func,
        [site.arguments[0], *map(_suggest.name, names), *site.arguments[1:]],
        site.keywords,
    )
    passed = _suggest.quoted(right) or "pass it"
    return (
        f"make it a parameter, def {function.name}({', '.join(names)}), and pass it: {passed}",
        None,
    )


def _parameters(given: ast.arguments) -> list[ast.arg | None]:
    return [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]


def _defined_in_turn(module: Module, site: Site, function: FunctionOrLambda) -> bool:
    """Return whether each turn of a loop around *site* defines *function* anew."""
    return any(
        isinstance(outer, _LOOPS) and module.inside(function, outer)
        for outer, _ in module.outward(site.node, site.frame)
    )


def _passed_now(
    module: Module, site: Site, function: ast.Lambda, names: list[str]
) -> ast.Call | None:
    """Return the statement that passes the variables; None if they are parameters already."""
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    parameters = {arg.arg for arg in _parameters(function.args) if arg is not None}
    if parameters & set(names):
        return None
    if not parameters and len(site.arguments) == 1 and not site.keywords:
        body = function.body
        if _same_now(module, site, body, names):
            assert isinstance(body, ast.Call)  # noqa: S101  # for the type checker
            return _suggest.call(site.node.func, [body.func, *body.args], body.keywords)
        late = _suggest.function_of(body, names)
        return _suggest.call(site.node.func, [late, *map(_suggest.name, names)])
    late = ast.Lambda(_suggest.with_defaults(function.args, names), function.body)
    return _suggest.call(site.node.func, [late, *site.arguments[1:]], site.keywords)


def _same_now(module: Module, site: Site, body: ast.expr, names: list[str]) -> bool:
    """Return whether *body* is a call with parts that can be evaluated at the `defer`."""
    if not isinstance(body, ast.Call):
        return False
    parts = [body.func, *body.args, *(keyword.value for keyword in body.keywords)]
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Name):
                if node.id not in names and not _suggest.same_until_exit(module, site, node):
                    return False
            elif not isinstance(node, (ast.Constant, ast.Attribute, ast.expr_context)):
                return False
            if isinstance(node, ast.Attribute) and (
                node is not body.func or _suggest.is_assigned(module, node)
            ):
                return False  # an attribute that may change
    return True


def _free_names(module: Module, function: FunctionOrLambda) -> dict[str, list[ast.Name]]:
    """Return the outer variables that *function* reads and does not set, with their nodes."""
    inner = module.scope_of_function[function]
    free: dict[str, list[ast.Name]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and node in module.scopes:
            owner = module.owner(node.id, module.scopes[node])
            if module.scopes[node] is not module.scopes[function] and (
                owner is None or not module.inside(owner.node, function)
            ):
                free.setdefault(node.id, []).append(node)
    return {name: nodes for name, nodes in free.items() if name not in inner.declared}


def _enters_scope(node: ast.With | ast.AsyncWith, site: Site) -> bool:
    """Return whether *node* enters the scope of *site*, or may do so."""
    func = site.head
    base = func.value if isinstance(func, ast.Attribute) else func
    entered = [item.optional_vars for item in node.items]
    return not isinstance(base, ast.Name) or any(
        isinstance(v, ast.Name) and v.id == base.id for v in entered
    )


def _left_after(module: Module, statement: ast.stmt) -> bool:
    """Return whether a later statement of the same block leaves the loop, or the function."""
    block, place = module.block(statement)
    for later in block[place + 1 :]:
        if isinstance(later, ast.Continue):
            return False
        if module.leaves(later):
            return True
    return False


def _every_turn(module: Module, loop: ast.AST, site: Site) -> bool:
    """Return whether each turn of the loop reaches *site*."""
    conditional = (ast.If, ast.IfExp, ast.Match, ast.Try, ast.TryStar, ast.BoolOp, *_LOOPS)
    for outer, child in module.outward(site.node, site.frame):
        if outer is loop:
            if isinstance(loop, (ast.ListComp, ast.SetComp)):
                return not any(generator.ifs for generator in loop.generators)
            own = loop.body if isinstance(loop, (ast.For, ast.AsyncFor)) else []
            before = own[: own.index(child)] if isinstance(child, ast.stmt) and child in own else []
            return not any(isinstance(n, (ast.Continue, ast.Break)) for n in jumps(before))
        if isinstance(outer, conditional):
            return False
    return False


def _closes(module: Module, node: ast.Name) -> bool:
    """Return whether *node* is the `x` of `x.close()`."""
    method = module.parents[node]
    call = module.parents[method]
    return (
        isinstance(method, ast.Attribute) and method.attr in CLOSERS and isinstance(call, ast.Call)
    )
