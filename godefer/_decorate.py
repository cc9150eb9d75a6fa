"""with_defers: the decorator, for every kind of callable (section A of the rules).

What it must find is the function in whose body the `defer` statements stand. A plain function is that itself, and gets
a wrapper. A descriptor, a partial or a bound method holds it, and is rebuilt around the wrapper.

Under other decorators it is one of the functions that ``__wrapped__`` leads to, and those decorators hold on to it in
closures, caches and registries that cannot be rewritten. So it is changed in place: its code is replaced with the wrapper's,
and what held it now calls the wrapper. Rejected: wrapping the outermost callable and letting `defer` search the
stack for it. A retrying decorator calls the body several times in one call of its own, and the clean-ups of all tries would run
at the end of the last; a ``contextmanager`` runs it when the call is long over; and D3 forbids the search.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType, MethodType, ModuleType

from godefer import _errors, _statements
from godefer._wrapper import is_wrapper, wrap, wrap_in_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar, overload

    F = TypeVar("F")
else:

    def overload(_: object) -> None:
        """Stand in for typing's, which costs more to import than all of godefer."""


@overload
def with_defers(fn: F, /) -> F: ...
@overload
def with_defers(*, result: str | tuple[str, ...] | None = None) -> Callable[[F], F]: ...  # noqa: F811
def with_defers(fn: Any = None, /, *, result: str | tuple[str, ...] | None = None) -> Any:  # noqa: F811
    """Give every call of the decorated function its own last-in-first-out list of deferred calls.

    Decorates functions, methods, lambdas, coroutine functions, generators and async generators; each stays what it was.
    `staticmethod`, `classmethod`, `property`, `functools.cached_property` and `functools.partial` may stand above or
    below. Under a decorator that sets ``__wrapped__`` the function itself is changed, so every call that decorator makes has
    its own defers. Decorating twice equals once.

    Args:
        fn: The function.
        result: The name, or names, of the local variables that are the function's result (section N).

    Returns:
        A callable of the same kind and type.

    Raises:
        TypeError: *fn* is a class, or nothing that can be called.
        DeferError: *result* was given, which needs open-coded defers.

    After Go, where every function has its defers without asking; Python needs the decorator to see a function's exit.

    Example:
        >>> from godefer import defer, with_defers
        >>> @with_defers
        ... def count():
        ...     for i in range(3):
        ...         defer(print, i)
        >>> count()
        2
        1
        0
    """
    if fn is None:
        return lambda fn: with_defers(fn) if result is None else _with_result(fn, result)
    if result is not None:
        return _with_result(fn, result)
    return _decorated(fn)


def _with_result(fn: Any, result: object) -> Any:
    raise _errors.needs_open_coding(fn, result)


def _decorated(fn: Any) -> Any:  # noqa: PLR0911  # one for each kind
    kind: Any = type(fn)
    if kind is FunctionType:
        return _function(fn)
    if isinstance(fn, type) or not (callable(fn) or isinstance(fn, _DESCRIPTORS) or _functools(fn)):
        raise _errors.not_decoratable(fn)
    if isinstance(fn, (staticmethod, classmethod)):
        return kind(_decorated(fn.__func__))
    if isinstance(fn, property):
        accessors = (fn.fget, fn.fset, fn.fdel)
        return kind(*(accessor and _decorated(accessor) for accessor in accessors), fn.__doc__)
    if isinstance(fn, MethodType):
        return MethodType(_decorated(fn.__func__), fn.__self__)
    if _functools(fn):
        return _holder(kind, fn, _functools(fn))
    return _object(fn)


def _holder(kind: Any, fn: Any, name: str) -> Any:
    """A functools object that holds a function, again, around the decorated one."""
    func = _decorated(fn.func)
    again = kind.__new__(kind) if name == "cached_property" else kind(func, *fn.args, **fn.keywords)
    again.__dict__.update(fn.__dict__)
    if name != "partial":  # those keep the function in their dict
        again.func = func
    return again


_DESCRIPTORS = (classmethod, property)  # which cannot be called


def _functools(fn: object) -> str:
    """The name of the class of functools that *fn* is an instance of, if it is one that holds a function."""
    functools = sys.modules.get("functools")  # not imported for this: if nobody has, *fn* is none
    if functools is not None:
        for name in ("partial", "partialmethod", "cached_property"):
            if isinstance(fn, getattr(functools, name)):
                return name
    return ""


def _function(fn: FunctionType) -> FunctionType:
    if is_wrapper(fn):
        return fn
    target = _wrapped_body(fn)
    if target is None or target is fn:
        return wrap(fn)
    if not is_wrapper(target):
        wrap_in_place(target)
    return fn


def _object(fn: Any) -> Any:
    """Whatever else can be called: a cache or another decorator's object around a function, or an object with ``__call__``."""
    target = _wrapped_body(fn)
    if target is not None:
        if not is_wrapper(target):
            wrap_in_place(target)
        return fn
    call = _statements.special_function(fn, "__call__")
    if call is None or type(fn).__module__ == "godefer._object":
        return fn  # no Python body in sight where a `defer` could stand, or decorated already
    from godefer._object import DeferringObject  # noqa: PLC0415  # wrapt is slow to import

    return DeferringObject(fn, _function(call))


def _wrapped_body(fn: Any) -> FunctionType | None:
    """The first function, on the way that ``__wrapped__`` shows, that is decorated already or mentions a statement of ours."""
    for candidate in _unwrapped(fn):
        if type(candidate) is FunctionType and (is_wrapper(candidate) or _mentions(candidate, candidate.__code__)):
            return candidate
    return None


def _unwrapped(fn: Any) -> Iterator[Any]:
    seen = set()
    while fn is not None and id(fn) not in seen:
        seen.add(id(fn))
        yield fn
        if isinstance(fn, MethodType):
            fn = fn.__func__
        elif _functools(fn) == "partial":
            fn = fn.func
        else:
            fn = getattr(fn, "__wrapped__", None)


_STATEMENTS = frozenset(
    map(id, (_statements.defer, _statements.errdefer, _statements.okdefer, _statements.using, _statements.ausing))
)


def _mentions(fn: FunctionType, code: CodeType) -> bool:
    """Does *code*, of *fn* or of a comprehension in it, use a name that means a statement of ours, or godefer itself?"""
    for name in code.co_names:
        value = fn.__globals__.get(name, _builtin(fn, name))
        if (
            id(value) in _STATEMENTS
            or name == "godefer"
            or (isinstance(value, ModuleType) and value.__name__ == "godefer")
        ):
            return True
    for name in code.co_freevars:
        if name in fn.__code__.co_freevars and id(_content(fn, name)) in _STATEMENTS:
            return True
    return any(
        _mentions(fn, c) for c in code.co_consts if isinstance(c, CodeType) and c.co_name in _statements.COMPREHENSIONS
    )


def _builtin(fn: FunctionType, name: str) -> object:
    return fn.__builtins__.get(name)  # type: ignore[attr-defined]  # since 3.10


def _content(fn: FunctionType, name: str) -> object:
    """What the closure variable *name* of *fn* holds, if it holds anything yet."""
    cells = dict(zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True))
    try:
        return cells[name].cell_contents
    except ValueError:
        return None
