"""Find the source of a function from its code, and prove that it is the source of that code.

*The proof.* The unmodified source is compiled again, inside of empty classes and functions: those
in the function's qualified name. That must give a code object equal to the function's own. The
proof fails for an edited file, for a function made by `exec`, and for code that a tool other than
pytest has rewritten (`rewritten`). Then the function runs the runtime way. Rejected:
`inspect.getsource`, which follows ``__wrapped__``, tokenizes, and returns the current text of the
file.

*The lines.* Only the lines of the function are parsed, so the length of the file does not matter.
They begin at the code's first line, and go to the last line of its instructions. Blank lines,
comments and deeper lines after that belong to them, too. An indented function is parsed below
``if 1:``. Dedenting would change its multi-line strings.

*The module.* The interpreter's compiler also looks at names of the module. If the module imports
``X``, then ``X.m()`` is compiled as the call of an attribute, and not of a method. So the names in
the function that seem to be imported are imported above it. If the proof fails, the imported names
are read from the instructions of the original, for a second try. Since 3.12, a module that mentions
``super`` itself has other instructions for ``super()``. The original's instructions show that, too.
"""

from __future__ import annotations
import __future__ as futures

import _ast as ast
import sys
from opcode import opmap
from types import CodeType, ModuleType

from godefer._compiler import rewritten, tree
from godefer._compiler.quiet import compile_quietly
from godefer._compiler.text import source_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Function = ast.FunctionDef | ast.AsyncFunctionDef

_NESTED = 0x10  # inspect.CO_NESTED
_ITERABLE_COROUTINE = 0x100  # inspect.CO_ITERABLE_COROUTINE: types.coroutine sets it later
_NOWHERE: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
_FUTURES = 0
for _feature in futures.all_feature_names:
    _FUTURES |= getattr(futures, _feature).compiler_flag


class Source:
    """The definition of a function, which can be changed and compiled where it is.

    Args:
        code: The function's code.
        node: Its definition.
        shift: The number to add to the lines of *node*.
        imports: The names that the module imports.
    """

    def __init__(self, code: CodeType, node: Function, shift: int, imports: Iterable[str]) -> None:
        self.code = code
        self.node = node
        self.shift = shift
        self.imports = list(imports)

    def compile(self) -> CodeType:
        """Return the code of the definition as it is now.

        Raises:
            SyntaxError: It does not compile.
        """
        code = self.code
        before: list[ast.stmt] = [
            ast.Import([ast.alias(name, **_NOWHERE)], **_NOWHERE) for name in self.imports
        ]
        if _super_is_plain(code):
            before.append(ast.Expr(ast.Name("super", ast.Load(), **_NOWHERE), **_NOWHERE))
        module = ast.Module([*before, _in_scopes(self.node, code)], [])
        compiled = compile_quietly(module, code.co_filename, code.co_flags & _FUTURES)
        for candidate in _codes(compiled):
            first = candidate.co_firstlineno + self.shift
            if candidate.co_qualname == code.co_qualname and first == code.co_firstlineno:
                moved = _move_down(candidate, self.shift)
                flags = moved.co_flags | (code.co_flags & _ITERABLE_COROUTINE)
                return moved.replace(co_flags=flags)
        msg = f"{code.co_qualname} is not found where its name says"
        raise SyntaxError(msg)


def _move_down(code: CodeType, lines: int) -> CodeType:
    """Return *code*, and the code inside of it, moved down by that many lines."""
    consts = tuple(
        _move_down(const, lines) if isinstance(const, CodeType) else const
        for const in code.co_consts
    )
    return code.replace(co_firstlineno=code.co_firstlineno + lines, co_consts=consts)


def find_source(code: CodeType, module_globals: dict[str, Any]) -> Source | str:
    """Return the verified source of *code*; or the reason why there is none.

    Args:
        code: The function's code.
        module_globals: The function's globals. The loader in them (zipimport's, for one) can have
            a source that is in no file.
    """
    lines = source_lines(code.co_filename, module_globals)
    if not lines:
        return rewritten.missing_source(code.co_filename)
    if code.co_firstlineno > len(lines):
        return f"{code.co_filename} has no line {code.co_firstlineno}: it was edited"
    parsed = _parse(lines, code)
    if isinstance(parsed, str):
        return parsed
    node, shift = parsed
    if rewritten.rewritten_by_pytest(module_globals):
        tree.move(node, shift)
        shift = 0
        rewritten.rewrite_assertions(_in_scopes(node, code), code.co_filename, lines)
    for imported in (_guess_imported, _imported):
        source = Source(code, node, shift, imported(code, module_globals))
        try:
            again = source.compile()
        except SyntaxError as e:
            return f"its source does not compile on its own: {e.msg}"
        if _equal(again, code):
            return source
    tool = rewritten.rewriting_tool(code, module_globals)
    return (
        f"{code.co_filename} no longer holds, at line {code.co_firstlineno}, "
        f"the source of the function that runs: "
        + (f"{tool} has rewritten it" if tool else "it was edited, or a tool has rewritten it")
    )


def _equal(one: CodeType, other: CodeType) -> bool:
    return (
        one == other
        and one.co_linetable == other.co_linetable
        and one.co_exceptiontable == other.co_exceptiontable
        and one.co_freevars == other.co_freevars
    )


def _guess_imported(code: CodeType, module_globals: dict[str, Any]) -> Iterator[str]:
    """Yield the names in *code* that seem to be imported: their value is from another module.

    This is a cheap guess. Local names count, too: the interpreter's compiler tests only whether the
    module imports a name.
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


def _super_is_plain(code: CodeType) -> bool:
    """Return whether *code* uses `super`, but never the instruction for it that 3.12 added."""
    parts = (code, *_codes(code))
    return (
        _LOAD_SUPER_ATTR is not None
        and any("super" in part.co_names for part in parts)
        and not any(_LOAD_SUPER_ATTR in part.co_code[::2] for part in parts)
    )


_LOAD_SUPER_ATTR = opmap.get("LOAD_SUPER_ATTR")
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF", "LOAD_CLASSDEREF")


def _imported(code: CodeType, _: dict[str, Any]) -> set[str]:
    """Return the names in *code* that its instructions treat as imported."""
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
            if isinstance(previous, tuple):  # one instruction loads two names, since 3.13
                previous = previous[-1]
    return attributes - methods


def _parse(lines: list[str], code: CodeType) -> tuple[Function, int] | str:
    """Return the definition at the code's first line, and the number to add to its lines.

    The compiled code is moved later. That costs next to nothing, because its lines are relative to
    the first one. Rejected: parsing below empty lines, or moving the nodes. Either takes three
    times as long as parsing.
    """
    first = code.co_firstlineno - 1
    indent = _indent(lines[first])
    parsed = _text_that_parses(lines, code, indent)
    if isinstance(parsed, str):
        return parsed
    text, module = parsed
    body = module.body
    if len(body) == 1 and isinstance(body[0], ast.If):
        body = body[0].body
    if not body or not isinstance(body[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return "it is not made by a `def` statement at the beginning of a line"
    shift = first - 1 if indent else first
    # Since 3.13, the code of a class has the number of its first line as a constant, which moving
    # the compiled code would not change.
    if sys.version_info >= (3, 13) and "class" in text:
        tree.move(body[0], shift)
        shift = 0
    return body[0], shift


def _text_that_parses(
    lines: list[str], code: CodeType, indent: int
) -> tuple[str, ast.Module] | str:
    """Return the text of the function and its tree; or the reason why it cannot be parsed."""
    first = code.co_firstlineno - 1
    last = max(first + 1, _last_line(code))
    for _ in range(_LONGEST_HEAD):
        while last < len(lines) and (
            not lines[last].strip() or _indent(lines[last]) > indent or _is_comment(lines[last])
        ):
            last += 1
        text = "".join(lines[first:last])
        try:
            whole = f"if 1:\n{text}" if indent else text
            return text, compile_quietly(whole, code.co_filename, ast.PyCF_ONLY_AST)
        except (SyntaxError, ValueError):
            # The code of a body without instructions may have no line but its first one. So the
            # definition may go on: add a line.
            if last >= len(lines) or _indent(lines[last]) < indent:
                break
            last += 1
    return (
        f"the lines from {first + 1} of {code.co_filename} "
        f"are not a definition that can be parsed on its own"
    )


# The limit of lines of decorators and parameters that are indented no further than `def`.
_LONGEST_HEAD = 20


def _last_line(code: CodeType) -> int:
    """Return the last line of the instructions of *code* and of the code inside of it."""
    last = max(
        (end for _, end, _, _ in code.co_positions() if end is not None),
        default=code.co_firstlineno,
    )
    inside = (_last_line(inner) for inner in code.co_consts if isinstance(inner, CodeType))
    return max([last, *inside])


def _in_scopes(node: ast.stmt, code: CodeType) -> ast.stmt:
    """Return *node* inside of the classes and functions in its qualified name.

    A class is needed for private names and for ``__class__``. The outermost function binds the
    closure variables, as its parameters.
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
            # The code is nested, though not in a function. So it is a method of a generic class
            # (PEP 695): it is nested in the scope of the type parameters.
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
    head = line[: len(line) - len(line.lstrip(" \t\f"))]
    return len(head.rpartition("\f")[2])  # the indent counts from the form feed


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")
