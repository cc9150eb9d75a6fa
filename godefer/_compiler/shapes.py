"""The shapes of lowered code, as Python source (R1).

A shape is the source text of some statements that `lower` adds to a function. It is parsed once,
and filled in for each site:

- ``CAPITALS`` are placeholders. One that is a statement of its own is for statements; any other
  one is for an expression or a name.
- ``_name`` is a hidden local, ``@name`` in the lowered code. No source can have that name.
- Any other name is an object of the runtime, a constant of the code (`constants.OBJECTS`).
- ``await helper()`` stays in asynchronous code, with the helper's asynchronous twin if it has one
  (`nodes`). In synchronous code it is ``helper()``.

The added code has the line of its `defer` statement, so that a frame has a line at every moment
(P6). Only ``try``, ``pass`` and a comparison with a constant have no line. They call nothing, so no
traceback needs their line. A tracer would show the line although the code below does not run.
"""

from __future__ import annotations

from godefer._compiler.nodes import Shape

# One deferred call
# =================

CAPTURE = Shape("SLOT = VALUE")

# The slot of a conditional call is set last: it shows that the call is pending.
PENDING_CAPTURE = Shape("""\
SLOT = _callee if _callee is not None else none
_callee = None
""")

# The call at an exit (D6). Nearly every call returns None. The tests before `drop` call no Python
# code, so a debugger does not step into them.
MAKE = Shape("""\
if (_returned := CALL) is not None:
    if (
        hasattr(type(_returned), "__await__")
        or type(_returned) is generator or type(_returned) is async_generator
    ):
        drop(_returned, CALLEE, ARGUMENTS)
    _returned = None
""")

ASYNC_MAKE = Shape("""\
if (_returned := CALL) is not None:
    if TO_AWAIT:
        AWAITED
    _returned = None
""")

TO_AWAIT = Shape("""\
(hasattr(type(_returned), "__await__")
    or type(_returned) is generator or type(_returned) is async_generator
) and awaits(_returned, CALLEE, ARGUMENTS)
""")

# TO_AWAIT with a shortcut for a callee that is a coroutine function (`DeferredCall._to_await`).
FROM_FUNCTION = Shape("type(_returned) is coroutine and type(CALLEE) is function or TO_AWAIT")
FROM_METHOD = Shape("type(_returned) is coroutine and type(CALLEE) is method or TO_AWAIT")

# A list has no such `except`: after an exception, the runtime makes its calls.
EXIT = Shape("""\
try:
    MAKE
except:
    raised(CALLEE)
    raise
""")

# The `pass` has no line. So the code that the interpreter adds to the end of a `finally` has none.
IF_PENDING = Shape("""\
if SLOT is not None:
    EXIT
pass
""")

# Regions: the rest of the function, with a call pending
# ======================================================

# The function's first call. GUARD is right around it, and handles a recovery.
OUTERMOST_DEFER = Shape("""\
try:
    REST
finally:
    EXIT
""")

# A further call. `_failing` keeps the `finally` from making it again. A recovery resets `_failing`,
# so that the calls further out are made as on a normal return (P4).
DEFER = Shape("""\
try:
    REST
except:
    FAILING
    PANICKING
    raise
finally:
    if _failing is None:
        EXIT
    pass
""")

ERRDEFER = Shape("""\
try:
    REST
except:
    FAILING
    PANICKING
    raise
""")

OKDEFER = Shape("""\
try:
    REST
except:
    FAILING
    raise
finally:
    if _failing is None:
        EXIT
    pass
""")

FAILING = Shape("_failing = True")

# In a coroutine resumed by throw(), sys.exception() does not show the exception that its caller
# is handling (python/cpython#108668). So `recover` finds that exception here. If an interrupt comes
# before the second assignment, `_failing` is None, and the `finally` makes the call.
ASYNC_FAILING = Shape("""\
_failing = None
_failing = exception()
""")

# After a call that was made because of an exception: test whether the call has recovered it. If it
# has recovered an exception that had replaced an exit (SystemExit, for example), raise that exit
# again (P3).
SETTLE = Shape("""\
if recoveries.pending:
    _recovered = take(getframe(), None)
    if _recovered is exception():
        _recovered = None
        RECOVERED
    if _recovered is not None:
        raise_again(exit_going_on(_recovered))
""")

# After a recovery: the `except` has made the call, so put a no-op into its slot, for the `finally`
# to call.
DONE = Shape("SLOT = noop")

# Leave the loop of LEAVING. As on a `return`, the calls further out are made on the way.
RECOVERED = Shape("""\
_failing = None
break
""")

# Before RECOVERED, if the last exit clears `_value` (D9): that exit runs after a recovery, too.
KEEP_VALUE = Shape("_given = _value")

# The whole function
# ==================

# Around all regions: a function that has failed or recovered leaves no hidden local bound (P6, D9).
GUARD = Shape("""\
try:
    BODY
except:
    UNBIND
    SETTLE_FIRST
    raise
""")

# OUTERMOST_DEFER has no SETTLE, so GUARD tests here whether its call has recovered the exception.
# The same test clears the note of a recovery by another call, if an interrupt came before that
# call's own SETTLE.
SETTLE_FIRST = Shape("""\
try:
    SETTLE
except:
    take(getframe(), None)
    raise
finally:
    UNBIND_LATE
""")

# A recovery further in leaves by a `break`. The code after the loop unbinds the hidden locals then.
LEAVING = Shape("""\
while True:
    GUARD
""")

# After a recovery: return the value that a `return` has evaluated (P4).
GIVE = Shape("""\
try:
    return VALUE
finally:
    del VALUE
""")

# Named results (N): they are read after the last call.
NAMED_RESULTS = Shape("""\
_failed = None
try:
    BODY
except:
    _failed = True
    raise
finally:
    if _failed is None:
        del _failed
        return RESULT
    del _failed
""")

# For a `with`, or a `try` with a `finally`, that has a `return` inside. If leaving it raises, the
# function does not return, so the value is forgotten.
OVERTAKEN = Shape("""\
try:
    STATEMENT
except:
    _value = None
    raise
""")

# Lists: calls in loops, or more of them than blocks can be nested
# ================================================================

# Pending calls are linked tuples. On a normal exit, DRAIN makes them. After an exception, HELD
# hides the calls that are left from the `finally`. UNWIND puts them on a record, and the loops of
# the runtime make them. The outermost `try` is for an interrupt that comes while calls are left. A
# note that cannot be made, at the end of the stack, keeps UNWIND from nothing.
LIST = Shape("""\
START
try:
    try:
        try:
            BODY
        except:
            HELD = PENDING
            PENDING = None
            raise
        finally:
            try:
                DRAIN
            except:
                NOTE
                raise
    except:
        if HELD is not None:
            PENDING = HELD
            HELD = None
        if PENDING is None:
            raise
        UNWIND
    if RECORD is not None:
        FINISH
except:
    if HELD is not None:
        PENDING = HELD
    GO_ON
    RERAISE
""")

# An interrupt may have come between two calls.
NOTE_SINGLE = Shape("note_callee(_taken)")
NOTE_ONE = Shape("note_callee(_taken[2] if _taken is not None else None)")

# If the stack is nearly exhausted, `list_record` raises. Then the function makes the calls itself.
UNWIND = Shape(
    """\
try:
    RECORD = list_record(PENDING, SITES)
except:
    _error = None
    while PENDING is not None:
        try:
            DRAIN
        except BaseException as _current:
            _error = _current
    try:
        if _error is not None:
            raise _error
        raise
    finally:
        _error = None
PENDING = None
RECORD.error = exception()
LOOPS
if RECORD.error is exception():
    RECORD = None
    raise
raise_again(let_go(RECORD))
""",
    traced=True,
)

# The loops of UNWIND. They end when no call is left, or with a recovery. An async function awaits
# them itself and ignores GeneratorExit: a call may wait although the function is being closed.
PANIC = Shape("unwind(RECORD, handling=True)")
ASYNC_PANIC = Shape(
    """\
while RECORD.link is not None and RECORD.error is not None:
    try:
        await gopanic(RECORD)
    except GeneratorExit:
        pass
""",
    traced=True,
)

# After a recovery: make the calls that are left.
FINISH = Shape("""\
LOOPS
raise_again(let_go(RECORD))
RECORD = None
RECOVERED
""")

RETURN = Shape("unwind(RECORD)")
ASYNC_RETURN = Shape(
    """\
while RECORD.link is not None:
    try:
        if RECORD.error is None:
            await deferreturn(RECORD)
        else:
            await gopanic(RECORD)
    except GeneratorExit:
        pass
""",
    traced=True,
)

GO_ON = Shape("""\
if PENDING is not None:
    RECORD = list_record(PENDING, SITES)
    PENDING = None
if RECORD is not None:
    try:
        if await run_remaining(RECORD):
            RECOVERED
        raise_again(let_go(RECORD))
    finally:
        RECORD = None
""")

# Equivalent to ``while PENDING is not None: TAKE``, which was rejected for two reasons:
#
# - A tracer may raise at a line. Here each turn of the loop has no line before that of its call, so
#   the exception stops only that call.
# - The `try` around the loop must catch each interrupt. The interpreter handles signals at a
#   backward jump. On 3.13 and 3.14, the jump of a loop's condition is outside of every `try`, but
#   the one of `continue` is inside. On 3.11 and 3.12, the instruction before the loop must be
#   inside of the `try`, too: that is ``_taken = None``.
DRAIN = Shape("""\
if PENDING is not None:
    _taken = None
    while True:
        TAKE
""")

# After each call of the loop.
NEXT = Shape(
    """\
if PENDING is None:
    break
continue
""",
    traced=True,
)

TAKE_SINGLE = Shape("TARGETS = PENDING")

TAKE_ONE = Shape("""\
_taken = PENDING
PENDING = _taken[0]
""")

IF_SITE = Shape("""\
if _taken[1] == NUMBER:
    EXIT
else:
    OTHERWISE
""")

LEAVE = Shape("CALLEE(None, None, None)")
ASYNC_LEAVE = Shape("await awaited('__aexit__', CALLEE(None, None, None))")

PUSH = Shape("""\
PENDING = ENTRY
_callee = None
""")

PUSH_ENTERED = Shape("""\
_callee, _entered = await enter(MANAGER)
PENDING = ENTRY
ASSIGN
_entered = None
""")

CHECKED_CALLEE = Shape("_callee if (_callee := VALUE) is not None else none")
