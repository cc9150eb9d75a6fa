"""with_defers: the decorator, for every kind of callable (section A of the rules).

It must find the function with the `defer` statements in its body:

- A plain function is compiled open-coded, or gets a wrapper.
- A descriptor, a partial or a bound method holds the function, and is built again around the
  decorated one.
- Other decorators hold the function in closures, caches and registries. These cannot be rewritten,
  so the function that ``__wrapped__`` leads to is changed in place: its code is replaced.

Rejected: to wrap the outermost callable, and let `defer` search the stack for the wrapper. D3
forbids the search. A decorator that retries calls the body several times in one call of the
wrapper, and the clean-ups of all tries would run at the end of the last. Under ``contextmanager``
the body runs when the call of the wrapper has long returned.
"""

from __future__ import annotations

import atexit
import os
import sys
from _weakref import ref  # weakref imports more than is needed here
from types import CodeType, FunctionType, MethodType, ModuleType

from godefer import _errors
from godefer._decision import Decision, decision_on
from godefer._function import Maker
from godefer._resolve import NameCheck, mentions_godefer, resolve_names
from godefer._runtime.context_managers import special

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeGuard, TypeVar, overload

    from godefer._decision import Result
    from godefer._resolve import Attributes, ResolvedNames

    F = TypeVar("F")
else:

    def overload(_: object) -> None:
        """Replace `typing.overload`: to import typing costs more than all of godefer."""


class _Missing:
    """The default argument of `with_defers`. Not None, which a program may pass by mistake."""

    def __repr__(self) -> str:
        """Return the dots of a stub file, for `help` and `inspect.signature`."""
        return "..."


_MISSING: Any = _Missing()


@overload
def with_defers(fn: F, /) -> F: ...
@overload
def with_defers(  # noqa: F811
    *, result: str | tuple[str, ...] | None = None
) -> Callable[[F], F]: ...
def with_defers(  # noqa: F811
    fn: F = _MISSING, /, *, result: str | tuple[str, ...] | None = None
) -> F | Callable[[F], F]:
    """Give every call of the decorated function its own last-in-first-out list of deferred calls.

    It decorates functions, methods, lambdas, coroutine functions, generators and async generators,
    and each stays one. `staticmethod`, `classmethod`, `property`, `functools.cached_property` and
    `functools.partial` may be above or below it. Under a decorator that sets ``__wrapped__`` the
    function itself is changed. So each call by that decorator has its own defers. To decorate
    twice has the same effect as once.

    Args:
        fn: The function.
        result: The name, or names, of the local variables to return as the result (section N).

    Returns:
        A callable of the same kind and type.

    Raises:
        TypeError: *fn* is a class, cannot be called, or has no Python body: it is built in, or
            compiled by Cython, Nuitka or mypyc. `defer_scope` works there.
        DeferError: *result* names no local variable of *fn*; *fn* is an async generator; or its
            source cannot be used, and a named result needs it.

    After Go, where every function has defers. Python needs the decorator to see the exit.

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
    if fn is _MISSING:
        return lambda fn: _decorated(fn, result)
    decorated: F = _decorated(fn, result)
    return decorated


def _decorated(fn: Any, result: Result) -> Any:
    if _has_body(fn):
        return _function(fn, result)
    kind: Any = type(fn)
    if isinstance(fn, type) or not (callable(fn) or isinstance(fn, _DESCRIPTORS) or _functools(fn)):
        raise _errors.not_decoratable(fn)
    if isinstance(fn, (staticmethod, classmethod)):
        return kind(_decorated(fn.__func__, result))
    if isinstance(fn, property):
        accessors = (fn.fget, fn.fset, fn.fdel)
        return kind(
            *(accessor and _decorated(accessor, result) for accessor in accessors), fn.__doc__
        )
    if isinstance(fn, MethodType):
        func = _decorated(fn.__func__, result)
        return fn if func is fn.__func__ else MethodType(func, fn.__self__)
    if _functools(fn):
        return _holder(kind, fn, result)
    return _object(fn, result)


def _holder(kind: Any, fn: Any, result: Result) -> Any:
    """Build a functools object again around the decorated function."""
    name, func = _functools(fn), _decorated(fn.func, result)
    again = kind.__new__(kind) if name == "cached_property" else kind(func, *fn.args, **fn.keywords)
    again.__dict__.update(fn.__dict__)
    if name != "partial":  # the others keep the function in their dict
        again.func = func
    return again


_DESCRIPTORS = (classmethod, property)  # those that cannot be called


def _functools(fn: object) -> str:
    """Return the name of the functools class of *fn*; "" if such objects hold no function."""
    functools = sys.modules.get("functools")  # not imported: *fn* is no such object
    if functools is not None:
        for name in ("partial", "partialmethod", "cached_property"):
            if isinstance(fn, getattr(functools, name)):
                return name
    return ""


def _function(fn: FunctionType, result: Result) -> FunctionType:
    known = _known.get(id(fn.__code__))
    if known is not None and not fn.__dict__ and known.suits(fn, result):
        return known.decorate(fn)
    decided = decision_on(fn.__code__)
    if decided is not None:
        _check_same_result(fn, decided, result)
        return fn
    if "__wrapped__" in fn.__dict__:
        target = _wrapped_body(fn)
        if target is None:
            _check_body(fn)
        elif target is not fn:
            _decorate_in_place(target, result)
            return fn
    return _decide(fn, result).decorate(fn)


def _decorate_in_place(fn: FunctionType, result: Result) -> None:
    decided = decision_on(fn.__code__)
    if decided is not None:
        _check_same_result(fn, decided, result)
        return
    outcome = _decide(fn, result).outcome
    if not isinstance(outcome, str):
        fn.__code__ = outcome
        return
    _with_template(fn).wrap_in_place(fn, outcome)


class _Known:
    """The decision on all functions that share their code.

    A nested function is defined again on each call of the outer one, with the same code. With a
    known decision, decorating it takes a few microseconds. The key is the *identity* of the code,
    since equal code objects may come from two files. The names must mean the same, too.

    Attributes:
        outcome: The open code, or the reason why the functions are run the runtime way.
    """

    __slots__ = ("_code", "_maker", "_names", "_off", "_result", "_wrapper", "outcome")

    def __init__(
        self,
        fn: FunctionType,
        result: Result,
        outcome: CodeType | str,
        attributes: Attributes | None,
    ) -> None:
        # A method of `dict.pop` drops the entry when the code is gone. It has no code in Python,
        # which would run in the midst of other code, and would let another thread run there.
        self._code = ref(fn.__code__, MethodType(_known.pop, id(fn.__code__)))
        self._names = NameCheck(fn, attributes)
        self._result = result
        self._off = _turned_off()
        self._maker: Maker | None = None
        self._wrapper: Any = None
        self.outcome = outcome

    def suits(self, fn: FunctionType, result: Result) -> bool:
        """Return whether the decision holds for *fn*."""
        return (
            self._code() is fn.__code__
            and self._result == result
            and self._off == _turned_off()
            and self._names.holds(fn)
        )

    def decorate(self, fn: FunctionType) -> FunctionType:
        """Return *fn*, decorated."""
        outcome = self.outcome
        if isinstance(outcome, str):
            if self._wrapper is None:
                self._wrapper = _with_template(fn).WrapperCode(fn.__code__, outcome)
            wrapper: FunctionType = self._wrapper.wrap(fn)
            return wrapper
        maker = self._maker
        if maker is None or not maker.fits(fn):
            maker = self._maker = Maker(outcome, fn)
        return maker.make(fn)


_known: dict[int, _Known] = {}  # by the id of the code


def _turned_off() -> bool:
    """Return whether the environment turns open coding off (R4)."""
    environ: Any = os.environ
    if type(environ) is not _ENVIRON:  # a program has replaced it
        return bool(environ.get("GODEFER_OPEN_CODED") == "0")
    return bool(environ._data.get(_VARIABLE) == _ZERO)  # type: ignore[attr-defined]


# The private attributes: five times as fast as `os.environ.get`, which takes as long as the rest of
# `_Known.suits`.
_ENVIRON = os._Environ
_VARIABLE: Any = "GODEFER_OPEN_CODED"
_ZERO: Any = "0"
if os.name == "posix":
    _VARIABLE, _ZERO = os.fsencode(_VARIABLE), os.fsencode(_ZERO)


def _runtime_way() -> Any:
    """Return the module `godefer._runtime.wrapper`, and import it when it is first needed."""
    if not _wrapper:
        from godefer._runtime import wrapper  # noqa: PLC0415

        _wrapper.append(_whole(wrapper))
    return _wrapper[0]


def _whole(module: ModuleType) -> Any:
    """Return *module*, unless it is only imported in part.

    Raises:
        ImportError: A finalizer or a signal handler has interrupted its import, and needs it.
    """
    if getattr(module.__spec__, "_initializing", False):
        msg = f"{module.__name__} is being imported"
        raise ImportError(msg)
    return module


_wrapper: list[ModuleType] = []
# While the interpreter shuts down, a `__del__` may decorate a function, but cannot import a module.
# So the module is imported before.
atexit.register(_runtime_way)


def _with_template(fn: FunctionType) -> Any:
    """Return the module of the runtime way, with the template of the wrapper for *fn* in it."""
    way, code = _runtime_way(), fn.__code__
    shape = way.shape_of(code)
    if shape not in way.templates:
        try:
            from godefer import _cache  # noqa: PLC0415  # a program may decorate nothing

            cache = _whole(_cache)
        except ImportError:  # see `_compiled`
            template = way.compile_template(code)
        else:
            template = cache.load_template(fn, shape)
            if template is None:
                template = way.compile_template(code)
                cache.store_template(fn, shape, template)
        way.templates[shape] = template
    return way


def _check_same_result(fn: FunctionType, decided: Decision, result: Result) -> None:
    """Raise a DeferError if *fn* is decorated again with another *result*."""
    if result is not None and result != decided.result:
        raise _errors.decorated_already(fn, decided.original or fn.__code__, result)


def _decide(fn: FunctionType, result: Result) -> _Known:
    """Return the decision on *fn*.

    Raises:
        DeferError: *result* names results that *fn* cannot have.
    """
    known = _known.get(id(fn.__code__))
    if known is not None and known.suits(fn, result):
        return known
    if result is not None:
        error = _errors.bad_result(fn, result)
        if error is not None:
            raise error
    lasting, attributes = True, None
    try:
        outcome, attributes = _outcome(fn, result)
    except ImportError as error:
        lasting, outcome = False, f"it could not be compiled: {error}"
    if result is not None and isinstance(outcome, str):
        raise _errors.needs_open_coding(fn, result, outcome)
    known = _Known(fn, result, outcome, attributes)
    if lasting:
        _known[id(fn.__code__)] = known
    return known


def _outcome(fn: FunctionType, result: Result) -> tuple[CodeType | str, Attributes | None]:
    """Return the open code of *fn*, or a reason against it; and the dotted names looked up."""
    if result is None and _turned_off():
        return "the environment says GODEFER_OPEN_CODED=0", {}
    resolved = resolve_names(fn)
    if result is None and not any(resolved):  # without the names there is no statement
        return "there is no defer statement in its body", None
    return _compiled(fn, resolved, result)


def _compiled(
    fn: FunctionType, resolved: ResolvedNames, result: Result
) -> tuple[CodeType | str, Attributes]:
    """Return the outcome from the cache, or compile the function now.

    Raises:
        ImportError: The interpreter is shutting down; or *fn* is decorated by a finalizer or a
            signal handler that has interrupted an import.
    """
    from godefer import _cache  # noqa: PLC0415  # a program may decorate nothing

    cache, file = _whole(_cache), ""
    attributes: Attributes | None
    loaded = cache.load(fn, resolved, result)
    if loaded is not None:
        outcome, attributes, file = loaded
    else:
        try:
            # Slow to import, and not needed if all functions are in the cache.
            from godefer._compiler import compile as compiler  # noqa: PLC0415
        except AttributeError as error:  # a module that it imports was imported only in part
            raise ImportError(str(error)) from error
        outcome, attributes = _whole(compiler).compile_function(
            fn.__code__, fn.__globals__, resolved, result
        )
        if attributes is not None:
            cache.store(fn, resolved, attributes, result, outcome)
    if isinstance(outcome, str):
        return outcome, attributes or {}
    from godefer._runtime import constants  # noqa: PLC0415  # as above

    code, plan, exits = outcome
    # A copy: `_Known` keeps the decision until the original code dies. So the decision must not
    # keep that code alive.
    original = fn.__code__.replace()
    decision = Decision(original, result, plan=plan, exits=exits, file=file)
    return _whole(constants).fill(code, decision), attributes or {}


def _object(fn: Any, result: Result) -> Any:
    """Decorate another callable: an object made by a decorator, or one with a ``__call__``."""
    target = _wrapped_body(fn)
    if target is not None:
        _decorate_in_place(target, result)
        return fn
    decorated = type(fn).__module__ == "godefer._proxy"
    if not decorated:
        _check_body(fn)
    call = _call_of(fn)
    if call is None or decorated:
        if result is not None:
            raise _errors.no_body(fn, result)
        return fn  # no function in it has statements, or it is decorated already
    from godefer._proxy import DeferringObject  # noqa: PLC0415  # wrapt is slow to import

    return DeferringObject(fn, _function(call, result), with_defers)


def _call_of(thing: object) -> FunctionType | None:
    """Return the Python function that is the ``__call__`` of *thing*, if it is one."""
    method = special(thing, "__call__")
    return method.__func__ if type(method) is MethodType and _has_body(method.__func__) else None


def _has_body(fn: object) -> TypeGuard[FunctionType]:
    """Return whether *fn* was written in Python, and is run from its code.

    A function compiled by Cython, Nuitka or mypyc may have code for `inspect` that is never run.
    Such a function has another type; Nuitka's is a subclass of FunctionType. On PyPy a built-in
    function is a FunctionType, too, but its code has another type.
    """
    return type(fn) is FunctionType and isinstance(fn.__code__, CodeType)


def _check_body(fn: object) -> None:
    """Check that there is a Python body in *fn*: its own, or below decorators (A).

    Raises:
        TypeError: There is none, so its deferred calls could not be run.
    """
    *_, inner = _unwrapped(fn)
    if not isinstance(inner, type) and not _has_body(inner):
        call = special(inner, "__call__")
        if not _has_body(getattr(call, "__func__", call)):
            raise _errors.compiled(inner)


def _wrapped_body(fn: Any) -> FunctionType | None:
    """Return the first function below *fn* that is decorated or mentions godefer; else None."""
    for candidate in _unwrapped(fn):
        if _has_body(candidate) and (
            decision_on(candidate.__code__) is not None or mentions_godefer(candidate)
        ):
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
