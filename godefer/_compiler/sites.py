"""Where the statements of godefer stand in a function's own scope, or why that cannot be told.

Pure, as `lower` is: `Names` says which names mean what. A site is a statement of its own:
``defer(…)``, ``errdefer(…)``, ``okdefer(…)``, ``using(…)`` and ``await ausing(…)``, the last two
with or without a target. Any other use of the names in the function's own scope (as a value, in a
comprehension, in an expression) is a reason for the runtime way. Nested functions, lambdas,
generator expressions and classes are scopes of their own, in which a `defer` is not this
function's (D3): they are left alone.
"""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    Position = dict[str, Any]

_FRAME_READERS = frozenset({"locals", "eval", "exec", "vars", "dir"})
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_LEAVES = frozenset((ast.Constant, ast.Load, ast.Store))
# Most statements have none, and each is asked several times.
_WITH_BLOCKS = frozenset(
    kind for kind in ast.stmt.__subclasses__() if {"body", "cases"} & {*kind._fields}
)


class Names:
    """What a function's global, builtin and closure names mean.

    Args:
        statements: The names that are a statement of godefer, with its own name.
        modules: The names that are modules.
        attribute: The statement, if it is one, that ``("module", "attribute", …)`` is.
        shift: What to add to the lines of the nodes.
    """

    def __init__(
        self,
        statements: dict[str, str],
        modules: frozenset[str],
        attribute: Callable[[tuple[str, ...]], str | None],
        shift: int = 0,
    ) -> None:
        self.statements = statements
        self.modules = modules
        self.attribute = attribute
        self.shift = shift


class Site:
    """One statement of godefer in a function's body.

    A function that ``@defer`` stands above is deferred without arguments (D12).

    Args:
        statement: Its name.
        node: The statement itself.
        head: The expression that means ``defer``: what is called, or a decorator.
        in_loop: Whether it is inside of a loop.
        shift: What to add to the lines of the nodes.
    """

    def __init__(
        self, statement: str, node: ast.stmt, head: ast.expr, *, in_loop: bool, shift: int
    ) -> None:
        self.statement = statement
        self.node = node
        self.in_loop = in_loop
        self.shape = "inline"
        self.line = head.lineno + shift
        self.enters = statement.endswith("using")
        self.positional: list[ast.expr] = []
        self.keywords: list[ast.keyword] = []
        self.glue = _position(head)  # of the code around the call at an exit
        self.call = _position(head)  # of that call, which nothing else has: see `_panicking.exits`
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.callee: ast.expr = ast.Name(node.name, ast.Load(), **self.glue)
            self.glue["col_offset"] -= 1  # the "@"
        else:
            call = _called(node)
            self.callee = call.args[0]
            self.positional, self.keywords = call.args[0 if self.enters else 1 :], call.keywords
            self.call = _position(call)

    @property
    def arguments(self) -> Position:
        """The position of the arguments, from the first to the last."""
        first, *_, last = [*self.positional, *(keyword.value for keyword in self.keywords)] * 2
        return {**_position(last), "lineno": first.lineno, "col_offset": first.col_offset}

    def stored(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        """Return *stmts*; of a deferred function, between its definition and ``name = None``."""
        node = self.node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return stmts
        del node.decorator_list[0]
        nothing = ast.Constant(None, **self.glue)
        return [
            node,
            *stmts,
            ast.Assign([ast.Name(node.name, ast.Store(), **self.glue)], nothing, **self.glue),
        ]

    def assigned(self, name: str) -> list[ast.stmt]:
        """Return the assignment of *name* to the targets of a `using`, if it has some."""
        value = ast.Name(name, ast.Load(), **self.call)
        if isinstance(self.node, ast.Assign):
            return [ast.Assign(self.node.targets, value, **self.call)]
        if isinstance(self.node, ast.AnnAssign):
            return [ast.Assign([self.node.target], value, **self.call)]
        return []


def _called(node: ast.stmt) -> ast.Call:
    """Return the call that a statement consists of, awaited or assigned or not."""
    value = node.value  # type: ignore[attr-defined]
    return value.value if isinstance(value, ast.Await) else value  # type: ignore[return-value]


def _position(node: ast.expr) -> Position:
    return {
        "lineno": node.lineno,
        "col_offset": node.col_offset,
        "end_lineno": node.end_lineno or node.lineno,
        "end_col_offset": node.end_col_offset or node.col_offset,
    }


class Scan:
    """The sites of each statement at the top level of a function's body, and all of them."""

    def __init__(self) -> None:
        self.of_statement: list[list[Site]] = []

    @property
    def sites(self) -> list[Site]:
        return [site for sites in self.of_statement for site in sites]


class Unclear(Exception):  # noqa: N818  # never leaves this package
    """The reason why a function cannot be lowered."""


def scan(body: Sequence[ast.stmt], names: Names) -> Scan:
    """Find the sites in *body*; raises `Unclear`."""
    found = Scan()
    for statement in body:
        scanner = _Scanner(names)
        scanner.statement(statement, in_loop=False)
        found.of_statement.append(scanner.sites)
    return found


def called(body: Sequence[ast.stmt], names: Names) -> list[tuple[int, str]]:
    """The line and the name of each statement in a *body* that is not lowered, for `explain`."""
    scanner = _Scanner(names)
    found: list[tuple[int, str]] = []
    stack: list[ast.AST] = list(body)
    while stack:
        node = stack.pop()
        head = node.func if isinstance(node, ast.Call) else None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.decorator_list:
            head = node.decorator_list[0]
        statement = scanner.meaning(head) if head is not None else None
        if head is not None and statement is not None:
            found.append((head.lineno + names.shift, statement))
        if isinstance(node, (*_SCOPES, ast.Lambda)):
            continue
        stack += ast.iter_child_nodes(node)
    return sorted(found)


class _Scanner:
    def __init__(self, names: Names) -> None:
        self.names = names
        self.sites: list[Site] = []

    def statement(self, node: ast.stmt, *, in_loop: bool) -> None:
        site = self.site(node, in_loop=in_loop)
        if site is not None:
            self.sites.append(site)
        if isinstance(node, _SCOPES):
            self.expressions(node.decorator_list if site is None else node.decorator_list[1:])
            if isinstance(node, ast.ClassDef):
                self.expressions((*node.bases, *(keyword.value for keyword in node.keywords)))
            else:
                self.expressions(node.args.defaults)
                self.expressions(
                    default for default in node.args.kw_defaults if default is not None
                )
        elif site is not None:
            self.expressions([site.callee, *site.positional])
            self.expressions(keyword.value for keyword in site.keywords)
            if isinstance(node, ast.Assign):
                self.expressions(node.targets)
        else:
            self.compound(node, in_loop=in_loop or isinstance(node, _LOOPS))

    def compound(self, node: ast.AST, *, in_loop: bool) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.importing(node)
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            for name in node.names:
                if name in self.names.statements:
                    raise Unclear(
                        f"{name} is declared {type(node).__name__.lower()} "
                        f"at line {node.lineno + self.names.shift}"
                    )
        for _, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else (value,):
                if isinstance(child, ast.stmt):
                    self.statement(child, in_loop=in_loop)
                elif isinstance(child, ast.expr):
                    self.expressions((child,))
                elif isinstance(child, ast.AST):  # handlers, cases, patterns, with items
                    self.compound(child, in_loop=in_loop)

    def importing(self, node: ast.Import | ast.ImportFrom) -> None:
        modules = (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
        if any(module.partition(".")[0] == "godefer" for module in modules):
            raise Unclear(
                f"godefer is imported in the body, at line {node.lineno + self.names.shift}"
            )

    def expressions(self, nodes: Iterable[ast.expr]) -> None:
        stack: list[ast.AST] = list(nodes)
        while stack:
            node = stack.pop()
            if isinstance(node, ast.Lambda):
                stack.extend(node.args.defaults)
                stack.extend(default for default in node.args.kw_defaults if default is not None)
                continue
            if isinstance(node, ast.GeneratorExp):
                stack.append(node.generators[0].iter)
                continue
            if type(node) in _LEAVES:
                continue
            if isinstance(node, (ast.Name, ast.Attribute)):
                statement = self.meaning(node)
                if statement is not None:
                    raise Unclear(
                        f"{statement} is used as a value, or inside an expression, "
                        f"at line {node.lineno + self.names.shift}"
                    )
                if isinstance(node, ast.Name):
                    continue
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in _FRAME_READERS
            ):
                raise Unclear(
                    f"{node.func.id}() could see or need the names of the body, "
                    f"at line {node.lineno + self.names.shift}"
                )
            for name in node._fields:  # ast.iter_child_nodes, but for its generators
                child = getattr(node, name, None)
                if isinstance(child, list):
                    stack += [item for item in child if isinstance(item, ast.AST)]
                elif isinstance(child, ast.AST):
                    stack.append(child)

    def meaning(self, node: ast.expr) -> str | None:
        """The statement that a name or a dotted name is."""
        if isinstance(node, ast.Name):
            return self.names.statements.get(node.id)
        path: list[str] = []
        while isinstance(node, ast.Attribute):
            path.append(node.attr)
            node = node.value
        if isinstance(node, ast.Name) and node.id in self.names.modules and path:
            return self.names.attribute((node.id, *reversed(path)))
        return None

    def site(self, node: ast.stmt, *, in_loop: bool) -> Site | None:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return self.decorator_site(node, in_loop=in_loop)
        if not isinstance(node, (ast.Expr, ast.Assign, ast.AnnAssign)):
            return None
        value = node.value
        awaited = isinstance(value, ast.Await)
        call = value.value if isinstance(value, ast.Await) else value
        if not isinstance(call, ast.Call):
            return None
        statement = self.meaning(call.func)
        if statement is None or awaited != (statement == "ausing"):
            return None
        if statement in {"using", "ausing"}:
            fits = len(call.args) == 1 and not call.keywords
        else:
            fits = isinstance(node, ast.Expr) and bool(call.args)
        if not fits or isinstance(call.args[0], ast.Starred):
            return None
        return Site(statement, node, call.func, in_loop=in_loop, shift=self.names.shift)

    def decorator_site(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, *, in_loop: bool
    ) -> Site | None:
        for head in node.decorator_list[:1]:
            statement = self.meaning(head)
            if statement is not None and not statement.endswith("using"):
                return Site(statement, node, head, in_loop=in_loop, shift=self.names.shift)
        return None


def check_result(body: Sequence[ast.stmt], result: Sequence[str], shift: int) -> None:
    """Raise `Unclear` if an ``except … as`` deletes a named result at the end of its clause."""
    stack: list[ast.stmt] = list(body)
    while stack and result:
        node = stack.pop()
        for handler in getattr(node, "handlers", ()):
            if handler.name in result:
                msg = (
                    f"`except ... as {handler.name}` at line {handler.lineno + shift} "
                    f"deletes that name at its end: use another one there"
                )
                raise Unclear(msg)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack += [child for block in blocks(node) for child in block]


def blocks(node: ast.stmt) -> list[list[ast.stmt]]:
    """The lists of statements inside of a statement."""
    if type(node) not in _WITH_BLOCKS:
        return []
    blocks = []
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        if block:
            blocks.append(block)
    for name in ("handlers", "cases"):
        blocks += [part.body for part in getattr(node, name, ())]
    return blocks


def own_returns(body: Sequence[ast.stmt]) -> list[ast.Return]:
    """The `return` statements with a value in the function's own scope."""
    found: list[ast.Return] = []
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Return):
            found += [node] if node.value is not None else []
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack += [child for block in blocks(node) for child in block]
    return found


def catches(body: Sequence[ast.stmt]) -> bool:
    """Return whether *body* can go on after an exception: it has a `try` or a `with`."""
    stack = list(body)
    while stack:
        node = stack.pop()
        if isinstance(node, (ast.Try, ast.TryStar, ast.With, ast.AsyncWith)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            stack += [child for block in blocks(node) for child in block]
    return False
