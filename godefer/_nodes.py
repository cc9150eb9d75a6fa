"""AST nodes, each with the position of a statement, or with none: glue."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

# No position: no line event, and nothing that a traceback could show.
GLUE: dict[str, Any] = {"lineno": -1, "col_offset": -1, "end_lineno": -1, "end_col_offset": -1}
# Nodes that are equal may be the same: nobody changes them, and making nodes is a third of the time that lowering takes.
_LOAD, _STORE = ast.Load(), ast.Store()
_NONE = ast.Constant(None, **GLUE)
_RERAISE = ast.Raise(None, None, **GLUE)
_glue: dict[tuple[type[ast.expr_context], str], ast.Name] = {}
_GLUE_SIZE = 1000  # a function with more hidden locals than these can name is rare, and its own cost


def at(node: ast.AST) -> dict[str, Any]:
    """The position of *node*, for other nodes."""
    return {
        "lineno": node.lineno,  # type: ignore[attr-defined]
        "col_offset": node.col_offset,  # type: ignore[attr-defined]
        "end_lineno": node.end_lineno,  # type: ignore[attr-defined]
        "end_col_offset": node.end_col_offset,  # type: ignore[attr-defined]
    }


def load(name: str, at: dict[str, Any] = GLUE) -> ast.Name:
    """The value of a variable."""
    return _glued(name, _LOAD) if at is GLUE else ast.Name(name, _LOAD, **at)


def store(name: str, at: dict[str, Any] = GLUE) -> ast.Name:
    """A variable that gets a value."""
    return _glued(name, _STORE) if at is GLUE else ast.Name(name, _STORE, **at)


def _glued(name: str, context: ast.expr_context) -> ast.Name:
    node = _glue.get((type(context), name))
    if node is None:
        node = ast.Name(name, context, **GLUE)
        if len(_glue) < _GLUE_SIZE:
            _glue[type(context), name] = node
    return node


def const(value: Any, at: dict[str, Any] = GLUE) -> ast.Constant:
    """A constant; one that begins with ``@`` stands for something of the runtime."""
    return _NONE if value is None and at is GLUE else ast.Constant(value, **at)


def assign(name: str, value: ast.expr, at: dict[str, Any] = GLUE) -> ast.Assign:
    """``name = value``."""
    return ast.Assign([store(name, at)], value, **at)


def forget(names: Iterable[str]) -> ast.Assign:
    """``first = second = … = None``."""
    return ast.Assign(list(map(store, names)), const(None), **GLUE)


def unpack(targets: Sequence[str], value: ast.expr, at: dict[str, Any] = GLUE) -> ast.Assign:
    """``first, second, … = value``."""
    names: list[ast.expr] = [store(name, at) for name in targets]
    return ast.Assign([ast.Tuple(names, _STORE, **at)], value, **at)


def pack(items: Iterable[ast.expr], at: dict[str, Any] = GLUE) -> ast.Tuple:
    """A tuple."""
    return ast.Tuple(list(items), _LOAD, **at)


def call(name: str, args: Iterable[ast.expr], at: dict[str, Any] = GLUE) -> ast.Call:
    """A call of something of the runtime."""
    return ast.Call(const(name, at), list(args), [], **at)


def is_not_none(value: ast.expr) -> ast.Compare:
    """``value is not None``."""
    return ast.Compare(value, [ast.IsNot()], [const(None)], **GLUE)


def when(test: ast.expr, *body: ast.stmt) -> ast.If:
    """An ``if`` without ``else``."""
    return ast.If(test, list(body), [], **GLUE)


def reraise() -> ast.Raise:
    """``raise`` alone."""
    return _RERAISE


def attempt(body: list[ast.stmt], handler: list[ast.stmt], final: list[ast.stmt]) -> ast.Try:
    """``try: body``, with a bare ``except: handler`` and ``finally: final`` if there are such."""
    handlers = [ast.ExceptHandler(None, None, handler, **GLUE)] if handler else []
    return ast.Try(body, handlers, [], final, **GLUE)


def item(name: str, index: int) -> ast.Subscript:
    """``name[index]``."""
    return ast.Subscript(load(name), const(index), _LOAD, **GLUE)
