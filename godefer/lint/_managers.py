"""Recognize expressions that make context managers, for `with` or for `async with`."""

from __future__ import annotations

import ast

from godefer.lint._resources import OPENING_FUNCTIONS
from godefer.lint._types import class_of, made_by

TYPE_CHECKING = False
if TYPE_CHECKING:
    from godefer.lint._module import Module

# Functions and classes whose objects have no `with` of their own.
_WITHOUT_WITH = frozenset(
    {
        "asyncio.open_connection",
        "asyncpg.connect",
        "http.client.HTTPConnection",
        "http.client.HTTPSConnection",
        "os.open",
        "tempfile.mkdtemp",
    }
)
# Functions and classes of libraries that make a context manager for `with`.
SYNC = frozenset(
    {
        *OPENING_FUNCTIONS - _WITHOUT_WITH - {"aiofiles.open"},
        *(
            f"contextlib.{name}"
            for name in (
                "ExitStack",
                "chdir",
                "closing",
                "redirect_stderr",
                "redirect_stdout",
                "suppress",
            )
        ),
        "concurrent.futures.ProcessPoolExecutor",
        "concurrent.futures.ThreadPoolExecutor",
        "decimal.localcontext",
        "os.scandir",
        "tempfile.TemporaryDirectory",
        "threading.Condition",
        "threading.Lock",
        "threading.RLock",
        "threading.Semaphore",
        "unittest.mock.patch.dict",
        "unittest.mock.patch.object",
        "urllib.request.urlopen",
        "warnings.catch_warnings",
    }
)
ASYNC = frozenset(
    {
        *(
            f"asyncio.{name}"
            for name in (
                "BoundedSemaphore",
                "Condition",
                "Lock",
                "Semaphore",
                "TaskGroup",
                "timeout",
                "timeout_at",
            )
        ),
        "aiofiles.open",
        "aiohttp.ClientSession",
        "contextlib.AsyncExitStack",
        "contextlib.aclosing",
        "httpx.AsyncClient",
    }
)
_MAKERS = {
    "contextlib.contextmanager": "sync",
    "contextlib.asynccontextmanager": "async",
}


def maker(module: Module, function: ast.expr) -> str:
    """Return the kind of context manager that *function* makes: "sync", "async" or ""."""
    path = module.path(function) or ""
    if path in SYNC:
        return "sync"
    if path in ASYNC:
        return "async"
    definition = module.definition(function)
    if isinstance(definition, (ast.FunctionDef, ast.AsyncFunctionDef)):
        kinds = [_MAKERS.get(module.path(d) or "", "") for d in definition.decorator_list]
        return kinds[0] if len(kinds) == 1 else ""
    cls = class_of(module, function)
    return _kind_of_class(module, cls) if cls is not None else ""


def _kind_of_class(module: Module, cls: ast.ClassDef) -> str:
    if cls.bases or cls.keywords or cls.decorator_list:
        return ""
    names = module.scope_of_function[cls].bindings
    enters, awaits = "__enter__" in names, "__aenter__" in names
    return "sync" if enters and not awaits else "async" if awaits and not enters else ""


def manager(module: Module, node: ast.expr) -> str:
    """Return the kind of the context manager *node*: "sync", "async", or "" if it is unknown."""
    if isinstance(node, ast.Call):
        return maker(module, node.func)
    made = made_by(module, node, itself=True)
    if made in SYNC:
        return "sync"
    if made in ASYNC:
        return "async"
    if made.startswith("."):
        found = module.module.bindings.get(made[1:], [])
        if len(found) == 1 and isinstance(found[0].node, ast.ClassDef):
            return _kind_of_class(module, found[0].node)
    return ""
