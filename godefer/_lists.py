"""The shape *list*: pending calls as linked tuples in one hidden local, drained at the exit (see `_lower`)."""

from __future__ import annotations

import ast

from godefer import _nodes as n
from godefer._capture import Captured
from godefer._leaving import ALWAYS_FORGETS, Leaving
from godefer._record import ALWAYS, ASYNC_EXIT, EXIT, FAILING, RETURNING
from godefer._scan import blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from godefer._scan import Site

_WHEN = {"defer": ALWAYS, "errdefer": FAILING, "okdefer": RETURNING, "using": EXIT, "ausing": ASYNC_EXIT}


class Lists(Leaving):
    """Statements in loops, or more of them than the interpreter's limit of nested blocks allows."""

    def block(self, body: list[ast.stmt], of_statement: Sequence[Sequence[Site]]) -> list[ast.stmt]:
        """The statements after the list's, lowered (`_lower`)."""
        raise NotImplementedError

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

        The interpreter looks for signals at the jump backwards. The one that 3.13 and 3.14 make for a condition is in no `try` at all, but that of
        `continue` is; on 3.11 and 3.12 what counts is the instruction before the loop, so there is one that belongs to it.
        """
        empty = ast.Compare(n.load(pending), [ast.Is()], [n.const(None)], **n.GLUE)
        loop = ast.While(
            n.const(value=True), [*body, n.when(empty, ast.Break(**n.GLUE)), ast.Continue(**n.GLUE)], [], **n.GLUE
        )
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
