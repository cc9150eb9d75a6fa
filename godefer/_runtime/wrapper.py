"""The wrapper of the runtime way: a function that runs the body, then its deferred calls.

It is made from a template. There is one for each kind (function, generator, coroutine function,
async generator) and signature, for two reasons. A wrapper with the parameters of the body rejects
wrong arguments at the call. With ``*args, **kwargs`` a generator or a coroutine would reject them
when it is first resumed. And `inspect` shows the wrapper as a function of the body's kind.

In a template, ``@name`` is a constant of the code if `_CONSTANTS` has it, else a hidden local. No
source can contain such a name, so it cannot clash with a name of the function.

The code of the wrapper has a weak reference to the body. The garbage collector does not look into
code, so with a strong one a function that refers to itself would live for ever. The
``__kwdefaults__`` dict of the wrapper keeps the body alive, in a slot. Rejected:

- an attribute of the wrapper: ``functools.wraps`` copies attributes from one function to another;
- a closure variable: a function that is decorated in place cannot get one, and
  ``inspect.getclosurevars`` would show it.
"""

from __future__ import annotations

import sys
from _weakref import ref
from types import CodeType, FunctionType, coroutine

from godefer import _errors
from godefer._decision import Decision
from godefer._function import copy_identity, innermost
from godefer._runtime.exceptions import raise_again, restore, save, set_traceback
from godefer._runtime.invocation import bodies, live
from godefer._runtime.record import RETURNING, CallSites, Record
from godefer._runtime.results import awaits
from godefer._runtime.traceback import WRAPPER, before_pep_479, strip
from godefer._runtime.unwind import adeferreturn, agopanic, deferreturn, gopanic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator
    from types import AsyncGeneratorType
    from typing import Any

_VARARGS, _VARKEYWORDS = 0x4, 0x8  # inspect.CO_VARARGS, CO_VARKEYWORDS
_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200


def wrap_in_place(fn: FunctionType, reason: str) -> None:
    """Turn *fn* itself into a wrapper, since other objects hold it already."""
    body = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    body.__kwdefaults__ = fn.__kwdefaults__
    copy_identity(fn, body)
    fn.__code__ = WrapperCode(fn.__code__, reason).around(body)
    _keep(fn, body)


def _keep(wrapper: FunctionType, body: FunctionType) -> None:
    """Keep the body alive as long as the wrapper is."""
    keywords = _KeywordDefaults(body.__kwdefaults__ or {})
    keywords.body = body
    wrapper.__kwdefaults__ = keywords
    wrapper.__wrapped__ = body  # type: ignore[attr-defined]


class _KeywordDefaults(dict[str, object]):
    """The ``__kwdefaults__`` dict of a wrapper; it also holds the body, and so keeps it alive."""

    __slots__ = ("body",)

    body: Any  # mypy takes a function in a class for a method

    def __copy__(self) -> dict[str, object]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, object]:
        from copy import deepcopy  # noqa: PLC0415  # the caller has imported it

        return deepcopy(dict(self), memo)


class _Body(ref):  # type: ignore[type-arg]
    """The body, as a constant of the wrapper's code."""

    def __reduce__(self) -> tuple[type[_Body], tuple[Any]]:
        return _Body, (self(),)  # pickled by value, with the wrapper that keeps the body


class WrapperCode:
    """The code of wrappers around functions that share their code. It does not keep that alive.

    Args:
        code: The code of the functions. `templates` must have the template for its shape.
        reason: The reason why they are not open-coded.
    """

    __slots__ = ("_at", "_code", "_consts", "_reason")

    def __init__(self, code: CodeType, reason: str) -> None:
        template = templates[shape_of(code)]
        self._consts = [
            _RUNTIME.get(const, const) if type(const) is str else const
            for const in template.co_consts
        ]
        self._at = [self._consts.index(mark) for mark in ("@body", "@code", "@sites")]
        self._reason = reason
        self._code = template.replace(
            co_name=code.co_name,
            co_qualname=code.co_qualname,
            co_flags=template.co_flags | (code.co_flags & _ITERABLE_COROUTINE),
        )

    def wrap(self, fn: FunctionType) -> FunctionType:
        """Return a new function that runs *fn* with defers of its own, and introspects like it (A).

        `Maker` is not used: it would save 7 ns in a call of 800 ns.
        """
        code, cells = self.around(fn), fn.__closure__
        wrapper = FunctionType(code, fn.__globals__, fn.__name__, fn.__defaults__, cells)
        copy_identity(fn, wrapper)
        _keep(wrapper, fn)
        return wrapper

    def around(self, body: FunctionType) -> CodeType:
        """Return the code of a wrapper around *body*."""
        code = body.__code__
        at_body, at_code, at_sites = self._at
        consts = [*self._consts, Decision(code, reason=self._reason)]
        consts[at_body], consts[at_code] = _Body(body), code
        consts[at_sites] = CallSites()  # not shared: closure variables differ
        return self._code.replace(co_consts=tuple(consts))


# By the shape of the bodies, the code of their wrappers, with marks for the constants.
templates: dict[tuple[object, ...], CodeType] = {}


def shape_of(code: CodeType) -> tuple[object, ...]:
    """Return the properties of a body on which the template of its wrapper depends."""
    return (
        code.co_flags & (_VARARGS | _VARKEYWORDS | _GENERATOR | _COROUTINE | _ASYNC_GENERATOR),
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + 2],
        code.co_freevars,
    )


def compile_template(code: CodeType) -> CodeType:
    """Return the template for bodies of the shape of *code*."""
    prefix = "_godefer_"
    while any(name.startswith(prefix) for name in (*code.co_varnames, *code.co_freevars)):
        prefix = f"_{prefix}"
    first, *others = wrapper_source(code).split("@")
    for other in others:
        name = other[: next(i for i, c in enumerate(other) if not (c.isalnum() or c == "_"))]
        if f"@{name}" in _CONSTANTS:
            # A condition, which the compiler drops: to call or catch a literal is a SyntaxWarning.
            first += f"('@{name}' if 1 else 0){other.removeprefix(name)}"
        else:
            first += f"{prefix}{other}"
    # The wrapper mentions the closure variables of the body, and a function around it has them.
    cells = ", ".join(code.co_freevars)
    head, _, rest = first.partition("\n")
    mention = f"    if 0: {cells}\n" if cells else ""
    text = f"def {prefix}cells({cells}):\n    {head}\n{_indent(mention + rest, 4)}"
    made = innermost(compile(text, WRAPPER, "exec", dont_inherit=True, optimize=0), 2)
    if made.co_freevars != code.co_freevars:
        raise _errors.internal(f"wrap: {code.co_qualname} has other closure variables")
    names = (f"@{n.removeprefix(prefix)}" if n.startswith(prefix) else n for n in made.co_varnames)
    return made.replace(co_varnames=tuple(names))


def wrapper_source(code: CodeType) -> str:
    """Return the template text for a body with *code*; `compile_template` replaces its marks."""
    flags = code.co_flags
    asynchronous = bool(flags & (_COROUTINE | _ASYNC_GENERATOR))
    suspends = asynchronous or bool(flags & _GENERATOR)
    parameters, given = _parameters(code)
    names = [parameter.lstrip("*") for parameter in parameters if parameter not in {"*", "/"}]
    hidden = [f"@{name}" for name in (*_LOCALS, *(_SUSPENDING_LOCALS if suspends else ()))]
    unbound = [*hidden, *names]
    parts = {
        "RUN": _RUN if not suspends else _RUN_GENERATOR,
        "BEGIN": _BEGIN if asynchronous else "",
        "LEAVE": f"{_LEAVE}\n{_ENDED}" if asynchronous else _LEAVE,
        "FAILED": _FAILED_SUSPENDING if suspends else _FAILED,
        "LOOPS": _ASYNC_LOOPS if asynchronous else _LOOPS,
        "LAST_RESORT": f"{_LAST_RESORT}\n{_AWAIT_CALL}" if asynchronous else _LAST_RESORT,
        "CLOSED": _CLOSED if asynchronous else "",
        "RETURN": "return" if flags & _ASYNC_GENERATOR else _RETURN,
        "UNBIND": f"{' = '.join(unbound)} = None\ndel {', '.join(unbound)}",
        "CLEAR": f"{' = '.join(names)} = None" if names else "",
    }
    if flags & _ASYNC_GENERATOR:
        parts["RUN"] = _RUN_ASYNC_GENERATOR
        parts["LEAVE"] = f"{_LEAVE}\n{_LEAVE_ASYNC_GENERATOR}\n{_ENDED}"
    text = _fill(_fill(_TEMPLATE, parts), parts)
    suspend = "await @suspend(@result)" if asynchronous else "yield @result"
    # A name of the function may look like a placeholder in capitals, but not like these.
    return (
        (f"{'async ' if asynchronous else ''}def wrapper({', '.join(parameters)}):\n{text}")
        .replace("<suspend>", suspend)
        .replace("<arguments>", ", ".join(given if suspends else _clearing(given, names)))
    )


def _fill(text: str, parts: dict[str, str]) -> str:
    """Return *text* with each line that is the name of a part replaced by that part."""
    lines = []
    for line in text.splitlines():
        word = line.strip()
        if word in parts:
            indent = line[: -len(word)]
            lines += [f"{indent}{part}" for part in parts[word].splitlines()]
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _parameters(code: CodeType) -> tuple[list[str], list[str]]:
    """Return the parameters of *code*, and the arguments of a call that passes on all of them."""
    names = code.co_varnames
    positional = names[: code.co_argcount]
    keywords = names[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    extra = iter(names[code.co_argcount + code.co_kwonlyargcount :])
    parameters, arguments = list(positional), list(positional)
    if code.co_posonlyargcount:
        parameters.insert(code.co_posonlyargcount, "/")
    if code.co_flags & _VARARGS:
        parameters.append("*" + next(extra))
        arguments.append(parameters[-1])
    elif keywords:
        parameters.append("*")
    parameters += keywords
    arguments += [f"{name}={name}" for name in keywords]
    if code.co_flags & _VARKEYWORDS:
        parameters.append("**" + next(extra))
        arguments.append(parameters[-1])
    return parameters, arguments


def _clearing(arguments: list[str], names: list[str]) -> list[str]:
    """Return *arguments*; the last one clears the wrapper's *names* when it is evaluated.

    So only the body holds the arguments, and can free them.
    """
    if not arguments:
        return []
    *first, last = arguments
    name = names[-1]
    cleared = ", ".join(f"{name} := None" for name in names)
    return [*first, f"{last.removesuffix(name)}({name}, {cleared})[0]"]


_LOCALS = ("me", "record", "result", "call", "returned", "saved")
_SUSPENDING_LOCALS = ("inner", "step")

# The text of a wrapper; CAPITALS are placeholders. An interrupt can come where a function starts or
# a jump goes backwards. So there must be neither between the body's end and the loops' `try`.
_TEMPLATE = """\
    @me = @getframe()
    @record = @live[@me] = @Record()
    @record.sp = @code
    @record.calls = @sites.known
    @record.link = @record.error = @record.running = None
    BEGIN
    try:
        RUN
    except @BaseException as @exc:
        LEAVE
        @result = None
        if @record.link is None:
            UNBIND
            raise
        FAILED
    else:
        LEAVE
    while @record.link is not None:
        try:
            LOOPS
        CLOSED
        except @BaseException as @failed:  # a loop could not begin: one call is made here
            @record.error = @failed
            @record.running = None
            try:
                LAST_RESORT
            except @BaseException as @failed:
                @record.error = @failed
    if @record.error is not None:
        try:
            @raise_again(@record.let_go())
        finally:
            UNBIND
    RETURN
"""

# As in `unwind`. The wrapper runs each loop itself, so that the calls have as much stack as the
# body had. And an async wrapper that was closed can be resumed if a later call awaits something.
_LOOPS = """\
@call = @returned = None
while True:
    if @record.error is None:
        @deferreturn(@record)
    else:
        @saved = @save(@record.error)
        try:
            raise @record.error
        except @BaseException as @again:
            if @again is not @record.error:  # an interrupt
                raise
            @restore(@again, @saved)
            @saved = None
            @gopanic(@record)
    if @record.link is None:
        break
    continue"""
_ASYNC_LOOPS = """\
@call = @returned = None
while True:
    if @record.error is None:
        await @adeferreturn(@record)
    else:
        await @agopanic(@record)
    if @record.link is None:
        break
    continue"""

_LAST_RESORT = """\
@call = @record.link
@returned = None
if @call is not None:
    @record.link = @call.link
    if @call.when > @RETURNING:
        @returned = @call.fn(@failed.__class__, @failed, None)
    elif @call.when == @RETURNING:
        pass
    elif @call.kwargs is None:
        @returned = @call.fn(*@call.args)
    else:
        @returned = @call.fn(*@call.args, **@call.kwargs)"""
_AWAIT_CALL = """\
    if @hasattr(@returned, "__await__") and (
        @call.when > @RETURNING or @awaits(@returned, @call.fn, @call.args)
    ):
        await @returned"""

_RUN = "@result = @body()(<arguments>)"

# ``yield from body``, written out because of GeneratorExit. `yield from` closes the body and then
# raises GeneratorExit itself (PEP 380). A body that catches it and returns would seem to fail, and
# one that ignores it would seem to have ended.
#
# An exception is thrown into the body outside of the `except`, so that the body does not run inside
# of a handler.
_RUN_GENERATOR = """\
@result = @inner = @step = None
try:
    @inner = @body()(<arguments>)
    CLEAR
    @step = @inner.send
    while True:
        @result = @step(@result)
        try:
            @result = <suspend>
            @step = @inner.send
        except @BaseException as @thrown:
            @step = @inner.throw
            @result = @strip(@thrown)
except @StopIteration as @stop:
    @result = @stop.value"""

# `bodies` leads from the frame of the body to the record. `live` is not enough: if an exception is
# thrown into an awaited asend() or athrow(), the frame of the body is not linked to the wrapper's.
_RUN_ASYNC_GENERATOR = """\
@result = @inner = @step = None
try:
    @inner = @body()(<arguments>)
    CLEAR
    @step = @inner.ag_frame
    @bodies[@step] = @record
    @result = @start(@inner)
    while True:
        @result = await @result
        try:
            @result = @inner.asend((yield @result))
        except @BaseException as @thrown:
            @result = @inner.athrow(@strip(@thrown))
except @StopAsyncIteration:
    @result = None"""

_BEGIN = "@record.ended = False"

# The body has ended.
_LEAVE = """\
try:
    del @live[@me]
except @KeyError:  # the program is ending
    pass
@me = None"""
_LEAVE_ASYNC_GENERATOR = """\
try:
    del @bodies[@step]
except @KeyError:  # the program is ending, or it has not come so far
    pass
@step = None"""
_ENDED = "@record.ended = True"

# The calls run while the exception is being handled. Its traceback begins with the wrapper's frame.
# That frame is taken off: the interpreter adds it again when the exception leaves.
_FAILED = """\
try:
    @record.error = @exc
    @set_traceback(@exc, @exc.__traceback__ and @exc.__traceback__.tb_next)  # None: no memory
    @gopanic(@record)
except @BaseException as @failed:
    @record.error = @failed
if @record.error is @exc and @record.link is None:
    UNBIND
    raise"""

# In a function that suspends, the interpreter may have converted the exception (PEP 479). The loops
# begin with the original.
_FAILED_SUSPENDING = """\
try:
    @record.error = @before_pep_479(@exc)
    @strip(@record.error)
except @BaseException as @failed:
    @record.error = @failed"""

# The wrapper was closed while a loop awaited a call. The record has the outcome of the loop.
_CLOSED = """\
except @GeneratorExit:
    pass"""

# If the result holds an exception whose traceback has this frame, a bound local is a cycle (D9).
_RETURN = """\
try:
    return @result
finally:
    @result = None"""


@coroutine
def suspend(item: object) -> Generator[object, Any, Any]:
    """Suspend the coroutine that awaits this, with *item*: its body has suspended with that."""
    return (yield item)


def start(body: AsyncGeneratorType[Any, Any]) -> Awaitable[Any]:
    """Begin an async generator's body without the hooks of the event loop.

    The hooks tell the loop of each async generator that begins, and the loop closes it at the end.
    The loop must know only the wrapper, since the wrapper closes the body. A body without a
    finalizer would be closed by the garbage collector, so it gets one that does nothing.
    """
    hooks = sys.get_asyncgen_hooks()
    try:  # an interrupt can come as soon as the hooks are set
        sys.set_asyncgen_hooks(None, left_to_wrapper)
        return body.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def left_to_wrapper(body: AsyncGenerator[Any, Any]) -> None:
    """Do nothing when *body* is collected: the wrapper is collected with it, and closes it."""


_RUNTIME = {
    "@BaseException": BaseException,
    "@GeneratorExit": GeneratorExit,
    "@KeyError": KeyError,
    "@Record": Record,
    "@StopAsyncIteration": StopAsyncIteration,
    "@StopIteration": StopIteration,
    "@adeferreturn": adeferreturn,
    "@agopanic": agopanic,
    "@awaits": awaits,
    "@before_pep_479": before_pep_479,
    "@bodies": bodies,
    "@deferreturn": deferreturn,
    "@getframe": sys._getframe,
    "@gopanic": gopanic,
    "@live": live,
    "@RETURNING": RETURNING,
    "@hasattr": hasattr,
    "@raise_again": raise_again,
    "@restore": restore,
    "@save": save,
    "@set_traceback": set_traceback,
    "@start": start,
    "@strip": strip,
    "@suspend": suspend,
}
_CONSTANTS = {*_RUNTIME, "@body", "@code", "@sites"}


def _indent(text: str, by: int) -> str:
    return "".join(f"{' ' * by}{line}" for line in text.splitlines(keepends=True))
