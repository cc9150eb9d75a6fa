"""The current instruction tells the called name (D3), checked on the standard library's source."""

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
    """Return the parts of a dotted name; None for other expressions."""
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
    """Return whether both are the same names, allowing for the compiler's mangling."""
    return len(found) == len(expected) and all(
        a == b or a.endswith(b) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("module", MODULES)
def test_names_of_calls(module):
    """A call of a name is known by that name; a call of another expression has no name (D3)."""
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
            # The results of decorators and `with` are called at the same place as the call itself.
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
