"""Walk over syntax trees, without the module `ast`.

Importing `ast` takes as long as compiling three functions: it needs `re`, `enum` and `contextlib`.
The classes of the nodes are in `_ast`.
"""

from __future__ import annotations

import _ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def children(node: _ast.AST) -> Iterator[_ast.AST]:
    """Yield the nodes right below *node*."""
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, _ast.AST):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, _ast.AST))


def walk(node: _ast.AST) -> Iterator[_ast.AST]:
    """Yield *node* and all nodes below it, in no particular order."""
    stack = [node]
    while stack:
        node = stack.pop()
        yield node
        stack += children(node)


def move(node: _ast.AST, lines: int) -> None:
    """Add *lines* to the lines of *node* and of all nodes below it."""
    for found in walk(node):
        if "lineno" in found._attributes:
            found.lineno += lines  # type: ignore[attr-defined]
            found.end_lineno += lines  # type: ignore[attr-defined]


def has_docstring(node: _ast.FunctionDef | _ast.AsyncFunctionDef) -> bool:
    """Return whether the first statement of a function is its docstring."""
    first = node.body[0]
    return (
        isinstance(first, _ast.Expr)
        and isinstance(first.value, _ast.Constant)
        and isinstance(first.value.value, str)
    )
