"""Lowering: a function's AST in, the same AST with its deferred calls at its exits out.

Pure: no exec, no inspect, nothing is looked up. The caller says which names mean godefer's; the
answer is a `Plan`, or a reason (a string) why the function cannot be lowered. `shapes` shows
what the lowered code looks like.

*Inline*: the statement is at the top level of the body, so its call is pending from there on. The
rest of the function goes into a ``try``: the position in the code shows which calls are pending.
`errdefer` has the ``except`` alone, and `using` is a native ``with`` around the rest.

*Conditional*: the statement is inside an ``if``, ``match``, ``try`` or ``with``, but in no loop.
The ``try`` is around the whole top-level statement, and a slot is None until the call is pending.

*List*: the statement is in a loop, or there are more than the interpreter's limit of nested
blocks allows (`loops`).

Rejected: one shape for inline and conditional (1.2 times the time of a return); lists for all (3
times); an ``except`` and a ``finally`` for the first call, too (1.65 instead of 1.35 times the
time of a hand-written exit by an exception); the ``finally`` alone for all calls: a recovery has
to leave it by a ``break``, which copies the exits further out, twice at each level.
"""

from __future__ import annotations

import ast
from functools import partial

from godefer._compiler import returns, shapes
from godefer._compiler.capture import Captured
from godefer._compiler.loops import PendingList, replace
from godefer._compiler.sites import Unclear, catches, check_result, own_returns, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from godefer._compiler.returns import Named
    from godefer._compiler.sites import Names, Scan, Site

    Function = ast.FunctionDef | ast.AsyncFunctionDef
    Plan = tuple[tuple[int, str, str], ...]
    Range = tuple[int, int, int, int]  # first and last line, first and last column


# Each `return` gets a copy of the exit of each statement, as in Go, which stops at 15; a copy
# takes about 100 bytes.
COPIES = 2000

NESTING = 8  # slots nested at most, as in Go; two blocks each of the interpreter's twenty


class Lowered:
    """What was done to a function: its plan, and the positions of the calls at its exits.

    The plan has, of each statement, the line, the name and the shape.
    """

    def __init__(self, sites: Sequence[Site]) -> None:
        self.plan: Plan = tuple((site.line, site.statement, site.shape) for site in sites)
        self.exits: set[Range] = {
            (at["lineno"], at["end_lineno"], at["col_offset"], at["end_col_offset"])
            for at in (site.call for site in sites if site.shape != "list" and not site.enters)
        }


def lower(
    node: Function,
    names: Names,
    *,
    asynchronous_generator: bool = False,
    result: Sequence[str] | str | None = None,
    nesting: int = NESTING,
) -> Lowered | str:
    """Put the deferred calls of *node* where they run; *node* itself is changed.

    Args:
        node: The function's definition.
        names: What its names mean.
        asynchronous_generator: Whether it is one, in which ``return`` takes no value.
        result: The named results: one name, or several.
        nesting: How many slots may be nested before the others go into a list.

    Returns:
        The plan and the exits; or the reason why the function cannot be lowered, and *node* is
        then as it was.
    """
    head = 1 if ast.get_docstring(node, clean=False) is not None else 0
    named: Named | None = result if result is None or isinstance(result, str) else tuple(result)
    try:
        found = scan(node.body[head:], names)
        check_result(node.body, (named,) if isinstance(named, str) else named or (), names.shift)
    except Unclear as reason:
        return str(reason)
    if not found.sites and named is None:
        return "there is no defer statement in its body"
    exits = len(own_returns(node.body)) + 1
    if exits * len(found.sites) > COPIES:
        count = len(found.sites)
        return f"{count} statements and {exits} ways to return would make its code too large"
    body = node.body[head:]
    keeps = (
        named is None
        and not asynchronous_generator
        and returns.recovery_can_return(body, found.sites)
    )
    asynchronous = isinstance(node, ast.AsyncFunctionDef)
    lowering = _Lowering(
        body, _line_of(node), asynchronous=asynchronous, nesting=nesting, keeps=keeps
    )
    node.body[head:] = lowering.function(body, found, named)
    return Lowered(found.sites)


class _Lowering:
    """The lowering of one function, from its outermost region in."""

    def __init__(
        self,
        body: Sequence[ast.stmt],
        entry: shapes.Position,
        *,
        asynchronous: bool,
        nesting: int,
        keeps: bool,
    ) -> None:
        # The line of the `def` ends the outermost region. The interpreter's own code after that,
        # which returns, has the same line; it would have none after a test of what is pending.
        self.entry = entry
        self.asynchronous = asynchronous
        self.nesting = nesting
        self.keeps = keeps  # does `@value` hold what a `return` evaluated?
        self.catches = catches(
            body
        )  # can the body go on after an exception, which may then hold this frame (D9)?
        self.number = 0  # of the next slot or list
        self.hidden: dict[str, None] = {}  # the hidden locals; a set, in order
        self.ends = True  # is the next region with a `finally` the outermost one?
        self.guarded = True  # is the next region the one that the guard is right around?
        self.settles = False  # has a call its own region, so that the guard may find a recovery?
        self.guards_itself = False  # does the outermost region unbind the hidden locals?
        self.breaks = False  # is there a `break` by which a recovery further in leaves?

    def function(self, body: list[ast.stmt], found: Scan, named: Named | None) -> list[ast.stmt]:
        """Return the whole body, lowered."""
        begin = next((i for i, sites in enumerate(found.of_statement) if sites), len(body))
        before, rest, sites = body[:begin], body[begin:], found.of_statement[begin:]
        at = _start(rest[0], sites[0]) if rest else shapes.NOWHERE
        if named is not None:
            before = returns.assign_named(before, named, pending=False)
            rest, sites = _rewritten(
                rest, sites, partial(returns.assign_named, result=named, pending=True)
            )
        elif self.keeps:
            rest, sites = _rewritten(rest, sites, returns.keep_value)
        falls_off = bool(rest) and not isinstance(rest[-1], (ast.Return, ast.Raise))
        lowered = self.guard(self.block(rest, sites), at, falls_off=falls_off)
        if named is None:
            return [*before, *lowered]
        first = shapes.position(body[0])
        start = shapes.clear((named,) if isinstance(named, str) else named, first)
        value = returns.named_value(named, at)
        if not rest:
            return [*start, *before, ast.Return(value, **at)]
        return [*start, *before, *shapes.NAMED_RESULTS.fill(at, BODY=lowered, RESULT=value)]

    def guard(
        self, region: list[ast.stmt], at: shapes.Position, *, falls_off: bool
    ) -> list[ast.stmt]:
        """Return *region* with the guard around it, which unbinds the hidden locals."""
        if not (self.hidden or self.keeps):
            return region
        value = ["@value"] if self.keeps else []
        start = ["@failing", *value] if "@failing" in self.hidden else value
        if not self.guards_itself:
            settle = shapes.unbind(value, at)
            if self.settles:
                given = shapes.load("@value", at) if self.keeps else None
                settle = shapes.SETTLE_FIRST.fill(
                    at,
                    SETTLE=shapes.SETTLE.fill(at, RECOVERED=[ast.Return(given, **at)]),
                    UNBIND_LATE=shapes.unbind([*value, "@recovered"], at),
                )
            unbind = shapes.unbind(self.hidden, at)
            region = shapes.GUARD.fill(at, BODY=region, UNBIND=unbind, SETTLE_FIRST=settle)
        # The interpreter's own `return` has the line of the code before it, which may have none.
        if falls_off:
            region = [*region, ast.Return(None, **at)]
        if self.breaks:
            region = [*shapes.LEAVING.fill(at, GUARD=region), *self.left(at)]
        return [*shapes.clear(start, at), *region]

    def left(self, at: shapes.Position) -> list[ast.stmt]:
        """Return the end of a function that has recovered and has no call left to make."""
        give = shapes.GIVE.fill(at) if self.keeps else []
        return [*shapes.unbind(self.hidden, at), *give]

    def block(self, body: list[ast.stmt], of_statement: Sequence[Sequence[Site]]) -> list[ast.stmt]:
        """Return *body*, from the first statement with a site on in that site's region."""
        for i, sites in enumerate(of_statement):
            if not sites:
                continue
            statement, rest = body[i], body[i + 1 :]
            sites_after = of_statement[i + 1 :]
            self.nesting -= len(sites)
            crowded = self.nesting < 1 and (self.nesting < 0 or any(sites_after))
            if crowded or any(s.in_loop or (s.enters and s.node is not statement) for s in sites):
                self.nesting += len(sites) - 1
                every = (
                    [*sites, *(s for later in sites_after for s in later)]
                    if crowded
                    else list(sites)
                )
                return body[:i] + self.listed(statement, rest, sites_after, every, crowded=crowded)
            if sites[0].node is statement:
                return body[:i] + self.inline(sites[0], rest, sites_after)
            return body[:i] + self.conditional(statement, rest, sites_after, sites)
        return body

    def inline(
        self, site: Site, rest: list[ast.stmt], after: Sequence[Sequence[Site]]
    ) -> list[ast.stmt]:
        """Return the capture of an inline call, and the *rest* with the call pending."""
        if site.enters:
            return self.entered(site, rest, after)
        region = self.region(site, site.glue)
        body = self.block(rest, after) or [ast.Pass(**shapes.NOWHERE)]
        return [*region.capture(), *region.around(body)]

    def conditional(
        self,
        statement: ast.stmt,
        rest: list[ast.stmt],
        after: Sequence[Sequence[Site]],
        sites: Sequence[Site],
    ) -> list[ast.stmt]:
        """Return a statement with sites in it, and the *rest*, with their calls pending."""
        at = _start(statement, [])
        regions = [self.region(site, at) for site in sites]
        slots = [region.slot for region in regions]
        self.hide("@callee")
        body = replace(
            [statement],
            {id(site.node): region.capture() for site, region in zip(sites, regions, strict=True)},
        )
        body += self.block(rest, after)
        for region in reversed(regions):
            body = region.around(body)
        return [*(s for slot in slots for s in shapes.clear([slot], at)), *body]

    def region(self, site: Site, at: shapes.Position) -> _Region:
        """Return the region of a call, which a statement at the position *at* begins."""
        call = Captured(site, str(self.number))
        ends = self.ends and site.statement != "errdefer"
        region = _Region(self, call, at, outermost=self.guarded, ends=ends)
        self.ends = self.ends and not ends
        self.number += 1
        self.guarded = False
        self.settles = True
        self.hide(region.slot, *call.filled, "@returned")
        if not region.first:
            self.hide("@failing", "@recovered")
        return region

    def entered(
        self, site: Site, rest: list[ast.stmt], after: Sequence[Sequence[Site]]
    ) -> list[ast.stmt]:
        """`using` is a native `with` around the rest (D11)."""
        self.guarded = self.ends = False
        node, at = site.node, shapes.position(site.node)
        target: ast.expr | None = None
        first: list[ast.stmt] = []
        if isinstance(node, ast.AnnAssign):
            target = node.target
        elif isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        elif isinstance(node, ast.Assign):
            target = ast.Name("@entered", ast.Store(), **at)
            self.hide("@entered")
            first = [
                ast.Assign(node.targets, shapes.load("@entered", at), **at),
                *shapes.clear(["@entered"], at),
            ]
        inner = [*first, *self.block(rest, after)] or [ast.Pass(**shapes.NOWHERE)]
        suppressed: list[ast.stmt] = []
        if self.hidden or self.keeps:  # only what was suppressed gets to the end of the `with`
            inner.append(ast.Return(None, **shapes.NOWHERE))
            suppressed = self.recovered(at)
        kind = ast.AsyncWith if site.statement == "ausing" else ast.With
        return [kind([ast.withitem(site.positional[0], target)], inner, **at), *suppressed]

    def listed(
        self,
        statement: ast.stmt,
        rest: list[ast.stmt],
        after: Sequence[Sequence[Site]],
        sites: list[Site],
        *,
        crowded: bool,
    ) -> list[ast.stmt]:
        """Return a statement with sites in it, and the *rest*, with their calls in a list.

        The outermost list unbinds the hidden locals itself: there may be no room for a guard.
        """
        outermost = self.guards_itself = self.guarded
        entry = self.entry if self.ends else shapes.NOWHERE
        self.guarded = self.ends = False
        pending = PendingList(sites, self.number, entry, asynchronous=self.asynchronous)
        self.number += 1
        self.hide(*pending.hidden)
        pushes = pending.pushes()
        body = (
            replace([statement, *rest], pushes)
            if crowded
            else replace([statement], pushes) + self.block(rest, after)
        )
        at = _start(statement, sites)
        if not outermost:
            reraise = shapes.RERAISE.fill(shapes.NOWHERE)
            return pending.region(body, at, self.recovered(sites[0].glue), reraise)
        value = ["@value"] if self.keeps else []
        reraise = [*shapes.unbind([*self.hidden, *value], at), *shapes.RERAISE.fill(at)]
        left = self.left(at) if self.keeps else [*self.left(at), ast.Return(None, **at)]
        return pending.region(body, at, left, reraise)

    def recovered(self, at: shapes.Position, *, reset: bool = True) -> list[ast.stmt]:
        """Return the statements that leave the function after a recovery."""
        self.breaks = True
        return (shapes.RECOVERED if reset and "@failing" in self.hidden else shapes.BREAK).fill(at)

    def hide(self, *names: str) -> None:
        """Add hidden locals."""
        self.hidden.update(dict.fromkeys(names))


class _Region:
    """The part of a function in which one call is pending."""

    def __init__(
        self,
        lowering: _Lowering,
        call: Captured,
        begin: shapes.Position,
        *,
        outermost: bool,
        ends: bool,
    ) -> None:
        self.lowering = lowering
        self.call = call
        self.site = call.site
        self.slot = call.slot
        self.begin = begin  # the position of the statement that it begins with
        self.conditional = begin is not self.site.glue
        self.ends = ends  # is its `finally` the last one?
        # A `finally` that has no `except` beside it cannot tell a recovery from a return.
        self.forgets_value = ends and lowering.keeps and lowering.catches
        always = self.site.statement == "defer" and not lowering.asynchronous
        self.first = outermost and always and not self.forgets_value
        if self.conditional:
            self.site.shape = "conditional"

    def capture(self) -> list[ast.stmt]:
        """Return the statements in place of the site."""
        return self.call.capture(self.slot, conditional=self.conditional)

    def around(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return *body* with the call pending."""
        at = shapes.NOWHERE if self.conditional else self.site.glue
        made = self.call.exit(self.slot, asynchronous=self.lowering.asynchronous)
        returning = list(made)
        if self.lowering.catches:
            returning += shapes.clear([self.slot, *self.call.filled], self.site.glue)
        returning = self.if_pending(returning)
        if self.forgets_value:
            returning += shapes.clear(["@value"], self.begin)
        if self.ends and self.conditional:
            returning.append(ast.Pass(**self.lowering.entry))
        if self.first:
            return shapes.FIRST_DEFER.fill(at, REST=body, EXIT=returning)
        glue, slot = self.site.glue, self.slot
        if self.ends:  # nothing further out has a call to make, nor has its own `finally`
            recovered = self.lowering.recovered(glue, reset=False)
        elif self.conditional:
            recovered = [*shapes.clear([slot], glue), *self.lowering.recovered(glue)]
        else:
            recovered = [*shapes.DONE.fill(glue, SLOT=slot), *self.lowering.recovered(glue)]
        settle = shapes.SETTLE.fill(glue, RECOVERED=recovered)
        return _SHAPES[self.site.statement].fill(
            at,
            REST=body,
            FAILING=self.failing(at),
            PANICKING=self.if_pending([*made, *settle]),
            EXIT=returning,
        )

    def failing(self, at: shapes.Position) -> list[ast.stmt]:
        """Return the statements that note that the function is failing."""
        return (
            shapes.ASYNC_FAILING.fill(self.begin)
            if self.lowering.asynchronous
            else shapes.FAILING.fill(at)
        )

    def if_pending(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        """Return *stmts*, run only if the call is pending."""
        if not self.conditional:
            return stmts
        return shapes.IF_PENDING.fill(shapes.NOWHERE, SLOT=self.slot, EXIT=stmts)


_SHAPES = {"defer": shapes.DEFER, "errdefer": shapes.ERRDEFER, "okdefer": shapes.OKDEFER}


def _line_of(node: Function) -> shapes.Position:
    """Return the position of the word ``def``."""
    line, column = node.lineno, node.col_offset
    return {
        "lineno": line,
        "col_offset": column,
        "end_lineno": line,
        "end_col_offset": column + len("def"),
    }


def _start(statement: ast.stmt, sites: Sequence[Site]) -> shapes.Position:
    """Return the position at which a statement begins: of a deferred function, its decorator."""
    if sites and sites[0].node is statement:
        return sites[0].glue
    while statement.lineno == -1:  # `shapes.OVERTAKEN` around it
        statement = statement.body[0]  # type: ignore[attr-defined]
    return shapes.position(statement)


def _rewritten(
    body: Iterable[ast.stmt],
    of_statement: Iterable[list[Site]],
    rewrite: Callable[[list[ast.stmt]], list[ast.stmt]],
) -> tuple[list[ast.stmt], list[list[Site]]]:
    """Return *body* rewritten, statement by statement, and the sites of each new one."""
    rewritten: list[ast.stmt] = []
    sites_of: list[list[Site]] = []
    for statement, sites in zip(body, of_statement, strict=True):
        instead = rewrite([statement])
        rewritten += instead
        sites_of += [sites, *([] for _ in instead[1:])]
    return rewritten, sites_of
