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
from godefer._record import RETURNING, _frame, restore_context, save_context
from godefer._statements import live
from godefer._unwind import WRAPPER, adeferreturn, agopanic, deferreturn, gopanic, helpers, without_runtime_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
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
    consts = tuple(_RUNTIME.get(c, c) if type(c) is str else c for c in placeholder.co_consts)
    flags = placeholder.co_flags | (body_code.co_flags & _ITERABLE_COROUTINE)
    return placeholder.replace(
        co_consts=(*(weak if c == "@body" and type(c) is str else c for c in consts), weak),
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
        text = _source(fn).replace("_godefer_", prefix)
        made = innermost(compile(text, WRAPPER, "exec", dont_inherit=True, optimize=0), 2)
        if made.co_freevars != code.co_freevars:
            raise _errors.internal(f"wrap: the wrapper of {code.co_qualname} has other closure variables")
        # Names that no source can write: they cannot be taken for the function's own.
        own = tuple(f"@{name.removeprefix(prefix)}" if name.startswith(prefix) else name for name in made.co_varnames)
        _templates[shape] = made.replace(co_varnames=own)
    return _templates[shape]


def _source(fn: FunctionType) -> str:
    """The template's text for functions like *fn*."""
    flags = fn.__code__.co_flags
    awaits = bool(flags & (_COROUTINE | _ASYNC_GENERATOR))
    parameters, arguments = _parameters(fn)
    call = f"{_const('body')}()({arguments})"
    if flags & _ASYNC_GENERATOR:
        run = _RUN_ASYNC_GENERATOR.format(call=call, live=_const("live"), start=_const("start"), strip=_const("strip"))
    elif flags & _COROUTINE:
        suspend = f"await {_const('suspend')}(_godefer_result)"
        run = _RUN_GENERATOR.format(call=call, suspend=suspend, strip=_const("strip"))
    elif flags & _GENERATOR:
        run = _RUN_GENERATOR.format(call=call, suspend="yield _godefer_result", strip=_const("strip"))
    else:
        run = f"_godefer_result = {call}"
    last_resort = _LAST_RESORT.format(
        returning=RETURNING, live=_const("live"), await_call=_indent(_AWAIT_CALL, 16) if awaits else "pass"
    )
    return _TEMPLATE.format(
        cells=", ".join(fn.__code__.co_freevars),
        keep=", ".join(fn.__code__.co_freevars) or "None",
        parameters=parameters,
        run=_indent(run, 12),
        start="_godefer_result = None" if flags & _GENERATOR or awaits else "pass",
        define="async def" if awaits else "def",
        last_resort=_indent(last_resort, 16),
        await_="await " if awaits else "",
        frame=_const("frame"),
        save=_const("save"),
        restore=_const("restore"),
        gopanic=_const("agopanic" if awaits else "gopanic"),
        deferreturn=_const("adeferreturn" if awaits else "deferreturn"),
        return_=_RETURN_NOTHING if flags & _ASYNC_GENERATOR else _RETURN,
    )


def _indent(text: str, by: int) -> str:
    """*text* for a place that is indented: its lines but the first."""
    return text.replace("\n", "\n" + " " * by)


def _const(name: str) -> str:
    # Calling a literal directly is a SyntaxWarning; the condition is gone from the compiled code.
    return f"('@{name}' if 1 else 0)"


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


# The last resort: `gopanic` could not begin, for want of stack or for an interrupt. The calls are made right here, from the
# wrapper, which has at least the room that the body had; nothing can be recovered, but no call is lost. (If `agopanic` did end, but
# was closed while it waited, its outcome is in the frame record.)
#
# An interrupt can also come at a jump backwards. So the loops of the wrapper are inside of a `try`, and endless, for the jump that 3.13
# makes for a condition is in none; and they begin with an instruction of that `try`, since on 3.11 and 3.12 it is the one before the loop
# that says where the interrupt is caught.
_LAST_RESORT = """\
if _godefer_frame.outcome is None:
    _godefer_call = None
    while _godefer_frame.link is not None:
        try:
            _godefer_call = None
            while True:
                if _godefer_frame.link is None:
                    break
                _godefer_call = _godefer_frame.link
                _godefer_frame.link = _godefer_call.link
                if _godefer_call.when > {returning}:
                    _godefer_call = _godefer_call.fn(_godefer_raise.__class__, _godefer_raise, None)
                elif _godefer_call.when == {returning}:
                    _godefer_call = None
                elif _godefer_call.kwargs is None:
                    _godefer_call = _godefer_call.fn(*_godefer_call.args)
                else:
                    _godefer_call = _godefer_call.fn(*_godefer_call.args, **_godefer_call.kwargs)
                {await_call}
        except BaseException as _godefer_error:
            _godefer_raise = _godefer_error
    _godefer_call = None
    {live}.pop(_godefer_frame.sp, None)
    _godefer_frame.sp = None
else:
    (_godefer_raise,) = _godefer_frame.outcome"""
_AWAIT_CALL = """\
if hasattr(_godefer_call, '__await__'):
    await _godefer_call"""
# A result that holds an exception that holds this frame would be a cycle (D9).
_RETURN = """\
try:
            return _godefer_result
        finally:
            _godefer_result = None"""
_RETURN_NOTHING = "return"
_TEMPLATE = """\
def _godefer_cells({cells}):
    {define} _godefer_wrapper({parameters}):
        if 0:
            {keep}
        _godefer_frame = {frame}()
        {start}
        try:
            {run}
        except BaseException:
            _godefer_result = None
            try:
                _godefer_raise = {await_}{gopanic}(_godefer_frame)
            except BaseException as _godefer_error:
                _godefer_raise = _godefer_error
                {last_resort}
            _godefer_frame.outcome = None
        else:
            _godefer_raise = None
        if _godefer_frame.sp is not None:
            try:
                _godefer_call = None
                while True:
                    try:
                        {await_}{deferreturn}(_godefer_frame)
                    except BaseException:
                        _godefer_raise = {await_}{gopanic}(_godefer_frame)
                        _godefer_frame.outcome = None
                    if _godefer_frame.sp is None:
                        break
            except BaseException as _godefer_error:
                _godefer_raise = _godefer_error
                {last_resort}
                _godefer_frame.outcome = None
        if _godefer_raise is not None:
            _godefer_context = {save}(_godefer_raise)
            try:
                raise _godefer_raise
            finally:
                {restore}(_godefer_raise, _godefer_context)
                _godefer_raise = _godefer_context = _godefer_result = None
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
        except BaseException as _godefer_thrown:
            _godefer_step = _godefer_body.throw
            _godefer_result = {strip}(_godefer_thrown)
except StopIteration as _godefer_stop:
    _godefer_result = _godefer_stop.value"""
# An exception thrown into an awaited asend() or athrow() does not link the body's frame to the wrapper's, so that `defer` would not
# find the record; here it is entered beforehand.
_RUN_ASYNC_GENERATOR = """\
try:
    _godefer_body = {call}
    _godefer_frame.sp = _godefer_body.ag_frame
    {live}[_godefer_frame.sp] = _godefer_frame
    _godefer_result = {start}(_godefer_body)
    while True:
        _godefer_result = await _godefer_result
        try:
            _godefer_result = _godefer_body.asend((yield _godefer_result))
        except BaseException as _godefer_thrown:
            _godefer_result = _godefer_body.athrow({strip}(_godefer_thrown))
except StopAsyncIteration:
    _godefer_result = None"""


@coroutine
def suspend(item: object) -> Generator[object, Any, Any]:
    """Suspend the coroutine that awaits this, with what its body suspended with."""
    return (yield item)


def start(body: AsyncGeneratorType[Any, Any]) -> Awaitable[Any]:
    """The first step of an async generator's body, kept from the event loop.

    The loop is told of every async generator that is iterated, to close it at the end. It must know the wrapper alone,
    or it would close the body under the wrapper's hands.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return body.__anext__()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def strip(thrown: BaseException) -> BaseException:
    """What was thrown into the wrapper, as it was thrown, to throw it into the body."""
    return thrown.with_traceback(without_runtime_frames(thrown.__traceback__))


helpers.add(suspend.__code__)

_RUNTIME = {
    "@frame": _frame,
    "@live": live,
    "@save": save_context,
    "@restore": restore_context,
    "@gopanic": gopanic,
    "@agopanic": agopanic,
    "@deferreturn": deferreturn,
    "@adeferreturn": adeferreturn,
    "@suspend": suspend,
    "@start": start,
    "@strip": strip,
}
