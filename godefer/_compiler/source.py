"""From a code object to its verified source: the AST of the very function, or the reason why it cannot be had.

`inspect.getsource` follows ``__wrapped__``, tokenizes, and returns whatever the file holds by now. Here the search starts from the code object,
and what is found is trusted only after a proof: the unmodified text, compiled once more among skeletons of the scopes that its
qualified name tells of, must give an equal code object. An edited file, a function made by exec, or one that another tool has
rewritten (pytest's assertions, for one) fails the proof, and the function is run the runtime way.

Only the function's own lines are parsed, not its module: from the code's first line to the last one that its instructions name, and on
over blank, comment and deeper lines. That costs the same in a file of five thousand lines. An indented function is parsed below
``if 1:`` and never dedented, which would change its multi-line strings.

The compiler also looks at the module around: ``X.m()`` is compiled as the call of an attribute, not of a method, if the module imports
``X``. So the skeletons stand below imports of the names that the function uses and that look imported; if the proof fails, the original's
instructions tell which were. A module-level ``super`` fails the proof, which is safe.
"""

from __future__ import annotations
import __future__ as futures

import ast
import linecache
import sys
import warnings
from _thread import RLock  # threading takes longer to import
from types import CodeType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Function = ast.FunctionDef | ast.AsyncFunctionDef

_NESTED = 0x10  # inspect.CO_NESTED
_ITERABLE_COROUTINE = (
    0x100  # inspect.CO_ITERABLE_COROUTINE: set by types.coroutine, after compilation
)
_NOWHERE: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
_FUTURES = 0
for _feature in futures.all_feature_names:
    _FUTURES |= getattr(futures, _feature).compiler_flag


class Source:
    """A function's definition, and how to compile it, or another body for it, where it stands."""

    def __init__(self, code: CodeType, node: Function, shift: int, imports: Iterable[str]) -> None:
        self.code = code
        self.node = node
        self.shift = shift  # what to add to the lines of node
        self.imports = list(imports)

    def compile(self) -> CodeType:
        """The code of the function as its definition now is. Raises SyntaxError, as `compile` does."""
        code = self.code
        imports: list[ast.stmt] = [
            ast.Import([ast.alias(name, **_NOWHERE)], **_NOWHERE) for name in self.imports
        ]
        module = ast.Module([*imports, skeleton(self.node, code)], [])
        compiled = _compile_quietly(module, code.co_filename, code.co_flags & _FUTURES)
        for candidate in _codes(compiled):
            first = candidate.co_firstlineno + self.shift
            if candidate.co_qualname == code.co_qualname and first == code.co_firstlineno:
                moved = _moved(candidate, self.shift)
                return moved.replace(
                    co_flags=moved.co_flags | (code.co_flags & _ITERABLE_COROUTINE)
                )
        msg = f"{code.co_qualname} is not found where its name says"
        raise SyntaxError(msg)


def _compile_quietly(source: Any, filename: str, flags: int) -> Any:
    """`compile`, without the warnings: it has said them all when the function was first compiled.

    Under a lock, since two threads that change the warning filters at once may each put back what the other has set.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return compile(source, filename, "exec", flags, dont_inherit=True)


_FILTERS = RLock()


def _moved(code: CodeType, by: int) -> CodeType:
    """*code*, and the code in it, that many lines further down."""
    consts = tuple(
        _moved(const, by) if isinstance(const, CodeType) else const for const in code.co_consts
    )
    return code.replace(co_firstlineno=code.co_firstlineno + by, co_consts=consts)


def find(code: CodeType, module_globals: dict[str, Any]) -> Source | str:
    """The verified source of *code*; or the reason why there is none.

    Args:
        code: The function's code.
        module_globals: The function's globals, by which a loader (zipimport's, for one) is asked for a source that is in no file.
    """
    linecache.checkcache(code.co_filename)
    lines = linecache.getlines(code.co_filename, module_globals)
    if not lines:
        return f"the source of {code.co_filename} is not available"
    if code.co_firstlineno > len(lines):
        return f"{code.co_filename} has no line {code.co_firstlineno}: it was edited"
    parsed = parse(lines, code)
    if isinstance(parsed, str):
        return parsed
    for imported in (_look_imported, _are_imported):
        source = Source(code, *parsed, imported(code, module_globals))
        try:
            again = source.compile()
        except SyntaxError as e:
            return f"its source does not compile on its own: {e.msg}"
        if _equal(again, code):
            return source
    return (
        f"{code.co_filename} no longer holds, at line {code.co_firstlineno}, the source of the function that runs: "
        f"it was edited, or another tool has rewritten the code"
    )


def _equal(one: CodeType, other: CodeType) -> bool:
    return (
        one == other
        and one.co_linetable == other.co_linetable
        and one.co_exceptiontable == other.co_exceptiontable
        and one.co_freevars == other.co_freevars
    )


def _look_imported(code: CodeType, module_globals: dict[str, Any]) -> Iterator[str]:
    """The names in *code* that mean, in its module, what comes from elsewhere: a guess, but a cheap one.

    Its local names are among them: the compiler asks only whether the module imports a name, not what it means in the function.
    """
    here = module_globals.get("__name__")
    for name in {
        name
        for part in (code, *_codes(code))
        for name in (*part.co_names, *part.co_varnames, *part.co_freevars)
    }:
        value = module_globals.get(name)
        if isinstance(value, ModuleType) or getattr(value, "__module__", here) != here:
            yield name


_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")


def _are_imported(code: CodeType, _: dict[str, Any]) -> set[str]:
    """The names in *code* whose methods it calls as the compiler has it done for imported names."""
    import dis  # noqa: PLC0415  # slow to import, and rarely needed

    attributes, methods = set(), set()
    for part in (code, *_codes(code)):
        previous = None
        for instruction in dis.get_instructions(part):
            if previous is not None:
                if instruction.opname == "LOAD_METHOD" or "|self" in instruction.argrepr:
                    methods.add(previous)
                elif instruction.opname == "LOAD_ATTR":
                    attributes.add(previous)
            previous = instruction.argval if instruction.opname.startswith(_LOADS) else None
            if isinstance(previous, tuple):  # two at once, since 3.13
                previous = previous[-1]
    return attributes - methods


def parse(lines: list[str], code: CodeType) -> tuple[Function, int] | str:
    """The definition that begins at the code's first line, and by how much its lines are too low.

    It is left so: code has its lines relative to its first one, so that moving the compiled code costs next to nothing. Parsing below so many
    empty lines, or moving the nodes, takes three times as long as parsing.
    """
    first = code.co_firstlineno - 1
    indent = _indent(lines[first])
    last = max(first + 1, last_line(code))
    while last < len(lines) and (
        not lines[last].strip() or _indent(lines[last]) > indent or _is_comment(lines[last])
    ):
        last += 1
    text = "".join(lines[first:last])
    prefix = "if 1:\n" if indent else ""
    try:
        tree = _compile_quietly(prefix + text, code.co_filename, ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError):
        return f"the lines from {first + 1} of {code.co_filename} are not a definition that can be parsed on its own"
    body = tree.body
    if len(body) == 1 and isinstance(body[0], ast.If):
        body = body[0].body
    if not body or not isinstance(body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return "it is not made by a `def` statement at the beginning of a line"
    shift = first - 1 if indent else first
    if (
        sys.version_info >= (3, 13) and "class" in text
    ):  # the code of a class has its line as a constant, too
        ast.increment_lineno(body[0], shift)
        shift = 0
    return body[0], shift


def last_line(code: CodeType) -> int:
    """The last line that an instruction of *code*, or of code inside it, comes from."""
    last = max(
        (end for _, end, _, _ in code.co_positions() if end is not None),
        default=code.co_firstlineno,
    )
    return max(
        [last, *(last_line(inner) for inner in code.co_consts if isinstance(inner, CodeType))]
    )


def skeleton(node: ast.stmt, code: CodeType) -> ast.stmt:
    """*node* inside of empty scopes as the code's qualified name tells, so that its names mean what they meant.

    A class gives private names and ``__class__``; an enclosing function binds, as its parameters, what the function takes from outside.
    """
    parts = code.co_qualname.split(".")[:-1]
    functions = [i for i, part in enumerate(parts) if part == "<locals>"]
    outside = [name for name in code.co_freevars if name != "__class__"]
    i = len(parts) - 1
    while i >= 0:
        if parts[i] == "<locals>":
            i -= 1
            names = outside if i + 1 == functions[0] else []
            parameters = ast.arguments(
                [], [ast.arg(name, None, **_NOWHERE) for name in names], None, [], [], None, []
            )
            node = _define(ast.FunctionDef, parts[i], parameters, [node])
        else:
            node = _define(ast.ClassDef, parts[i], None, [node])
            # A generic class (PEP 695), whose method is nested in the scope of its parameters, used or not.
            if i == 0 and sys.version_info >= (3, 12) and not functions and code.co_flags & _NESTED:
                node.type_params = [
                    ast.TypeVar(name, None, **_NOWHERE) for name in outside or ["_"]
                ]
        i -= 1
    return node


def _define(kind: Any, name: str, parameters: ast.arguments | None, body: list[ast.stmt]) -> Any:
    if parameters is None:
        node = kind(name, [], [], body, [], **_NOWHERE)
    else:
        node = kind(name, parameters, body, [], None, None, **_NOWHERE)
    if sys.version_info >= (3, 12):
        node.type_params = []
    return node


def _codes(code: CodeType) -> Iterator[CodeType]:
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield inner
            yield from _codes(inner)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" \t\f"))


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")
