"""The instruction under way tells which name is called (D3): against the source of the standard library."""

import ast
import os
import sys
import types
from pathlib import Path

import pytest

from godefer._runtime.call_sites import _Instructions

LIBRARY = Path(os.__file__).parent
MODULES = [
    "argparse",
    "ast",
    "contextlib",
    "copy",
    "dataclasses",
    "fractions",
    "ftplib",
    "functools",
    "inspect",
]
MODULES += ["mailbox", "asyncio/base_events", "asyncio/tasks", "asyncio/sslproto", "email/message"]

pytestmark = pytest.mark.skipif(
    sys.implementation.name != "cpython",
    reason="the code of another interpreter is not looked into",
)


def dotted(node):
    """The parts of a name; None if the expression is none."""
    if isinstance(node, ast.Name):
        return (node.id,)
    inner = dotted(node.value) if isinstance(node, ast.Attribute) else None
    return inner and (*inner, node.attr)


def code_objects(code):
    yield code
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield from code_objects(const)


def same(found, expected):
    """Whether they are the same names, but for what the compiler does to private ones."""
    return len(found) == len(expected) and all(
        a == b or a.endswith(b) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("module", MODULES)
def test_names_of_calls(module):
    """A call of a name is known by that name, and a call of an expression by none (D3)."""
    text = (LIBRARY / f"{module}.py").read_text(encoding="utf-8")
    tree = ast.parse(text)
    calls = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            place = node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
            calls.setdefault(place, []).append(node)
    decorators = {id(d) for node in ast.walk(tree) for d in getattr(node, "decorator_list", ())} | {
        id(i.context_expr) for node in ast.walk(tree) for i in getattr(node, "items", ())
    }
    named = 0
    for code in code_objects(compile(text, module, "exec", dont_inherit=True)):
        instructions, places = _Instructions(code), list(code.co_positions())
        for offset, (name, _, _) in zip(instructions._offsets, instructions._ops, strict=True):
            here = calls.get(places[offset // 2], ())
            if not name.startswith("CALL") or "INTRINSIC" in name or len(here) != 1:
                continue
            [call] = here
            # The results of these are called as well, with the same place.
            if id(call) in decorators or any(isinstance(a, ast.GeneratorExp) for a in call.args):
                continue
            found, expected = instructions.callee(offset), dotted(call.func)
            said = f"{module}:{call.lineno}: {ast.unparse(call)[:100]}"
            if expected is None:
                assert found is None, said
            else:
                assert found is not None, said
                assert same(found, expected), said
                named += 1
    assert named > 50
