"""``python -m godefer compile``: write the cache files of modules that are not imported (C4).

The checker's code resolves the names. If a name means something else when the module runs, the
cache entry does not count (C2), and the function is compiled at that time.
"""

from __future__ import annotations

import ast
import marshal
import os
from types import CellType, CodeType, FunctionType, ModuleType
from typing import NamedTuple

import godefer
from godefer import _cache, _errors
from godefer._compiler.compile import compile_function
from godefer._compiler.quiet import compile_quietly
from godefer._resolve import outer_names
from godefer._runtime import wrapper
from godefer.lint._module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from godefer._decision import Lowered, Result
    from godefer._resolve import ResolvedNames
    from godefer.lint._bindings import Scope
    from godefer.lint._tree import FunctionNode

_STATEMENTS = ("defer", "errdefer", "okdefer", "using", "ausing")


class Report(NamedTuple):
    """The outcome for one file.

    Attributes:
        path: The file.
        compiled: The number of its functions that were compiled now.
        fresh: The number of those that the cache file had already.
        problems: A line for each problem: the place, and the reason.
    """

    path: str
    compiled: int
    fresh: int
    problems: list[str]


def source_files(paths: Iterable[str]) -> Iterator[str]:
    """Yield each file of *paths*, and the Python files in and below each directory of *paths*."""
    for path in paths:
        if not os.path.isdir(path):  # noqa: PTH112  # paths stay as they are given
            yield path
            continue
        for folder, inner, files in os.walk(path):
            inner[:] = sorted(name for name in inner if name != "__pycache__")
            for name in sorted(files):
                if name.endswith(".py"):
                    yield os.path.join(folder, name)  # noqa: PTH118


def compile_file(path: str, *, check: bool = False) -> Report:
    """Compile the decorated functions of a file, and write its cache file.

    Args:
        path: The file.
        check: Compile nothing and write nothing. A function that the cache file does not have is a
            problem.

    Raises:
        OSError: The file cannot be read.
    """
    with open(path, "rb") as opened:  # noqa: PTH123
        data = opened.read()
    if b"godefer" not in data:
        return Report(path, 0, 0, [])
    source = os.path.abspath(path)  # noqa: PTH100
    try:
        code = compile_quietly(data, source, 0)
        tree = compile_quietly(data, source, ast.PyCF_ONLY_AST)
    except SyntaxError as error:
        return Report(path, 0, 0, [f"{path}:{error.lineno or 1}: {error.msg}"])
    except (MemoryError, RecursionError, ValueError) as error:
        return Report(path, 0, 0, [f"{path}:1: {error or type(error).__name__}"])
    return _Compilation(path, source, code, tree).run(check=check)


class _Compilation:
    """The compilation of one module."""

    def __init__(self, path: str, source: str, code: CodeType, tree: ast.Module) -> None:
        self.path = path
        self.file = _cache.file_for(source)
        self.module = Module(tree)
        self.codes: dict[tuple[str, int], CodeType] = {}
        self._find_codes(code)
        imported = (
            name
            for name, bindings in self.module.module.bindings.items()
            if any(binding.kind == "import" for binding in bindings)
        )
        self.globals = {name: ModuleType(name) for name in imported}
        self.problems: list[str] = []

    def _find_codes(self, code: CodeType) -> None:
        for const in code.co_consts:
            if isinstance(const, CodeType):
                self.codes[const.co_name, const.co_firstlineno] = const
                self._find_codes(const)

    def run(self, *, check: bool) -> Report:
        """Compile the functions that the cache file lacks; if *check* is true, only report them."""
        compiled = fresh = 0
        if self.file is None:
            return Report(self.path, 0, 0, [f"{self.path}:1: there is no place for its cache file"])
        for node, result in self._decorated():
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            code = self.codes.get((node.name, first))
            if code is None:  # the interpreter compiles no code for a block such as `if 0:`
                continue
            resolved = self._resolve(node, code)
            if result is None and not any(resolved):
                continue
            found = self.file.find(code, resolved, result)
            if found is not None:
                fresh += 1
                if not check:
                    self._report(code, found[0])
            elif check:
                self._problem(code, "the cache file does not have it")
            else:
                compiled += self._compile(code, resolved, result)
        if compiled and not self.file.write():
            self.problems.append(f"{self.path}:1: {self.file.path} could not be written")
        return Report(self.path, compiled, fresh, self.problems)

    def _compile(self, code: CodeType, resolved: ResolvedNames, result: Result) -> bool:
        """Compile one function. Return whether there is something to write."""
        assert self.file is not None  # noqa: S101  # for the type checker
        if result is not None:
            cells = tuple(CellType() for _ in code.co_freevars)
            error = _errors.bad_result(FunctionType(code, {}, closure=cells or None), result)
            if error is not None:
                self._problem(code, str(error))
                return False
        outcome, attributes = compile_function(code, self.globals, resolved, result)
        self._report(code, outcome)
        if attributes is None:
            return False
        data = _cache.entry_of(code, resolved, attributes, result, outcome)
        if data is None:  # a result that is no literal: it was reported
            return False
        self.file.add(_cache.key_of(code), data)
        if isinstance(outcome, str):
            key = _cache.template_key(wrapper.shape_of(code))
            self.file.add(key, marshal.dumps(wrapper.compile_template(code)))
        return True

    def _report(self, code: CodeType, outcome: Lowered | str) -> None:
        if isinstance(outcome, str):
            self._problem(code, f"it is run the runtime way, because {outcome}")

    def _problem(self, code: CodeType, text: str) -> None:
        self.problems.append(f"{self.path}:{code.co_firstlineno}: {code.co_qualname}: {text}")

    def _decorated(self) -> Iterator[tuple[FunctionNode, Result]]:
        """Yield the functions that `with_defers` decorates, with their named results."""
        module = self.module
        for node in module.scopes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for decorator in node.decorator_list:
                    if self._is_with_defers(decorator):
                        yield from self._with_result(node, decorator)
                        break
            elif isinstance(node, ast.Call) and self._is_with_defers(node.func):
                for argument in node.args:
                    for function in self._functions(argument):
                        yield from self._with_result(function, node.func)

    def _functions(self, argument: ast.expr) -> Iterator[FunctionNode]:
        """Yield the functions that a name can mean."""
        if isinstance(argument, ast.Name):
            for binding in self.module.bindings(argument.id, self.module.scopes[argument]):
                if isinstance(binding.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    yield binding.node

    def _with_result(
        self, node: FunctionNode, decorator: ast.expr
    ) -> Iterator[tuple[FunctionNode, Result]]:
        keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
        try:
            results = [ast.literal_eval(word.value) for word in keywords if word.arg == "result"]
        except ValueError:
            self.problems.append(
                f"{self.path}:{node.lineno}: {node.name}: its result is no literal; "
                f"it is compiled when the module is imported"
            )
            return
        yield node, results[0] if results else None

    def _resolve(self, node: FunctionNode, code: CodeType) -> ResolvedNames:
        """Return the names of a function, as `resolve_names` does at its decoration."""
        statements: list[tuple[str, str]] = []
        modules: list[tuple[str, ModuleType]] = []
        for name in outer_names(code):
            path = self._path(ast.Name(name, ast.Load()), self.module.scope_of_function[node])
            _, _, attribute = path.rpartition(".")
            if attribute in _STATEMENTS:
                statements.append((name, attribute))
            elif path == "godefer":
                modules.append((name, godefer))
        return tuple(statements), tuple(modules)

    def _is_with_defers(self, node: ast.expr) -> bool:
        called = node.func if isinstance(node, ast.Call) else node
        return self._path(called, self.module.scopes[called]).endswith(".with_defers")

    def _path(self, node: ast.expr, scope: Scope) -> str:
        """Return the path of the object that a name means, such as ``godefer.defer``, or "".

        This can be a guess, as for a name that is imported in a `try`. A wrong guess does no harm:
        an entry counts only if the names mean the same at run time.
        """
        found = self.module.path(node, scope)
        if found is None and isinstance(node, ast.Name):
            bindings = self.module.bindings(node.id, scope)
            paths = {binding.path for binding in bindings if binding.kind == "import"}
            found = paths.pop() if len(paths) == 1 else None
        return found or ""
