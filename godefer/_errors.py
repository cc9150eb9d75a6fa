"""DeferError, and the wording of every error that godefer raises.

One place for the words, so that they stay alike: each names the culprit, its place, and what to write instead.
Nothing here decides; the functions take what is known and return the exception to raise.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType, FunctionType

DECORATE_NEXT_TO_DEF = (
    "put @with_defers on the line right above its own `def`, below any other decorator"
)


class DeferError(RuntimeError):
    """godefer was misused: a `defer` that belongs to no decorated function, or a decoration that cannot work.

    The message names the function, its file and line, and says what to write instead (rules D3, N and A). It is
    raised where the misuse stands, before anything is registered, so no deferred call is lost by it. Go reports the
    same kind of mistake from ``runtime/panic.go``, where ``deferproc`` throws "defer on system stack".

    Example:
        >>> from godefer import DeferError, defer
        >>> def helper():
        ...     defer(print, "never registered")
        >>> try:
        ...     helper()
        ... except DeferError as e:
        ...     print(str(e).partition(" (")[0])
        defer() stands in helper
    """


def place(code: CodeType, line: int) -> str:
    """``file:line``, as an editor and a terminal can open it."""
    return f"{code.co_filename}:{line}"


def line_at(code: CodeType, pc: int) -> int:
    """The line of an instruction. A loop: a generator expression can crash the interpreter when there is no memory for it."""
    found = code.co_firstlineno
    for start, stop, line in code.co_lines():
        if start <= pc < stop and line is not None:
            found = line
    return found


def callable_name(fn: object) -> str:
    """The name a reader would look for: the qualified name, or the repr of what has none."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    return name if isinstance(name, str) else repr(fn)


def no_decorated_function(statement: str, frame: FrameType, *, decorated: bool) -> DeferError:
    """D3: *statement* was called in *frame*, which is not the body of a decorated function.

    *decorated*: it is open-coded, and this call was not seen when it was compiled.
    """
    code = frame.f_code
    if decorated:
        return DeferError(
            f"{statement}() was called in {code.co_qualname} ({place(code, frame.f_lineno)}) by a "
            f"name or an expression that could not be known to be it when the function was "
            f"decorated; write it there as a statement of its own, by a name that means it by "
            f"then: {statement}(…)"
        )
    return DeferError(
        f"{statement}() stands in {code.co_qualname} ({place(code, frame.f_lineno)}), "
        f"which is {_what(frame)}; {_instead(statement, frame)}"
    )


def _what(frame: FrameType) -> str:
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


_OPTIMIZED = (
    0x1  # inspect.CO_OPTIMIZED: set for functions, clear for modules, class bodies and exec'd text
)


def _instead(statement: str, frame: FrameType) -> str:
    name = frame.f_code.co_name
    if name == "<genexpr>":
        return "use a list comprehension or a `for` statement in the decorated function itself"
    if name == "<lambda>":
        return f"call {statement}() in the body of the decorated function, or make the lambda a decorated `def`"
    if name == "<module>" or not frame.f_code.co_flags & _OPTIMIZED:
        return f"move it into a function, and {DECORATE_NEXT_TO_DEF}"
    return (
        f"to run the call when {name} exits, {DECORATE_NEXT_TO_DEF}; "
        f"to run it when a caller of {name} exits, call {statement}() in that caller's body"
    )


def deferred_statement(statement: str, where: str) -> DeferError:
    """D3: *statement* itself was deferred, so that it was called after the body it could belong to had ended."""
    return DeferError(
        f"{statement}() was itself deferred{where}, and was called when the function had already exited; "
        f"defer a decorated function that calls {statement}() instead"
    )


def not_async(frame: FrameType) -> DeferError:
    """`ausing` in a function that cannot await its exit."""
    code = frame.f_code
    return DeferError(
        f"ausing() stands in {code.co_qualname} ({place(code, frame.f_lineno)}), which is not an async function and "
        f"could not await the exit; make it `async def`, or use using() with a synchronous context manager"
    )


def awaited_too_late(acm: object) -> DeferError:
    """`ausing(...)` was awaited when its function had already exited."""
    return DeferError(
        f"ausing({callable_name(type(acm))} object) was awaited after its function had exited; "
        f"write `x = await ausing(...)` in the function's own body"
    )


def scope_ended(statement: str, frame: FrameType) -> DeferError:
    """S: a scope was used when its block was over."""
    return DeferError(
        f"{statement} was called in {frame.f_code.co_qualname} ({place(frame.f_code, frame.f_lineno)}) on a scope whose block "
        f"has ended; use it inside of its `with defer_scope() as defer:`, or keep its calls with defer.detach()"
    )


def scope_entered_twice(frame: FrameType) -> DeferError:
    """S: a scope is for one block."""
    return DeferError(
        f"a scope was entered a second time, in {frame.f_code.co_qualname} ({place(frame.f_code, frame.f_lineno)}); "
        f"write `with defer_scope() as defer:`, which makes a new one"
    )


def scope_not_async(frame: FrameType) -> DeferError:
    """S: an asynchronous context manager on a scope that cannot await its exit."""
    return DeferError(
        f"defer.ausing() was called in {frame.f_code.co_qualname} ({place(frame.f_code, frame.f_lineno)}) on the scope of a "
        f"`with` block, which could not await the exit; write `async with defer_scope() as defer:`"
    )


def scope_to_be_awaited(done: str, frame: FrameType) -> DeferError:
    """S: the exit of an asynchronous context manager is pending, and the scope is closed, or entered, by who could not await it."""
    return DeferError(
        f"the scope {done} in {frame.f_code.co_qualname} ({place(frame.f_code, frame.f_lineno)}) has entered an asynchronous "
        f"context manager, whose exit must be awaited; write `await defer.aclose()`, or `async with`. Nothing was run"
    )


def needs_open_coding(fn: FunctionType, result: object, reason: str) -> DeferError:
    """N and R3: named results are compiled into the function, so they need its source."""
    code = fn.__code__
    return DeferError(
        f"with_defers(result={result!r}) on {code.co_qualname} ({place(code, code.co_firstlineno)}): named results need "
        f"the function to be recompiled from its source, and {reason}; return the value instead"
    )


def bad_result(fn: FunctionType, result: object) -> DeferError | None:
    """N: what is wrong with the names in ``with_defers(result=…)`` for *fn*, if something is."""
    code = fn.__code__
    names = (result,) if isinstance(result, str) else result
    parameters = code.co_varnames[
        : code.co_argcount
        + code.co_kwonlyargcount
        + bool(code.co_flags & 0x4)
        + bool(code.co_flags & 0x8)
    ]
    wrong = ""
    if (
        not isinstance(names, tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        wrong = "result must be a name, or a tuple of names, such as result='err' or result=('n', 'err')"
    elif len(set(names)) != len(names):
        wrong = "the names must differ"
    elif code.co_flags & 0x200:
        wrong = "an async generator returns no value; write @with_defers without result"
    else:
        for name in names:
            if name in parameters:
                wrong = f"{name!r} is a parameter; name a local variable, which starts as None"
            elif not {name, _mangled(name, code)} & {*code.co_varnames, *code.co_cellvars}:
                wrong = f"{name!r} is not a local variable of it; assign to {name} in the body"
    if not wrong:
        return None
    return DeferError(
        f"with_defers(result={result!r}) on {code.co_qualname} ({place(code, code.co_firstlineno)}): {wrong}"
    )


def decorated_already(fn: FunctionType, code: CodeType, result: object) -> DeferError:
    """N: a second decoration that would change the results of the first; *code* is what stood there before that."""
    return DeferError(
        f"with_defers(result={result!r}) on {fn.__qualname__} ({place(code, code.co_firstlineno)}): it is decorated already, "
        f"without these results; decorate it once, with result={result!r}"
    )


def no_body(fn: object, result: object) -> DeferError:
    """N: there is no function in sight whose local variables could be the results."""
    return DeferError(
        f"with_defers(result={result!r}) on {callable_name(fn)}: it has no Python body, so no local variables; "
        f"{DECORATE_NEXT_TO_DEF}"
    )


def _mangled(name: str, code: CodeType) -> str:
    """A private *name* as the compiler mangles it in the class that *code* is a method of."""
    scopes = [part for part in code.co_qualname.split(".")[:-1] if part != "<locals>"]
    if not name.startswith("__") or name.endswith("__") or not scopes:
        return name
    return f"_{scopes[-1].lstrip('_')}{name}"


def not_decoratable(thing: object) -> TypeError:
    """A: a class, or something that cannot be called."""
    if isinstance(thing, type):
        return TypeError(
            f"with_defers takes a function, not the class {thing.__qualname__}; decorate the methods that call defer()"
        )
    return TypeError(
        f"with_defers takes a function, not {thing!r} of type {type(thing).__qualname__}; "
        f"write @with_defers (or @with_defers(result='name')) on the line right above a `def`, below any other decorator"
    )


def coroutine_dropped(coroutine: object) -> TypeError:
    """D6: a deferred call in a synchronous function, or in a `with` block, returned a coroutine object."""
    name = callable_name(coroutine)
    return TypeError(
        f"{name} is async and would never have run: it was deferred in a function, or in the block of a scope, that is not async; "
        f"make the function `async def`, the block `async with` and its close() an `await` of aclose(), "
        f"or defer something that runs {name} to its end"
    )


def internal(where: str) -> SystemError:
    """Something that cannot be, as Go's ``throw``."""
    return SystemError(f"internal error in {where}; please report it")


def pooled_with_panic() -> SystemError:
    """R5: a node was given back, or written to afterwards, while its call was running; Go: ``deferproc: d.panic != nil``."""
    return internal("newdefer: a node with a panic on it came out of the pool")


def not_exception_types(types_given: tuple[object, ...]) -> TypeError | None:
    """P3: what `recover(...)` was given, if one of it is not an exception type."""
    for given in types_given:
        if not (isinstance(given, type) and issubclass(given, BaseException)):
            return TypeError(
                f"recover() takes exception types, such as recover(OSError), not {given!r}"
            )
    return None


def add_called_not_passed(error: TypeError, fn: object) -> None:
    """D7: say what probably happened when the callee turned out to be None."""
    if fn is None:
        error.add_note(
            "The deferred callee is None: was the function called instead of passed, as in defer(f.close())?"
        )


def none_called() -> TypeError:
    """D7: what calling None raises, with the note."""
    error = TypeError("'NoneType' object is not callable")
    add_called_not_passed(error, None)
    return error


def not_decorated(fn: object) -> DeferError:
    """R4: `explain` was asked about a function that is not decorated."""
    return DeferError(
        f"{callable_name(fn)} is not decorated with @with_defers, so there is nothing to explain"
    )


def not_awaitable(method: str, received: object) -> TypeError:
    """D11: a method of an asynchronous context manager is not async, in the words of ``async with``."""
    return TypeError(
        f"'async with' received an object from {method} that does not implement __await__: {type(received).__name__}"
    )
