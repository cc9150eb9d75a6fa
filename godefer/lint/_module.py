"""A module as the rules see it: where godefer's statements stand, in which function, and what follows what.

`Site` is one statement of godefer. `Module` answers the questions that more than one rule asks; it gives an answer only where that is certain.
"""

from __future__ import annotations

import ast
import functools
import sys
from typing import NamedTuple

from godefer.lint._names import SCOPE, FunctionNode, Names, Scope, dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEFERRING = frozenset({"defer", "errdefer", "okdefer"})
STATEMENTS = DEFERRING | {"using", "ausing"}
_METHODS = {
    "": "defer",
    "err": "errdefer",
    "ok": "okdefer",
    "using": "using",
    "ausing": "ausing",
    "aclose": "aclose",
}
FRAME_READERS = frozenset(
    {"builtins.locals", "builtins.vars", "builtins.eval", "builtins.exec", "builtins.dir"}
)

_FunctionOrLambda = FunctionNode | ast.Lambda
Anywhere = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# Decorators that are known not to decorate with with_defers. Any other may.
_HARMLESS = frozenset(
    {
        "builtins.property",
        "builtins.staticmethod",
        "builtins.classmethod",
        "functools.cache",
        "functools.lru_cache",
        "functools.cached_property",
        "functools.wraps",
        "contextlib.contextmanager",
        "contextlib.asynccontextmanager",
        "abc.abstractmethod",
        "atexit.register",
        "dataclasses.dataclass",
        "functools.total_ordering",
        "pytest.fixture",
        *(
            f"{t}.{n}"
            for t in ("typing", "typing_extensions")
            for n in ("final", "override", "runtime_checkable")
        ),
    }
)
# Decorators that keep the body of their function, for a later call.
_KEEPING = frozenset({"functools.cache", "functools.lru_cache", "functools.wraps"})
_HARMLESS_BASES = ("pytest.mark", "unittest.skip", "unittest.mock.patch")


class Finding(NamedTuple):
    """What a rule has found: the rule's code, the message, and from where to where, lines and columns (in bytes) as in `ast`."""

    code: str
    message: str
    node: ast.AST


class Site(NamedTuple):
    """One statement of godefer: a call of `defer`, `using` or of a scope's method, or a decorator.

    Args:
        statement: Its own name.
        written: Its name as the module has it.
        node: The call, or the decorator.
        scoped: Whether it defers on a `defer_scope`, and not on the function.
        frame: The scope whose frame runs it.
        callee: The expression that is deferred, or entered; None if it is hidden behind a star.
        function: The function that a decorator defers; None if another decorator may replace it.
    """

    statement: str
    written: str
    node: ast.expr
    scoped: bool
    frame: Scope
    callee: ast.expr | None
    function: FunctionNode | None

    @property
    def defers(self) -> bool:
        """Is it `defer`, `errdefer` or `okdefer`?"""
        return self.statement in DEFERRING

    @property
    def shown(self) -> str:
        """The statement as a message shows it."""
        return f"{self.written}()" if isinstance(self.node, ast.Call) else f"@{self.written}"

    @property
    def head(self) -> ast.expr:
        """The expression that means the statement."""
        return self.node.func if isinstance(self.node, ast.Call) else self.node

    @property
    def arguments(self) -> list[ast.expr]:
        """The positional arguments of the call, from the callee on."""
        return self.node.args if isinstance(self.node, ast.Call) else []

    @property
    def keywords(self) -> list[ast.keyword]:
        """The keyword arguments of the call."""
        return self.node.keywords if isinstance(self.node, ast.Call) else []


class Module(Names):
    """What the rules ask."""

    def __init__(self, tree: ast.Module) -> None:
        super().__init__(tree)
        self.bodies: dict[Scope, list[ast.AST]] = {}
        for node, scope in self.scopes.items():
            self.bodies.setdefault(scope.function(), []).append(node)
        self.sites: dict[ast.AST, Site] = {}
        for node in self.scopes:
            found = [self._call_site(node)] if isinstance(node, ast.Call) else []
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found = [self._decorator_site(node, decorator) for decorator in node.decorator_list]
            self.sites.update((site.node, site) for site in found if site is not None)
        self._free = self._used_freely()
        self._decorated: dict[Scope, bool | None] = {}

    def _call_site(self, call: ast.Call) -> Site | None:
        statement, scoped = self._meaning(call.func)
        if not statement:
            return None
        callee = call.args[0] if call.args and not isinstance(call.args[0], ast.Starred) else None
        written = dotted(call.func) or statement
        return Site(statement, written, call, scoped, self.scopes[call].function(), callee, None)

    def _decorator_site(
        self, node: FunctionNode | ast.ClassDef, decorator: ast.expr
    ) -> Site | None:
        """Return the site of ``@defer`` above *node* (D12)."""
        statement, scoped = self._meaning(decorator)
        if statement not in DEFERRING:
            return None
        below = node.decorator_list[node.decorator_list.index(decorator) + 1 :]
        kept = all(self.is_with_defers(d) or self.path(_called(d)) in _KEEPING for d in below)
        function = node if kept and not isinstance(node, ast.ClassDef) else None
        written = dotted(decorator) or statement
        return Site(
            statement, written, decorator, scoped, self.scopes[node].function(), None, function
        )

    def _meaning(self, head: ast.expr) -> tuple[str, bool]:
        """Return the statement that *head* is, or "", and whether it is a scope's."""
        path = self.path(head)
        if path is None:
            return "", False
        scoped = path.startswith(SCOPE)
        if scoped:
            statement = _METHODS.get(path[len(SCOPE) + 1 :], "")
        else:
            origin, _, statement = path.rpartition(".")
            statement = statement if origin == "godefer" and statement in STATEMENTS else ""
        return statement, scoped

    # Where things stand

    def statement(self, node: ast.AST) -> ast.stmt:
        """The statement that *node* is part of."""
        while not isinstance(node, ast.stmt):
            node = self.parents[node]
        return node

    def block(self, statement: ast.stmt) -> tuple[Sequence[ast.stmt], int]:
        """The block that *statement* stands in, and its place there."""
        for found in blocks(self.parents[statement]):
            for place, other in enumerate(found):
                if other is statement:
                    return found, place
        return [statement], 0

    def outward(self, node: ast.AST, frame: Scope) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Each node around *node* up to the body of *frame*, with the child that leads back."""
        while node in self.parents and node is not frame.node:
            outer = self.parents[node]
            if outer is frame.node or outer not in self.scopes:
                return
            yield outer, node
            node = outer

    def inside(self, node: ast.AST, outer: ast.AST) -> bool:
        """Is *node* part of *outer*?"""
        current: ast.AST | None = node
        while current is not None:
            if current is outer:
                return True
            current = self.parents.get(current)
        return False

    # What is known of a function

    def decorated(self, frame: Scope) -> bool | None:
        """Is the code of *frame* the body of a function decorated with `with_defers`? None if that is not certain."""
        if frame not in self._decorated:
            self._decorated[frame] = self._find_decorated(frame)
        return self._decorated[frame]

    def _find_decorated(self, frame: Scope) -> bool | None:
        function = frame.node
        if isinstance(function, ast.Lambda):
            return self._later(self._lambda_uses(function))
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return False
        known = [self.harmless(decorator) for decorator in function.decorator_list]
        if any(self.is_with_defers(decorator) for decorator in function.decorator_list):
            return True
        if not all(known):
            return None
        if frame.parent is not None and frame.parent.kind == "class":
            return self._method_decorated(function, frame.parent)
        return self._later(self.uses(function) or [])

    def deferred(self, function: FunctionNode) -> bool:
        """Return whether *function* is deferred by its decorator."""
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
        """Is *decorator* `with_defers`, or `with_defers(result=…)`?"""
        return self.path(_called(decorator)) == "godefer.with_defers"

    def harmless(self, decorator: ast.expr) -> bool:
        """Is *decorator* known not to decorate with `with_defers`?"""
        if self._defers(decorator):
            return True
        called = _called(decorator)
        path = self.path(called)
        if path is not None:
            return path in _HARMLESS or path.startswith(_HARMLESS_BASES)
        return isinstance(called, ast.Attribute) and called.attr in {"setter", "getter", "deleter"}

    def _method_decorated(self, function: FunctionNode, cls: Scope) -> bool | None:
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
        uses_of_class = self.named.get(node.name, [])
        made = any(
            isinstance(call := self.parents[n], ast.Call) and call.func is n for n in uses_of_class
        )
        if function.name == "__call__" and (self._free or made):  # an instance may be decorated
            return None
        in_class = [n for n in self.named.get(function.name, []) if self.scopes[n] is cls]
        given = [taker for n in uses_of_class if (taker := self._argument_of(n)) is not None]
        if any(self._free or not is_library(self.path(taker.func) or "") for taker in given):
            return None
        return self._later([*uses, *in_class])

    def _later(self, uses: Sequence[ast.AST] | None) -> bool | None:
        """Can a function without a decorator, which these expressions read, be decorated later? False if not, else None."""
        if uses is None or self._free == "dynamic":
            return None
        for use in uses:
            parent = self.parents[use]
            if isinstance(parent, ast.Call) and parent.func is use:
                continue
            call = self._argument_of(use)
            path = self.path(call.func) if call is not None else None
            if path is None or not is_library(path) or path in _HAND_ON:
                return None
            if self._free and path.startswith(("builtins.", "functools.", "itertools.")):
                return None
        return False

    def _lambda_uses(self, function: ast.Lambda) -> Sequence[ast.AST] | None:
        uses = self.uses(function)
        return [function] if uses is None else uses

    def _argument_of(self, node: ast.AST) -> ast.Call | None:
        """The call that *node* is an argument of."""
        parent = self.parents[node]
        if isinstance(parent, ast.keyword):
            node, parent = parent, self.parents[parent]
        if isinstance(parent, ast.Call) and parent.func is not node:
            return parent
        return None

    def _used_freely(self) -> str:
        """Is `with_defers` used otherwise than as a decorator: "" if not, "dynamic" if on functions that cannot be told?"""
        free = ""
        for node in self.scopes:
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
            free = free or "static"
            given = child.args if isinstance(child, ast.Call) else []
            for argument in given:
                found = (
                    self.bindings(argument.id, self.scopes[argument])
                    if isinstance(argument, ast.Name)
                    else []
                )
                if isinstance(argument, (ast.Call, ast.Subscript)) or any(
                    b.kind in {"for", "later"} for b in found
                ):
                    free = "dynamic"
        return free

    @functools.cached_property
    def keeps_statements(self) -> bool:
        """Is `defer` or the like kept under a name that this cannot follow: in a class, as an attribute, in a dictionary?"""
        for node in self.scopes:
            if not isinstance(node, (ast.Name, ast.Attribute)) or not isinstance(
                node.ctx, ast.Load
            ):
                continue
            origin, _, name = (self.path(node) or "").rpartition(".")
            if origin != "godefer" or name not in STATEMENTS:
                continue
            parent = self.parents[node]
            if isinstance(parent, ast.Assign):
                kept = self.scopes[node].kind == "class" or not all(
                    isinstance(t, ast.Name) for t in parent.targets
                )
            else:
                static = (
                    isinstance(parent, ast.Call)
                    and self.path(parent.func) == "builtins.staticmethod"
                )
                kept = static or isinstance(parent, (ast.Dict, ast.keyword))
            if kept:
                return True
        return False

    def only_called(self, function: _FunctionOrLambda) -> bool:
        """Is *function* certain to be called by its name in this module, and never to be handed to anybody?"""
        uses = self.uses(function)
        scope = self.scopes[function]
        if not uses or any(
            self.path(n.func) in FRAME_READERS for n in self.calls(scope.function())
        ):
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
        """The nodes that the frame of *function* executes."""
        return self.bodies.get(self.scope_of_function[function], [])

    def calls(self, frame: Scope) -> list[ast.Call]:
        """The calls that *frame* makes."""
        return [node for node in self.bodies.get(frame, []) if isinstance(node, ast.Call)]

    # Reachability

    def ends(self, block: Sequence[ast.stmt]) -> bool:
        """Does control never pass the end of *block*?"""
        return any(self.leaves(statement) for statement in block)

    def leaves(self, node: ast.stmt) -> str:
        """What makes control never reach the statement after *node*; "" if it may."""
        if isinstance(node, (ast.Return, ast.Raise, ast.Break, ast.Continue)):
            return f"the `{type(node).__name__.lower()}`"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            path = self.path(node.value.func) or ""
            return (
                f"{path.removeprefix('godefer.').removeprefix('builtins.')}()"
                if path in _NEVER_RETURN or path.startswith("os.exec")
                else ""
            )
        if isinstance(node, ast.While):
            endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
            return "the endless loop" if endless and not own_breaks(node) else ""
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
        """The blocks of an `if`, with those of its `elif`s, and of `else`, which may be missing and empty."""
        found = [node.body]
        while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            node = node.orelse[0]
            found.append(node.body)
        return [*found, node.orelse]


def _called(decorator: ast.expr) -> ast.expr:
    """Return what *decorator* calls, if it is a call, else *decorator*."""
    return decorator.func if isinstance(decorator, ast.Call) else decorator


# Functions of the library that give back, or store, what they were given.
_HAND_ON = frozenset({"functools.partial", "functools.partialmethod", "builtins.setattr"})
_NEVER_RETURN = frozenset(
    {"os._exit", "os.abort", "sys.exit", "builtins.exit", "builtins.quit", "godefer.panic"}
)


def is_library(path: str) -> bool:
    """Is the dotted name one of Python's own, or of godefer, and not `with_defers`?"""
    root = path.partition(".")[0]
    return (
        root in {"builtins", "godefer"} | sys.stdlib_module_names and path != "godefer.with_defers"
    )


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """The blocks of statements directly inside of *node*."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block


def own_breaks(loop: ast.While | ast.For | ast.AsyncFor) -> bool:
    """Is there a `break` that leaves *loop*?"""
    stack: list[ast.AST] = list(loop.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Break):
            return True
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            stack += node.orelse  # a break in it leaves the inner loop
        elif not isinstance(node, (*Anywhere, ast.ClassDef)):
            stack += ast.iter_child_nodes(node)
    return False


def receiver(node: ast.expr) -> str | None:
    """``a.b`` of ``a.b.method``, if it is a dotted name."""
    return dotted(node.value) if isinstance(node, ast.Attribute) else None


def text(node: ast.AST) -> str:
    """The source of *node*, as a message can quote it."""
    try:
        source = ast.unparse(node)
    except RecursionError:  # an expression nested deeper than the interpreter's stack
        return "…"
    return source if len(source) <= _QUOTED and "\n" not in source else "…"


_QUOTED = 80
