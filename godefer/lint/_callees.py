"""The rules about the deferred function itself: GDF001 and GDF021.

They fire only where a mistake is certain, or where a method's name leaves no doubt.
"""

from __future__ import annotations

import ast

from godefer.lint import _suggest
from godefer.lint._resources import CLOSERS, LOG_METHODS, is_logger
from godefer.lint._site import Finding
from godefer.lint._tree import text
from godefer.lint._types import (
    PLAIN_TYPES,
    class_of,
    made_by,
    method_gives_no_function,
    method_of,
    only_binding,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from godefer.lint._module import Module
    from godefer.lint._site import Site
    from godefer.lint._tree import FunctionNode

# Functions whose results cannot be called.
UNCALLABLE_RESULTS = frozenset(
    f"{module}.{name}"
    for module, names in {
        "asyncio": "sleep",
        "atexit": "unregister",
        "builtins": "delattr input len print repr setattr str sum",
        "faulthandler": "disable enable",
        "gc": "collect disable enable freeze unfreeze",
        "godefer": "recover",
        "locale": "setlocale",
        "logging": "critical debug disable error exception info log shutdown warning",
        "os": (
            "chdir chmod close closerange kill killpg link makedirs mkdir putenv remove removedirs "
            "rename replace rmdir symlink umask unlink unsetenv"
        ),
        "os.environ": "clear pop update",
        "random": "seed",
        "shutil": "copy copyfile copytree move rmtree",
        "signal": "alarm",
        "sys": "exit setrecursionlimit settrace",
        "sys.stderr": "flush write",
        "sys.stdout": "flush write",
        "time": "sleep",
        "traceback": "print_exc print_stack",
        "tracemalloc": "stop",
        "warnings": "resetwarnings warn",
    }.items()
    for name in names.split()
)
_UNCALLABLE_TYPES = frozenset({"None", "NoReturn", "Never", "bool", "int", "float", "str", "bytes"})
# Methods, besides those in CLOSERS, that return nothing callable in any class.
_VOID_METHODS = frozenset(
    {
        "abort",
        "close_all",
        "deactivate",
        "delete",
        "deregister",
        "destroy",
        "discard",
        "drain",
        "finalize",
        "finish",
        "purge",
        "remove",
        "reset",
        "restore",
        "save",
        "stopall",
        "sync",
        "teardown",
        "undo",
        "uninstall",
        "unmount",
        "unregister",
        "unsubscribe",
        "append",
        "appendleft",
        "extend",
        "notify",
        "notify_all",
        "put",
        "put_nowait",
        "putconn",
        "sendall",
        "set_exception",
        "set_result",
        "task_done",
        "writelines",
    }
)
_NO_FUNCTION = "what it returns, which is no function"
# The closing method of an object, by its constructor.
CLOSES = {
    **dict.fromkeys(
        (
            "asyncio.new_event_loop",
            "builtins.open",
            "bz2.open",
            "codecs.open",
            "ftplib.FTP",
            "ftplib.FTP_TLS",
            "gzip.open",
            "http.client.HTTPConnection",
            "http.client.HTTPSConnection",
            "io.BytesIO",
            "io.StringIO",
            "io.open",
            "logging.FileHandler",
            "logging.StreamHandler",
            "lzma.open",
            "multiprocessing.Pool",
            "multiprocessing.Queue",
            "selectors.DefaultSelector",
            "smtplib.SMTP",
            "smtplib.SMTP_SSL",
            "socket.create_connection",
            "socket.create_server",
            "socket.socket",
            "sqlite3.connect",
            "tarfile.open",
            "tempfile.NamedTemporaryFile",
            "tempfile.SpooledTemporaryFile",
            "tempfile.TemporaryFile",
            "urllib.request.urlopen",
            "zipfile.ZipFile",
        ),
        "close",
    ),
    **dict.fromkeys(
        (
            "asyncio.BoundedSemaphore",
            "asyncio.Condition",
            "asyncio.Lock",
            "asyncio.Semaphore",
            "multiprocessing.Lock",
            "multiprocessing.RLock",
            "threading.BoundedSemaphore",
            "threading.Condition",
            "threading.Lock",
            "threading.RLock",
            "threading.Semaphore",
        ),
        "release",
    ),
    "concurrent.futures.ProcessPoolExecutor": "shutdown",
    "concurrent.futures.ThreadPoolExecutor": "shutdown",
    "imaplib.IMAP4": "logout",
    "imaplib.IMAP4_SSL": "logout",
    "multiprocessing.Process": "join",
    "subprocess.Popen": "wait",
    "tempfile.TemporaryDirectory": "cleanup",
    "threading.Thread": "join",
    "threading.Timer": "cancel",
}


# GDF001


def called_not_passed(module: Module, site: Site) -> Iterator[Finding]:
    """Report `defer(f())` and `@defer(…)`, which call a function too early (GDF001)."""
    decorated = module.parents[site.node]
    if (
        site.defers
        and isinstance(site.node, ast.Call)
        and site.node in getattr(decorated, "decorator_list", ())
    ):
        name = getattr(decorated, "name", "")
        message = (
            f"{site.written}() is called here, and {name} decorated with what it returns, which is "
            f"no function; write @{site.written} above a function that needs no arguments"
        )
        yield Finding("GDF001", message, site.node)
        return
    callee = site.callee
    call = callee.value if isinstance(callee, ast.Await) else callee
    if not site.defers or not isinstance(call, ast.Call):
        return
    if module.path(call.func) == "functools.partial" and call.args:
        inner = call.args[0]
        if isinstance(inner, ast.Call) and (result := _uncallable_result(module, inner)):
            right = _suggest.call(
                call.func,
                [inner.func, *inner.args, *call.args[1:]],
                [*inner.keywords, *call.keywords],
            )
            yield _called(site, inner, result, right, call)
        return
    result = _uncallable_result(module, call)
    if result:
        assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
        right = _suggest.call(
            site.node.func,
            [call.func, *call.args, *site.arguments[1:]],
            [*call.keywords, *site.keywords],
        )
        yield _called(site, call, result, right, site.node)


def _called(site: Site, call: ast.Call, result: str, right: ast.Call, whole: ast.expr) -> Finding:
    names = [keyword.arg for keyword in right.keywords if keyword.arg is not None]
    twice = len(names) != len(set(names))
    otherwise = f"pass {text(call.func)} and its arguments, without calling it"
    message = (
        f"{text(call.func)}() is called here, and {site.written}() is given {result}; "
        f"{otherwise if twice else _suggest.write(right, otherwise)}"
    )
    return Finding("GDF001", message, call, None if twice else _suggest.replace(whole, right))


def _uncallable_result(module: Module, call: ast.Call) -> str:
    """Return a description of the result of *call* if it is certain not to be callable, else ""."""
    path = module.path(call.func)
    if path in UNCALLABLE_RESULTS:
        return _NO_FUNCTION
    function = module.definition(call.func)
    if function is not None:
        if isinstance(function, ast.Lambda):
            return ""
        awaited = isinstance(module.parents[call], ast.Await)
        return _uncallable_result_of(module, function, awaited=awaited)
    if not isinstance(call.func, ast.Attribute):
        return ""
    if method_gives_no_function(module, call.func):
        return _NO_FUNCTION
    method = method_of(module, call.func)
    if method is not None:
        awaited = isinstance(module.parents[call], ast.Await)
        return _uncallable_result_of(module, method, awaited=awaited, exact=True)
    return _NO_FUNCTION if _void_by_name(module, call, call.func) else ""


def _void_by_name(module: Module, call: ast.Call, func: ast.Attribute) -> bool:
    """Return whether the method's name says that its result cannot be called."""
    plain = not call.args and not call.keywords
    # `helpers.cleanup(path)` of an imported module may make a function that cleans up.
    factory = not plain and module.path(func) is not None and module.imported(func)
    by_name = func.attr in CLOSERS | _VOID_METHODS and not factory
    by_name = by_name or (func.attr in LOG_METHODS and is_logger(func.value))
    if not by_name:
        return False
    own = module.functions.get(func.attr, ())
    return all(_uncallable_result_of(module, node, awaited=False, exact=True) for node in own)


def _uncallable_result_of(
    module: Module, function: FunctionNode, *, awaited: bool, exact: bool = False
) -> str:
    """Return a description of the result of *function* if it is certain not to be callable.

    *exact* means that no subclass overrides the function. Return "" if the result is uncertain.
    """
    plain = all(
        module.is_with_defers(d)
        or module.path(d) in {"builtins.staticmethod", "builtins.classmethod"}
        for d in function.decorator_list
    )
    body = module.body(function)
    if not plain or any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in body):
        return ""
    if isinstance(function, ast.AsyncFunctionDef) is not awaited:
        return "" if awaited else "a coroutine"
    if function.returns is not None:
        name = (
            str(function.returns.value)
            if isinstance(function.returns, ast.Constant)
            else text(function.returns)
        )
        return (
            "None"
            if name == "None"
            else f"a value of type {name}"
            if name in _UNCALLABLE_TYPES
            else ""
        )
    # Without an annotation, an overriding method may return a function. So may a named result.
    known = (exact or module.scopes[function].kind != "class") and not any(
        isinstance(d, ast.Call) for d in function.decorator_list
    )
    if known and exact and _is_abstract(function):
        return ""
    returned = [n.value for n in body if isinstance(n, ast.Return) and n.value is not None]
    return (
        "None"
        if known and all(isinstance(v, ast.Constant) and v.value is None for v in returned)
        else ""
    )


def _is_abstract(function: FunctionNode) -> bool:
    return all(
        isinstance(node, ast.Raise)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in function.body
    )


# GDF021


def not_callable(module: Module, site: Site) -> Iterator[Finding]:
    """Report a deferred object that cannot be called, such as a file or a coroutine (GDF021)."""
    if not site.defers or not isinstance(site.node, ast.Call):
        return
    if site.node in getattr(module.parents[site.node], "decorator_list", ()):
        return  # GDF001 reports it
    callee = site.callee
    if callee is None:
        if not site.node.args and not any(k.arg is None for k in site.keywords):
            message = f"{site.written}() is given no function; write the function to call at exit"
            yield Finding("GDF021", message, site.node)
        return
    kind = _literal(callee)
    if kind:
        message = f"{kind} is deferred, which cannot be called; defer the function to call at exit"
        yield Finding("GDF021", message, callee)
        return
    coroutine = _coroutine(module, callee)
    if coroutine is not None:
        right = _suggest.call(site.node.func, [coroutine.func, *coroutine.args], coroutine.keywords)
        message = (
            f"{text(callee)} is a coroutine, which cannot be called; "
            f"{_suggest.write(right, f'defer {text(coroutine.func)} itself')}"
        )
        yield Finding("GDF021", message, callee)
        return
    yield from _object(module, site, callee)


def _object(module: Module, site: Site, callee: ast.expr) -> Iterator[Finding]:
    assert isinstance(site.node, ast.Call)  # noqa: S101  # for the type checker
    made = made_by(module, callee)
    if made in {"asyncio.create_task", "asyncio.ensure_future"}:
        cancel = _suggest.call(site.node.func, [_suggest.attribute(callee, "cancel")])
        wait = _suggest.call(site.node.func, [_suggest.function_of(callee)])
        message = (
            f"{text(callee)} is a task, which cannot be called; "
            f"write {text(cancel)}, or {text(wait)} to await it"
        )
        if isinstance(callee, ast.Call):
            message = f"{text(callee)} makes a task, which cannot be called; defer a function"
        yield Finding("GDF021", message, callee)
    elif made in PLAIN_TYPES:
        what = made.rpartition(".")[2]
        message = f"{text(callee)} cannot be called: {what}() made it; "
        known = made in CLOSES and made == made_by(module, callee, itself=True)
        if not known or isinstance(callee, ast.Call):
            yield Finding("GDF021", f"{message}defer the function to call at exit", callee)
            return
        right = _suggest.attribute(callee, CLOSES[made])
        fix = _suggest.replace(callee, right, safe=len(site.arguments) == 1 and not site.keywords)
        shown = _suggest.call(site.node.func, [right])
        yield Finding("GDF021", f"{message}write {text(shown)}", callee, fix)
    elif made.startswith(".") and (cls := _uncallable_class(module, callee)):
        message = (
            f"{text(callee)} is an instance of {cls.name}, which has no __call__; "
            f"defer one of its methods"
        )
        yield Finding("GDF021", message, callee)


def _literal(callee: ast.expr) -> str:
    """Return a description of a literal or comprehension; "" for any other expression."""
    if isinstance(callee, ast.Constant):
        return text(callee)
    if isinstance(callee, (ast.JoinedStr, ast.Tuple, ast.List, ast.Dict, ast.Set)):
        return f"a {type(callee).__name__.lower().replace('joinedstr', 'string')}"
    if isinstance(callee, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        return "a generator" if isinstance(callee, ast.GeneratorExp) else "a container"
    return ""


def _coroutine(module: Module, callee: ast.expr) -> ast.Call | None:
    """Return the call that made the coroutine in the variable *callee*, else None."""
    binding = only_binding(module, callee)
    if binding is None or binding.kind != "assign" or not isinstance(binding.value, ast.Call):
        return None
    made = binding.value
    if module.path(made.func) == "asyncio.sleep":
        return made
    function = module.definition(made.func) or method_of(module, made.func)
    is_coroutine = (
        isinstance(function, ast.AsyncFunctionDef)
        and all(module.is_with_defers(d) for d in function.decorator_list)
        and not any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in module.body(function))
    )
    return made if is_coroutine else None


def _uncallable_class(module: Module, callee: ast.expr) -> ast.ClassDef | None:
    """Return the class of the instance *callee* if it is certain to lack `__call__`, else None."""
    call = callee
    binding = only_binding(module, callee)
    if binding is not None and binding.value is not None:
        call = binding.value
    if not isinstance(call, ast.Call):
        return None
    cls = class_of(module, call.func)
    if cls is None or cls.bases or cls.keywords or cls.decorator_list:
        return None
    names = module.scope_of_function[cls].bindings
    if "__call__" in names or "__new__" in names:
        return None
    set_later = any(isinstance(n.ctx, ast.Store) for n in module.attributes.get("__call__", []))
    return None if set_later else cls
