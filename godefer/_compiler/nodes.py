"""Build the nodes of lowered code: single ones, and copies of a shape (`Shape`).

A shape is filled in many times. So a shape's first use turns each of its nodes into a function that
builds a copy of the node.
"""

from __future__ import annotations

import _ast as ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Position = dict[str, Any]
    _Build = Callable[[Position, dict[str, Any], bool], T]

# No position, hence no line event: for code that calls nothing.
NOWHERE: Position = {"lineno": -1, "col_offset": -1, "end_lineno": -1, "end_col_offset": -1}

# The helpers that have an asynchronous twin, named with an ``a`` before the name.
_TWINS = {"deferreturn", "gopanic", "run_remaining", "enter"}
_LOAD, _STORE, _DEL = ast.Load(), ast.Store(), ast.Del()


class Shape:
    """The source of some statements, parsed at its first use.

    In a *traced* shape, comparisons with a constant have a line, too.
    """

    def __init__(self, text: str, *, traced: bool = False) -> None:
        self.text = text
        self.traced = traced
        self._build: _Build[list[ast.stmt]] | None = None

    def fill(self, at: Position, *, asynchronous: bool = False, **parts: Any) -> list[ast.stmt]:
        """Return the statements at the position *at*, with *parts* in place of the placeholders.

        A part is a list of statements, an expression, or the name of a variable.
        """
        if self._build is None:
            parsed: Any = compile(self.text, "<shape>", "exec", ast.PyCF_ONLY_AST)
            self._build = _block(parsed.body, self.traced)
        return self._build(at, parts, asynchronous)


def _block(nodes: list[Any], traced: bool) -> _Build[list[Any]]:  # noqa: FBT001
    """Return the function that builds the nodes of a list."""
    builds = [_placeholder(node) or _node(node, traced) for node in nodes]

    def build(at: Position, parts: dict[str, Any], asynchronous: bool) -> list[Any]:  # noqa: FBT001
        built: list[Any] = []
        for part in builds:
            if isinstance(part, str):
                built += parts[part]
            else:
                built.append(part(at, parts, asynchronous))
        return built

    return build


def _placeholder(node: ast.AST) -> str:
    """Return the name of a placeholder for statements, or ""."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Name) and node.value.id.isupper():
        return node.value.id
    return ""


def _node(node: Any, traced: bool) -> _Build[Any]:  # noqa: FBT001
    """Return the function that builds a node."""
    if isinstance(node, ast.Name):
        return _name(node.id, node.ctx)
    if isinstance(node, ast.Await):
        return _await(node, traced)
    if not node._attributes:  # an operator or a context, which has no position and can be shared
        return lambda _at, _parts, _asynchronous: node
    build = _whole(node, traced)
    if _is_test(node) and not traced:
        return lambda _at, parts, asynchronous: build(NOWHERE, parts, asynchronous)
    return build


def _whole(node: Any, traced: bool) -> _Build[Any]:  # noqa: FBT001
    """Return the function that builds a node of several fields."""
    kind = type(node)
    values: list[Any] = []
    builds: list[tuple[int, _Build[Any]]] = []
    for i, field in enumerate(node._fields):
        value = getattr(node, field, None)
        if isinstance(value, list):
            builds.append((i, _block(value, traced)))
        elif isinstance(value, ast.AST):
            builds.append((i, _node(value, traced)))
        elif field == "name" and value:  # of `except ... as`
            value = f"@{value[1:]}"
        values.append(value)
    silent = kind in _SILENT or (not traced and _is_test(getattr(node, "test", node)))

    def build(at: Position, parts: dict[str, Any], asynchronous: bool) -> Any:  # noqa: FBT001
        fields = values.copy()
        for i, part in builds:
            fields[i] = part(at, parts, asynchronous)
        return kind(*fields, **(NOWHERE if silent else at))

    return build


def _await(node: ast.Await, traced: bool) -> _Build[Any]:  # noqa: FBT001
    """Return the builder for an `await`.

    In async code it builds the `await`, with the call's async twin if there is one; in sync code
    only the call.
    """
    call: Any = node.value
    synchronous = asynchronous_call = _node(call, traced)
    if call.func.id in _TWINS:
        twin = ast.Call(ast.Name(f"a{call.func.id}", _LOAD), call.args, call.keywords)
        asynchronous_call = _node(twin, traced)

    def build(at: Position, parts: dict[str, Any], asynchronous: bool) -> ast.expr:  # noqa: FBT001
        if asynchronous:
            return ast.Await(asynchronous_call(at, parts, asynchronous), **at)
        made: ast.expr = synchronous(at, parts, asynchronous)
        return made

    return build


def _name(name: str, context: ast.expr_context) -> _Build[ast.expr]:
    """Return the function that builds the node for a name in a shape (`shapes`)."""
    if name.isupper():

        def build(
            at: Position,
            parts: dict[str, Any],
            asynchronous: bool,  # noqa: ARG001, FBT001
        ) -> ast.expr:
            part: ast.expr | str = parts[name]
            return ast.Name(part, context, **at) if isinstance(part, str) else part

        return build
    if name.startswith("_"):
        hidden = f"@{name[1:]}"
        return lambda at, _parts, _asynchronous: ast.Name(hidden, context, **at)
    return lambda at, _parts, _asynchronous: marked(f"@{name}", at)


def marked(mark: str, at: Position) -> ast.expr:
    """Return the expression *mark*. `constants.fill` later puts an object of the runtime there.

    The interpreter's compiler warns if a literal is called, or compared by `is`. So the mark is in
    ``mark if True else None``: the compiler does not warn about that, and drops the condition.
    """
    never = ast.Constant(None, **at)
    return ast.IfExp(
        ast.Constant(True, **at),  # noqa: FBT003
        ast.Constant(mark, **at),
        never,
        **at,
    )


_SILENT = {ast.Try, ast.Pass}


def _is_test(node: ast.AST) -> bool:
    """Return whether *node* compares a variable with a constant, which calls nothing."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.comparators[0], ast.Constant)
        and not isinstance(node.left, ast.NamedExpr)
    )


def position(node: ast.AST) -> Position:
    """Return the position of *node*, to give to other nodes."""
    return {name: getattr(node, name) for name in NOWHERE}


def load(name: str, at: Position = NOWHERE) -> ast.Name:
    """Return the expression that loads a variable."""
    return ast.Name(name, _LOAD, **at)


def assign(name: str, value: ast.expr, at: Position) -> ast.Assign:
    """Return ``name = value``."""
    return ast.Assign([ast.Name(name, _STORE, **at)], value, **at)


def none(at: Position = NOWHERE) -> ast.Constant:
    """Return ``None``."""
    return ast.Constant(None, **at)


def pack(items: Iterable[ast.expr], at: Position) -> ast.Tuple:
    """Return a tuple."""
    return ast.Tuple(list(items), _LOAD, **at)


def targets(names: Iterable[str], at: Position) -> ast.Tuple:
    """Return a tuple of variables as the target of an assignment."""
    return ast.Tuple([ast.Name(name, _STORE, **at) for name in names], _STORE, **at)


def clear(names: Iterable[str], at: Position) -> list[ast.stmt]:
    """Return ``first = second = ... = None``; no statement if there are no names."""
    stores: list[ast.expr] = [ast.Name(name, _STORE, **at) for name in names]
    return [ast.Assign(stores, none(at), **at)] if stores else []


def unbind(names: Collection[str], at: Position) -> list[ast.stmt]:
    """Return the statements that delete hidden locals, bound or not (P6, D9)."""
    deleted: list[ast.expr] = [ast.Name(name, _DEL, **at) for name in names]
    return [*clear(names, at), ast.Delete(deleted, **at)] if names else []
