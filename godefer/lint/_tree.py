"""Helpers for nodes of the syntax tree that need no resolution of names."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
FunctionOrLambda = FunctionNode | ast.Lambda
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
WITHS = (ast.With, ast.AsyncWith)
_LONGEST_QUOTE = 80


def dotted(node: ast.AST) -> str | None:
    """Return ``a.b.c``, if *node* is a name, or an attribute of a dotted name."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(attributes)]) if isinstance(node, ast.Name) else None


# The fields of each type of node that can hold nodes, the last one first.
_FIELDS: dict[type[ast.AST], tuple[str, ...]] = {}
_PLAIN_FIELDS = frozenset(
    {"arg", "attr", "ctx", "id", "kind", "level", "module", "op", "ops", "simple", "type_comment"}
)


def node_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """Return the fields in which a walk looks for names and statements, the last one first."""
    fields = _FIELDS.get(kind)
    if fields is None:
        names = () if kind is ast.Constant else kind._fields
        fields = _FIELDS[kind] = tuple(f for f in reversed(names) if f not in _PLAIN_FIELDS)
    return fields


def root_name(node: ast.AST) -> ast.Name | None:
    """Return the name at the beginning of attributes and calls, such as ``a`` of ``a.b().c``."""
    while isinstance(node, (ast.Attribute, ast.Call)):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node if isinstance(node, ast.Name) else None


def receiver(node: ast.expr) -> str | None:
    """Return ``a.b``, if *node* is ``a.b.method``."""
    return dotted(node.value) if isinstance(node, ast.Attribute) else None


def code(node: ast.AST) -> str:
    """Return the whole source of *node*; "" if it is nested too deeply."""
    try:
        return ast.unparse(node)
    except RecursionError:  # an expression nested deeper than the interpreter's stack
        return ""


def text(node: ast.AST) -> str:
    """Return the source of *node* for a message, and nothing else; "…" if it is long."""
    source = code(node)
    return source if 0 < len(source) <= _LONGEST_QUOTE and "\n" not in source else "…"


def blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yield the blocks of statements directly inside of *node*."""
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        if isinstance(block, list):
            yield block


def jumps(block: Sequence[ast.stmt]) -> Iterator[ast.Return | ast.Break | ast.Continue]:
    """Yield the statements that leave *block*, in the order of the source.

    A `return` in a nested function leaves only that function, and a `break` only its own loop.
    """
    stack: list[tuple[ast.AST, bool]] = [(statement, False) for statement in reversed(block)]
    while stack:
        node, in_loop = stack.pop()
        if isinstance(node, ast.Return) or (
            isinstance(node, (ast.Break, ast.Continue)) and not in_loop
        ):
            yield node
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            stack += [(child, in_loop) for child in reversed(node.orelse)]
            stack += [(child, True) for child in reversed(node.body)]
        elif not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            stack += [(child, in_loop) for child in reversed(list(ast.iter_child_nodes(node)))]


def own_breaks(loop: ast.While | ast.For | ast.AsyncFor) -> bool:
    """Return whether a `break` leaves *loop*."""
    return any(isinstance(node, ast.Break) for node in jumps(loop.body))


def own_nodes(block: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes that run with *block*: all but the bodies of nested functions."""
    stack = list(block)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, FUNCTIONS):
            stack += [*getattr(node, "decorator_list", ()), *default_values(node)]
        else:
            stack += ast.iter_child_nodes(node)


def default_values(function: FunctionOrLambda) -> list[ast.expr]:
    """Return the default values of the parameters of *function*."""
    given = function.args
    return [*given.defaults, *(default for default in given.kw_defaults if default is not None)]


def imports_godefer(tree: ast.Module) -> bool:
    """Return whether the module imports godefer anywhere."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(
            a.name.partition(".")[0] == "godefer" for a in node.names
        ):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").partition(".")[0] == "godefer"
        ):
            return True
    return False
