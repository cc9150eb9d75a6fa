"""The sites in a function: the statements of godefer in its own scope, and their calls.

A site is one of these statements:

- ``defer(…)``, ``errdefer(…)`` or ``okdefer(…)``;
- ``using(…)`` or ``await ausing(…)``, with or without the assignment of its value;
- a function below ``@defer``, ``@errdefer`` or ``@okdefer`` (D12).

If a name of godefer is used in another way (as a value, in a comprehension, in an expression), the
function runs the runtime way. Nested functions, lambdas, generator expressions and classes are
scopes of their own: a `defer` in them does not belong to this function (D3).

`lower` puts each site into a shape, with the parts that `DeferredCall` makes of it. This module
looks up no names: `Meanings` has the meaning of each name.
"""

from __future__ import annotations

import _ast as ast
import sys

from godefer._compiler import nodes, shapes, tree
from godefer._runtime.results import HAND_BACK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Function = ast.FunctionDef | ast.AsyncFunctionDef
    Statements = list[tuple[ast.stmt, list["Site"]]]  # each with the sites in it

# The functions that read the caller's frame, unless they have that many arguments.
_FRAME_READERS = {"locals": 1, "vars": 1, "dir": 1, "eval": 2, "exec": 2}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = frozenset((ast.Constant, ast.Load, ast.Store))


class Unclear(Exception):  # noqa: N818  # never leaves this package
    """The reason why a function cannot be lowered."""


class Meanings:
    """The meanings of a function's global, builtin and closure names.

    Args:
        statements: The names that mean a statement of godefer, each with the statement.
        outer: All global, builtin and closure names. Some of them may mean a module.
        attribute: A function from ``("module", "attribute", …)`` to the statement, or None.
        shift: The number to add to the lines of the nodes.
    """

    def __init__(
        self,
        statements: dict[str, str],
        outer: frozenset[str],
        attribute: Callable[[tuple[str, ...]], str | None],
        shift: int = 0,
    ) -> None:
        self.statements = statements
        self.outer = outer
        self.attribute = attribute
        self.shift = shift

    def of(self, node: ast.expr) -> str | None:
        """Return the statement that a name or a dotted name means, or None."""
        if isinstance(node, ast.Name):
            return self.statements.get(node.id)
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.outer and path:
            return self.attribute((node.id, *reversed(path)))
        return None

    def line(self, node: ast.expr | ast.stmt) -> int:
        """Return the line of *node* in its file."""
        return node.lineno + self.shift


class Site:
    """One statement of godefer in a function's body.

    A function below ``@defer`` is deferred without arguments (D12).

    Args:
        statement: The name of the statement.
        node: Its node.
        head: The expression that means ``defer``, in a call or as a decorator.
        line: The line of *head* in the file.
        in_loop: Whether the statement is inside of a loop.
    """

    def __init__(
        self, statement: str, node: ast.stmt, head: ast.expr, line: int, *, in_loop: bool
    ) -> None:
        self.statement = statement
        self.node = node
        self.in_loop = in_loop
        self.shape = "inline"
        self.line = line
        self.enters = statement.endswith("using")
        self.positional: list[ast.expr] = []
        self.keywords: list[ast.keyword] = []
        # `call_at` is the position of the call at an exit. No other instruction has that position,
        # so it identifies the call (`Decision.exits`). `at` is for the code around the call.
        self.call_at = nodes.position(head)
        self.at = nodes.position(head)
        if isinstance(node, _FUNCTIONS):
            self.callee: ast.expr = ast.Name(node.name, ast.Load(), **self.at)
            self.at["col_offset"] -= 1  # the "@"
        else:
            value: Any = node.value  # type: ignore[attr-defined]
            call: Any = value.value if isinstance(value, ast.Await) else value
            self.callee = call.args[0]
            self.positional, self.keywords = call.args[0 if self.enters else 1 :], call.keywords
            self.call_at = nodes.position(call)

    @property
    def arguments_at(self) -> nodes.Position:
        """The position of the arguments, from the first to the last."""
        first, *_, last = [*self.positional, *(keyword.value for keyword in self.keywords)] * 2
        start = {"lineno": first.lineno, "col_offset": first.col_offset}
        return {**nodes.position(last), **start}

    def store(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        """Return *stmts*, between a deferred function's definition and ``name = None`` if any."""
        node = self.node
        if not isinstance(node, _FUNCTIONS):
            return stmts
        del node.decorator_list[0]
        return [node, *stmts, *nodes.clear([node.name], self.at)]

    def assign(self, name: str) -> list[ast.stmt]:
        """Return the assignment of *name* to the targets of a `using`, if it has any."""
        value = nodes.load(name, self.call_at)
        if isinstance(self.node, ast.Assign):
            return [ast.Assign(self.node.targets, value, **self.call_at)]
        if isinstance(self.node, ast.AnnAssign):
            return [ast.Assign([self.node.target], value, **self.call_at)]
        return []


class DeferredCall:
    """The deferred call of a site: its capture at the statement, and the call at an exit.

    The names of its hidden locals contain *number*, so that they differ from those of other calls.
    """

    def __init__(self, site: Site, number: str) -> None:
        self.site = site
        self.callee = site.callee
        self.starred = any(
            isinstance(argument, ast.Starred) for argument in site.positional
        ) or any(keyword.arg is None for keyword in site.keywords)
        self.names = () if self.starred else tuple(keyword.arg or "" for keyword in site.keywords)
        self.values: list[ast.expr]
        if self.starred:
            self.values = [nodes.pack(site.positional, site.arguments_at), self._mapping()]
        else:
            self.values = [*site.positional, *(keyword.value for keyword in site.keywords)]
        self.slot = f"@callee{number}"  # the callee's slot
        self.argument_slots = [f"@argument{number}_{i}" for i in range(len(self.values))]

    def _mapping(self) -> ast.expr:
        """Return the keyword arguments as a dict."""
        if not self.site.keywords:
            return nodes.none()
        at = self.site.arguments_at
        return ast.Call(nodes.marked("@dict", at), [], self.site.keywords, **at)

    @property
    def filled_slots(self) -> list[str]:
        """The slots of the arguments that have one: constants need none."""
        pairs = zip(self.argument_slots, self.values, strict=True)
        return [slot for slot, value in pairs if not isinstance(value, ast.Constant)]

    @property
    def positionals(self) -> int:
        """The number of positional arguments that have a slot of their own."""
        return 0 if self.starred else len(self.values) - len(self.names)

    def capture(self, *, conditional: bool) -> list[ast.stmt]:
        """Return the statements that evaluate callee and arguments, left to right (D1)."""
        at = self.site.at
        slot = "@callee" if conditional else self.slot
        stmts = shapes.CAPTURE.fill(at, SLOT=slot, VALUE=self.callee)
        for name, value in zip(self.argument_slots, self.values, strict=True):
            if not isinstance(value, ast.Constant):
                stmts += shapes.CAPTURE.fill(at, SLOT=name, VALUE=value)
        if conditional:
            stmts += shapes.PENDING_CAPTURE.fill(at, SLOT=self.slot)
        return self.site.store(stmts)

    def exit(self, *, asynchronous: bool) -> list[ast.stmt]:
        """Return the statements that make the captured call at an exit."""
        at = self.site.call_at
        arguments = [
            value if isinstance(value, ast.Constant) else nodes.load(slot, at)
            for slot, value in zip(self.argument_slots, self.values, strict=True)
        ]
        made = self.make(nodes.load(self.slot, at), arguments, asynchronous=asynchronous)
        callee = nodes.load(self.slot, self.site.at)
        return shapes.EXIT.fill(self.site.at, MAKE=made, CALLEE=callee)

    def make(
        self, callee: ast.expr, arguments: Sequence[ast.expr], *, asynchronous: bool
    ) -> list[ast.stmt]:
        """Return the statements that make the call and handle its result (D6)."""
        at, call = self.site.at, self._call(callee, arguments)
        tested: dict[str, Any] = {"CALLEE": callee, "ARGUMENTS": self._first(arguments)}
        if not asynchronous:
            return shapes.MAKE.fill(at, CALL=call, **tested)
        call_at = self.site.call_at
        awaited = ast.Expr(ast.Await(nodes.load("@returned", call_at), **call_at), **call_at)
        return shapes.ASYNC_MAKE.fill(
            at, asynchronous=True, CALL=call, TO_AWAIT=self._to_await(tested), AWAITED=[awaited]
        )

    def _to_await(self, tested: dict[str, Any]) -> ast.expr:
        """Return the test whether a result is to be awaited.

        A coroutine that a container's method hands back is not awaited (D6). To be sure that a
        coroutine is the callee's own takes 110 ns, a third of the whole call. So there is a
        shortcut, chosen by the callee's expression in the statement. It is wrong only if a
        container's method, written in Python, is called by another name, and hands back a coroutine
        object that was stored in the container.
        """
        callee, short_cuts = self.site.callee, [shapes.FROM_FUNCTION]
        if isinstance(callee, ast.Attribute):
            named = callee.attr in HAND_BACK
            short_cuts = [] if named else [shapes.FROM_FUNCTION, shapes.FROM_METHOD]
        if sys.implementation.name == "pypy":  # built-in functions have the same types there
            short_cuts = []
        test: Any = shapes.TO_AWAIT.fill(self.site.at, **tested)[0]
        for shape in short_cuts:
            test = shape.fill(self.site.at, CALLEE=tested["CALLEE"], TO_AWAIT=test.value)[0]
        return test.value  # type: ignore[no-any-return]

    def _first(self, arguments: Sequence[ast.expr]) -> ast.expr:
        """Return a tuple with the first positional argument, or with all if there are stars."""
        if self.starred:
            return arguments[0]
        return nodes.pack(arguments[: min(self.positionals, 1)], self.site.at)

    def _call(self, callee: ast.expr, arguments: Sequence[ast.expr]) -> ast.Call:
        at = self.site.call_at
        if self.starred:
            args: list[ast.expr] = [ast.Starred(arguments[0], ast.Load(), **at)]
            empty = isinstance(self.values[1], ast.Constant)
            keywords = [] if empty else [ast.keyword(None, arguments[1], **at)]
            return ast.Call(callee, args, keywords, **at)
        named = zip(self.names, arguments[self.positionals :], strict=True)
        keywords = [ast.keyword(name, value, **at) for name, value in named]
        return ast.Call(callee, list(arguments[: self.positionals]), keywords, **at)


def find_sites(body: Iterable[ast.stmt], meanings: Meanings) -> Statements:
    """Return the statements of *body*, each with the sites in it.

    Raises:
        Unclear: A name of godefer is used in a way that cannot be lowered.
    """
    found: Statements = []
    for statement in body:
        finder = _SiteFinder(meanings)
        finder.visit(statement, in_loop=False)
        found.append((statement, finder.sites))
    return found


def find_uses(body: Iterable[ast.stmt], meanings: Meanings) -> list[tuple[int, str]]:
    """Return the line and the name of each statement of godefer in *body*, for `explain`.

    The function runs the runtime way, so they need not be sites.
    """
    found: list[tuple[int, str]] = []
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        head = node.func if isinstance(node, ast.Call) else None
        if isinstance(node, _FUNCTIONS) and node.decorator_list:
            head = node.decorator_list[0]
        statement = meanings.of(head) if head is not None else None
        if head is not None and statement is not None:
            found.append((meanings.line(head), statement))
        if not isinstance(node, (*_SCOPES, ast.Lambda)):
            stack += tree.children(node)
    return sorted(found)


class _SiteFinder:
    """The search through one statement, and the sites found."""

    def __init__(self, meanings: Meanings) -> None:
        self.meanings = meanings
        self.sites: list[Site] = []

    def visit(self, node: ast.stmt, *, in_loop: bool) -> None:
        site = self.site(node, in_loop=in_loop)
        if site is not None:
            self.sites.append(site)
        if isinstance(node, _SCOPES):
            self.check_expressions(node.decorator_list if site is None else node.decorator_list[1:])
            if isinstance(node, ast.ClassDef):
                self.check_expressions((*node.bases, *(word.value for word in node.keywords)))
            else:
                self.check_expressions(node.args.defaults)
                self.check_expressions(_keyword_defaults(node))
        elif site is not None:
            self.check_expressions([site.callee, *site.positional])
            self.check_expressions(keyword.value for keyword in site.keywords)
            if isinstance(node, ast.Assign):
                self.check_expressions(node.targets)
        else:
            self.visit_children(node, in_loop=in_loop or isinstance(node, _LOOPS))

    def visit_children(self, node: ast.AST, *, in_loop: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.check_import(node)
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                if name in self.meanings.statements:
                    raise Unclear(
                        f"{name} is declared {type(node).__name__.lower()} "
                        f"at line {self.meanings.line(node)}"
                    )
        for field in node._fields:
            value = getattr(node, field)
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.stmt):
                    self.visit(child, in_loop=in_loop)
                elif isinstance(child, ast.expr):
                    self.check_expressions((child,))
                elif isinstance(child, ast.AST):  # handlers, cases, patterns, with items
                    self.visit_children(child, in_loop=in_loop)

    def check_import(self, node: ast.Import | ast.ImportFrom) -> None:
        modules = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if any(module.partition(".")[0] == "godefer" for module in modules):
            raise Unclear(f"godefer is imported in the body, at line {self.meanings.line(node)}")

    def check_expressions(self, nodes: Iterable[ast.expr]) -> None:
        """Raise `Unclear` for a name of godefer, or a function that reads the frame."""
        stack: list[ast.AST] = list(nodes)
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Lambda):
                stack += [*node.args.defaults, *_keyword_defaults(node)]
                continue
            if isinstance(node, ast.GeneratorExp):
                stack.append(node.generators[0].iter)
                continue
            if type(node) in _LEAVES:
                continue
            if isinstance(node, (ast.Name, ast.Attribute)):
                statement = self.meanings.of(node)
                if statement is not None:
                    raise Unclear(
                        f"{statement} is used as a value, or inside an expression, "
                        f"at line {self.meanings.line(node)}"
                    )
                if isinstance(node, ast.Name):
                    continue
            elif isinstance(node, ast.Call) and (reader := _frame_reader(node)):
                raise Unclear(
                    f"{reader}() could see or need the names of the body, "
                    f"at line {self.meanings.line(node)}"
                )
            for name in node._fields:  # faster than `tree.children`
                child = getattr(node, name, None)
                if isinstance(child, list):
                    stack += [item for item in child if isinstance(item, ast.AST)]
                elif isinstance(child, ast.AST):
                    stack.append(child)

    def site(self, node: ast.stmt, *, in_loop: bool) -> Site | None:
        if isinstance(node, _FUNCTIONS):
            return self.decorator_site(node, in_loop=in_loop)
        if not isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign)):
            return None
        value = node.value
        awaited = isinstance(value, ast.Await)
        call = value.value if isinstance(value, ast.Await) else value
        if not isinstance(call, ast.Call):
            return None
        statement = self.meanings.of(call.func)
        if statement is None or awaited != (statement == "ausing"):
            return None
        if statement in {"using", "ausing"}:
            fits = len(call.args) == 1 and not call.keywords
        else:
            fits = isinstance(node, ast.Expr) and bool(call.args)
        if not fits or isinstance(call.args[0], ast.Starred):
            return None
        line = self.meanings.line(call.func)
        return Site(statement, node, call.func, line, in_loop=in_loop)

    def decorator_site(self, node: Function, *, in_loop: bool) -> Site | None:
        for head in node.decorator_list[:1]:
            statement = self.meanings.of(head)
            if statement is not None and not statement.endswith("using"):
                return Site(statement, node, head, self.meanings.line(head), in_loop=in_loop)
        return None


def _frame_reader(call: ast.Call) -> str:
    """Return the name of the called function if it may read the names of the calling frame.

    ``dir(x)``, ``vars(x)``, ``eval(s, names)`` and ``exec(s, names)`` do not read them, unless the
    argument is None: that means the frame's names.
    """
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    needed = _FRAME_READERS.get(name)
    if needed is None:
        return ""
    given = [*call.args[:needed], *(word.value for word in call.keywords if word.arg == "globals")]
    own = len(given) == needed and not any(
        isinstance(value, ast.Starred) or (isinstance(value, ast.Constant) and value.value is None)
        for value in given
    )
    return "" if own else name


def _keyword_defaults(node: Function | ast.Lambda) -> list[ast.expr]:
    return [default for default in node.args.kw_defaults if default is not None]
