"""Turn the `with` and `finally` of real code into defers, and check the result.

The code does the same as before. So each finding is a false alarm, or a mistake in the real code:

    python -m tests.lint.converted PATH... [--write DIRECTORY]

A `with`, or a `try` that has only a `finally`, becomes `using`, `ausing` or `defer` at the very end
of a function. Anywhere else it becomes a block of a `defer_scope`.
"""

import argparse
import ast
import collections
import sys
import warnings
from pathlib import Path

from godefer.lint import check_source

NAMES = ("defer", "defer_scope", "using", "ausing", "with_defers")


class Converter(ast.NodeTransformer):
    """A transformer that converts a module, and counts the statements that it writes."""

    def __init__(self):
        self.count = 0
        self.depth = 0

    # Functions, and their last statements

    def visit_FunctionDef(self, node):
        return self._function(node)

    def visit_AsyncFunctionDef(self, node):
        return self._function(node)

    def _function(self, node):
        before = self.count
        node.body = self._tail(node.body, node)
        if self.count > before:
            node.decorator_list.append(_name("with_defers"))
        own = node.body
        node.body = []
        for statement in own:
            converted = self.visit(statement)
            node.body += converted if isinstance(converted, list) else [converted]
        return node

    def _tail(self, block, function):
        """Convert the last statement of *block*, if the function ends after it."""
        last = block[-1]
        if isinstance(last, ast.If):
            last.body = self._tail(last.body, function)
            if last.orelse:
                last.orelse = self._tail(last.orelse, function)
        elif isinstance(last, (ast.With, ast.AsyncWith)):
            statements = [self._entering(item, last, "") for item in last.items]
            self.count += len(statements)
            return [*block[:-1], *statements, *self._tail(last.body, function)]
        elif _only_finally(last) and (calls := self._deferred(last.finalbody, function)):
            statements = [_statement("defer", call) for call in reversed(calls)]
            self.count += len(statements)
            return [*block[:-1], *statements, *self._tail(last.body, function)]
        return block

    # Statements elsewhere

    def visit_With(self, node):
        return self._block(node)

    def visit_AsyncWith(self, node):
        return self._block(node)

    def _block(self, node):
        self.depth += 1
        scope = f"defer{self.depth}"
        entering = [self._entering(item, node, scope) for item in node.items]
        self.count += len(entering)
        node.body = [*entering, *self._visited(node.body)]
        self.depth -= 1
        call = ast.Call(_name("defer_scope"), [], [])
        node.items = [ast.withitem(call, ast.Name(scope, ast.Store()))]
        return node

    def visit_Try(self, node):
        self.generic_visit(node)
        calls = self._deferred(node.finalbody, None) if _only_finally(node) else []
        if not calls:
            return node
        self.depth += 1
        scope = f"defer{self.depth}"
        statements = [_statement(scope, call) for call in reversed(calls)]
        self.count += len(statements)
        self.depth -= 1
        item = ast.withitem(ast.Call(_name("defer_scope"), [], []), ast.Name(scope, ast.Store()))
        return ast.With([item], [*statements, *node.body])

    def _visited(self, block):
        found = []
        for statement in block:
            converted = self.visit(statement)
            found += converted if isinstance(converted, list) else [converted]
        return found

    def _entering(self, item, node, scope):
        """Return ``target = using(manager)``."""
        name = "using" if isinstance(node, ast.With) else "ausing"
        head = ast.Attribute(_name(scope), name, ast.Load()) if scope else _name(name)
        value = ast.Call(head, [item.context_expr], [])
        if name == "ausing":
            value = ast.Await(value)
        if item.optional_vars is None:
            return ast.Expr(value)
        return ast.Assign([item.optional_vars], value, lineno=node.lineno)

    @staticmethod
    def _deferred(block, function):
        """Return the calls of a `finally` clause; none if it does anything else."""
        calls = [
            s.value for s in block if isinstance(s, ast.Expr) and isinstance(s.value, ast.Call)
        ]
        if len(calls) != len(block):
            return []
        inner = [n for call in calls for n in ast.walk(call)]
        if any(isinstance(n, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)) for n in inner):
            return []
        if any(isinstance(n, ast.Call) and getattr(n.func, "id", "") == "super" for n in inner):
            return []
        return calls


def _only_finally(node):
    return isinstance(node, ast.Try) and node.finalbody and not node.handlers and not node.orelse


def _statement(head, call):
    """Return the statement that defers *call*; arguments are evaluated late, as in a `finally`."""
    function = call.func
    plain = isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
    constant = all(isinstance(a, ast.Constant) for a in call.args)
    if plain and constant and not call.keywords:
        return ast.Expr(ast.Call(_name(head), [function, *call.args], []))
    empty = ast.arguments([], [], None, [], [], None, [])
    return ast.Expr(ast.Call(_name(head), [ast.Lambda(empty, call)], []))


def _name(name):
    return ast.Name(name, ast.Load())


def convert(source):
    """Return the converted source, and the number of statements of godefer in it.

    Return None if there is nothing to convert, or if the module uses godefer's names.
    """
    tree = ast.parse(source)
    if any(isinstance(node, ast.Name) and node.id in NAMES for node in ast.walk(tree)):
        return None
    converter = Converter()
    tree = converter.visit(tree)
    if not converter.count:
        return None
    place = 0
    for statement in tree.body:
        docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        if not docstring and not future:
            break
        place += 1
    aliases = [ast.alias(name) for name in NAMES]
    tree.body.insert(place, ast.ImportFrom("godefer", aliases, 0))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n", converter.count


def convert_files(paths):
    """Yield the path, the converted source and the number of statements of each file."""
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                converted = convert(path.read_bytes())
                if converted is not None:
                    compile(converted[0], str(path), "exec", dont_inherit=True)
            except (SyntaxError, ValueError, RecursionError):
                continue  # no valid module, such as some test data of the standard library
        if converted is not None:
            yield path, *converted


def main():
    """Convert and check the Python files below the given paths."""
    parser = argparse.ArgumentParser(prog="python -m tests.lint.converted", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--write", type=Path, help="keep the converted files in this directory")
    options = parser.parse_args()
    files = statements = 0
    found = collections.Counter()
    for root in options.paths:
        paths = sorted(root.rglob("*.py")) if root.is_dir() else [root]
        for path, source, count in convert_files(paths):
            files += 1
            statements += count
            if options.write is not None:
                target = options.write / f"{files:05}_{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(source)
            for problem in check_source(source, str(path)):
                found[problem.code] += 1
                line = source.splitlines()[problem.line - 1].strip()
                print(f"{path}: {problem.code} {problem.message}\n    {line}")
    print(f"{files} files, {statements} statements of godefer: {sum(found.values())} findings")
    for code, count in sorted(found.items()):
        print(f"{code} {count}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
