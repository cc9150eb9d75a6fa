"""A module as the rules see it: statements of godefer, decorated functions and control flow.

`Module` has the methods that several rules need. They give an answer only if it is certain.
"""

from __future__ import annotations

import ast
import functools
import sys

from godefer.lint._bindings import SCOPE, Bindings
from godefer.lint._known import (
    ACCESSORS,
    CALLING,
    FRAME_READERS,
    HARMLESS,
    HARMLESS_BASES,
    KEEPING,
    NEVER_RETURN,
    PASSING_ON,
)
from godefer.lint._site import DEFERRING, STATEMENTS, Site
from godefer.lint._tree import blocks, dotted, own_breaks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from godefer.lint._bindings import Scope
    from godefer.lint._tree import FunctionNode, FunctionOrLambda

_METHODS = {
    "": "defer",
    "err": "errdefer",
    "ok": "okdefer",
    "using": "using",
    "ausing": "ausing",
    "aclose": "aclose",
}


class Module(Bindings):
    """The bindings, the statements of godefer and the functions of a module."""

    def __init__(self, tree: ast.Module) -> None:
        super().__init__(tree)
        self.bodies: dict[Scope, list[ast.AST]] = {}
        last: Scope | None = None
        body: list[ast.AST] = []
        for node, scope in self.scopes.items():
            if scope is not last:
                last, body = scope, self.bodies.setdefault(scope.frame(), [])
            body.append(node)
        self.sites: dict[ast.AST, Site] = {}
        for site in sorted(self._find_sites(), key=_place):
            self.sites[site.node] = site
        self._direct_use = self._find_direct_use()
        self._decorated: dict[Scope, bool | None] = {}
        self._within: dict[ast.AST, list[ast.AST]] = {}
        self._breaks: dict[ast.AST, bool] = {}

    def _find_sites(self) -> Iterator[Site]:
        for node in self.suspect_nodes():
            site = self._call_site(node) if isinstance(node, ast.Call) else None
            outer = self.parents[node]
            if (
                isinstance(outer, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
                and node in outer.decorator_list
            ):
                decorator = self._decorator_site(outer, node)
                if decorator is not None:
                    yield decorator
            if site is not None:
                yield site

    def _call_site(self, call: ast.Call) -> Site | None:
        statement, scoped = self._resolve_statement(call.func)
        if not statement:
            return None
        callee = call.args[0] if call.args and not isinstance(call.args[0], ast.Starred) else None
        written = dotted(call.func) or statement
        return Site(statement, written, call, scoped, self.scopes[call].frame(), callee, None)

    def _decorator_site(
        self, node: FunctionNode | ast.ClassDef, decorator: ast.expr
    ) -> Site | None:
        """Return the site of ``@defer`` above *node* (D12)."""
        statement, scoped = self._resolve_statement(decorator)
        if statement not in DEFERRING:
            return None
        below = node.decorator_list[node.decorator_list.index(decorator) + 1 :]
        kept = all(self.is_with_defers(d) or self.path(_called(d)) in KEEPING for d in below)
        function = node if kept and not isinstance(node, ast.ClassDef) else None
        written = dotted(decorator) or statement
        return Site(
            statement, written, decorator, scoped, self.scopes[node].frame(), None, function
        )

    def _resolve_statement(self, head: ast.expr) -> tuple[str, bool]:
        """Return the statement that *head* names, or "", and whether it is a method of a scope."""
        path = self.path(head) if self.suspect(head) else None
        if path is None:
            return "", False
        scoped = path.startswith(SCOPE)
        if scoped:
            statement = _METHODS.get(path[len(SCOPE) + 1 :], "")
        else:
            origin, _, statement = path.rpartition(".")
            statement = statement if origin == "godefer" and statement in STATEMENTS else ""
        return statement, scoped

    # Places in the source

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the statement that *node* is part of."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def block(self, statement: ast.stmt) -> tuple[Sequence[ast.stmt], int]:
        """Return the block around *statement*, and its index there."""
        for found in blocks(self.parents[statement]):
            for place, other in enumerate(found):
                if other is statement:
                    return found, place
        return [statement], 0

    def outward(self, node: ast.AST, frame: Scope) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Yield each node around *node* up to the body of *frame*, with its child on that path."""
        while node in self.parents and node is not frame.node:
            outer = self.parents[node]
            if outer is frame.node or outer not in self.scopes:
                return
            yield outer, node
            node = outer

    def inside(self, node: ast.AST, outer: ast.AST) -> bool:
        """Return whether *node* is part of *outer*."""
        current: ast.AST | None = node
        while current is not None:
            if current is outer:
                return True
            current = self.parents.get(current)
        return False

    def breaks(self, loop: ast.While | ast.For | ast.AsyncFor) -> bool:
        """Return whether a `break` leaves *loop*."""
        if loop not in self._breaks:
            self._breaks[loop] = own_breaks(loop)
        return self._breaks[loop]

    def within(self, node: ast.AST, frame: Scope) -> list[ast.AST]:
        """Return the nodes inside of *node* that *frame* executes."""
        if node not in self._within:
            body = self.bodies.get(frame, [])
            self._within[node] = [inner for inner in body if self.inside(inner, node)]
        return self._within[node]

    def before(self, site: Site) -> list[ast.stmt]:
        """Return the statements above *site* in its block, nearest first.

        Statements of godefer right above it are left out.
        """
        block, place = self.block(self.statement(site.node))
        found = list(reversed(block[:place]))
        while found and self.is_site(found[0]):
            del found[0]
        return found

    # Functions

    def decorated(self, frame: Scope) -> bool | None:
        """Return whether *frame* runs a function decorated with `with_defers`; None if unknown."""
        if frame not in self._decorated:
            self._decorated[frame] = self._find_decorated(frame)
        return self._decorated[frame]

    def _find_decorated(self, frame: Scope) -> bool | None:
        function = frame.node
        if isinstance(function, ast.Lambda):
            uses = self.uses(function)
            return self._decorated_by_use([function] if uses is None else uses)
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return False
        known = [self.harmless(decorator) for decorator in function.decorator_list]
        if any(self.is_with_defers(decorator) for decorator in function.decorator_list):
            return True
        if not all(known):
            return None
        if frame.parent is not None and frame.parent.kind == "class":
            return self._method_decorated(function, frame.parent)
        return self._decorated_by_use(self.uses(function) or [])

    def deferred(self, function: FunctionNode) -> bool:
        """Return whether a decorator defers *function*."""
        return any(self._defers(decorator) for decorator in function.decorator_list)

    def _defers(self, decorator: ast.expr) -> bool:
        site = self.sites.get(decorator)
        return site is not None and site.defers

    def is_site(self, statement: ast.stmt) -> bool:
        """Return whether *statement* is a statement of godefer and nothing else."""
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return self.deferred(statement)
        return isinstance(statement, ast.Expr) and statement.value in self.sites

    def is_with_defers(self, decorator: ast.expr) -> bool:
        """Return whether *decorator* is `with_defers`, or `with_defers(result=…)`."""
        called = _called(decorator)
        return self.suspect(called) and self.path(called) == "godefer.with_defers"

    def harmless(self, decorator: ast.expr) -> bool:
        """Return whether *decorator* is certain not to apply `with_defers`."""
        if self._defers(decorator):
            return True
        called = _called(decorator)
        path = self.path(called)
        if path is not None:
            return path in HARMLESS or path.startswith(HARMLESS_BASES)
        return isinstance(called, ast.Attribute) and called.attr in ACCESSORS

    def _method_decorated(self, function: FunctionNode, cls: Scope) -> bool | None:
        """Return False if the method *function* is certain not to be decorated, else None."""
        node = cls.node
        assert isinstance(node, ast.ClassDef)  # noqa: S101  # for the type checker
        uses = [a for a in self.attributes.get(function.name, []) if isinstance(a.ctx, ast.Load)]
        bases = [
            b
            for base in node.bases
            if isinstance(base, ast.Name)
            for b in self.bindings(base.id, self.scopes[base])
        ]
        subclass_hook = any(
            "__init_subclass__" in self.scope_of_function[base.node].bindings
            for base in bases
            if base.kind == "class"
        )
        metaclass = any(
            k.arg == "metaclass" and self.path(k.value) != "abc.ABCMeta" for k in node.keywords
        )
        if subclass_hook or metaclass or not all(self.harmless(d) for d in node.decorator_list):
            return None
        uses_of_class = self.name_nodes.get(node.name, [])
        made = any(
            isinstance(call := self.parents[n], ast.Call) and call.func is n for n in uses_of_class
        )
        # `with_defers` may decorate an instance, which runs this method when it is called.
        if function.name == "__call__" and (self._direct_use or made):
            return None
        in_class = [n for n in self.name_nodes.get(function.name, []) if self.scopes[n] is cls]
        given = [taker for n in uses_of_class if (taker := self._call_with(n)) is not None]
        if any(self._direct_use or not is_library(self.path(taker.func) or "") for taker in given):
            return None
        in_class = [use for use in in_class if not self._extends_property(use)]
        # Reading a property gives its value, and not the function.
        return self._decorated_by_use(
            in_class if self._is_property(function) else [*uses, *in_class]
        )

    def _is_property(self, function: FunctionNode) -> bool:
        """Return whether *function* is the getter, setter or deleter of a property."""
        return any(
            self.path(decorator) in {"builtins.property", "functools.cached_property"}
            or (isinstance(decorator, ast.Attribute) and decorator.attr in ACCESSORS)
            for decorator in function.decorator_list
        )

    def _extends_property(self, use: ast.AST) -> bool:
        """Return whether *use* is the `size` of ``@size.setter``."""
        parent = self.parents[use]
        return (
            isinstance(parent, ast.Attribute)
            and parent.attr in ACCESSORS
            and parent in getattr(self.parents[parent], "decorator_list", ())
        )

    def _decorated_by_use(self, uses: Sequence[ast.AST]) -> bool | None:
        """Return False if none of *uses* can pass the function to `with_defers`, else None."""
        if self._direct_use == "dynamic":
            return None
        for use in uses:
            parent = self.parents[use]
            if isinstance(parent, ast.Call) and parent.func is use:
                continue
            call = self._call_with(use)
            if (
                call is not None
                and isinstance(call.func, ast.Attribute)
                and call.func.attr in CALLING
                and not self._direct_use
            ):
                continue
            path = self.path(call.func) if call is not None else None
            if path is None or not is_library(path) or path in PASSING_ON:
                return None
            if self._direct_use and path.startswith(("builtins.", "functools.", "itertools.")):
                return None
        return False

    def _call_with(self, node: ast.AST) -> ast.Call | None:
        """Return the call that has *node* as an argument."""
        parent = self.parents[node]
        if isinstance(parent, ast.keyword):
            node, parent = parent, self.parents[parent]
        if isinstance(parent, ast.Call) and parent.func is not node:
            return parent
        return None

    def _find_direct_use(self) -> str:
        """Return "" if `with_defers` is used as a decorator only, else "static" or "dynamic".

        "dynamic" means that it decorates functions that are unknown to the checker.
        """
        found = ""
        for node in self.suspect_nodes():
            if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(
                node.ctx, ast.Load
            ):
                continue
            if self.path(node) != "godefer.with_defers":
                continue
            outer, child = self.parents[node], node
            if isinstance(outer, ast.Call) and outer.func is node:
                outer, child = self.parents[outer], outer  # type: ignore[assignment]
            if child in getattr(outer, "decorator_list", ()):
                continue
            found = found or "static"
            given = child.args if isinstance(child, ast.Call) else []
            for argument in given:
                bindings = (
                    self.bindings(argument.id, self.scopes[argument])
                    if isinstance(argument, ast.Name)
                    else []
                )
                if isinstance(argument, (ast.Call, ast.Subscript)) or any(
                    b.kind in {"for", "other"} for b in bindings
                ):
                    found = "dynamic"
        return found

    @functools.cached_property
    def hides_statements(self) -> bool:
        """Return whether `defer`, or another statement, is stored in a place unknown to `path`.

        Such places are attributes, classes and dictionaries.
        """
        for node in self.suspect_nodes():
            if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(
                node.ctx, ast.Load
            ):
                continue
            origin, _, name = (self.path(node) or "").rpartition(".")
            if origin != "godefer" or name not in STATEMENTS:
                continue
            parent = self.parents[node]
            if isinstance(parent, ast.Assign):
                stored = self.scopes[node].kind == "class" or not all(
                    isinstance(t, ast.Name) for t in parent.targets
                )
            else:
                static = (
                    isinstance(parent, ast.Call)
                    and self.path(parent.func) == "builtins.staticmethod"
                )
                stored = static or isinstance(parent, (ast.Dict, ast.keyword))
            if stored:
                return True
        return False

    def only_called(self, function: FunctionOrLambda) -> bool:
        """Return whether *function* is certain to be called by its name, and never passed on."""
        uses = self.uses(function)
        scope = self.scopes[function]
        if not uses or any(self.path(n.func) in FRAME_READERS for n in self.calls(scope.frame())):
            return False
        if not isinstance(function, ast.Lambda):
            if not all(self.is_with_defers(decorator) for decorator in function.decorator_list):
                return False
            if any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in self.body(function)):
                return False
        for use in uses:
            call = self.parents[use]
            if not (isinstance(call, ast.Call) and call.func is use):
                return False
            if isinstance(function, ast.AsyncFunctionDef) and not isinstance(
                self.parents[call], ast.Await
            ):
                return False
        return True

    def body(self, function: ast.AST) -> list[ast.AST]:
        """Return the nodes that the frame of *function* executes."""
        return self.bodies.get(self.scope_of_function[function], [])

    def calls(self, frame: Scope) -> list[ast.Call]:
        """Return the calls that *frame* makes."""
        return [node for node in self.bodies.get(frame, []) if isinstance(node, ast.Call)]

    # Reachability

    def ends(self, block: Sequence[ast.stmt]) -> bool:
        """Return whether control never passes the end of *block*."""
        return any(self.leaves(statement) for statement in block)

    def leaves(self, node: ast.stmt) -> str:
        """Return a name for *node*, such as "the `return`", if control never passes it; else ""."""
        if isinstance(node, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            return f"the `{type(node).__name__.lower()}`"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            path = self.path(node.value.func) or ""
            return (
                f"{path.removeprefix('godefer.').removeprefix('builtins.')}()"
                if path in NEVER_RETURN or path.startswith("os.exec")
                else ""
            )
        if isinstance(node, ast.While):
            endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
            return "the endless loop" if endless and not self.breaks(node) else ""
        every = None
        if isinstance(node, ast.If):
            every = self._branches(node)
        elif isinstance(node, (ast.Try, ast.TryStar)):
            if self.ends(node.finalbody):
                return "the `finally`"
            tried = node.body if self.ends(node.body) else node.orelse
            every = [tried, *(handler.body for handler in node.handlers)]
        elif isinstance(node, ast.Match):
            last = node.cases[-1]
            complete = (
                isinstance(last.pattern, ast.MatchAs)
                and last.pattern.pattern is None
                and last.guard is None
            )
            every = [case.body for case in node.cases] if complete else None
        name = type(node).__name__.lower().removesuffix("star")
        return f"the `{name}`" if every and all(self.ends(block) for block in every) else ""

    @staticmethod
    def _branches(node: ast.If) -> list[list[ast.stmt]]:
        """Return the blocks of an `if`, its `elif`s and its `else`; [] for a missing `else`."""
        found = [node.body]
        while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            node = node.orelse[0]
            found.append(node.body)
        return [*found, node.orelse]


def _place(site: Site) -> tuple[int, int]:
    return getattr(site.node, "lineno", 0), getattr(site.node, "col_offset", 0)


def _called(decorator: ast.expr) -> ast.expr:
    """Return the function in ``@function(…)``, and any other decorator as it is."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


def is_library(path: str) -> bool:
    """Return whether *path* is in the standard library or godefer, and not `with_defers`."""
    root = path.partition(".")[0]
    return (
        root in {"builtins", "godefer"} | sys.stdlib_module_names and path != "godefer.with_defers"
    )
