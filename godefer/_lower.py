"""Where each defer goes: a function's AST in, the AST of the same function with its deferred calls inlined out.

Pure: no exec, no inspect, nothing is looked up. The caller says which names mean godefer's; the answer is a `Plan`, or a reason (a
string) why the function cannot be lowered. The shapes, from what they are made of:

*inline*: the statement stands at the top level of the body, so from there on its call is pending. The rest of the
function goes into a ``try``; which calls are pending is the position in the code, and no flag or record exists::

    @f0 = <callee>
    @a0_0 = <argument>
    try:
        <the rest of the function>
    except:                                   # panicking: cold
        @t = [@f0]
        @f0 = @noop
        try:
            if @unwind(@t, (@a0_0,)):
                return @R                     # recovered: what is outside runs as on a normal return
        except:
            if @t: @f0 = @t[0]                # @unwind could not begin: the `finally` makes the call
            raise
        raise                                 # alone: the traceback stays clean
    finally:
        if (@r := @f0(@a0_0)) is not None: @r = @drop(@r)

`errdefer` is the ``except`` alone, `okdefer` the ``finally`` alone, `using` a native ``with`` around the rest.

*conditional*: inside an ``if``, ``match``, ``try`` or ``with``, but in no loop. The same, around the whole top-level statement, with a slot
that is None until the call is pending.

*list*: in a loop, or more than the interpreter's limit of nested blocks allows. Pending calls are linked tuples in one hidden local,
drained at the exit. The drain can be interrupted by a call that raises, so it is inside of a second ``try``, whose ``except``
hands what is left to `_cold.unwind_list`. Rejected for the others too: one list for all is simpler, but costs three times as much.

All of this is inside of one more ``try`` that lets go of the hidden locals if the function fails, and, if there are several calls, of a ``while``
that a recovery leaves by ``break`` instead, to let go of them too (`_forgetting`); both are left out where the blocks do not suffice.

`@R` holds what a ``return`` evaluated, where a recovery further out can see it (P4). Hidden names begin with ``@``, which no
source can write. Exit calls have the position of their statement, for tracebacks; glue has the position -1, that is none.
"""

from __future__ import annotations

import ast

from godefer import _nodes as n
from godefer._capture import Captured
from godefer._record import ALWAYS, ASYNC_EXIT, EXIT, FAILING, RETURNING
from godefer._scan import Scan, Unclear, blocks, catches, check_result, own_returns, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from godefer._scan import Names, Site

    Function = ast.FunctionDef | ast.AsyncFunctionDef
    Plan = tuple[tuple[int, str, str], ...]


# Each `return` gets a copy of the exit of each statement, as in Go, which stops at 15; a copy takes about 100 bytes.
COPIES = 2000

NESTING = 8  # slots nested at most, as in Go; two blocks each of the interpreter's twenty

# When hidden locals are let go of, beyond the arguments of a call that was made because of an exception (`_forgetting`).
ALWAYS_FORGETS = "failing or recovered"
FORGETS = (ALWAYS_FORGETS, "failing", "")

_WHEN = {"defer": ALWAYS, "errdefer": FAILING, "okdefer": RETURNING, "using": EXIT, "ausing": ASYNC_EXIT}


def lower(  # noqa: PLR0913  # options
    node: Function,
    names: Names,
    *,
    asynchronous_generator: bool = False,
    result: Sequence[str] | str | None = None,
    nesting: int = NESTING,
    forgets: str = ALWAYS_FORGETS,
) -> Plan | str:
    """Put the deferred calls of *node* where they run; *node* itself is changed.

    Args:
        node: The function's definition.
        names: What its names mean.
        asynchronous_generator: Whether it is one, in which ``return`` takes no value.
        result: The named results: one name, or several.
        nesting: How many slots may be nested before the others go into a list.
        forgets: When it lets go of its hidden locals; each of `FORGETS` takes a block less than the one before.

    Returns:
        The plan: of each statement its line, its name and its shape; or the reason why the function cannot be lowered; *node* is then as it was.
    """
    head = 1 if ast.get_docstring(node, clean=False) is not None else 0
    try:
        found = scan(node.body[head:], names)
        check_result(node.body, (result,) if isinstance(result, str) else result or (), names.shift)
    except Unclear as reason:
        return str(reason)
    if not found.sites and result is None:
        return "there is no defer statement in its body"
    returns = len(own_returns(node.body)) + 1
    if returns * len(found.sites) > COPIES:
        return f"{len(found.sites)} statements and {returns} ways to return would make its code too large"
    lowering = _Lowering(
        asynchronous=isinstance(node, ast.AsyncFunctionDef),
        returns_value=not asynchronous_generator,
        nesting=nesting,
        forgets=forgets,
    )
    node.body[head:] = lowering.function(node.body[head:], found, result)
    return tuple((site.line, site.statement, site.shape) for site in found.sites)


class _Lowering:
    def __init__(self, *, asynchronous: bool, returns_value: bool, nesting: int, forgets: str) -> None:
        self.asynchronous = asynchronous
        self.returns_value = returns_value
        self.nesting = nesting
        self.forgets = forgets
        self.number = 0  # of the next slot
        self.hidden: dict[str, None] = {}  # the hidden locals in which calls and arguments are; a set, in order
        self.single = False  # is there one statement only?
        self.breaks = False  # does a recovery have to let go of them?
        self.keeps = False  # does @R hold what `return` evaluated?
        self.catches = False  # can the body go on after an exception, which then may hold this frame?
        self.result: str | tuple[str, ...] | None = None
        self.replaced: dict[int, list[ast.stmt]] = {}  # id of a site's statement -> what is in its place

    def function(self, body: list[ast.stmt], found: Scan, result: Sequence[str] | str | None) -> list[ast.stmt]:
        if result is not None:
            self.result = result if isinstance(result, str) else tuple(result)
        self.keeps = result is None and self.returns_value and self._recovery_can_return(body, found)
        self.catches = catches(body)
        rewritten: list[ast.stmt] = []
        of_statement: list[list[Site]] = []
        for statement, sites in zip(body, found.of_statement, strict=True):
            instead = self._returns(statement)
            rewritten += instead
            of_statement += [sites, *([] for _ in instead[1:])]
        self.single = len(found.sites) == 1
        self.breaks = self.forgets == ALWAYS_FORGETS and not self.single
        lowered = self.block(rewritten, of_statement)
        outermost = lowered[-1]
        if (
            self.keeps and isinstance(outermost, ast.Try) and outermost.finalbody
        ):  # what was returned is not needed any more
            outermost.finalbody.append(n.assign("@R", n.const(None)))
        lowered = self._forgetting(lowered)
        return self._named(lowered) if result is not None else lowered

    # --- what `return` does

    @staticmethod
    def _recovery_can_return(body: list[ast.stmt], found: Scan) -> bool:
        """Can a call recover what another has raised after a `return` was evaluated (P4)?"""
        calls = len(found.sites) + sum(site.in_loop for site in found.sites)
        return calls > 1 and any(own_returns(body))

    def _returns(self, node: ast.stmt, *, leaving: bool = False) -> list[ast.stmt]:
        """*node* with its `return` statements made to set @R, or the named results.

        A `return` can be overtaken: by what the exit of a `with` or a `finally` around it raises, or by a `break` or `continue` in
        that `finally` (in which we then are *leaving*). It has not happened then, and @R is None again.
        """
        if not (self.keeps or self.result is not None):
            return [node]
        if isinstance(node, ast.Return):
            return self._return(node)
        if isinstance(node, (ast.Break, ast.Continue)) and leaving and self.keeps:
            return [n.assign("@R", n.const(None)), node]
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return [node]
        final = getattr(node, "finalbody", None)
        for block in blocks(node):
            leaves = leaving or block is final
            block[:] = [s for child in block for s in self._returns(child, leaving=leaves)]
        ends = isinstance(node, (ast.With, ast.AsyncWith)) or bool(final)
        if self.keeps and ends and any(own_returns([node])):
            return [n.attempt([node], [n.assign("@R", n.const(None)), n.reraise()], [])]
        return [node]

    def _return(self, node: ast.Return) -> list[ast.stmt]:
        at = n.at(node)
        if self.result is not None:
            bare = ast.Return(None, **at)
            if node.value is None:
                return [bare]
            if isinstance(self.result, str):
                return [n.assign(self.result, node.value, at), bare]
            return [n.unpack(self.result, node.value, at), bare]
        if node.value is None or isinstance(node.value, ast.Constant):
            # A constant need not be kept to be known, but @R is what a recovery returns.
            value = node.value or n.const(None, at)
            return [n.assign("@R", value, at), ast.Return(value, **at)]
        return [n.assign("@R", node.value, at), ast.Return(n.load("@R", at), **at)]

    def _give(self) -> ast.Return:
        """What a recovery returns."""
        return ast.Return(n.load("@R") if self.keeps else None, **n.GLUE)

    def _recovered(self, call: Captured | None = None) -> list[ast.stmt]:
        """Leave after a recovery, with what was returned: to the end of `_forgetting`, where that is needed."""
        if not self.breaks:
            return [*(call.forget() if call is not None else []), self._give()]
        return [*([n.assign("@V", n.load("@R"))] if self.keeps else []), ast.Break(**n.GLUE)]

    def _forgetting(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """*body*, which lets go of all hidden locals if it fails or has recovered: whoever holds the exception holds this frame (D9).

        On the normal path nothing does, and nothing is done. So a recovery, which is a normal exit in all else, leaves by
        a ``break``, by which the calls that remain are made as by a ``return``.
        """
        if not (self.hidden and self.forgets):
            return [n.assign("@R", n.const(None)), *body] if self.keeps else body
        hidden = ["@R", *self.hidden] if self.keeps else list(self.hidden)
        failed = [*hidden, "@V"] if self.keeps and self.breaks else hidden
        guarded: list[ast.stmt] = [n.attempt(body, [n.forget(failed), n.reraise()], [])]
        if self.keeps:
            guarded.insert(0, n.assign("@R", n.const(None)))
        if not self.breaks:
            return guarded
        leave: list[ast.stmt] = [n.forget(hidden)]
        if self.keeps:
            give = ast.Return(n.load("@V"), **n.GLUE)
            leave.append(n.attempt([give], [], [n.assign("@V", n.const(None))]))
        forever = ast.While(n.const(value=True), [*guarded, ast.Return(None, **n.GLUE)], [], **n.GLUE)
        return [forever, *leave]

    def _named(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Named results: they start as None, and are read after the last call."""
        names: tuple[str, ...] = (self.result,) if isinstance(self.result, str) else self.result or ()
        value = n.load(self.result) if isinstance(self.result, str) else n.pack(map(n.load, names))
        return [
            *(n.assign(name, n.const(None)) for name in names),
            n.assign("@x", n.const(None)),
            n.attempt(
                body,
                [n.assign("@x", n.const("set")), n.reraise()],
                [n.when(ast.Compare(n.load("@x"), [ast.Is()], [n.const(None)], **n.GLUE), ast.Return(value, **n.GLUE))],
            ),
        ]

    # --- the shapes

    def block(self, body: list[ast.stmt], of_statement: Sequence[Sequence[Site]]) -> list[ast.stmt]:
        """The statements of the function's top level, from the first with a site on inside of that site's shape."""
        for i, sites in enumerate(of_statement):
            if not sites:
                continue
            statement, rest = body[i], body[i + 1 :]
            sites_after = of_statement[i + 1 :]
            self.nesting -= len(sites)
            crowded = self.nesting < 1 and (self.nesting < 0 or any(sites_after))
            if crowded or any(s.in_loop or (s.enters and s.node is not statement) for s in sites):
                self.nesting += len(sites) - 1
                every = [*sites, *(s for later in sites_after for s in later)] if crowded else list(sites)
                return body[:i] + self.listed(statement, rest, sites_after, every, crowded=crowded)
            if sites[0].node is statement:
                return body[:i] + self.inline(sites[0], rest, sites_after)
            return body[:i] + self.conditional(statement, rest, sites_after, sites)
        return body

    def inline(self, site: Site, rest: list[ast.stmt], after: Sequence[Sequence[Site]]) -> list[ast.stmt]:
        if site.enters:
            return self.entered(site, rest, after)
        call, slot = self._slot(site)
        inner = self.block(rest, after) or [ast.Pass(**n.GLUE)]
        capture, region = call.capture(slot, conditional=False), self.region(site, call, slot, inner, conditional=False)
        if not (self.single and self.forgets):
            return [*capture, region]
        # The only call of the function: as `_forgetting`, but at no cost to the way out of an exception that the body raises.
        names, self.hidden = list(self.hidden), {}
        if region.finalbody:
            region.finalbody = [n.attempt(region.finalbody, [n.forget(names), n.reraise()], [])]
        return [n.attempt(capture, [n.forget(names), n.reraise()], []), region]

    def entered(self, site: Site, rest: list[ast.stmt], after: Sequence[Sequence[Site]]) -> list[ast.stmt]:
        """`using` is a native `with` around the rest (D11)."""
        node, at = site.node, n.at(site.node)
        target: ast.expr | None = None
        first: list[ast.stmt] = []
        if isinstance(node, ast.AnnAssign):
            target = node.target
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.Assign):
            target = ast.Name("@v", ast.Store(), **at)
            self._hide("@v")
            first = [ast.Assign(node.targets, n.load("@v", at), **at), n.assign("@v", n.const(None))]
        inner = [*first, *self.block(rest, after)] or [ast.Pass(**n.GLUE)]
        leaves = self.breaks and bool(self.hidden)
        if leaves:  # so that only what was suppressed gets to the end of the `with`
            inner.append(ast.Return(None, **n.GLUE))
        kind = ast.AsyncWith if site.statement == "ausing" else ast.With
        entered = kind([ast.withitem(site.call.args[0], target)], inner, **at)
        if leaves:
            return [entered, *self._recovered()]
        return [entered, self._give()] if self.keeps else [entered]

    def conditional(
        self, statement: ast.stmt, rest: list[ast.stmt], after: Sequence[Sequence[Site]], sites: Sequence[Site]
    ) -> list[ast.stmt]:
        slots = []
        for site in sites:
            site.shape = "conditional"
            call, slot = self._slot(site)
            self._hide("@c")
            slots.append((site, call, slot))
            self.replaced[id(site.node)] = call.capture(slot, conditional=True)
        body: list[ast.stmt] = [*self.replace([statement]), *self.block(rest, after)]
        for site, call, slot in reversed(slots):
            body = [self.region(site, call, slot, body, conditional=True)]
        return [*(n.assign(slot, n.const(None)) for _, _, slot in slots), *body]

    def region(self, site: Site, call: Captured, slot: str, body: list[ast.stmt], *, conditional: bool) -> ast.Try:
        """*body* with the call in *slot* pending."""
        empty = n.const(None if conditional else call.noop)
        if site.statement == "okdefer":
            panicking = [n.assign(slot, empty), *call.forget(), n.reraise()]
        else:
            panicking = self._panicking(site, call, slot, empty)
            if conditional:
                panicking = [n.when(n.is_not_none(n.load(slot)), *panicking[:-1]), n.reraise()]
        returning: list[ast.stmt] = []
        if site.statement != "errdefer":
            returning = [self._exit(call.make(n.load(slot, call.at), call.arguments()), call.at)]
            if self.catches:
                returning += [*call.forget(), n.assign(slot, empty)]
            if conditional:
                returning = [n.when(n.is_not_none(n.load(slot)), *returning)]
        return n.attempt(body, panicking, returning)

    def _panicking(self, site: Site, call: Captured, slot: str, empty: ast.expr) -> list[ast.stmt]:
        """Run the call in *slot* because of the exception in flight.

        If `unwind` could not begin, the call is made from here, which needs no more stack than the call itself: in the ``finally``, whose
        slot is filled again, or, of an `errdefer`, which has none, at once.
        """
        args, kwargs = call.packed()
        parts = [n.load("@t"), args, *([] if isinstance(kwargs, ast.Constant) else [kwargs])]
        unwound = self._await(n.call(self._name("unwind"), parts, call.at), call.at)
        if site.statement == "errdefer":
            not_begun = self._exit(call.make(n.item("@t", 0), call.arguments()), call.at)
        else:
            not_begun = n.assign(slot, n.item("@t", 0))
        return [
            n.assign("@t", ast.List([n.load(slot)], ast.Load(), **n.GLUE)),
            n.assign(slot, empty),
            n.attempt(
                [n.when(unwound, *self._recovered(call))],
                [ast.If(n.load("@t"), [not_begun], call.forget(), **n.GLUE), n.reraise()],
                [],
            ),
            *call.forget(),
            n.reraise(),
        ]

    def _slot(self, site: Site) -> tuple[Captured, str]:
        number = self.number
        self.number += 1
        call, slot = Captured(site, str(number)), f"@f{number}"
        self._hide(slot, *call.filled, "@r", "@t")
        return call, slot

    def _hide(self, *names: str) -> None:
        self.hidden.update(dict.fromkeys(names))

    def _name(self, name: str) -> str:
        return f"@a{name}" if self.asynchronous else f"@{name}"

    def _await(self, call: ast.expr, at: dict[str, Any]) -> ast.expr:
        return ast.Await(call, **at) if self.asynchronous else call

    def _exit(self, call: ast.Call, at: dict[str, Any]) -> ast.stmt:
        """Make a call on the normal exit, and deal with what it returns (D6), which costs nothing for the usual None."""
        returned = ast.NamedExpr(ast.Name("@r", ast.Store(), **at), call, **at)
        if not self.asynchronous:
            return n.when(n.is_not_none(returned), n.assign("@r", n.call("@drop", [n.load("@r", at)], at), at))
        is_coroutine = ast.Compare(n.call("@type", [n.load("@r")]), [ast.Is()], [n.const("@coroutine")], **n.GLUE)
        test = ast.BoolOp(ast.Or(), [is_coroutine, n.call("@awaitable", [n.load("@r")])], **n.GLUE)
        awaiting = ast.Expr(ast.Await(n.load("@r", at), **at), **at)
        return n.when(n.is_not_none(returned), n.when(test, awaiting), n.assign("@r", n.const(None)))

    # --- lists

    def listed(
        self,
        statement: ast.stmt,
        rest: list[ast.stmt],
        after: Sequence[Sequence[Site]],
        sites: list[Site],
        *,
        crowded: bool,
    ) -> list[ast.stmt]:
        number = self.number
        self.number += 1
        pending, kept = f"@l{number}", f"@k{number}"
        single = len(sites) == 1
        self.breaks = self.forgets == ALWAYS_FORGETS
        self._hide(pending, kept, "@c", "@v", "@f", "@t", "@r", "@h")
        calls = []
        for i, site in enumerate(sites):
            site.shape = "list"
            call = None if site.enters else Captured(site, f"{number}_{i}")
            if single and call is not None:
                self._hide(*call.slots)
            calls.append((site, call))
            self.replaced[id(site.node)] = self._push(site, call, pending, None if single else i)
        body = self.replace([statement, *rest]) if crowded else [*self.replace([statement]), *self.block(rest, after)]
        at = n.at(sites[0].call)
        inner = n.attempt(
            body,
            [n.assign(kept, n.load(pending)), n.assign(pending, n.const(None)), n.reraise()],
            self._drained(calls, pending, single=single),
        )
        described = n.const(tuple(_describe(site) for site, _ in calls))
        outer = n.attempt([inner], self._panicking_list(calls, described, pending, kept, single=single), [])
        finishing = ast.Expr(self._await(n.call(self._name("finish"), [n.load(kept)], at), at), **at)
        settled = ast.Expr(n.call("@settle_finish", [n.load(kept)], at), **at)
        finished = n.when(
            n.is_not_none(n.load(kept)), finishing, settled, n.assign(kept, n.const(None)), *self._recovered()
        )
        going_on = n.call(self._name("go_on"), (n.load(kept), described), at)
        interrupted = [
            n.when(ast.Compare(n.load(kept), [ast.Is()], [n.const(None)], **n.GLUE), n.assign(kept, n.load(pending))),
            n.assign(pending, n.const(None)),
            n.when(
                n.is_not_none(n.load(kept)),
                n.attempt([n.when(self._await(going_on, at), *self._recovered())], [], [n.assign(kept, n.const(None))]),
            ),
            n.reraise(),
        ]
        return [
            n.assign(pending, n.const(None)),
            n.assign(kept, n.const(None)),
            n.attempt([outer, finished], interrupted, []),
        ]

    def _panicking_list(
        self,
        calls: Sequence[tuple[Site, Captured | None]],
        described: ast.expr,
        pending: str,
        kept: str,
        *,
        single: bool,
    ) -> list[ast.stmt]:
        """Run the calls of a list because of the exception in flight; if `unwind_list` could not begin, from here.

        If that was interrupted, *kept* is its record, for the `try` around this.

        An interrupt can come when this is over, at the jump to what follows, and be taken for one of the body. *kept* is the record then,
        which has the calls that remain: they are left to the `try` around this.
        """
        at = n.at(calls[0][0].call)
        left = ast.IfExp(n.is_not_none(n.load(kept)), n.load(kept), n.load(pending), **n.GLUE)
        unwound = self._await(n.call(self._name("unwind_list"), (n.load("@h"), described), at), at)
        drained = self._drain(calls, pending, single=single, skipping="okdefer")
        failing = ast.ExceptHandler(n.const("@base"), "@c", [n.assign("@e", n.load("@c"))], **n.GLUE)
        one_by_one = ast.Try([self._while_pending(pending, drained, "@t")], [failing], [], [], **n.GLUE)
        failed = n.when(n.is_not_none(n.load("@e")), ast.Raise(n.load("@e"), None, **n.GLUE))
        not_begun = [
            n.assign("@e", n.const(None)),
            ast.While(n.is_not_none(n.load(pending)), [one_by_one], [], **n.GLUE),
            n.attempt([failed, n.reraise()], [], [n.assign("@e", n.const(None))]),
        ]
        begun = [n.assign(kept, n.item("@h", 1)), n.reraise()]
        unfinished = ast.If(n.is_not_none(n.load(pending)), not_begun, begun, **n.GLUE)
        again = ast.Compare(
            ast.Attribute(n.load(kept), "__class__", ast.Load(), **n.GLUE), [ast.Is()], [n.const("@list")], **n.GLUE
        )
        going = ast.Compare(n.call("@settle", [n.load("@h")], at), [ast.Is()], [n.const("@going")], **n.GLUE)
        return [
            n.when(again, n.reraise()),
            n.assign("@h", ast.List([left, n.const(None)], ast.Load(), **n.GLUE)),
            n.assign(kept, n.const(None)),
            n.assign(pending, n.const(None)),
            n.attempt([ast.Expr(unwound, **at)], [n.assign(pending, n.item("@h", 0)), unfinished], []),
            n.assign(kept, n.item("@h", 1)),
            n.when(going, n.assign(kept, n.const(None)), n.reraise()),
        ]

    def _drained(self, calls: Sequence[tuple[Site, Captured | None]], pending: str, *, single: bool) -> list[ast.stmt]:
        """Run the calls of a list on the normal exit."""
        body = self._drain(calls, pending, single=single, skipping="errdefer")
        slots = ["@f", *(calls[0][1].slots if calls[0][1] is not None else [])] if single else ["@t"]
        return [self._while_pending(pending, body, slots[0]), *(n.assign(slot, n.const(None)) for slot in slots)]

    @staticmethod
    def _while_pending(pending: str, body: list[ast.stmt], slot: str) -> ast.stmt:
        """``while <pending> is not None: <body>``, which an interrupt cannot leave unseen by the `try` around it.

        The interpreter looks for signals at the jump backwards. On 3.13 the one that it makes for a condition is in no `try` at all, but that of an
        endless loop is; on 3.11 and 3.12 what counts is the instruction before the loop, so there is one that belongs to it.
        """
        empty = ast.Compare(n.load(pending), [ast.Is()], [n.const(None)], **n.GLUE)
        loop = ast.While(n.const(value=True), [*body, n.when(empty, ast.Break(**n.GLUE))], [], **n.GLUE)
        return n.when(n.is_not_none(n.load(pending)), n.assign(slot, n.const(None)), loop)

    def _push(self, site: Site, call: Captured | None, pending: str, number: int | None) -> list[ast.stmt]:
        at = n.at(site.call)
        first = [n.load(pending), *([] if number is None else [n.const(number)])]
        if call is not None:
            pushed = n.assign(pending, n.pack([*first, call.checked_callee(), *call.values], at), at)
            return [pushed, n.assign("@c", n.const(None))]
        entering = n.call(self._name("enter") if site.statement == "ausing" else "@enter", [site.call.args[0]], at)
        entered = ast.Await(entering, **at) if site.statement == "ausing" else entering
        stmts: list[ast.stmt] = [
            n.unpack(("@c", "@v"), entered, at),
            n.assign(pending, n.pack([*first, n.load("@c")])),
        ]
        if isinstance(site.node, ast.Assign):
            stmts.append(ast.Assign(site.node.targets, n.load("@v", at), **at))
        elif isinstance(site.node, ast.AnnAssign):
            stmts.append(ast.Assign([site.node.target], n.load("@v", at), **at))
        return [*stmts, n.assign("@v", n.const(None))]

    def _drain(
        self, calls: Sequence[tuple[Site, Captured | None]], pending: str, *, single: bool, skipping: str
    ) -> list[ast.stmt]:
        """Take the next call off a list and make it, unless its statement is the one that does not run on this exit."""
        if single:
            site, call = calls[0]
            slots = call.slots if call is not None else []
            stmt = n.unpack((pending, "@f", *slots), n.load(pending))
            return [stmt, self._drain_one(site, call, n.load("@f"), [n.load(name) for name in slots], skipping)]
        chain: list[ast.stmt] = []
        for i, (site, call) in reversed(list(enumerate(calls))):
            slots = call.slots if call is not None else []
            values = [n.item("@t", 3 + j) for j in range(len(slots))]
            drained = self._drain_one(site, call, n.item("@t", 2), values, skipping)
            test = ast.Compare(n.item("@t", 1), [ast.Eq()], [n.const(i)], **n.GLUE)
            chain = [ast.If(test, [drained], chain, **n.GLUE)]
        return [n.assign("@t", n.load(pending)), n.assign(pending, n.item("@t", 0)), *chain]

    def _drain_one(
        self, site: Site, call: Captured | None, callee: ast.expr, values: Sequence[ast.expr], skipping: str
    ) -> ast.stmt:
        if site.statement == skipping:
            return ast.Pass(**n.GLUE)
        if call is not None:
            return self._exit(call.make(callee, values), call.at)
        at = n.at(site.call)
        leaving: ast.expr = ast.Call(callee, [n.const(None, at), n.const(None, at), n.const(None, at)], [], **at)
        if site.statement == "ausing":
            leaving = ast.Await(n.call("@awaited", [n.const("__aexit__", at), leaving], at), **at)
        return ast.Expr(leaving, **at)

    def replace(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """*body* with what stands in the place of its sites."""
        out: list[ast.stmt] = []
        for statement in body:
            if id(statement) in self.replaced:
                out += self.replaced[id(statement)]
                continue
            if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                for block in blocks(statement):
                    block[:] = self.replace(block)
            out.append(statement)
        return out


def _describe(site: Site) -> tuple[Any, ...]:
    """When a site's call runs, its line, and how its arguments are stored: what `_cold.record` needs."""
    when = _WHEN[site.statement]
    if site.enters:
        return when, site.line, 0, (), False
    call = Captured(site, "")
    return when, site.line, call.positionals, call.keywords, call.starred
