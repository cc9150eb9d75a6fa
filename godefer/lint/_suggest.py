"""Suggestions: code that is built as a syntax tree, so that its parentheses are right.

Messages quote a suggestion by `quoted`. Fixes write it into the source by `render`, which keeps the
spelling of literals.
"""

from __future__ import annotations

import ast
import copy

from godefer.lint._site import Fix, Replacement
from godefer.lint._tree import code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from godefer.lint._bindings import Scope
    from godefer.lint._module import Module
    from godefer.lint._site import Site

_LONGEST_SUGGESTION = 200
_NOT_IN_LAMBDA = (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.ListComp, ast.SetComp, ast.DictComp)


def replace(node: ast.AST, code: ast.AST | str, *, safe: bool = True) -> Fix:
    """Return the fix that puts *code* in the place of *node*."""
    return Fix((Replacement(node, code),), safe)


def quoted(node: ast.AST) -> str:
    """Return the source of *node* for "write …"; "" if it is too long for a message."""
    source = code(node)
    return source if len(source) <= _LONGEST_SUGGESTION and "\n" not in source else ""


def write(node: ast.AST, otherwise: str) -> str:
    """Return "write *node*", or *otherwise* if the code is too long."""
    source = quoted(node)
    return f"write {source}" if source else otherwise


# Building expressions


def call(
    function: ast.expr, arguments: Iterable[ast.expr] = (), keywords: Iterable[ast.keyword] = ()
) -> ast.Call:
    """Return the call of *function*."""
    return ast.Call(function, [*arguments], [*keywords])


def name(identifier: str) -> ast.Name:
    """Return the expression that reads a variable."""
    return ast.Name(identifier, ast.Load())


def attribute(value: ast.expr, method: str) -> ast.Attribute:
    """Return ``value.method``."""
    return ast.Attribute(value, method, ast.Load())


def function_of(body: ast.expr, parameters: Sequence[str] = ()) -> ast.Lambda:
    """Return ``lambda parameters: body``."""
    own = ast.arguments([], [ast.arg(each) for each in parameters], None, [], [], None, [])
    return ast.Lambda(own, body)


def with_defaults(given: ast.arguments, names: Sequence[str]) -> ast.arguments:
    """Return the parameters *given*, and a parameter ``name=name`` for each of *names*."""
    own = copy.deepcopy(given)
    keyword_only = bool(own.args or own.posonlyargs or own.vararg or own.kwonlyargs)
    parameters = [ast.arg(each) for each in names]
    if keyword_only:
        own.kwonlyargs += parameters
        own.kw_defaults += [name(each) for each in names]
    else:
        own.args += parameters
        own.defaults += [name(each) for each in names]
    return own


def can_be_late(nodes: Iterable[ast.AST]) -> bool:
    """Return whether *nodes* can be moved into a lambda: they await, yield and assign nothing."""
    return not any(isinstance(inner, _NOT_IN_LAMBDA) for node in nodes for inner in ast.walk(node))


def stable(module: Module, site: Site, nodes: Iterable[ast.AST]) -> bool:
    """Return whether variables in *nodes* have the same values at the statement and at the exit.

    Each of them is bound once, and not in a loop. Attributes and items may still change.
    """
    for node in nodes:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and not _bound_once(module, inner, site.frame):
                return False
    return True


def _bound_once(module: Module, node: ast.Name, frame: Scope) -> bool:
    scope = module.scopes.get(node)
    if scope is None:
        return False
    owner = module.owner(node.id, scope)
    if owner is None:
        return True
    found = owner.bindings[node.id]
    if len(found) > 1 or owner.kind == "class":  # a lambda cannot read the names of a class
        return False
    return not any(
        binding.kind == "for"
        or isinstance(binding.node, ast.ExceptHandler)  # the end of the clause deletes it
        or binding.scope.frame() is not owner.frame()  # each call binds the `global` name again
        or any(isinstance(outer, _LOOPS) for outer, _ in module.outward(binding.node, frame))
        for binding in found
    )


def same_until_exit(module: Module, site: Site, node: ast.Name) -> bool:
    """Return whether the variable *node* has its only value at *site*, and keeps it."""
    if not stable(module, site, [node]):
        return False
    line = module.statement(site.node).lineno
    for binding in module.bindings(node.id, module.scopes[node]):
        in_module = binding.scope is module.module and site.frame is not module.module
        defined = in_module and binding.kind in {"class", "def", "import"}
        above = binding.kind == "parameter" or getattr(binding.node, "lineno", line) < line
        if not above and not defined:
            return False
    return True


def is_assigned(module: Module, node: ast.Attribute) -> bool:
    """Return whether the file assigns an attribute with the name of *node*, to any object."""
    return any(not isinstance(n.ctx, ast.Load) for n in module.attributes.get(node.attr, ()))


def spelled(module: Module, site: Site, statement: str) -> ast.expr | None:
    """Return the expression for another *statement* at the place of *site*; None if unknown."""
    head = site.head
    if site.scoped:
        scope = head.value if isinstance(head, ast.Attribute) else head
        return attribute(scope, statement)
    if isinstance(head, ast.Attribute):
        return attribute(head.value, statement)
    frame = module.scopes[site.node]
    found = name(statement)
    return found if module.path(found, frame) == f"godefer.{statement}" else None


def spelled_module(module: Module, site: Site, path: str) -> ast.expr | None:
    """Return the variable that holds the imported module *path*; None if there is none."""
    scope = module.scopes[site.node]
    for outer in scope.enclosing():
        for identifier in outer.bindings:
            if module.path(name(identifier), scope) == path:
                return name(identifier)
    return None


# Rendering


class _Literals(ast.NodeTransformer):
    """A transformer that replaces the literals of the source by names."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.found: dict[str, str] = {}

    def _keep(self, node: ast.expr) -> ast.expr:
        source = segment(self.lines, node)
        if source is None:
            return node
        identifier = f"literal_{len(self.found)}_of_the_source"
        self.found[identifier] = source
        return ast.Name(identifier, ast.Load())

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._keep(node) if isinstance(node.value, (str, bytes)) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return self._keep(node)


def render(code: ast.AST | str, lines: Sequence[str]) -> str | None:
    """Return the text of *code*, with literals spelled as in the source *lines*.

    Return None for code that is nested too deeply.
    """
    if isinstance(code, str):
        return code
    literals = _Literals(lines)
    try:
        source = ast.unparse(literals.visit(copy.deepcopy(code)))
    except RecursionError:
        return None
    for identifier, literal in literals.found.items():
        source = source.replace(identifier, literal)
    return source


def segment(lines: Sequence[str], node: ast.AST) -> str | None:
    """Return the source of *node*; None if it has no place in the source."""
    line, end_line = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    if not line or not end_line or end_line > len(lines):
        return None
    encoded = [text.encode() for text in lines[line - 1 : end_line]]
    encoded[-1] = encoded[-1][: getattr(node, "end_col_offset", 0)]
    encoded[0] = encoded[0][getattr(node, "col_offset", 0) :]
    return b"".join(encoded).decode()
