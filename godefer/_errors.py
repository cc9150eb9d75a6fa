"""DeferError, and the wording of every error that godefer raises.

The messages are in one module, so that they stay alike. Each names the mistake, its place and the
remedy. No function here raises: most of them return the exception for the caller to raise.
"""

from __future__ import annotations

from _collections_abc import Coroutine  # collections.abc would import all of collections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType, FunctionType

DECORATE_NEXT_TO_DEF = (
    "put @with_defers on the line right above its own `def`, below any other decorator"
)
SCOPE = "with defer_scope() as defer:"


class DeferError(RuntimeError):
    """A mistake in the use of godefer: a `defer` outside of a decorated function, for example.

    The message names the function, its file and line, and the remedy (rules D3, N and A). A
    statement raises it before it defers its call, and the calls deferred earlier still run. Go
    reports such a mistake from ``runtime/panic.go``, where ``deferproc`` throws "defer on system
    stack".

    Example:
        >>> from godefer import DeferError, defer
        >>> def helper():
        ...     defer(print, "never registered")
        >>> try:
        ...     helper()
        ... except DeferError as e:
        ...     print(str(e).partition(" (")[0])
        defer() is used in helper
    """


def place(code: CodeType, line: int) -> str:
    """Return ``file:line``, which editors and terminals can open."""
    return f"{code.co_filename}:{line}"


def line_at(code: CodeType, pc: int) -> int:
    """Return the line of an instruction."""
    found = code.co_firstlineno
    # A loop: a generator expression can crash the interpreter when memory runs out.
    for start, stop, line in code.co_lines():
        if start <= pc < stop and line is not None:
            found = line
    return found


def callable_name(fn: object) -> str:
    """Return the qualified name of *fn*, its plain name, or its repr, in this order."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    return name if isinstance(name, str) else repr(fn)


def not_compiled_in(statement: str, frame: FrameType) -> DeferError:
    """Return the error for a *statement* in open code that the compiler did not recognize (D3)."""
    return DeferError(
        f"{statement}() was called in {_at(frame)} by a "
        f"name or an expression that could not be known to be it when the function was "
        f"decorated; write it there as a statement of its own, by a name that means it by "
        f"then: {statement}(…)"
    )


def no_decorated_function(
    statement: str, frame: FrameType, around: tuple[list[str], list[str]] | None = None
) -> DeferError:
    """Return the error for a *statement* called outside of a decorated function (D3).

    Args:
        statement: The statement.
        frame: The frame that called it.
        around: If its source has `with_defers`, the names of the decorators above that and below.
    """
    used = f"{statement}() is used in {_at(frame)}, "
    if around is None:
        return DeferError(f"{used}which is {_kind_of_code(frame)}; {_remedy(statement, frame)}")
    above, below = around
    if any(name.partition(".")[0] == "typeguard" for name in frame.f_code.co_names):
        return DeferError(
            f"{used}which typeguard has made anew from its source, without the defers that "
            f"@with_defers gave it; put @typechecked below @with_defers, on the line right "
            f"above the `def`, and on methods instead of their class"
        )
    if below:
        return DeferError(
            f"{used}where @with_defers is above @{below[0]}, which keeps the function undecorated; "
            f"put @with_defers on the line right above its own `def`, below @{below[-1]}"
        )
    made = f"@{above[0]}, for example, has" if above else "another decorator or tool has"
    return DeferError(
        f"{used}which @with_defers has decorated, but which runs without it; {made} made it anew "
        f"from its source, or has called what __wrapped__ leads to; put @with_defers above that "
        f"decorator, or call the decorated function"
    )


def _at(frame: FrameType) -> str:
    """Return the name of the function of *frame*, and the place of its current line."""
    return f"{frame.f_code.co_qualname} ({place(frame.f_code, frame.f_lineno)})"


def _kind_of_code(frame: FrameType) -> str:
    name = frame.f_code.co_name
    if name == "<module>":
        return "module level, not a function"
    if name == "<lambda>":
        return "a lambda without @with_defers of its own"
    if name == "<genexpr>":
        return "a generator expression, a function of its own"
    if not frame.f_code.co_flags & _OPTIMIZED:
        return "not the body of a function"
    return "not decorated with @with_defers"


# Flags of code objects. The inspect module has them, but is slow to import.
_OPTIMIZED = 0x1  # set for functions, clear for modules, class bodies and exec'd text
_VARARGS = 0x4
_VARKEYWORDS = 0x8
_ASYNC_GENERATOR = 0x200


def _remedy(statement: str, frame: FrameType) -> str:
    name = frame.f_code.co_name
    if name == "<genexpr>":
        return "use a list comprehension or a `for` statement in the decorated function itself"
    if name == "<lambda>":
        return (
            f"call {statement}() in the body of the decorated function, "
            f"or make the lambda a decorated `def`"
        )
    if name == "<module>" or not frame.f_code.co_flags & _OPTIMIZED:
        return f"move it into a function, and {DECORATE_NEXT_TO_DEF}"
    return (
        f"to run the call when {name} exits, {DECORATE_NEXT_TO_DEF}; "
        f"to run it when a caller of {name} exits, call {statement}() in that caller's body, "
        f"or hand the helper a scope: `{SCOPE}`"
    )


def deferred_statement(statement: str, where: str) -> DeferError:
    """Return the error for a *statement* that was itself deferred (D3).

    When it is called, the function is already exiting.
    """
    return DeferError(
        f"{statement}() was itself deferred{where}, and was called when the function had already "
        f"exited; defer a decorated function that calls {statement}() instead"
    )


def called_by_compiled(statement: str, frame: FrameType) -> DeferError:
    """Return the error for a *statement* that the code of *frame* does not call itself (D3, A)."""
    return DeferError(
        f"{statement}() was called in {_at(frame)} by compiled code (of Cython, mypyc or Nuitka, "
        f"for example), or by an expression that could not be known to be it; compiled code has no "
        f"defers of its own, so use a scope in it: `{SCOPE}`; an expression, write as a statement "
        f"of its own: {statement}(…)"
    )


def no_caller(statement: str) -> DeferError:
    """Return the error for a *statement* that no Python code has called (D3)."""
    return DeferError(
        f"{statement}() was not called by a Python function: a thread, atexit or compiled code has "
        f"called it itself; pass a decorated function that calls {statement}() instead, or use a "
        f"scope: `{SCOPE}`"
    )


def not_async(frame: FrameType) -> DeferError:
    """Return the error for `ausing` in a function that cannot await the exit."""
    return DeferError(
        f"ausing() is used in {_at(frame)}, which is not an async function and could not await the "
        f"exit; make it `async def`, or use using() with a synchronous context manager"
    )


def awaited_too_late(acm: object) -> DeferError:
    """Return the error for an `ausing(...)` awaited after its function has exited."""
    return DeferError(
        f"ausing({callable_name(type(acm))} object) was awaited after its function had exited; "
        f"write `x = await ausing(...)` in the function's own body"
    )


def not_in_time(fn: object, seconds: float | None) -> TimeoutError:
    """Return the error for a clean-up that has exceeded its time limit (X)."""
    return TimeoutError(
        f"{callable_name(fn)} did not end within {seconds} seconds and was cancelled"
    )


def scope_ended(statement: str, frame: FrameType) -> DeferError:
    """Return the error for a scope that is used after its block has ended (S)."""
    return DeferError(
        f"{statement} was called in {_at(frame)} on a scope whose block has ended; use it inside "
        f"of its `with defer_scope() as defer:`, or keep its calls with defer.detach()"
    )


def scope_entered_twice(frame: FrameType) -> DeferError:
    """Return the error for a scope that is entered a second time (S)."""
    return DeferError(
        f"a scope was entered a second time, in {_at(frame)}; "
        f"write `with defer_scope() as defer:`, which makes a new one"
    )


def scope_not_async(frame: FrameType) -> DeferError:
    """Return the error for `ausing` on a scope that cannot await the exit (S)."""
    return DeferError(
        f"defer.ausing() was called in {_at(frame)} on the scope of a `with` block, which could "
        f"not await the exit; write `async with defer_scope() as defer:`"
    )


def scope_to_be_awaited(done: str, frame: FrameType) -> DeferError:
    """Return the error for a synchronous close of a scope with a pending asynchronous exit (S).

    *done* says how the scope was closed, or entered again.
    """
    return DeferError(
        f"the scope {done} in {_at(frame)} has entered an asynchronous context manager, whose exit "
        f"must be awaited; write `await defer.aclose()`, or `async with`. Nothing was run"
    )


def scope_lost(count: int, name: str, code: CodeType, line: int) -> str:
    """Return the text of the ResourceWarning for a scope that dies with pending calls (S).

    Args:
        count: The number of calls.
        name: The name of the call that would be made first.
        code: The code of the function that deferred it.
        line: The line of the statement that deferred it.
    """
    calls = "a pending call" if count == 1 else f"{count} pending calls"
    first = "" if count == 1 else "the first to be made, "
    return (
        f"a scope was dropped with {calls}: {first}{name}, deferred at "
        f"{code.co_filename}:{line} in {code.co_qualname}; enter the scope by a `with` statement, "
        f"or call its close(), in async code `await` its aclose()"
    )


def needs_open_coding(fn: FunctionType, result: object, reason: str) -> DeferError:
    """Return the error for named results that cannot be compiled into *fn* (N, R3)."""
    code = fn.__code__
    return _wrong_result(
        result,
        f"{code.co_qualname} ({place(code, code.co_firstlineno)})",
        f"named results need the function to be recompiled from its source, and {reason}; "
        f"return the value instead",
    )


def bad_result(fn: FunctionType, result: object) -> DeferError | None:
    """Return the error for a wrong *result* of `with_defers`; None if it is right (N)."""
    code = fn.__code__
    wrong = _problem_with_result(code, result)
    if not wrong:
        return None
    return _wrong_result(result, f"{code.co_qualname} ({place(code, code.co_firstlineno)})", wrong)


def _problem_with_result(code: CodeType, result: object) -> str:
    names = (result,) if isinstance(result, str) else result
    if (
        not isinstance(names, tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        return (
            "result must be a name, or a tuple of names, "
            "such as result='err' or result=('n', 'err')"
        )
    if len(set(names)) != len(names):
        return "the names must differ"
    if code.co_flags & _ASYNC_GENERATOR:
        return "an async generator returns no value; write @with_defers without result"
    parameters = code.co_varnames[
        : code.co_argcount
        + code.co_kwonlyargcount
        + bool(code.co_flags & _VARARGS)
        + bool(code.co_flags & _VARKEYWORDS)
    ]
    wrong = ""
    for name in names:
        if name in parameters:
            wrong = f"{name!r} is a parameter; name a local variable, which starts as None"
        elif not {name, _mangled(name, code)} & {*code.co_varnames, *code.co_cellvars}:
            wrong = f"{name!r} is not a local variable of it; {_nearest(name, code, parameters)}"
    return wrong


def _nearest(name: str, code: CodeType, parameters: tuple[str, ...]) -> str:
    """Return the advice for a wrong *name*: a local variable with a similar name, or a new one."""
    from difflib import get_close_matches  # noqa: PLC0415  # slow to import

    variables = [v for v in (*code.co_varnames, *code.co_cellvars) if v not in parameters]
    close = get_close_matches(name, variables, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"assign to {name} in the body"


def decorated_already(fn: FunctionType, code: CodeType, result: object) -> DeferError:
    """Return the error for a second decoration with other results (N).

    *code* is the code of *fn* before the first decoration.
    """
    return _wrong_result(
        result,
        f"{fn.__qualname__} ({place(code, code.co_firstlineno)})",
        f"it is decorated already, without these results; decorate it once, with result={result!r}",
    )


def no_body(fn: object, result: object) -> DeferError:
    """Return the error for named results of an object without a Python body (N)."""
    return _wrong_result(
        result,
        callable_name(fn),
        f"it has no Python body, so no local variables; {DECORATE_NEXT_TO_DEF}",
    )


def _wrong_result(result: object, function: str, problem: str) -> DeferError:
    return DeferError(f"with_defers(result={result!r}) on {function}: {problem}")


def _mangled(name: str, code: CodeType) -> str:
    """Return *name* as the compiler mangles it: private names belong to the innermost class."""
    parts = code.co_qualname.split(".")[:-1]
    while parts and parts[-1] == "<locals>":
        del parts[-2:]  # a function
    owner = parts[-1].lstrip("_") if parts else ""
    if not owner or not name.startswith("__") or name.endswith("__"):
        return name
    return f"_{owner}{name}"


def not_decoratable(thing: object) -> TypeError:
    """Return the error for decorating a class, or an object that cannot be called (A)."""
    if isinstance(thing, type):
        return TypeError(
            f"with_defers takes a function, not the class {thing.__qualname__}; "
            f"decorate the methods that call defer()"
        )
    return TypeError(
        f"with_defers takes a function, not {thing!r} of type {type(thing).__qualname__}; "
        f"write @with_defers (or @with_defers(result='name')) on the line right above a `def`, "
        f"below any other decorator"
    )


def compiled(fn: object) -> TypeError:
    """Return the error for decorating a function that has no Python body (A)."""
    return TypeError(
        f"with_defers takes a function with a Python body, and {callable_name(fn)} has none: it is "
        f"built in, or compiled by Cython, Nuitka or mypyc (type {type(fn).__qualname__}). A scope "
        f"works there: `{SCOPE}`"
    )


def coroutine_dropped(coroutine: object) -> TypeError:
    """Return the error for a coroutine that a deferred call returned in sync code (D6)."""
    return TypeError(
        f"{callable_name(coroutine)} is a coroutine function deferred in sync code, so nothing "
        f"would await it. Make the function `async def` (or the scope `async with`), or defer a "
        f"function that runs it."
    )


def generator_dropped(generator: object, *, asynchronous: bool) -> TypeError:
    """Return the error for the generator of a deferred generator function (D6).

    Args:
        generator: The generator.
        asynchronous: Whether it is an async generator.
    """
    kind, loop = ("an async generator", "async for") if asynchronous else ("a generator", "for")
    return TypeError(
        f"{callable_name(generator)} is {kind} function, and the deferred call has run nothing of "
        f"its body; take the `yield` out of it, or defer a function that runs it to its end in a "
        f"`{loop}` loop"
    )


def internal(where: str) -> SystemError:
    """Return the error for a state that cannot occur, like Go's ``throw``."""
    return SystemError(f"internal error in {where}; please report it")


def pooled_with_panic() -> SystemError:
    """Return the error for a node that was in use when it came out of the pool (R5).

    After Go's ``deferproc: d.panic != nil``.
    """
    return internal("newdefer: a node with a panic on it came out of the pool")


def not_exception_types(types_given: tuple[object, ...]) -> TypeError | None:
    """Return the error for the first argument of `recover` that is not an exception type (P3)."""
    for given in types_given:
        if not (isinstance(given, type) and issubclass(given, BaseException)):
            message = f"recover() takes exception types, such as recover(OSError), not {given!r}"
            if isinstance(given, tuple) and given and not_exception_types(given) is None:
                names = [callable_name(t) for t in (*types_given, *given) if isinstance(t, type)]
                message += f"; write recover({', '.join(names)})"
            return TypeError(message)
    return None


def add_called_not_passed(error: TypeError, fn: object) -> None:
    """Add a note on the likely mistake, if the callee *fn* is None or a coroutine object (D7)."""
    if fn is None:
        error.add_note(
            "The deferred callee is None: "
            "was the function called instead of passed, as in defer(f.close())?"
        )
    elif isinstance(fn, Coroutine):
        name = getattr(fn, "__name__", None) or "f"
        error.add_note(
            f"The deferred callee is a coroutine object: was the function called instead of "
            f"passed, as in defer({name}())? Pass the function: `defer({name})`"
        )


def add_asynchronous(error: TypeError, cm: object) -> None:
    """Add a note on the likely mistake, if *cm* is an asynchronous context manager (D11)."""
    if hasattr(type(cm), "__aenter__") and hasattr(type(cm), "__aexit__"):
        error.add_note(
            "The object is an asynchronous context manager: did you mean `await ausing(…)`?"
        )


def not_decorated(fn: object) -> DeferError:
    """Return the error for explaining a function that is not decorated (R4)."""
    return DeferError(
        f"{callable_name(fn)} is not decorated with @with_defers, so there is nothing to explain"
    )


def not_awaitable(method: str, received: object) -> TypeError:
    """Return the error of ``async with`` for a *method* that did not return an awaitable (D11)."""
    return TypeError(
        f"'async with' received an object from {method} "
        f"that does not implement __await__: {type(received).__name__}"
    )
