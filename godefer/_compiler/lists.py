"""The shape *list*: pending calls as linked tuples, which the exit makes (`shapes.LIST`).

`lower` uses it for a statement in a loop, which can defer any number of calls, and where there is
no room for one more nested block.
"""

from __future__ import annotations

import _ast as ast

from godefer._compiler import nodes, shapes
from godefer._compiler.sites import DeferredCall
from godefer._runtime.record import ALWAYS, ASYNC_EXIT, EXIT, FAILING, RETURNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from godefer._compiler.sites import Site

_WHEN = {
    "defer": ALWAYS,
    "errdefer": FAILING,
    "okdefer": RETURNING,
    "using": EXIT,
    "ausing": ASYNC_EXIT,
}


class PendingList:
    """The pending calls of *sites*, in one list.

    Each item has the number of its site, unless the list is for a single site. The loop that makes
    the calls is followed by a `pass` at the position *entry*.
    """

    def __init__(
        self, sites: Sequence[Site], number: int, entry: nodes.Position, *, asynchronous: bool
    ) -> None:
        self.entry = entry
        self.asynchronous = asynchronous
        self.pending, self.held = f"@pending{number}", f"@held{number}"
        self.record = f"@record{number}"
        self.calls = [
            (site, None if site.enters else DeferredCall(site, f"{number}_{i}"))
            for i, site in enumerate(sites)
        ]
        self.single = len(sites) == 1
        for site in sites:
            site.shape = "list"

    @property
    def slots(self) -> list[str]:
        """The hidden locals that hold a call taken off the list."""
        call = self.calls[0][1]
        return ["@taken", *(call.argument_slots if self.single and call is not None else ())]

    @property
    def hidden(self) -> Iterable[str]:
        """All hidden locals of the list."""
        names = self.pending, self.held, self.record
        return (*names, "@callee", "@entered", "@returned", "@error", *self.slots)

    def pushes(self) -> dict[int, list[ast.stmt]]:
        """Return the statements that put the call of a site on the list, by the id of its node."""
        return {
            id(site.node): self._push(i, site, call) for i, (site, call) in enumerate(self.calls)
        }

    def region(
        self,
        body: list[ast.stmt],
        start: nodes.Position,
        recovered: list[ast.stmt],
        reraise: list[ast.stmt],
    ) -> list[ast.stmt]:
        """Return *body* with the list pending.

        Args:
            body: The statements.
            start: The position of the first one.
            recovered: The statements that leave the function after a recovery.
            reraise: The statements that raise the handled exception again.
        """
        site = self.calls[0][0]
        names: dict[str, Any] = {"PENDING": self.pending, "HELD": self.held, "RECORD": self.record}
        sites: Any = tuple(_describe(*call) for call in self.calls)
        described = ast.Constant(sites, **site.call_at)
        helpers: dict[str, Any] = {**names, "SITES": described, "RECOVERED": recovered}

        def fill(shape: nodes.Shape, **parts: Any) -> list[ast.stmt]:
            return shape.fill(site.call_at, asynchronous=self.asynchronous, **helpers, **parts)

        panicking, returning = (
            (shapes.ASYNC_PANIC, shapes.ASYNC_RETURN)
            if self.asynchronous
            else (shapes.PANIC, shapes.RETURN)
        )
        return shapes.LIST.fill(
            nodes.NOWHERE,
            **names,
            BODY=body,
            DRAIN=self._drain(skipping="errdefer"),
            UNWIND=fill(
                shapes.UNWIND, DRAIN=self._drain(skipping="okdefer"), LOOPS=fill(panicking)
            ),
            FINISH=fill(shapes.FINISH, LOOPS=fill(returning)),
            GO_ON=fill(shapes.GO_ON),
            NOTE=(shapes.NOTE_SINGLE if self.single else shapes.NOTE_ONE).fill(site.call_at),
            RERAISE=reraise,
            START=nodes.clear(names.values(), start),
        )

    def _drain(self, *, skipping: str) -> list[ast.stmt]:
        """Return the loop that makes the calls, except those of the statement named *skipping*."""
        at = nodes.NOWHERE
        if self.single:
            site, call = self.calls[0]
            targets = nodes.targets((self.pending, *self.slots), at)
            take = shapes.TAKE_SINGLE.fill(at, TARGETS=targets, PENDING=self.pending)
            values: list[ast.expr] = [nodes.load(slot, site.call_at) for slot in self.slots]
            take += self._make(site, call, values, skipping)
        else:
            take = shapes.TAKE_ONE.fill(at, PENDING=self.pending)
            chain: list[ast.stmt] = []
            for i, (site, call) in reversed(list(enumerate(self.calls))):
                count = len(call.argument_slots) if call is not None else 0
                taken = [_item(2 + j, site.call_at) for j in range(1 + count)]
                exit_ = self._make(site, call, taken, skipping)
                number = ast.Constant(i, **at)
                chain = (
                    shapes.IF_SITE.fill(at, NUMBER=number, EXIT=exit_, OTHERWISE=chain)
                    if chain
                    else exit_
                )
            take += chain
        drain = shapes.DRAIN.fill(at, PENDING=self.pending, TAKE=take)
        return [*drain, ast.Pass(**self.entry)]

    def _make(
        self, site: Site, call: DeferredCall | None, values: Sequence[ast.expr], skipping: str
    ) -> list[ast.stmt]:
        after = [
            *nodes.clear(self.slots, site.call_at),
            *shapes.NEXT.fill(site.call_at, PENDING=self.pending),
        ]
        callee, *arguments = values
        if site.statement == skipping:
            return after
        if call is not None:
            return [*call.make(callee, arguments, asynchronous=self.asynchronous), *after]
        shape = shapes.ASYNC_LEAVE if site.statement == "ausing" else shapes.LEAVE
        return [*shape.fill(site.call_at, CALLEE=callee, asynchronous=self.asynchronous), *after]

    def _push(self, number: int, site: Site, call: DeferredCall | None) -> list[ast.stmt]:
        at = site.at
        first = [
            nodes.load(self.pending, at),
            *([] if self.single else [ast.Constant(number, **at)]),
        ]
        if call is not None:
            (checked,) = shapes.CHECKED_CALLEE.fill(at, VALUE=call.callee)
            callee = checked.value  # type: ignore[attr-defined]
            entry = nodes.pack([*first, callee, *call.values], at)
            return site.store(shapes.PUSH.fill(at, PENDING=self.pending, ENTRY=entry))
        entry = nodes.pack([*first, nodes.load("@callee", at)], at)
        return shapes.PUSH_ENTERED.fill(
            site.call_at,
            asynchronous=site.statement == "ausing",
            MANAGER=site.positional[0],
            PENDING=self.pending,
            ENTRY=entry,
            ASSIGN=site.assign("@entered"),
        )


def _item(index: int, at: nodes.Position) -> ast.expr:
    """Return ``@taken[index]``."""
    return ast.Subscript(nodes.load("@taken", at), ast.Constant(index, **at), ast.Load(), **at)


def _describe(site: Site, call: DeferredCall | None) -> tuple[Any, ...]:
    """Return when a call is made, its line, and the form of its arguments (`list_record`)."""
    when = _WHEN[site.statement]
    if call is None:
        return when, site.line, 0, (), False
    return when, site.line, call.positionals, call.names, call.starred
