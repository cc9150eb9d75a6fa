"""The wrapper of the runtime way: a function that runs the body, then its deferred calls.

It is made from a template, once for each kind (function, generator, coroutine function, async generator) and signature, since only a
function with the body's own parameters rejects wrong arguments at the call for *every* kind: a generator or a coroutine with
``*args, **kwargs`` would do so when it is first resumed. It is also what `inspect` calls a generator, a coroutine function
or an async generator exactly if the body is one, and passing arguments on costs less than packing them twice.

What the template calls is put in as constants of the code, in place of strings that begin with "@". So the wrapper has the
body's globals and closure cells, and its code can be given to an existing function (see `_decorate`); the body
is the last constant, by which `_statements.wraps` knows the wrapper. That holds it weakly, and the wrapper's ``__wrapped__`` holds it
truly, and again as ``__godefer_body__``, since ``functools.wraps`` above the wrapper changes ``__wrapped__``: the garbage collector
does not look into code, so that a function that refers to itself would live for ever.
"""

from __future__ import annotations

import sys
from _weakref import ref
from types import CodeType, FunctionType, coroutine

from godefer import _errors
from godefer._rebuild import copy_identity, innermost, make_function
from godefer._record import RETURNING, restore, restore_context, save, set_traceback
from godefer._statements import bodies, live
from godefer._traceback import WRAPPER, before_pep_479, hide, without_runtime_frames
from godefer._unwind import adeferreturn, agopanic, deferreturn, gopanic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Generator
    from types import AsyncGeneratorType
    from typing import Any

_VARARGS, _VARKEYWORDS = 0x4, 0x8  # inspect.CO_VARARGS, CO_VARKEYWORDS
_GENERATOR, _COROUTINE, _ITERABLE_COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200


def wrap(fn: FunctionType) -> FunctionType:
    """A new function that runs *fn* with defers of its own, and is *fn* for all who ask (A)."""
    wrapper = make_function(_fill(_template(fn), fn.__code__, fn), fn)
    wrapper.__wrapped__ = wrapper.__godefer_body__ = fn  # type: ignore[attr-defined]
    return wrapper


def wrap_in_place(fn: FunctionType) -> None:
    """Make *fn* itself run with defers of its own, for those who hold on to it already."""
    body = FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, fn.__closure__)
    body.__kwdefaults__ = fn.__kwdefaults__
    copy_identity(fn, body)
    fn.__code__ = _fill(_template(fn), fn.__code__, body)
    fn.__wrapped__ = fn.__godefer_body__ = body  # type: ignore[attr-defined]


class Body(ref):  # type: ignore[type-arg]
    """The body of a wrapper, as a constant of its code."""

    def __reduce__(self) -> tuple[type[Body], tuple[Any]]:
        return Body, (self(),)  # pickled by value, with the wrapper that holds the body


def _fill(placeholder: CodeType, body_code: CodeType, body: FunctionType) -> CodeType:
    """The wrapper's code for *body*, from the template's."""
    weak = Body(body)
    stands_for = {**_RUNTIME, "@code": body_code, "@body": weak}
    consts = tuple(stands_for.get(c, c) if type(c) is str else c for c in placeholder.co_consts)
    flags = placeholder.co_flags | (body_code.co_flags & _ITERABLE_COROUTINE)
    return placeholder.replace(
        co_consts=(*consts, weak),
        co_name=body_code.co_name,
        co_qualname=body_code.co_qualname,
        co_flags=flags,
    )


_templates: dict[tuple[object, ...], CodeType] = {}


def _template(fn: FunctionType) -> CodeType:
    """The wrapper's code for functions like *fn*, still without the body."""
    code = fn.__code__
    shape = (
        code.co_flags & (_VARARGS | _VARKEYWORDS | _GENERATOR | _COROUTINE | _ASYNC_GENERATOR),
        code.co_posonlyargcount,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + 2],
        code.co_freevars,
    )
    if shape not in _templates:
        prefix = "_godefer_"
        while any(name.startswith(prefix) for name in (*code.co_varnames, *code.co_freevars)):
            prefix = f"_{prefix}"
        text = _source(fn, prefix)
        made = innermost(compile(text, WRAPPER, "exec", dont_inherit=True, optimize=0), 2)
        if made.co_freevars != code.co_freevars:
            raise _errors.internal(
                f"wrap: the wrapper of {code.co_qualname} has other closure variables"
            )
        # Names that no source can write: they cannot be taken for the function's own.
        own = tuple(
            f"@{name.removeprefix(prefix)}" if name.startswith(prefix) else name
            for name in made.co_varnames
        )
        _templates[shape] = made.replace(co_varnames=own)
    return _templates[shape]


def _source(fn: FunctionType, prefix: str) -> str:
    """The template's text for functions like *fn*, its own names beginning with *prefix*."""
    flags = fn.__code__.co_flags
    awaits = bool(flags & (_COROUTINE | _ASYNC_GENERATOR))
    suspends = awaits or bool(flags & _GENERATOR)
    parameters, arguments = _parameters(fn)
    cells = ", ".join(fn.__code__.co_freevars)
    call = "@body()(<arguments>)"
    run, leave = f"_godefer_result = {call}", _LEAVE
    if flags & _ASYNC_GENERATOR:
        run, leave = _RUN_ASYNC_GENERATOR.format(call=call), _LEAVE_ASYNC_GENERATOR
    elif flags & _COROUTINE:
        run = _RUN_GENERATOR.format(call=call, suspend="await @suspend(_godefer_result)")
    elif flags & _GENERATOR:
        run = _RUN_GENERATOR.format(call=call, suspend="yield _godefer_result")
    # A frame that an exception has left shows no variable of the wrapper's own (P6).
    names = ", ".join(
        f"_godefer_{name}" for name in (*_LOCALS, *(_SUSPENDING_LOCALS if suspends else ()))
    )
    unbind = f"{names.replace(', ', ' = ')} = None\ndel {names}"
    last_resort = _LAST_RESORT.format(
        returning=RETURNING, await_call=_indent(_AWAIT_CALL, 12) if awaits else "pass"
    )
    not_begun = _NOT_BEGUN.format(last_resort=_indent(last_resort, 4))
    if awaits:
        not_begun = _CLOSED_OR.format(not_begun=_indent(not_begun, 4))
    text = _TEMPLATE.format(
        start="_godefer_result = _godefer_sp = None" if suspends else "pass",
        run=_indent(run, 12),
        leave=_indent(f"{_ENDED}\n{leave}" if awaits else leave, 12),
        panicking=_indent(
            (_PANICKING_SUSPENDING if suspends else _PANICKING).format(
                last_resort=_indent(last_resort, 4), unbind=_indent(unbind, 4)
            ),
            12,
        ),
        deferreturn=f"await @adeferreturn(_godefer_frame); {_ENDED}"
        if awaits
        else "@deferreturn(_godefer_frame)",
        panic_again=_indent(_PANIC_AGAIN_AWAITING if awaits else _PANIC_AGAIN, 24),
        not_begun=_indent(not_begun, 16),
        unbind=_indent(unbind, 16),
        return_=_RETURN_NOTHING if flags & _ASYNC_GENERATOR else _RETURN,
    )
    text = _constants(text, awaits=awaits).replace("_godefer_", prefix)
    # The function's own names come last, since they may look like any of these.
    for mark, names in (
        ("cells", cells),
        ("keep", cells or "None"),
        ("parameters", parameters),
        ("arguments", arguments),
    ):
        text = text.replace(f"<{mark}>", names)
    return text


def _constants(text: str, *, awaits: bool) -> str:
    """*text* with its names that begin with "@" made constants: a name could be one of the function's own, or another thing in its globals."""
    text = text.replace("@def ", "async def " if awaits else "def ")
    first, *others = text.split("@")
    for other in others:
        name = other[: next(i for i, c in enumerate(other) if not (c.isalnum() or c == "_"))]
        # To call or to catch a literal is a SyntaxWarning; the condition is gone from the compiled code.
        first += f"('@{name}' if 1 else 0){other.removeprefix(name)}"
    return first


def _indent(text: str, by: int) -> str:
    """*text* for a place that is indented: its lines but the first."""
    return text.replace("\n", "\n" + " " * by)


def _parameters(fn: FunctionType) -> tuple[str, str]:
    """The text of the parameters of *fn*, and that of a call which passes them all on."""
    code = fn.__code__
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
    return ", ".join(parameters), ", ".join(arguments)


_LOCALS = ("me", "frame", "result", "error", "call", "saved")
_SUSPENDING_LOCALS = ("sp", "body", "step")

# The last resort: `gopanic` could not begin, for want of stack or for an interrupt. The calls are made right here, from the
# wrapper, which has at least the room that the body had; nothing can be recovered, but no call is lost.
#
# An interrupt can also come at a jump backwards. So the loops of the wrapper are inside of a `try`, and endless, and do not end with a
# condition, for the jump that 3.13 and 3.14 make for one is in no `try`; and they begin with an instruction of that `try`, since on 3.11
# and 3.12 it is the one before the loop that says where the interrupt is caught.
_LAST_RESORT = """\
_godefer_error = _godefer_failed
_godefer_frame[2] = None
while _godefer_frame[0] is not None:
    try:
        _godefer_call = None
        while True:
            if _godefer_frame[0] is None:
                break
            _godefer_call = _godefer_frame[0]
            _godefer_frame[0] = _godefer_call.link
            if _godefer_call.when > {returning}:
                _godefer_call = _godefer_call.fn(_godefer_error.__class__, _godefer_error, None)
            elif _godefer_call.when == {returning}:
                _godefer_call = None
            elif _godefer_call.kwargs is None:
                _godefer_call = _godefer_call.fn(*_godefer_call.args)
            else:
                _godefer_call = _godefer_call.fn(*_godefer_call.args, **_godefer_call.kwargs)
            {await_call}
            continue
    except @BaseException as _godefer_failed:
        _godefer_error = _godefer_failed
_godefer_call = None"""
# `deferreturn` could not begin, so that a panic begins here; or `gopanic` could not.
_NOT_BEGUN = """\
if _godefer_error is None:
    _godefer_error = _godefer_failed
else:
    {last_resort}"""
_AWAIT_CALL = """\
if @hasattr(_godefer_call, '__await__'):
    await _godefer_call"""
# What waited may have been closed instead: then it did end, and its outcome is in the frame record.
_CLOSED_OR = """\
if _godefer_frame[3]:
    (_godefer_error,) = _godefer_frame[3]
    _godefer_frame[3] = ()
else:
    {not_begun}"""

# The body is over. No function is called here, so that there is no moment at which an interrupt could be noticed.
_LEAVE = """\
try:
    del @live[_godefer_me]
except @KeyError:  # the program is ending
    pass
_godefer_me = None"""
_LEAVE_ASYNC_GENERATOR = f"""\
{_LEAVE}
try:
    del @bodies[_godefer_sp]
except @KeyError:  # the program is ending, or it has not come so far
    pass
_godefer_sp = None"""
_ENDED = "_godefer_frame[3] = ()"

# An exception has left the body. Its traceback begins with the wrapper, which is taken off; `raise` alone does not add it again.
_PANICKING = """\
if _godefer_frame[0] is None:
    {unbind}
    raise
try:
    @set_traceback(_godefer_exc, _godefer_exc.__traceback__ and _godefer_exc.__traceback__.tb_next)  # None if memory is out
    _godefer_error = @gopanic(_godefer_frame, _godefer_exc)
except @BaseException as _godefer_failed:
    {last_resort}
if _godefer_error is _godefer_exc and _godefer_frame[0] is None:
    {unbind}
    raise"""
# A call has raised. (`agopanic` raises that again itself.)
_PANIC_AGAIN = """\
_godefer_saved = @save(_godefer_error)
try:
    raise _godefer_error
except @BaseException as _godefer_again:
    if _godefer_again is not _godefer_error:  # an interrupt at the jump to here, which 3.12 takes for one in this `try`
        raise
    @restore(_godefer_error, _godefer_saved)
    _godefer_saved = None
    _godefer_error = @gopanic(_godefer_frame, _godefer_error)"""
_PANIC_AGAIN_AWAITING = (
    f"_godefer_error = await @agopanic(_godefer_frame, _godefer_error); {_ENDED}"
)

# In what suspends, the exception may be in place of another, with which the loop then begins.
_PANICKING_SUSPENDING = """\
if _godefer_frame[0] is None:
    {unbind}
    raise
try:
    _godefer_error = @before_pep_479(_godefer_exc)
    @strip(_godefer_error)
except @BaseException as _godefer_failed:
    _godefer_error = _godefer_failed"""

# A result that holds an exception that holds this frame would be a cycle (D9).
_RETURN = """\
try:
            return _godefer_result
        finally:
            _godefer_result = None"""
_RETURN_NOTHING = "return"
_TEMPLATE = """\
def _godefer_cells(<cells>):
    @def _godefer_wrapper(<parameters>):
        if 0:
            <keep>
        _godefer_me = @getframe()
        _godefer_frame = @live[_godefer_me] = [None, @code, None, None]
        {start}
        try:
            {run}
        except @BaseException as _godefer_exc:
            {leave}
            _godefer_result = None
            {panicking}
        else:
            {leave}
            _godefer_error = None
        while _godefer_frame[0] is not None:
            try:
                _godefer_call = None
                while True:
                    if _godefer_error is None:
                        _godefer_error = {deferreturn}
                    else:
                        {panic_again}
                    if _godefer_frame[0] is None:
                        break
                    continue
            except @BaseException as _godefer_failed:
                {not_begun}
        if _godefer_error is not None:
            _godefer_saved = @save(_godefer_error)
            try:
                raise _godefer_error
            finally:
                @restore_context(_godefer_error, _godefer_saved)
                {unbind}
        {return_}
"""

# ``yield from body``, written out: PEP 380 has that close the body and raise GeneratorExit whatever the body answered, so one
# that catches it and returns would seem to fail, and one that ignores it would seem to be over. What was thrown in is
# thrown on outside of the `except`, so that the body is not run inside of a handler.
_RUN_GENERATOR = """\
try:
    _godefer_body = {call}
    _godefer_step = _godefer_body.send
    while True:
        _godefer_result = _godefer_step(_godefer_result)
        try:
            _godefer_result = {suspend}
            _godefer_step = _godefer_body.send
        except @BaseException as _godefer_thrown:
            _godefer_step = _godefer_body.throw
            _godefer_result = @strip(_godefer_thrown)
except @StopIteration as _godefer_stop:
    _godefer_result = _godefer_stop.value"""
# An exception thrown into an awaited asend() or athrow() does not link the body's frame to the wrapper's, so that `defer` would not
# find the record by that; so the body's own frame leads to it too.
_RUN_ASYNC_GENERATOR = """\
try:
    _godefer_body = {call}
    _godefer_sp = _godefer_body.ag_frame
    @bodies[_godefer_sp] = _godefer_frame
    _godefer_result = @start(_godefer_body)
    while True:
        _godefer_result = await _godefer_result
        try:
            _godefer_result = _godefer_body.asend((yield _godefer_result))
        except @BaseException as _godefer_thrown:
            _godefer_result = _godefer_body.athrow(@strip(_godefer_thrown))
except @StopAsyncIteration:
    _godefer_result = None"""


@coroutine
def suspend(item: object) -> Generator[object, Any, Any]:
    """Suspend the coroutine that awaits this, with what its body suspended with."""
    return (yield item)


def start(body: AsyncGeneratorType[Any, Any]) -> Awaitable[Any]:
    """The first step of an async generator's body, kept from the event loop, and from the garbage collector.

    The loop is told of every async generator that is iterated, to close it at the end. It must know the wrapper alone,
    or it would close the body under the wrapper's hands. So would the collector, which finds both at once, if the body had nobody to
    tell that it is collected.
    """
    hooks = sys.get_asyncgen_hooks()
    try:  # an interrupt can come as soon as they are set
        sys.set_asyncgen_hooks(None, left_to_wrapper)
        return body.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def left_to_wrapper(body: AsyncGenerator[Any, Any]) -> None:
    """What the collector tells, instead of closing the body: the wrapper is collected with it, and closes it."""


def strip(thrown: BaseException) -> BaseException:
    """What was thrown into the wrapper, as it was thrown, to throw it into the body."""
    return set_traceback(thrown, without_runtime_frames(thrown.__traceback__))


hide(suspend.__code__)

_RUNTIME = {
    "@BaseException": BaseException,
    "@StopIteration": StopIteration,
    "@StopAsyncIteration": StopAsyncIteration,
    "@KeyError": KeyError,
    "@hasattr": hasattr,
    "@getframe": sys._getframe,
    "@live": live,
    "@bodies": bodies,
    "@save": save,
    "@restore": restore,
    "@restore_context": restore_context,
    "@set_traceback": set_traceback,
    "@before_pep_479": before_pep_479,
    "@gopanic": gopanic,
    "@agopanic": agopanic,
    "@deferreturn": deferreturn,
    "@adeferreturn": adeferreturn,
    "@suspend": suspend,
    "@start": start,
    "@strip": strip,
}
