"""The rules about loops: GDF003 and GDF004, which match narrow patterns, as `_openings` does."""

from __future__ import annotations

import ast

from godefer.lint._resources import CLOSERS, closed, opens_for_itself
from godefer.lint._site import Finding
from godefer.lint._tree import WITHS, own_breaks, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionOrLambda

_Loop = ast.For | ast.AsyncFor | ast.While
_LOOPS = (ast.For, ast.AsyncFor, ast.While)

# Methods of files and connections whose results stay valid after a close.
_PLAIN_RESULT = frozenset(
    {
        "read",
        "readline",
        "readlines",
        "recv",
        "send",
        "sendall",
        "write",
        "writelines",
        "seek",
        "tell",
        "flush",
    }
)

# Functions that read or write a file, and do not keep it.
_READERS = frozenset(
    {
        *(
            f"{module}.{name}"
            for module in ("json", "pickle", "marshal", "plistlib")
            for name in ("load", "dump")
        ),
        *(f"builtins.{name}" for name in ("list", "tuple", "set", "frozenset", "sorted")),
        "hashlib.file_digest",
        "shutil.copyfileobj",
        "tomllib.load",
    }
)

# Locks whose holder waits for ever if it acquires them again.
_LOCKS = frozenset({"asyncio.Lock", "multiprocessing.Lock", "threading.Lock"})


# GDF003


def once_per_turn(module: Module, site: Site) -> Iterator[Finding]:
    """GDF003: a file that each turn of a loop opens and reads, closed only after the loop."""
    if site.scoped or site.frame.kind != "function":
        return
    statement = module.statement(site.node)
    loop = module.parents[statement]
    if not isinstance(loop, _LOOPS) or not _goes_on(module, loop, site.frame):
        return
    if site.statement == "using":
        target = (
            statement.targets[0]
            if isinstance(statement, ast.Assign) and len(statement.targets) == 1
            else None
        )
        name = (
            target
            if isinstance(target, ast.Name) and opens_for_itself(module, site.callee)
            else None
        )
        done = name is not None and _done_within(module, loop, name, site)
    else:
        name = closed(site)
        opened = name is not None and _opened_in(module, loop, name)
        done = opened and name is not None and _done_within(module, loop, name, site)
    problem = ""
    if name is not None and done:
        problem = f"each `{name.id}` stays open until {site.frame.name} exits; to close it"
    elif name is not None and _locked_in(module, loop, name, site):
        problem = (
            f"`{name.id}` stays locked until {site.frame.name} exits, "
            f"so the second turn waits for ever; to release it"
        )
    if problem:
        kind = "while" if isinstance(loop, ast.While) else "for"
        inside = (
            f"at the end of its turn, write `with defer_scope() as defer:` inside of the `{kind}`"
        )
        yield Finding("GDF003", f"{site.shown} in a loop: {problem} {inside}", site.node)


def _goes_on(module: Module, loop: _Loop, frame: Scope) -> bool:
    """Return whether the loop can take any number of turns, and completes each of them.

    No `break`, `return`, `raise` or `yield` leaves it.
    """
    if isinstance(loop, (ast.For, ast.AsyncFor)):
        if isinstance(loop.iter, (ast.Tuple, ast.List, ast.Set, ast.Constant)):
            return False
        call = loop.iter if isinstance(loop.iter, ast.Call) else None
        ranges = call is not None and module.path(call.func) == "builtins.range"
        if (
            call is not None
            and ranges
            and all(isinstance(bound, ast.Constant) for bound in call.args)
        ):
            return False
    leaving = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
    inner = [node for node in module.bodies[frame] if module.inside(node, loop)]
    return not own_breaks(loop) and not any(isinstance(node, leaving) for node in inner)


def _opened_in(module: Module, loop: _Loop, name: ast.Name) -> bool:
    """Return whether the only binding of *name* is an opening in the loop's own block."""
    found = module.bindings(name.id, module.scopes[name])
    if len(found) != 1 or found[0].kind != "assign" or not opens_for_itself(module, found[0].value):
        return False
    return module.parents[module.statement(found[0].node)] is loop


def _locked_in(module: Module, loop: _Loop, name: ast.Name, site: Site) -> bool:
    """Return whether *name* is one lock for all turns, and the second turn cannot acquire it.

    A statement of the loop's own block acquires it, and only the deferred call releases it.
    """
    found = module.bindings(name.id, module.scopes[name])
    made = found[0].value if len(found) == 1 and found[0].kind == "assign" else None
    if (
        not isinstance(made, ast.Call)
        or module.path(made.func) not in _LOCKS
        or module.inside(made, loop)
    ):
        return False
    uses = [
        module.parents[n]
        for n in module.mentions(name.id, site.frame)
        if module.scopes[n] is site.frame
    ]
    methods = [(use.attr, module.parents[use]) for use in uses if isinstance(use, ast.Attribute)]
    taken = [
        call
        for method, call in methods
        if method == "acquire" and isinstance(call, ast.Call) and not call.args
    ]
    return sum(method == "release" for method, _ in methods) == 1 and any(
        not call.keywords and module.parents[module.statement(call)] is loop for call in taken
    )


def _done_within(module: Module, loop: _Loop, name: ast.Name, site: Site) -> bool:
    """Return whether *name* is used in its turn only, and nothing needs or keeps it longer."""
    used = False
    if len(module.bindings(name.id, site.frame)) != 1:
        return False
    for node in module.mentions(name.id, site.frame):
        parent = module.parents[node]
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            continue
        if module.inside(node, site.node if site.function is None else site.function):
            continue
        if not module.inside(node, loop) or module.scopes[node] is not site.frame:
            return False
        reads = isinstance(parent, (ast.For, ast.AsyncFor)) and parent.iter is node
        if isinstance(parent, ast.Call) and node in parent.args:
            reads = module.path(parent.func) in _READERS
        if isinstance(parent, ast.Attribute) and parent.attr in _PLAIN_RESULT:
            call = module.parents[parent]
            reads = isinstance(call, ast.Call) and call.func is parent
        if not reads:
            return False
        used = True
    return used


# GDF004


def captures_loop_variable(module: Module, site: Site) -> Iterator[Finding]:
    """GDF004: a function that is deferred in a loop, and reads the loop's variable after it."""
    function = _deferred_function(module, site)
    if function is None or module.scopes[function].frame() is not site.frame:
        return
    free = _free_names(module, function)
    place = site.callee or site.node
    for outer, child in module.outward(site.node, site.frame):
        if isinstance(outer, WITHS) and site.scoped and _enters_scope(outer, site):
            return  # the call runs at the end of this block, in the same turn
        if (
            isinstance(outer, ast.stmt)
            and isinstance(child, ast.stmt)
            and _left_after(module, child)
        ):
            return
        targets: Sequence[ast.expr] = []
        if isinstance(outer, (ast.For, ast.AsyncFor)) and child in outer.body:
            targets = [outer.target]
        elif isinstance(outer, (ast.ListComp, ast.SetComp)) and child is outer.elt:
            targets = [generator.target for generator in outer.generators]
        if isinstance(outer, _LOOPS) and child in outer.body:
            found = [name for name in sorted(free) if _set_by_each_turn(module, outer, free[name])]
            if found:
                yield Finding(
                    "GDF004",
                    _message(site, function, found[0], f"`{found[0]}`, which each turn sets,"),
                    place,
                )
                return
        names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        for name in sorted(names & set(free)):
            owner = module.owner(name, module.scopes[targets[0]]) if targets else None
            same = [n for n in free[name] if module.owner(name, module.scopes[n]) is owner]
            if same and (_every_turn(module, outer, site) or any(_closes(module, n) for n in same)):
                yield Finding(
                    "GDF004", _message(site, function, name, f"the loop variable `{name}`"), place
                )
                return


def _deferred_function(module: Module, site: Site) -> FunctionOrLambda | None:
    """Return the lambda or function of this module that is deferred, by name or by decorator."""
    if site.callee is None or not site.defers:
        return site.function
    function = module.definition(site.callee)
    return (
        function if isinstance(function, ast.Lambda) or isinstance(site.callee, ast.Name) else None
    )


def _set_by_each_turn(module: Module, loop: _Loop, nodes: Sequence[ast.Name]) -> bool:
    """Return whether the variable is closed, and bound only by a call in the loop's own block."""
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


def _message(site: Site, function: FunctionOrLambda, name: str, variable: str) -> str:
    reader = "the lambda" if isinstance(function, ast.Lambda) else function.name
    return (
        f"{reader} reads {variable} when the loop is over, so each call sees its last value; "
        f"{_remedy(site, function, name)}"
    )


def _remedy(site: Site, function: ast.AST, name: str) -> str:
    if isinstance(function, ast.Lambda):
        body = function.body
        if isinstance(body, ast.Call) and not any(
            isinstance(n, ast.Call) for a in body.args for n in ast.walk(a)
        ):
            rest = [text(part) for part in [*body.args, *body.keywords]]
            return f"pass it: {site.written}({', '.join([text(body.func), *rest])})"
        return f"pass it: {site.written}(lambda {name}: …, {name})"
    if site.function is not None:
        return f"make it a parameter: def {site.function.name}({name}={name})"
    return f"make it a parameter, and pass it: {site.written}({text(site.arguments[0])}, {name})"


def _free_names(module: Module, function: FunctionOrLambda) -> dict[str, list[ast.Name]]:
    """Return the names that *function* reads, does not set, and takes from outside."""
    inner = module.scope_of_function[function]
    free: dict[str, list[ast.Name]] = {}
    for node in module.body(function):
        if isinstance(node, ast.Name) and module.owner(node.id, module.scopes[node]) not in (
            inner,
            module.scopes[node],
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
            return not any(
                isinstance(n, (ast.Continue, ast.Break)) for s in before for n in ast.walk(s)
            )
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
