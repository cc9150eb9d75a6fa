"""Bindings: Python's scopes, and the imports and aliases in them that lead to godefer.

One walk over the tree records the parent and the scope of every node that is executed, and the
bindings of every scope. A name is resolved only if all of its bindings agree: if it is imported in
one place and assigned in another, it is unknown, and no rule reports it. Annotations are left out,
since they may never be evaluated.

The walk has its own stack, and does not recurse: expressions can be nested too deeply for that.
"""

from __future__ import annotations

import ast
import builtins
import sys
from typing import NamedTuple

from godefer.lint._tree import default_values, dotted, node_fields, root_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from godefer.lint._tree import FunctionNode, FunctionOrLambda

# The names that `from godefer import *` binds.
EXPORTS = frozenset(
    {
        "DeferError",
        "Explanation",
        "Panic",
        "ausing",
        "defer",
        "defer_scope",
        "errdefer",
        "explain",
        "okdefer",
        "panic",
        "recover",
        "using",
        "with_defers",
    }
)
SCOPE = "godefer.defer_scope()"  # the path of the scope in `with defer_scope() as …`

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPED = frozenset(
    {ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.AnnAssign}
    | {*_COMPREHENSIONS}
)
_NOTED = frozenset(
    {
        ast.Name,
        ast.Attribute,
        ast.Import,
        ast.ImportFrom,
        ast.Global,
        ast.Nonlocal,
        ast.ExceptHandler,
        ast.MatchAs,
        ast.MatchStar,
        ast.MatchMapping,
    }
)
_LONGEST_CHAIN = 40  # of aliases; generated code may have a chain of thousands
_OTHER = "other"


class Binding(NamedTuple):
    """One place that gives a name a value.

    Args:
        kind: ``import``, ``def``, ``class``, ``assign``, ``with``, ``for``, ``parameter``, or
            ``other`` for any other, such as `except … as name`. Its value is unknown.
        node: The node that binds the name.
        value: The expression that is assigned or entered, if there is one.
        path: The dotted name that is imported, else "".
        scope: The scope that evaluates *value*.
    """

    kind: str
    node: ast.AST
    value: ast.expr | None
    path: str
    scope: Scope


class Scope:
    """A module, class, function, lambda, comprehension or generator expression, with its names."""

    def __init__(self, kind: str, node: ast.AST, parent: Scope | None, name: str) -> None:
        self.kind = kind
        self.node = node
        self.parent = parent
        self.name = name
        self.bindings: dict[str, list[Binding]] = {}
        self.declared: dict[str, str] = {}  # names that are global or nonlocal

    def frame(self) -> Scope:
        """Return the scope that has the frame: this one, or the one around a comprehension (D3)."""
        scope = self
        while scope.kind == "comprehension" and scope.parent is not None:
            scope = scope.parent
        return scope

    def enclosing(self) -> Iterator[Scope]:
        """Yield this scope and those around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


class Bindings:
    """The bindings of all names of a module."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope("module", tree, None, "module level")
        self.parents: dict[ast.AST, ast.AST] = {}
        self.scopes: dict[ast.AST, Scope] = {}
        self.scope_of_function: dict[ast.AST, Scope] = {}
        self.name_nodes: dict[str, list[ast.Name]] = {}
        self.attributes: dict[str, list[ast.Attribute]] = {}
        self.functions: dict[str, list[FunctionNode]] = {}
        self._star_imports: list[tuple[str, int]] = []
        self._depth = 0
        self._paths: dict[tuple[str, Scope], str | None] = {}
        self._walk(tree)
        self._move_outer_bindings()
        self.suspects = self._find_suspects()

    # The walk

    def _walk(self, tree: ast.Module) -> None:
        stack: list[tuple[ast.AST, ast.AST, Scope]] = [
            (node, tree, self.module) for node in reversed(tree.body)
        ]
        parents, scopes, push = self.parents, self.scopes, stack.append
        while stack:
            node, parent, scope = stack.pop()
            parents[node] = parent
            scopes[node] = scope
            special = self._scoped_children(node, scope) if type(node) in _SCOPED else None
            if special is not None:
                stack.extend((child, node, inside) for child, inside in reversed(special))
                continue
            if type(node) in _NOTED:
                self._note(node, parent, scope)
            for field in node_fields(type(node)):
                value: Any = getattr(node, field, None)
                if value.__class__ is list:
                    for item in reversed(value):
                        if isinstance(item, ast.AST):  # a key may be None; `global` has strings
                            push((item, node, scope))
                elif isinstance(value, ast.AST) and value.__class__ is not ast.Constant:
                    push((value, node, scope))

    def _scoped_children(self, node: ast.AST, scope: Scope) -> list[tuple[ast.AST, Scope]] | None:
        """Return the children with their scopes, if *node* is of a type in `_SCOPED`, else None."""
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return self._function(node, scope)
        if isinstance(node, ast.Lambda):
            inner = Scope("lambda", node, scope, "a lambda")
            self._parameters(node, inner)
            return [*((child, scope) for child in default_values(node)), (node.body, inner)]
        if isinstance(node, ast.ClassDef):
            self._bind(scope, node.name, Binding("class", node, None, "", scope))
            inner = Scope("class", node, scope, f"the body of class {node.name}")
            self.scope_of_function[node] = inner
            outside = [*node.decorator_list, *node.bases, *node.keywords]
            return [
                *((child, scope) for child in outside),
                *((child, inner) for child in node.body),
            ]
        if isinstance(node, _COMPREHENSIONS):
            return self._comprehension(node, scope)
        if isinstance(node, ast.AnnAssign):
            return [(child, scope) for child in (node.target, node.value) if child is not None]
        return None

    def _function(self, node: FunctionNode, scope: Scope) -> list[tuple[ast.AST, Scope]]:
        self._bind(scope, node.name, Binding("def", node, None, "", scope))
        self.functions.setdefault(node.name, []).append(node)
        inner = Scope("function", node, scope, node.name)
        self._parameters(node, inner)
        outside = [*node.decorator_list, *default_values(node)]
        return [*((child, scope) for child in outside), *((child, inner) for child in node.body)]

    def _parameters(self, node: FunctionOrLambda, inner: Scope) -> None:
        self.scope_of_function[node] = inner
        given = node.args
        for arg in [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]:
            if arg is not None:
                self.parents[arg] = node
                self._bind(inner, arg.arg, Binding("parameter", arg, None, "", inner))

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp, scope: Scope
    ) -> list[tuple[ast.AST, Scope]]:
        kind = "generator expression" if isinstance(node, ast.GeneratorExp) else "comprehension"
        inner = Scope(kind, node, scope, f"a {kind}")
        self.scope_of_function[node] = inner
        children: list[tuple[ast.AST, Scope]] = [(node.generators[0].iter, scope)]
        for number, generator in enumerate(node.generators):
            self.parents[generator] = node
            self.scopes[generator] = inner
            inside = [generator.target, *generator.ifs, *([generator.iter] if number else [])]
            children += [(child, inner) for child in inside]
        values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        return [*children, *((child, inner) for child in values)]

    def _note(self, node: ast.AST, parent: ast.AST, scope: Scope) -> None:
        """Record the names that the node binds or reads."""
        if isinstance(node, ast.Name):
            self.name_nodes.setdefault(node.id, []).append(node)
            if not isinstance(node.ctx, ast.Load):
                self._store(node, parent, scope)
        elif isinstance(node, ast.Attribute):
            self.attributes.setdefault(node.attr, []).append(node)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = alias.name if alias.asname else alias.name.partition(".")[0]
                self._bind(scope, alias.asname or path, Binding("import", node, None, path, scope))
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            for alias in node.names:
                if alias.name == "*":
                    self._star_imports.append((origin, node.lineno))
                else:
                    self._bind(
                        scope,
                        alias.asname or alias.name,
                        Binding("import", node, None, f"{origin}.{alias.name}", scope),
                    )
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            scope.declared.update(dict.fromkeys(node.names, type(node).__name__))
        else:
            # `except … as name`, and the names in patterns, are plain strings.
            for field in ("name", "rest"):
                name = getattr(node, field, None)
                if isinstance(name, str) and isinstance(
                    node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping)
                ):
                    self._bind(scope, name, Binding(_OTHER, node, None, "", scope))

    def _store(self, node: ast.Name, parent: ast.AST, scope: Scope) -> None:
        if isinstance(parent, ast.NamedExpr):
            owner = scope
            while isinstance(owner.node, _COMPREHENSIONS) and owner.parent is not None:
                owner = owner.parent  # a generator expression has a frame, but not this variable
            self._bind(owner, node.id, Binding("assign", node, parent.value, "", scope))
        elif isinstance(parent, ast.Assign) or (
            isinstance(parent, ast.AnnAssign) and parent.value is not None
        ):
            self._bind(scope, node.id, Binding("assign", node, parent.value, "", scope))
        elif isinstance(parent, ast.withitem):
            self._bind(scope, node.id, Binding("with", node, parent.context_expr, "", scope))
        else:
            root: ast.AST = parent
            while isinstance(root, (ast.Tuple, ast.List, ast.Starred)):
                root = self.parents[root]
            is_loop = isinstance(root, (ast.For, ast.AsyncFor)) or (
                isinstance(scope.node, _COMPREHENSIONS) and root is scope.node
            )
            self._bind(scope, node.id, Binding("for" if is_loop else _OTHER, node, None, "", scope))

    @staticmethod
    def _bind(scope: Scope, name: str, binding: Binding) -> None:
        scope.bindings.setdefault(name, []).append(binding)

    def _move_outer_bindings(self) -> None:
        """Move the bindings of `global` and `nonlocal` names to the scope that owns them."""
        for scope in list(self.scope_of_function.values()):
            for name, statement in scope.declared.items():
                owner = self.module if statement == "Global" else self.owner(name, scope.parent)
                for binding in scope.bindings.pop(name, []):
                    if owner is not None:
                        owner.bindings.setdefault(name, []).append(binding)

    # Names that may lead to godefer

    def _find_suspects(self) -> set[str]:
        """Return the names that may lead to godefer in any scope: imports, and their aliases."""
        origins = {origin for origin, _ in self._star_imports}
        found = set(EXPORTS) if "godefer" in origins else set()
        aliases: dict[str, list[str]] = {}
        for scope in [self.module, *self.scope_of_function.values()]:
            for name, bindings in scope.bindings.items():
                for binding in bindings:
                    if binding.kind == "import":
                        if binding.path.partition(".")[0] == "godefer":
                            found.add(name)
                    elif binding.value is not None and (root := root_name(binding.value)):
                        aliases.setdefault(root.id, []).append(name)
        new = list(found)
        while new:
            for alias in aliases.get(new.pop(), ()):
                if alias not in found:
                    found.add(alias)
                    new.append(alias)
        return found

    def suspect(self, node: ast.expr) -> bool:
        """Return whether *node* may resolve to something of godefer."""
        root = root_name(node)
        return root is not None and root.id in self.suspects

    def suspect_nodes(self) -> Iterator[ast.expr]:
        """Yield every expression that may resolve to something of godefer.

        Such an expression is a name, or a chain of attributes and calls that begins with one.
        """
        for name in sorted(self.suspects):
            for node in self.name_nodes.get(name, ()):
                current: ast.AST = node
                while isinstance(current, ast.expr):
                    yield current
                    outer = self.parents[current]
                    chained = (isinstance(outer, ast.Attribute) and outer.value is current) or (
                        isinstance(outer, ast.Call) and outer.func is current
                    )
                    if not chained:
                        break
                    current = outer

    # Resolving names

    def owner(self, name: str, scope: Scope | None) -> Scope | None:
        """Return the scope that owns *name*, seen from *scope*; None if none binds it."""
        if scope is None:
            return None
        for outer in scope.enclosing():
            if outer.declared.get(name) == "Global":
                return self.module if name in self.module.bindings else None
            if name in outer.bindings and (outer.kind != "class" or outer is scope):
                return outer
        return None

    def bindings(self, name: str, scope: Scope) -> list[Binding]:
        """Return all bindings of the variable *name*, seen from *scope*."""
        owner = self.owner(name, scope)
        return owner.bindings[name] if owner is not None else []

    def path(self, node: ast.expr, scope: Scope | None = None) -> str | None:
        """Return the dotted path that *node* resolves to; None if it is not certain.

        Examples are ``godefer.defer``, ``os._exit`` and ``builtins.print``.
        """
        scope = scope or self.scopes.get(node) or self.module
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        base: str | None = None
        if isinstance(node, ast.Name):
            base = self._name_path(node.id, scope)
        elif isinstance(node, ast.Call) and dotted(node.func) is not None:
            makes_scope = self.path(node.func, scope) in {"godefer.defer_scope", f"{SCOPE}.detach"}
            base = SCOPE if makes_scope else None
        return base and ".".join([base, *reversed(attributes)])

    def _name_path(self, name: str, scope: Scope) -> str | None:
        if (name, scope) not in self._paths:
            self._paths[name, scope] = None  # the result if the search comes back to this name
            self._depth += 1
            if self._depth < _LONGEST_CHAIN:
                self._paths[name, scope] = self._find_path(name, scope)
            self._depth -= 1
        return self._paths[name, scope]

    def _find_path(self, name: str, scope: Scope) -> str | None:
        owner = self.owner(name, scope)
        if owner is None:
            origins = {origin for origin, _ in self._star_imports}
            if origins == {"godefer"} and name in EXPORTS:
                return f"godefer.{name}"
            return (
                f"builtins.{name}"
                if not origins - {"godefer"} and hasattr(builtins, name)
                else None
            )
        if owner is not scope:
            return self._name_path(name, owner)
        path = self._binding_path(owner.bindings[name][0])
        if any(path is None or self._binding_path(other) != path for other in owner.bindings[name]):
            return None
        if path is not None and owner is self.module:
            first = min(getattr(binding.node, "lineno", 0) for binding in owner.bindings[name])
            if any(origin != "godefer" and line > first for origin, line in self._star_imports):
                return None  # the star import may bind it again
        return path

    def _binding_path(self, binding: Binding) -> str | None:
        if binding.kind == "import":
            return binding.path
        if binding.kind not in {"assign", "with"} or binding.value is None:
            return None
        path = self.path(binding.value, binding.scope)
        # Only a defer_scope is known to return itself from __enter__.
        return path if binding.kind == "assign" or path == SCOPE else None

    def imported(self, node: ast.expr) -> bool:
        """Return whether *node* begins with a name that may come from another module.

        The modules of the standard library and of godefer do not count.
        """
        while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
            node = node.func if isinstance(node, ast.Call) else node.value
        if not isinstance(node, ast.Name):
            return False
        found = self.bindings(node.id, self.scopes[node])
        if not found:
            return any(origin != "godefer" for origin, _ in self._star_imports) or not hasattr(
                builtins, node.id
            )
        known = {*sys.stdlib_module_names, "godefer"}
        return any(b.kind == "import" and b.path.partition(".")[0] not in known for b in found)

    def definition(self, node: ast.expr) -> FunctionOrLambda | None:
        """Return the function of this module that *node* must be; None if it is not certain.

        *node* is a lambda, the function's name, or ``self.name`` in a method.
        """
        if isinstance(node, ast.Lambda):
            return node
        if isinstance(node, ast.Name):
            return _only_function(self.bindings(node.id, self.scopes[node]))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            cls = self._class_of_self(node.value)
            if cls is not None:
                return _only_function(cls.bindings.get(node.attr, []))
        return None

    def _class_of_self(self, node: ast.Name) -> Scope | None:
        """Return the class of a method, if *node* is the method's first parameter."""
        found = self.bindings(node.id, self.scopes[node])
        if len(found) != 1 or found[0].kind != "parameter":
            return None
        method = self.owner(node.id, self.scopes[node])
        if method is None or method.parent is None or method.parent.kind != "class":
            return None
        function = method.node
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return None
        if any(
            self.path(decorator) == "builtins.staticmethod" for decorator in function.decorator_list
        ):
            return None
        positional = [*function.args.posonlyargs, *function.args.args]
        return method.parent if positional and positional[0] is found[0].node else None

    def uses(self, function: FunctionOrLambda) -> list[ast.expr] | None:
        """Return every expression of this module that reads *function*.

        Return None for a method, and for a lambda without a name: their uses are unknown.
        """
        if isinstance(function, ast.Lambda):
            parent = self.parents[function]
            target = (
                parent.targets[0]
                if isinstance(parent, ast.Assign) and len(parent.targets) == 1
                else None
            )
            if not isinstance(target, ast.Name):
                return None
            name = target.id
        else:
            name = function.name
        scope = self.scopes[function]
        if scope.kind == "class":
            return None
        return [node for node in self.mentions(name, scope) if isinstance(node.ctx, ast.Load)]

    def mentions(self, name: str, scope: Scope) -> list[ast.Name]:
        """Return every node of the module that names the variable *name* of *scope*."""
        owner = self.owner(name, scope)
        return [
            node
            for node in self.name_nodes.get(name, [])
            if self.owner(name, self.scopes[node]) is owner
        ]


def _only_function(bindings: list[Binding]) -> FunctionOrLambda | None:
    if len(bindings) != 1:
        return None
    binding = bindings[0]
    if isinstance(binding.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return binding.node
    return (
        binding.value
        if binding.kind == "assign" and isinstance(binding.value, ast.Lambda)
        else None
    )
