"""Known functions and methods: those that open a resource, close one, or log."""

from __future__ import annotations

import ast
import re

from godefer.lint._tree import default_values, dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode

# Methods that close. Their results without arguments cannot be called.
CLOSERS = frozenset(
    {
        "aclose",
        "cancel",
        "cleanup",
        "clear",
        "close",
        "commit",
        "disconnect",
        "dispose",
        "flush",
        "join",
        "kill",
        "logout",
        "quit",
        "release",
        "rmdir",
        "rollback",
        "server_close",
        "shutdown",
        "stop",
        "terminate",
        "unlink",
        "unlock",
        "wait",
        "wait_closed",
    }
)
OPENING_FUNCTIONS = frozenset(
    {
        "asyncio.open_connection",
        "builtins.open",
        "bz2.open",
        "codecs.open",
        "gzip.open",
        "io.open",
        "lzma.open",
        "os.open",
        "socket.create_connection",
        "socket.socket",
        "sqlite3.connect",
        "subprocess.Popen",
        "tarfile.open",
        "tempfile.NamedTemporaryFile",
        "tempfile.TemporaryFile",
        "tempfile.mkdtemp",
        "aiofiles.open",
        "asyncpg.connect",
        "ftplib.FTP",
        "http.client.HTTPConnection",
        "http.client.HTTPSConnection",
        "imaplib.IMAP4_SSL",
        "mmap.mmap",
        "psycopg.connect",
        "psycopg2.connect",
        "pymysql.connect",
        "shelve.open",
        "smtplib.SMTP",
        "smtplib.SMTP_SSL",
        "urllib.request.urlopen",
        "wave.open",
        "zipfile.ZipFile",
    }
)
# Other programs can see these resources: the end of a connection, the name of a temporary file.
_SEEN_BY_OTHERS = frozenset(
    {
        "asyncio.open_connection",
        "socket.create_connection",
        "socket.socket",
        "subprocess.Popen",
        "tempfile.NamedTemporaryFile",
        "tempfile.mkdtemp",
    }
)
# Functions that read or write a file, and do not keep it.
READERS = frozenset(
    {
        *(
            f"{module}.{name}"
            for module in ("json", "pickle", "marshal", "plistlib")
            for name in ("load", "dump")
        ),
        *(
            f"builtins.{name}"
            for name in ("list", "tuple", "set", "frozenset", "sorted", "next", "len")
        ),
        "hashlib.file_digest",
        "shutil.copyfileobj",
        *(f"os.{name}" for name in ("fstat", "fsync", "ftruncate", "lseek", "read", "write")),
        "tomllib.load",
    }
)
LOG_METHODS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "log"})
_LOGGERS = frozenset({"log", "logger", "logging", "lg"})
_DEEPEST = 3  # of functions that return the resource of another function
_FILE_MODE = re.compile(r"[rwxa][bt+]{0,2}\Z")


def opens(module: Module, value: ast.expr | None, depth: int = 0) -> bool:
    """Return whether *value* opens a file, a connection or another resource that needs closing."""
    call = value.value if isinstance(value, ast.Await) else value
    if not isinstance(call, ast.Call):
        return False
    if module.path(call.func) in OPENING_FUNCTIONS:
        return True
    function = module.definition(call.func)
    if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return depth < _DEEPEST and _returns_opened(module, function, depth)
    if (
        not isinstance(call.func, ast.Attribute)
        or call.func.attr != "open"
        or module.imported(call.func)
    ):
        return False
    # `path.open()`, `path.open("rb")`
    mode = call.args[0] if call.args else ast.Constant("r")
    return module.path(call.func) is None and (
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and bool(_FILE_MODE.match(mode.value))
    )


def _returns_opened(module: Module, function: FunctionNode, depth: int) -> bool:
    """Return whether *function*, which has no decorator, only returns a resource that it opens.

    Expressions may come before the `return`: a docstring, a call.
    """
    last = function.body[-1]
    others = [s for s in function.body[:-1] if not isinstance(s, ast.Expr)]
    plain = not function.decorator_list and not others and isinstance(last, ast.Return)
    return plain and opens(module, getattr(last, "value", None), depth + 1)


def opens_for_itself(module: Module, value: ast.expr | None) -> bool:
    """Return whether *value* opens a resource that no other program sees: it can close early."""
    call = value.value if isinstance(value, ast.Await) else value
    return (
        isinstance(call, ast.Call)
        and opens(module, call)
        and module.path(call.func) not in _SEEN_BY_OTHERS
    )


def closed(site: Site) -> ast.Name | None:
    """Return the variable ``f`` of `defer(f.close)`, or of `@defer` with a default ``f=f``."""
    if site.function is not None:
        return _closed_by(site.function)
    callee = site.callee
    plain = len(site.arguments) == 1 and not site.keywords
    if site.defers and plain and isinstance(callee, ast.Attribute) and callee.attr in CLOSERS:
        return callee.value if isinstance(callee.value, ast.Name) else None
    return None


def _closed_by(function: FunctionNode) -> ast.Name | None:
    """Return the variable that *function* closes, if it is the default of the only parameter."""
    given = function.args
    values = default_values(function)
    parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    if len(function.body) != 1 or len(values) != 1 or len(parameters) != 1:
        return None
    value = getattr(function.body[0], "value", None)
    call = value.value if isinstance(value, ast.Await) else value
    if (
        not isinstance(call, ast.Call)
        or call.args
        or call.keywords
        or not isinstance(call.func, ast.Attribute)
    ):
        return None
    of = call.func.value
    closes = call.func.attr in CLOSERS and isinstance(of, ast.Name) and of.id == parameters[0].arg
    return values[0] if closes and isinstance(values[0], ast.Name) else None


def is_logger(node: ast.expr) -> bool:
    """Return whether *node* is named like a logger: ``log``, ``self._logger``, ``LOG``."""
    if isinstance(node, ast.Call):
        node = node.func  # `structlog.get_logger()`, `getLogger(__name__)`
        named = dotted(node) or ""
        return named.rpartition(".")[2].lower() in {"getlogger", "get_logger"}
    named = dotted(node) or ""
    return named.rpartition(".")[2].lower().strip("_") in _LOGGERS
