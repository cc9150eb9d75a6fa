"""Find the constructor of a variable's value, as far as the checked file shows it."""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from godefer.lint._bindings import Binding, Scope
    from godefer.lint._module import Module

_DEEPEST = 6  # of assignments from variable to variable


def made_by(module: Module, node: ast.expr, depth: int = 0, *, itself: bool = False) -> str:
    """Return the path of the function, or class, that made the value of *node*; "" if unknown.

    A class of the checked file is returned as a dot and its name. The result of an `await`, and the
    variable of a `with` or `using`, count as made by the call. With *itself* they are unknown, for
    the call may have made another object.
    """
    if depth > _DEEPEST:
        return ""
    if isinstance(node, ast.Await) and not itself:
        node = node.value
    if isinstance(node, ast.Call):
        if module.path(node.func) in {"godefer.using", "godefer.ausing"} and node.args:
            return "" if itself else made_by(module, node.args[0], depth + 1)
        cls = class_of(module, node.func)
        return f".{cls.name}" if cls is not None else module.path(node.func) or ""
    if isinstance(node, ast.NamedExpr):
        return made_by(module, node.value, depth + 1, itself=itself)
    binding = only_binding(module, node)
    if binding is not None:
        if binding.kind == "parameter":
            return _annotated(module, binding)
        kinds = {"assign"} if itself else {"assign", "with"}
        if binding.kind in kinds and binding.value is not None:
            return made_by(module, binding.value, depth + 1, itself=itself)
        return ""
    if isinstance(node, ast.Attribute):
        value = _only_store(module, node)
        return made_by(module, value, depth + 1, itself=itself) if value is not None else ""
    return ""


def only_binding(module: Module, node: ast.AST) -> Binding | None:
    """Return the binding of the variable *node* if it is the only one, else None."""
    if not isinstance(node, ast.Name) or node not in module.scopes:
        return None
    found = module.bindings(node.id, module.scopes[node])
    return found[0] if len(found) == 1 and not _unpacked(module, found[0]) else None


def _unpacked(module: Module, binding: Binding) -> bool:
    """Return whether the variable gets only a part of the assigned value."""
    return binding.kind in {"assign", "with"} and isinstance(
        module.parents.get(binding.node), (ast.Tuple, ast.List, ast.Starred)
    )


def _only_store(module: Module, node: ast.Attribute) -> ast.expr | None:
    """Return the value of `self.x`, if this file assigns it in one place."""
    if not isinstance(node.value, ast.Name) or node.value.id not in {"self", "cls"}:
        return None
    stores = [n for n in module.attributes.get(node.attr, []) if isinstance(n.ctx, ast.Store)]
    if len(stores) != 1:
        return None
    parent = module.parents[stores[0]]
    return parent.value if isinstance(parent, (ast.Assign, ast.AnnAssign)) else None


def _annotated(module: Module, binding: Binding) -> str:
    annotation = getattr(binding.node, "annotation", None)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            annotation = ast.parse(annotation.value, mode="eval").body
        except SyntaxError:
            return ""
    if annotation is None:
        return ""
    scope = binding.scope.parent or binding.scope
    cls = _named_class(module, annotation, scope)
    return f".{cls.name}" if cls is not None else module.path(annotation, scope) or ""


def class_of(module: Module, node: ast.expr) -> ast.ClassDef | None:
    """Return the class of this file that *node* names; None if there is none."""
    return _named_class(module, node, module.scopes.get(node, module.module))


def _named_class(module: Module, node: ast.expr, scope: Scope) -> ast.ClassDef | None:
    if not isinstance(node, ast.Name):
        return None
    found = module.bindings(node.id, scope)
    if len(found) == 1 and isinstance(found[0].node, ast.ClassDef):
        return found[0].node
    return None


def method_of(module: Module, node: ast.expr) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """Return the method ``x.name``, where x is known to be an instance of a class of this file."""
    if not isinstance(node, ast.Attribute):
        return None
    made = made_by(module, node.value)
    if not made.startswith("."):
        return None
    found = module.module.bindings.get(made[1:], [])
    if not found:
        found = [
            b
            for scope in module.scope_of_function.values()
            for b in scope.bindings.get(made[1:], [])
            if isinstance(b.node, ast.ClassDef)
        ]
    if len(found) != 1 or not isinstance(found[0].node, ast.ClassDef):
        return None
    methods = module.scope_of_function[found[0].node].bindings.get(node.attr, [])
    method = methods[0].node if len(methods) == 1 else None
    return method if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)) else None


# Constructors of objects that cannot be called, with methods that return nothing callable.
PLAIN_TYPES = frozenset(
    f"{module}.{name}"
    for module, names in {
        "asyncio": (
            "Barrier BoundedSemaphore Condition Event LifoQueue Lock PriorityQueue Queue Semaphore "
            "TaskGroup create_task ensure_future get_event_loop get_running_loop new_event_loop "
            "open_connection start_server create_subprocess_exec create_subprocess_shell gather"
        ),
        "builtins": "open dict list set frozenset tuple str bytes bytearray int float",
        "bz2": "open",
        "codecs": "open",
        "collections": "Counter OrderedDict defaultdict deque",
        "concurrent.futures": "ProcessPoolExecutor ThreadPoolExecutor",
        "ftplib": "FTP FTP_TLS",
        "gzip": "open",
        "http.client": "HTTPConnection HTTPSConnection",
        "imaplib": "IMAP4 IMAP4_SSL",
        "io": "open BytesIO StringIO",
        "logging": "getLogger FileHandler StreamHandler",
        "lzma": "open",
        "multiprocessing": "Event Lock Pool Process Queue RLock",
        "pathlib": "Path",
        "queue": "LifoQueue PriorityQueue Queue SimpleQueue",
        "selectors": "DefaultSelector",
        "smtplib": "SMTP SMTP_SSL",
        "socket": "create_connection create_server socket",
        "sqlite3": "connect",
        "subprocess": "Popen",
        "tarfile": "open",
        "tempfile": (
            "NamedTemporaryFile SpooledTemporaryFile TemporaryDirectory TemporaryFile mkdtemp"
        ),
        "threading": "Barrier BoundedSemaphore Condition Event Lock RLock Semaphore Thread Timer",
        "time": "monotonic perf_counter time",
        "urllib.request": "urlopen",
        "zipfile": "ZipFile",
    }.items()
    for name in names.split()
)
# Methods of such objects that return a stored object, which may be a function.
_HANDS_BACK = frozenset(
    {"get", "get_nowait", "pop", "popleft", "popitem", "result", "setdefault", "__getitem__"}
)


def method_gives_no_function(module: Module, node: ast.Attribute) -> bool:
    """Return whether the result of the method cannot be called, judged by its object's type."""
    return made_by(module, node.value) in PLAIN_TYPES and node.attr not in _HANDS_BACK
