"""The rule about resources in loops: GDF003, which matches narrow patterns."""

from __future__ import annotations

import ast
import re

from godefer.lint._resources import READERS, closed, opens, opens_for_itself
from godefer.lint._scopes import entered_by
from godefer.lint._site import Finding
from godefer.lint._tree import receiver
from godefer.lint._types import made_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site

_Loop = ast.For | ast.AsyncFor | ast.While | ast.ListComp | ast.SetComp | ast.DictComp
_STATEMENTS = (ast.For, ast.AsyncFor, ast.While)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)

# Methods of files and connections with results that stay valid after a close.
_PLAIN_RESULT = frozenset(
    {
        "count",
        "decode",
        "execute",
        "fetchall",
        "fetchone",
        "fileno",
        "fetchval",
        "flush",
        "getresponse",
        "getvalue",
        "read",
        "readline",
        "readlines",
        "recv",
        "seek",
        "send",
        "sendall",
        "splitlines",
        "strip",
        "tell",
        "write",
        "writelines",
    }
)
# A socket with these calls is no listening socket, and has got its answer at the end of the turn.
_TALKS = frozenset({"recv", "recv_into", "makefile"})
_SOCKETS = frozenset({"socket.create_connection", "socket.socket"})
# Functions that return an iterator over a file.
_ITERATORS = frozenset(
    {
        "builtins.enumerate",
        "builtins.filter",
        "builtins.map",
        "builtins.zip",
        "csv.DictReader",
        "csv.reader",
    }
)
# Functions that consume an iterator before they return.
_COLLECTORS = frozenset(
    f"builtins.{name}"
    for name in (
        "all",
        "any",
        "dict",
        "frozenset",
        "len",
        "list",
        "max",
        "min",
        "set",
        "sorted",
        "sum",
        "tuple",
    )
)
# Beginnings of the names of functions that use a file, and do not keep it.
_USER = re.compile(
    r"(process|parse|handle|read|load|count|copy|import|convert|check|scan|hash|checksum|index"
    r"|upload|print|dump|write|validate|digest|ingest|transform|consume|analy[sz]e)(_|$)"
)
# Locks that make their holder wait for ever if it acquires them again.
_LOCKS = frozenset({"asyncio.Lock", "multiprocessing.Lock", "threading.Lock"})
_ENDLESS = frozenset({"itertools.count", "itertools.cycle"})


def once_per_turn(module: Module, site: Site) -> Iterator[Finding]:
    """Report a resource that each turn of a loop opens, and only the exit closes (GDF003)."""
    if site.frame.kind != "function":
        return
    found = list(_loops_around(module, site))
    if not found:
        return
    loop = found[0]
    until = f"{site.frame.name} exits"
    if site.scoped:
        entered = entered_by(module, site)
        if entered is None or any(not module.inside(each, entered) for each in found):
            return
        until = "its scope ends"
    problem = _lock_problem(module, site, loop, until) or _open_problem(module, site, loop, until)
    if not problem and any(_never_ends(module, each, site) for each in found):
        problem = f"its call waits until {until}, and the loop has no end; to make it"
    if problem:
        kind = "while" if isinstance(loop, ast.While) else "for"
        inside = (
            f"at the end of its turn, write `with defer_scope() as defer:` inside of the `{kind}`"
        )
        yield Finding("GDF003", f"{site.shown} in a loop: {problem} {inside}", site.node)


def _loops_around(module: Module, site: Site) -> Iterator[_Loop]:
    """Yield the loops around *site* that its deferred call outlasts, from the inside out."""
    entered = entered_by(module, site) if site.scoped else None
    for outer, child in module.outward(site.node, site.frame):
        if outer is entered:
            return
        in_body = isinstance(outer, _STATEMENTS) and child in outer.body
        in_element = isinstance(outer, _COMPREHENSIONS) and not isinstance(child, ast.comprehension)
        if in_body or in_element:
            yield outer  # type: ignore[misc]


def _open_problem(module: Module, site: Site, loop: _Loop, until: str) -> str:
    if not _goes_on(module, loop, site.frame):
        return ""
    if site.statement == "using":
        if not opens(module, site.callee):
            return ""
        done, name = _using_is_done(module, loop, site), "file"
        target = _target(module, site)
        name = target.id if target is not None else name
    else:
        closes = closed(site)
        if closes is None or not _opened_in(module, loop, closes):
            return ""
        done, name = _done_within(module, loop, closes, site), closes.id
    return f"each `{name}` stays open until {until}; to close it" if done else ""


def _target(module: Module, site: Site) -> ast.Name | None:
    """Return the variable of ``x = using(…)``."""
    parent = module.parents[site.node]
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        return parent.targets[0] if isinstance(parent.targets[0], ast.Name) else None
    return None


def _using_is_done(module: Module, loop: _Loop, site: Site) -> bool:
    """Return whether nothing needs the resource of `using` after its turn."""
    target = _target(module, site)
    if target is not None:
        return opens_for_itself(module, site.callee) and _done_within(module, loop, target, site)
    if isinstance(module.parents[site.node], ast.Expr):
        return opens_for_itself(module, site.callee)
    return _is_read(module, site.node, loop)


def _goes_on(module: Module, loop: _Loop, frame: Scope) -> bool:
    """Return whether the loop can take any number of turns, and completes each of them.

    No `break`, `return`, `raise` or `yield` leaves it.
    """
    if isinstance(loop, _COMPREHENSIONS):
        return all(_is_long(module, generator.iter) for generator in loop.generators)
    if isinstance(loop, (ast.For, ast.AsyncFor)) and not _is_long(module, loop.iter):
        return False
    leaving = (ast.Return, ast.Raise, ast.Yield, ast.YieldFrom)
    inner = module.within(loop, frame)
    return not module.breaks(loop) and not any(isinstance(node, leaving) for node in inner)


def _is_long(module: Module, iterated: ast.expr) -> bool:
    """Return whether *iterated* can have any number of items: no literal, no constant range."""
    if isinstance(iterated, (ast.Tuple, ast.List, ast.Set, ast.Constant)):
        return False
    call = iterated if isinstance(iterated, ast.Call) else None
    ranges = call is not None and module.path(call.func) == "builtins.range"
    return not (
        call is not None and ranges and all(isinstance(bound, ast.Constant) for bound in call.args)
    )


def _never_ends(module: Module, loop: _Loop, site: Site) -> bool:
    """Return whether the loop has no end, and every turn reaches the statement and goes on."""
    if isinstance(loop, ast.While):
        endless = isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    elif isinstance(loop, (ast.For, ast.AsyncFor)):
        made = loop.iter
        endless = isinstance(made, ast.Call) and module.path(made.func) in _ENDLESS
    else:
        return False
    if not endless or module.breaks(loop):
        return False
    leaving = (ast.Return, ast.Yield, ast.YieldFrom)
    inner = module.within(loop, site.frame)
    if any(isinstance(node, leaving) for node in inner):
        return False
    if any(isinstance(n, ast.Expr) and module.leaves(n) for n in inner):
        return False  # such as sys.exit()
    conditional = (ast.If, ast.IfExp, ast.Match, ast.ExceptHandler)
    for outer, child in module.outward(site.node, site.frame):
        if isinstance(child, ast.stmt):
            block, place = module.block(child)
            if any(isinstance(later, ast.Raise) for later in block[place + 1 :]):
                return False
        if outer is loop:
            return True
        if isinstance(outer, conditional):
            return False
    return False


def _opened_in(module: Module, loop: _Loop, name: ast.Name) -> bool:
    """Return whether *name* gets its only value from an opening in the same block of the loop."""
    found = module.bindings(name.id, module.scopes[name])
    if len(found) != 1 or found[0].kind != "assign" or not module.inside(found[0].node, loop):
        return False
    if (
        module.parents[module.statement(found[0].node)]
        is not module.parents[module.statement(name)]
    ):
        return False
    if opens_for_itself(module, found[0].value):
        return True
    return made_by(module, name) in _SOCKETS and any(
        isinstance(parent := module.parents[node], ast.Attribute) and parent.attr in _TALKS
        for node in module.mentions(name.id, module.scopes[name])
    )


def _done_within(
    module: Module, loop: _Loop, name: ast.Name, site: Site, *, derived: bool = False
) -> bool:
    """Return whether *name* is used, only in its turn, and nothing keeps it longer."""
    used = False
    if len(module.bindings(name.id, site.frame)) != 1:
        return False
    for node in module.mentions(name.id, site.frame):
        if not isinstance(node.ctx, ast.Load):
            continue
        if module.inside(node, site.node if site.function is None else site.function):
            continue
        if not module.inside(node, loop) or module.scopes[node].frame() is not site.frame:
            return False
        if not _is_read(module, node, loop) and (derived or not _derives(module, node, loop, site)):
            return False
        used = True
    return used


def _is_read(module: Module, node: ast.expr, loop: _Loop) -> bool:
    """Return whether this use of a file, or connection, is over at the end of its statement."""
    parent = module.parents[node]
    if isinstance(parent, _STATEMENTS):
        return getattr(parent, "iter", None) is node
    if isinstance(parent, (ast.ListComp, ast.SetComp, ast.DictComp)):
        return parent.generators[0].iter is node
    if isinstance(parent, ast.GeneratorExp):
        call = module.parents[parent]
        return isinstance(call, ast.Call) and _collects(module, call)
    if isinstance(parent, ast.Call) and node in parent.args:
        if module.path(parent.func) in READERS or _collects(module, parent):
            return True
        if module.path(parent.func) in _ITERATORS:
            return _is_read(module, parent, loop)
        written = receiver(parent.func) is None and isinstance(parent.func, ast.Name)
        uses = written and isinstance(parent.func, ast.Name) and _USER.match(parent.func.id)
        return bool(uses) and isinstance(module.parents[parent], ast.Expr)
    if isinstance(parent, ast.Attribute):
        call = module.parents[parent]
        if not (isinstance(call, ast.Call) and call.func is parent):
            return False
        if parent.attr in _PLAIN_RESULT - {"execute", "getresponse"}:
            return True
        outer = module.parents[call]
        return isinstance(outer, ast.Expr) or (
            parent.attr in {"execute", "getresponse", "makefile"} and _is_read(module, call, loop)
        )
    return False


def _collects(module: Module, call: ast.Call) -> bool:
    method = isinstance(call.func, ast.Attribute) and call.func.attr in {"extend", "update", "join"}
    return method or module.path(call.func) in _COLLECTORS


def _derives(module: Module, node: ast.Name, loop: _Loop, site: Site) -> bool:
    """Return whether this use makes a cursor, or reader, that is used only in the same turn."""
    call: ast.AST = module.parents[node]
    if isinstance(call, ast.Attribute):
        if call.attr not in {"cursor", "execute", "getresponse", "makefile"}:
            return False
        call = module.parents[call]
    elif not (isinstance(call, ast.Call) and module.path(call.func) in _ITERATORS):
        return False
    assignment = module.parents.get(call)
    if not isinstance(assignment, ast.Assign) or len(assignment.targets) != 1:
        return False
    target = assignment.targets[0]
    return isinstance(target, ast.Name) and _done_within(module, loop, target, site, derived=True)


# Locks


def _lock_problem(module: Module, site: Site, loop: _Loop, until: str) -> str:
    """Return the words for a lock that each turn acquires, and only the exit releases, else ""."""
    lock = _lock(site)
    if lock is None or isinstance(loop, _COMPREHENSIONS) or not _goes_on(module, loop, site.frame):
        return ""
    root: ast.expr = lock
    while isinstance(root, ast.Attribute):
        root = root.value
    if not isinstance(root, ast.Name):
        return ""
    if any(module.inside(b.node, loop) for b in module.bindings(root.id, module.scopes[root])):
        return ""  # each turn has a lock of its own
    made, written = made_by(module, lock), ast.unparse(lock)
    if made not in _LOCKS:
        named = re.search("(?<![bcr])lock|mutex", written.rpartition(".")[2], re.IGNORECASE)
        if made or not named:
            return ""
    if site.defers and not _taken_in(module, loop, written, site):
        return ""
    waits = ", so the second turn waits for ever" if made else ""
    return f"`{written}` stays locked until {until}{waits}; to release it"


def _lock(site: Site) -> ast.expr | None:
    """Return the expression of the lock that *site* releases, else None."""
    callee = site.callee
    if site.statement in {"using", "ausing"}:
        return callee if isinstance(callee, (ast.Name, ast.Attribute)) else None
    if site.function is not None:
        return closed(site)
    plain = len(site.arguments) == 1 and not site.keywords
    release = isinstance(callee, ast.Attribute) and callee.attr == "release"
    return callee.value if plain and release and isinstance(callee, ast.Attribute) else None


def _taken_in(module: Module, loop: _Loop, written: str, site: Site) -> bool:
    """Return whether the loop acquires the lock, and the body of the function never releases it."""
    taken = False
    for call in module.calls(site.frame):
        if receiver(call.func) != written or not isinstance(call.func, ast.Attribute):
            continue
        plain = not call.args and not call.keywords
        taken |= call.func.attr == "acquire" and plain and module.inside(call, loop)
        if call.func.attr == "release":
            return False
    return taken
