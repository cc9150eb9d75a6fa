"""The rule about context managers: GDF020. They are to be entered by `using`, not deferred."""

from __future__ import annotations

import ast
import re

from godefer.lint import _suggest
from godefer.lint._managers import maker, manager
from godefer.lint._resources import OPENING_FUNCTIONS
from godefer.lint._site import Finding
from godefer.lint._tree import dotted, receiver, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site

_EXITS = {"__exit__": "using", "__aexit__": "ausing"}
# Methods that make context managers, by a pattern for the name of their object.
_METHODS = (
    (re.compile(r"pool", re.IGNORECASE), frozenset({"acquire", "connection"})),
    (re.compile(r"engine", re.IGNORECASE), frozenset({"begin", "connect"})),
    (
        re.compile(r"session|^conn|^db$|connection", re.IGNORECASE),
        frozenset({"transaction", "begin_nested"}),
    ),
    (re.compile(r"client", re.IGNORECASE), frozenset({"stream"})),
)
_GIVING_BACK = frozenset({"release", "putconn", "dispose"})


def has_its_own_with(module: Module, site: Site) -> Iterator[Finding]:
    """Report a context manager that is deferred, or entered wrongly (GDF020)."""
    callee = site.callee
    if callee is None or not isinstance(site.node, ast.Call):
        return
    if site.statement in {"using", "ausing"}:
        yield from _not_a_manager(module, site, callee)
        return
    if not site.defers:
        return
    if isinstance(callee, ast.Attribute) and callee.attr in _EXITS:
        if site.statement != "errdefer" and not _delegates(module, site):
            yield _finding(
                module,
                site,
                f"{text(callee)} is called without the exception, and can stop none",
                callee.value,
                _EXITS[callee.attr],
            )
        return
    path = module.path(callee) or ""
    if path in {"godefer.using", "godefer.ausing"} and len(site.arguments) > 1:
        statement = path.removeprefix("godefer.")
        problem = f"{text(callee)} is deferred, and enters nothing: the function has exited by then"
        yield _finding(module, site, problem, site.arguments[1], statement)
        return
    call = _suggest.call(callee, site.arguments[1:], site.keywords)
    kind = maker(module, callee)
    if path in OPENING_FUNCTIONS or path.startswith("threading."):
        return  # the call may have a purpose, such as a request that reports the end
    if isinstance(callee, ast.Lambda) and isinstance(callee.body, ast.Call):
        # The lambda may make a context manager, and drop it.
        kind, call = maker(module, callee.body.func), callee.body
        if module.path(call.func) in OPENING_FUNCTIONS:
            kind = ""
        if any(map(bool, (callee.args.args, callee.args.vararg, callee.args.kwonlyargs))):
            kind = ""
    if kind:
        statement = "using" if kind == "sync" else "ausing"
        problem = f"{text(call.func)}() makes a context manager, which nothing enters"
        yield _finding(module, site, problem, call, statement)
    elif isinstance(callee, ast.Attribute) and _makes_one(module, site, callee):
        is_async = isinstance(site.frame.node, ast.AsyncFunctionDef)
        statement = "ausing" if is_async and callee.attr != "connection" else "using"
        problem = f"{text(callee)} opens rather than closes, and has a `with` of its own"
        yield _finding(module, site, problem, call, statement)


def _finding(
    module: Module, site: Site, problem: str, entered: ast.expr, statement: str
) -> Finding:
    known = _suggest.spelled(module, site, statement)
    right: ast.expr = _suggest.call(known or _suggest.name(statement), [entered])
    if statement == "ausing":
        right = ast.Await(right)
    usable = known is not None and (
        statement == "using" or isinstance(site.frame.node, ast.AsyncFunctionDef)
    )
    fix = _suggest.replace(site.node, right, safe=False) if usable else None
    message = f"{problem}; {_suggest.write(right, f'enter it by {statement}()')}"
    return Finding("GDF020", message, site.callee or site.node, fix)


def _delegates(module: Module, site: Site) -> bool:
    """Return whether *site* is in a method of a context manager, such as `__exit__`."""
    function = site.frame.node
    name = getattr(function, "name", "")
    in_protocol = name.startswith("__") and ("enter" in name or "exit" in name)
    return in_protocol and module.scopes[function].kind == "class"


def _makes_one(module: Module, site: Site, callee: ast.Attribute) -> bool:
    """Return whether *callee* makes a context manager, judged by its name and its object's."""
    base = receiver(callee)
    if base is None or module.path(callee) is not None:
        return False
    last = base.rpartition(".")[2]
    if not any(names.search(last) and callee.attr in methods for names, methods in _METHODS):
        return False
    # A function that gives the connection back may have to take it again at exit.
    return not any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr in _GIVING_BACK
        and dotted(call.func.value) == base
        for call in module.calls(site.frame)
    )


def _not_a_manager(module: Module, site: Site, callee: ast.expr) -> Iterator[Finding]:
    """Report `using(open_db)` and `using(lock.acquire())`, which enter no context manager."""
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    right: ast.expr | None = None
    problem = ""
    acquire = callee.value if isinstance(callee, ast.Await) else callee
    if isinstance(callee, (ast.Name, ast.Attribute)) and maker(module, callee):
        if len(site.arguments) == 1 and not site.keywords:
            right = _suggest.call(callee)
            problem = f"{text(callee)} makes a context manager, and is none"
    elif (
        isinstance(acquire, ast.Call)
        and isinstance(acquire.func, ast.Attribute)
        and acquire.func.attr in {"acquire", "__enter__", "__aenter__"}
        and (acquire.func.attr != "acquire" or manager(module, acquire.func.value))
    ):
        right = acquire.func.value
        problem = f"{text(acquire)} has entered it already, and gives no context manager"
    if right is not None:
        shown = _suggest.call(site.node.func, [right])
        fix = _suggest.replace(callee, right, safe=False)
        yield Finding("GDF020", f"{problem}; write {text(shown)}", callee, fix)
