"""Modules whose source another tool has rewritten before it was compiled (R6).

pytest rewrites `assert` statements. godefer applies the same rewriting to the source of a function.
Then the source can be compared with the function's code, and the lowered code has pytest's
introspection, too. pytest need not be imported: a module that it has rewritten has imported it.

Other tools are only named, in the reason that `explain` gives.
"""

from __future__ import annotations

import _ast as ast
import sys

from godefer._compiler.quiet import Quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import CodeType
    from typing import Any

_PYTEST = "_pytest.assertion.rewrite"


def rewritten_by_pytest(module_globals: dict[str, Any]) -> bool:
    """Return whether pytest has rewritten the assertions of the module with these globals."""
    return "@pytest_ar" in module_globals and _PYTEST in sys.modules


def rewrite_assertions(definition: ast.stmt, filename: str, lines: list[str]) -> None:
    """Rewrite the assertions in *definition* as pytest does.

    Args:
        definition: The function, in the scopes around it. It has the lines of the file.
        filename: The file.
        lines: All lines of the file. pytest gives the text of assertions to a hook of its plugins.
    """
    pytest: Any = sys.modules[_PYTEST]
    finders: list[Any] = sys.meta_path
    hooks = (hook for hook in finders if isinstance(hook, pytest.AssertionRewritingHook))
    config = next((hook.config for hook in hooks), None)
    with Quiet(filename):  # pytest warns of an assertion that is always true
        module = ast.Module([definition], [])
        pytest.rewrite_asserts(module, "".join(lines).encode(), filename, config)


def rewriting_tool(code: CodeType, module_globals: dict[str, Any]) -> str:
    """Return the name of the tool that seems to have rewritten *code*, or ""."""
    names = list(_names(code))
    for tool in ("typeguard", "beartype"):
        if any(tool in name for name in names):
            return tool
    if rewritten_by_pytest(module_globals):
        return "pytest"
    loader = type(getattr(module_globals.get("__spec__"), "loader", None)).__module__
    package = loader.partition(".")[0]
    # PyPy does not count the module of the usual loader among the standard library's.
    standard = {*sys.stdlib_module_names, "builtins", "_frozen_importlib_external"}
    return "" if package in standard else package


_KEEP_NO_SOURCE = {"<timed exec>": "IPython's %%time", "<magic-timeit>": "IPython's %%timeit"}


def missing_source(filename: str) -> str:
    """Return the reason that names a file whose source is missing."""
    tool = _KEEP_NO_SOURCE.get(filename)
    kept = f": {tool} keeps none" if tool else ""
    return f"the source of {filename} is not available{kept}"


def _names(code: CodeType) -> Iterable[str]:
    yield from code.co_names
    for const in code.co_consts:
        if hasattr(const, "co_names"):
            yield from _names(const)
