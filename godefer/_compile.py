"""The compiler of open-coded functions: verified source, lowered, compiled, its marks replaced by what they stand for."""

from __future__ import annotations

import ast
import itertools
import re

from godefer._cold import RUNTIME
from godefer._leaving import FORGETS
from godefer._lower import NESTING, lower
from godefer._names import attribute
from godefer._scan import Names
from godefer._source import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._lower import Plan
    from godefer._names import Meaning
    from godefer._open import Result

_MARK = re.compile(f"'({'|'.join(RUNTIME)})'")
_ASYNC_GENERATOR = 0x200  # inspect.CO_ASYNC_GENERATOR


def compile_lowered(fn: FunctionType, meant: Meaning, result: Result) -> tuple[CodeType, Plan] | str:
    """The open-coded code of *fn* and its plan; or the reason why there is none."""
    code = fn.__code__
    if any(isinstance(const, str) and const in RUNTIME for const in code.co_consts):
        return "it holds a string that is one of the marks of lowered code"
    outcome = lowered(code, fn.__globals__, meant, result, want_text=False)
    if isinstance(outcome, str):
        return outcome
    made, plan, _ = outcome
    consts = tuple(RUNTIME.get(const, const) if type(const) is str else const for const in made.co_consts)
    # The flags of both: PyPy closes a generator that is dropped only if its code has a `yield` inside of a `try`, which lowering adds.
    return made.replace(co_consts=consts, co_flags=made.co_flags | code.co_flags), plan


def lowered(
    code: CodeType, module_globals: dict[str, Any], meant: Meaning, result: Result, *, want_text: bool = True
) -> tuple[CodeType, Plan, str] | str:
    """The lowered code, its marks not yet replaced, the plan, and the lowered source; or the reason why there is none."""
    reason = ""
    # Fewer, if the function's own blocks leave no room for more.
    for nesting, forgets in itertools.product((NESTING, 6, 5, 4, 3, 2, 1), FORGETS):
        source = find(code, module_globals)
        if isinstance(source, str):
            return source
        plan = lower(
            source.node,
            names_of(meant, source.shift),
            asynchronous_generator=bool(code.co_flags & _ASYNC_GENERATOR),
            result=result,
            nesting=nesting,
            forgets=forgets,
        )
        if isinstance(plan, str):
            return plan
        text = _MARK.sub(r"\1", ast.unparse(source.node)) if want_text else ""
        _keep_names(source.node, code)
        try:
            made = source.compile()
        except SyntaxError as e:
            reason = f"its lowered source does not compile: {e.msg}"
            continue
        if made.co_freevars != code.co_freevars:
            return "its lowered code would take other names from outside"
        return made, plan, text
    return reason


def names_of(meant: Meaning, shift: int) -> Names:
    """What the scanner needs to know of what the names mean."""
    statements, modules = dict(meant[0]), dict(meant[1])
    return Names(statements, frozenset(modules), lambda path: attribute(modules, path), shift)


def _keep_names(node: ast.FunctionDef | ast.AsyncFunctionDef, code: CodeType) -> None:
    """Mention the closure variables, of which `defer` itself may now be unused, so that the function keeps its cells."""
    kept: list[ast.stmt] = [ast.Expr(ast.Name(name, ast.Load())) for name in code.co_freevars if name != "__class__"]
    if kept:
        never = ast.If(ast.Constant(0), kept, [], lineno=-1, col_offset=-1, end_lineno=-1, end_col_offset=-1)
        node.body.append(ast.fix_missing_locations(never))
