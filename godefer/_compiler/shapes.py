"""The shapes of lowered code, as Python source (R1).

A shape is the source text of what `lower` puts into a function. It is parsed once and filled in
for each statement:

- ``CAPITALS`` are placeholders: as a statement of its own for statements, elsewhere for an
  expression or a name;
- ``_name`` is a hidden local, ``@name`` in the lowered code, which no source can write;
- any other name is something of the runtime, a constant of the code (`_panicking.RUNTIME`);
- ``await`` is for async functions: a synchronous function has the helper without its ``a``, and
  no ``await``.

`Shape.fill` gives the added code the line of the `defer` statement it is there for, so that a
frame has a line at every moment (P6). Only ``try``, ``while`` and a comparison with a constant
have none: they call nothing, so nobody sees a frame stop there, and their line would be traced
although the code that they lead to does not run.
"""

from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Position = dict[str, Any]

# No position: no line event. For code that cannot call anything, so that nobody sees a frame stop
# there.
NOWHERE: Position = {"lineno": -1, "col_offset": -1, "end_lineno": -1, "end_col_offset": -1}

# Helpers that an async function has others for.
_TWINS = {"unwind", "go_on", "enter"}
_LOAD, _STORE, _DEL = ast.Load(), ast.Store(), ast.Del()


class Shape:
    """The source text of some statements, parsed. If it is *traced*, its tests have a line, too."""

    def __init__(self, text: str, *, traced: bool = False) -> None:
        self.body = ast.parse(text).body
        self.traced = traced

    def fill(self, at: Position, *, asynchronous: bool = False, **parts: Any) -> list[ast.stmt]:
        """Return the statements, with the position *at* and *parts* in place of the placeholders.

        A part is a list of statements, an expression, or the name of a variable.
        """
        filling = _Filling(at, parts, asynchronous=asynchronous, traced=self.traced)
        return filling.statements(self.body)


class _Filling:
    def __init__(
        self, at: Position, parts: dict[str, Any], *, asynchronous: bool, traced: bool
    ) -> None:
        self.at = at
        self.traced = traced
        self.parts = parts
        self.asynchronous = asynchronous

    def statements(self, nodes: list[ast.stmt]) -> list[ast.stmt]:
        filled: list[ast.stmt] = []
        for node in nodes:
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Name)
                and node.value.id.isupper()
            ):
                filled += self.parts[node.value.id]
            else:
                filled.append(self.node(node))
        return filled

    def node(self, node: Any) -> Any:
        kind = type(node)
        if kind is ast.Name:
            return self.name(node.id, node.ctx)
        if kind is ast.Await and not self.asynchronous:
            return self.node(node.value)
        if _is_test(node) and self.at is not NOWHERE and not self.traced:
            nowhere = _Filling(NOWHERE, self.parts, asynchronous=self.asynchronous, traced=False)
            return nowhere.node(node)
        fields = {name: self.field(name, getattr(node, name)) for name in node._fields}
        if kind is ast.Await and node.value.func.id in _TWINS:
            fields["value"].func.value = f"@a{node.value.func.id}"
        if not node._attributes:  # an operator or a context, which has no position
            return kind(**fields)
        silent = kind in _SILENT or (not self.traced and _is_test(getattr(node, "test", node)))
        return kind(**fields, **(NOWHERE if silent else self.at))

    def field(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                return self.statements(value)
            return [self.node(item) if isinstance(item, ast.AST) else item for item in value]
        if isinstance(value, ast.AST):
            return self.node(value)
        return f"@{value[1:]}" if name == "name" and value else value  # of `except ... as`

    def name(self, name: str, context: ast.expr_context) -> ast.expr:
        if name.startswith("_"):
            name = f"@{name[1:]}"
        elif name.isupper():
            part = self.parts[name]
            if not isinstance(part, str):
                return part  # type: ignore[no-any-return]
            name = part
        else:
            return ast.Constant(f"@{name}", **self.at)
        return ast.Name(name, context, **self.at)


_SILENT = {ast.Try, ast.Pass}


def _is_test(node: ast.AST) -> bool:
    """Return whether *node* compares a variable with a constant, which cannot call anything."""
    return (
        isinstance(node, ast.Compare)
        and isinstance(node.comparators[0], ast.Constant)
        and not isinstance(node.left, ast.NamedExpr)
    )


def position(node: ast.AST) -> Position:
    """Return the position of *node*, for other nodes."""
    return {
        "lineno": node.lineno,  # type: ignore[attr-defined]
        "col_offset": node.col_offset,  # type: ignore[attr-defined]
        "end_lineno": node.end_lineno,  # type: ignore[attr-defined]
        "end_col_offset": node.end_col_offset,  # type: ignore[attr-defined]
    }


def load(name: str, at: Position = NOWHERE) -> ast.Name:
    """Return the value of a variable."""
    return ast.Name(name, _LOAD, **at)


def assign(name: str, value: ast.expr, at: Position) -> ast.Assign:
    """Return ``name = value``."""
    return ast.Assign([ast.Name(name, _STORE, **at)], value, **at)


def none(at: Position = NOWHERE) -> ast.Constant:
    """Return ``None``."""
    return ast.Constant(None, **at)


def pack(items: Iterable[ast.expr], at: Position) -> ast.Tuple:
    """Return a tuple."""
    return ast.Tuple(list(items), _LOAD, **at)


def targets(names: Iterable[str], at: Position) -> ast.Tuple:
    """Return a tuple of variables, to be assigned to."""
    return ast.Tuple([ast.Name(name, _STORE, **at) for name in names], _STORE, **at)


def clear(names: Iterable[str], at: Position) -> list[ast.stmt]:
    """Return ``first = second = ... = None``; nothing if there are no names."""
    stores: list[ast.expr] = [ast.Name(name, _STORE, **at) for name in names]
    return [ast.Assign(stores, none(at), **at)] if stores else []


def unbind(names: Iterable[str], at: Position) -> list[ast.stmt]:
    """Return the statements that delete hidden locals, whether they are bound or not (P6, D9)."""
    names = list(names)
    deleted: list[ast.expr] = [ast.Name(name, _DEL, **at) for name in names]
    return [*clear(names, at), ast.Delete(deleted, **at)] if names else []


# One deferred call
# =================

CAPTURE = Shape("SLOT = VALUE")

# The slot of a conditional call is set last, since it says that the call is pending.
PENDING_CAPTURE = Shape("""\
SLOT = _callee if _callee is not None else none
_callee = None
""")

# The call at an exit (D6). Nearly every call gives None. The tests before `drop` call nothing
# that is written in Python, so a debugger has nothing to step into.
EXIT = Shape("""\
try:
    if (_returned := CALL) is not None:
        if hasattr(type(_returned), "__await__") or type(_returned) is generator:
            drop(_returned)
        _returned = None
except:
    raised(CALLEE)
    raise
""")

ASYNC_EXIT = Shape("""\
try:
    if (_returned := CALL) is not None:
        if AWAITABLE:
            AWAITED
        _returned = None
except:
    raised(CALLEE)
    raise
""")

# The `pass` has no line, and so has what the interpreter adds to the end of a `finally`.
IF_PENDING = Shape("""\
if SLOT is not None:
    EXIT
pass
""")

# Regions: the rest of the function, with a call pending
# ======================================================

# The function's first call. GUARD is right around it, and sees to a recovery.
FIRST_DEFER = Shape("""\
try:
    REST
finally:
    EXIT
""")

# A further one. `_failing` keeps the `finally` from a second call. A recovery resets it, and the
# calls further out are then made as on a normal return (P4).
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

# A coroutine that is resumed by throw() does not see the exception that its caller is handling
# (python/cpython#108668), so `recover` finds it here. An interrupt of `exception` leaves None,
# and the call to the `finally`.
ASYNC_FAILING = Shape("""\
_failing = None
_failing = exception()
""")

# After a call that was made because of an exception: has it recovered that? If so, and the
# exception had aborted an exit, the exit goes on (P3).
SETTLE = Shape("""\
if recoveries.pending:
    _recovered = take(getframe(), None)
    if _recovered is exception():
        _recovered = None
        RECOVERED
    if _recovered is not None:
        raise_again(going_on(_recovered))
""")

# The `finally` of a call that has recovered has nothing left to do.
DONE = Shape("SLOT = noop")

RERAISE = Shape("raise")

# Leave as by a `return`: the calls further out are made on the way to the end of GUARD.
RECOVERED = Shape("""\
_failing = None
break
""")

# The whole function
# ==================

# Around all regions: a function that fails, or has recovered, leaves no hidden local bound (P6,
# D9).
GUARD = Shape("""\
try:
    BODY
except:
    UNBIND
    SETTLE_FIRST
    raise
""")

# The call of FIRST_DEFER may have recovered. A further one has not; but an interrupt may have
# come before that was noticed.
SETTLE_FIRST = Shape("""\
try:
    SETTLE
except:
    take(getframe(), None)
    raise
finally:
    UNBIND_LATE
""")

# A recovery further in leaves by a `break`, to unbind them too. It returns what a `return` had
# evaluated (P4).
LEAVING = Shape("""\
while True:
    GUARD
""")

BREAK = Shape("break")

GIVE = Shape("""\
try:
    return _value
finally:
    del _value
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

# A `return` can be overtaken, by what the exit of a `with` or a `finally` around it raises: it
# has not happened then.
OVERTAKEN = Shape("""\
try:
    STATEMENT
except:
    _value = None
    raise
""")

# Lists: calls in loops, or more of them than blocks can be nested
# ================================================================

# Pending calls are linked tuples, drained at the exit. An exception hands those that are left to
# the runtime's own loops, on a record. HELD keeps them from the `finally`. The outermost `try` is
# for an interrupt that comes while calls are left.
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
            DRAIN
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

# For want of stack there may be no record. Then the calls are made from here.
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
await unwind(RECORD, handling=True)
if RECORD.error is exception():
    RECORD = None
    raise
raise_again(passing(RECORD))
""",
    traced=True,
)

# The calls that a recovery has left.
FINISH = Shape("""\
await unwind(RECORD)
raise_again(passing(RECORD))
RECORD = None
RECOVERED
""")

GO_ON = Shape("""\
if PENDING is not None:
    RECORD = list_record(PENDING, SITES)
    PENDING = None
if RECORD is not None:
    try:
        if await go_on(RECORD):
            RECOVERED
        raise_again(passing(RECORD))
    finally:
        RECORD = None
""")

# ``while PENDING is not None: TAKE``, in which the line begins with the call: a tracer that
# raises there stops one call. An interrupt cannot leave it unseen by the `try` around it. The
# interpreter looks for signals at the jump backwards. The one that 3.13 and 3.14 make for a
# condition is in no `try` at all, but that of `continue` is. On 3.11 and 3.12 the instruction
# before the loop counts, so there is one that belongs to it.
DRAIN = Shape("""\
if PENDING is not None:
    _taken = None
    while True:
        TAKE
""")

# At the end of each call of the loop.
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

# The first test is for the usual case. The next two call nothing that is written in Python.
AWAITABLE = Shape("""\
(
    type(_returned) is coroutine
    or hasattr(type(_returned), "__await__")
    or type(_returned) is generator and awaitable(_returned)
)
""")

LIST_EXIT = Shape("""\
if (_returned := CALL) is not None:
    if hasattr(type(_returned), "__await__") or type(_returned) is generator:
        drop(_returned)
    _returned = None
""")

ASYNC_LIST_EXIT = Shape("""\
if (_returned := CALL) is not None:
    if AWAITABLE:
        AWAITED
    _returned = None
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
