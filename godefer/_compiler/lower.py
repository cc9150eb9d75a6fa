"""Lower a function: change its AST so that its deferred calls are made at its exits.

Each site (`sites`) gets one of three shapes (`shapes`), by its place in the function.

*Inline*: the statement is at the top level of the body, so its call is pending from there on. The
rest of the function goes into a ``try``: the position in the code shows which calls are pending.
`errdefer` has the ``except`` alone, and `using` is a native ``with`` around the rest.

*Conditional*: the statement is inside an ``if``, ``match``, ``try`` or ``with``, but in no loop.
The ``try`` is around the whole top-level statement, and a slot is None until the call is pending.

*List*: the statement is in a loop, or there are more statements than the interpreter's limit of
nested blocks allows (`lists`).

Rejected:

- One shape for both inline and conditional: a return takes 1.2 times as long.
- Lists for all statements: a return takes 3 times as long.
- An ``except`` and a ``finally`` for the first call, too: an exit by an exception takes 1.65 times
  as long as by hand, instead of 1.35 times.
- A ``finally`` alone for all calls: a recovery would have to leave it by a ``break``. That copies
  the exits further out, twice at each level.
"""

from __future__ import annotations

import _ast as ast
from functools import partial

from godefer._compiler import nodes, returns, shapes, tree
from godefer._compiler.lists import PendingList
from godefer._compiler.sites import DeferredCall, Unclear, find_sites

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from godefer._compiler.returns import Named
    from godefer._compiler.sites import Function, Meanings, Site, Statements
    from godefer._decision import Plan

    Range = tuple[int, int, int, int]  # first and last line, first and last column


# The limit of copies: each `return` gets a copy of each statement's exit, about 100 bytes. Go's
# limit is 15.
COPIES = 2000

# The limit of nested slots, as in Go. Each takes two of the interpreter's twenty nested blocks.
NESTING = 8


class Lowered:
    """The plan of a lowered function (`Decision`), and the positions of the calls at its exits."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self.plan: Plan = tuple((site.line, site.statement, site.shape) for site in sites)
        self.exits: set[Range] = {
            (at["lineno"], at["end_lineno"], at["col_offset"], at["end_col_offset"])
            for at in (site.call_at for site in sites if site.shape != "list" and not site.enters)
        }


def lower(
    node: Function,
    meanings: Meanings,
    *,
    asynchronous_generator: bool = False,
    result: Sequence[str] | str | None = None,
    nesting: int = NESTING,
) -> Lowered | str:
    """Put the deferred calls of *node* at its exits, by changing *node* itself.

    Args:
        node: The function's definition.
        meanings: The meanings of its names.
        asynchronous_generator: Whether it is an async generator, whose ``return`` has no value.
        result: The named results: one name, or several.
        nesting: The number of slots that may be nested. Further calls go into a list.

    Returns:
        The plan and the exits; or the reason why the function cannot be lowered. In that case
        *node* is unchanged.
    """
    head = 1 if tree.has_docstring(node) else 0
    named: Named | None = result if result is None or isinstance(result, str) else tuple(result)
    try:
        body = find_sites(node.body[head:], meanings)
        returns.check_named(node.body, named or (), meanings.shift)
    except Unclear as reason:
        return str(reason)
    sites = _sites(body)
    if not sites and named is None:
        return "there is no defer statement in its body"
    exits = len(returns.own_returns(node.body)) + 1
    if exits * len(sites) > COPIES:
        count = len(sites)
        return f"{count} statements and {exits} ways to return would make its code too large"
    lowering = _Lowering(
        _line_of(node),
        asynchronous=isinstance(node, ast.AsyncFunctionDef),
        nesting=nesting,
        keeps_value=named is None
        and not asynchronous_generator
        and returns.recovery_can_return(node.body, sites),
        catches=returns.catches(node.body),
    )
    node.body[head:] = lowering.function(body, named)
    return Lowered(sites)


class _Lowering:
    """The lowering of one function, from its outermost region inwards.

    Args:
        entry: The position of the `def`. The outermost region ends with code at this position:
            the interpreter's implicit ``return`` takes the line of the code before it.
        asynchronous: Whether the function is async.
        nesting: The number of slots that may still be nested.
        keeps_value: Whether each `return` keeps its value in ``@value``.
        catches: Whether the body can catch an exception and go on. The traceback may keep this
            frame, so the slots and ``@value`` are cleared at a return, too (D9).
    """

    def __init__(
        self,
        entry: nodes.Position,
        *,
        asynchronous: bool,
        nesting: int,
        keeps_value: bool,
        catches: bool,
    ) -> None:
        self.entry = entry
        self.asynchronous = asynchronous
        self.nesting = nesting
        self.keeps_value = keeps_value
        self.catches = catches
        self.forgets_value = keeps_value and catches
        self.number = 0  # the number of the next slot or list
        self.hidden: dict[str, None] = {}  # the hidden locals: an ordered set
        # About the next region:
        self.outermost = True  # the guard is right around it
        self.ends = True  # no region further out has a `finally`
        # About the regions so far:
        self.settles = False  # a call has its own region, so the guard looks for a recovery
        self.list_guards = False  # the outermost region is a list: it unbinds the hidden locals
        self.breaks = False  # a recovery leaves by a `break`

    def function(self, body: Statements, named: Named | None) -> list[ast.stmt]:
        """Return the whole body, lowered."""
        begin = next((i for i, (_, sites) in enumerate(body) if sites), len(body))
        before, rest = _plain(body[:begin]), body[begin:]
        first = nodes.position(body[0][0])
        at = _start(*rest[0]) if rest else nodes.NOWHERE
        if named is not None:
            before = returns.assign_named(before, named, pending=False)
            rest = _rewrite(rest, partial(returns.assign_named, result=named, pending=True))
        elif self.keeps_value:
            rest = _rewrite(rest, returns.keep_value)
        falls_off = bool(rest) and not isinstance(rest[-1][0], (ast.Return, ast.Raise))
        lowered = self.guard(self.block(rest), at, falls_off=falls_off)
        if named is None:
            return [*before, *lowered]
        start = nodes.clear((named,) if isinstance(named, str) else named, first)
        value = returns.named_value(named, at)
        if not rest:
            return [*start, *before, ast.Return(value, **at)]
        return [*start, *before, *shapes.NAMED_RESULTS.fill(at, BODY=lowered, RESULT=value)]

    def guard(
        self, region: list[ast.stmt], at: nodes.Position, *, falls_off: bool
    ) -> list[ast.stmt]:
        """Return *region* with the guard around it, which unbinds the hidden locals."""
        if not (self.hidden or self.keeps_value):
            return region
        value = ["@value"] if self.keeps_value else []
        start = ["@failing", *value] if "@failing" in self.hidden else value
        if not self.list_guards:
            settle = nodes.unbind(value, at)
            if self.settles:
                given = nodes.load("@value", at) if self.keeps_value else None
                settle = shapes.SETTLE_FIRST.fill(
                    at,
                    SETTLE=shapes.SETTLE.fill(at, RECOVERED=[ast.Return(given, **at)]),
                    UNBIND_LATE=nodes.unbind([*value, "@recovered"], at),
                )
            unbind = nodes.unbind(self.hidden, at)
            region = shapes.GUARD.fill(at, BODY=region, UNBIND=unbind, SETTLE_FIRST=settle)
        # The interpreter's implicit `return` takes the line of the code before it. That may have
        # none.
        if falls_off:
            region = [*region, ast.Return(None, **at)]
        if self.breaks:
            end = self.end(at, "@given" if self.forgets_value else "@value")
            region = [*shapes.LEAVING.fill(at, GUARD=region), *end]
        return [*nodes.clear(start, at), *region]

    def end(self, at: nodes.Position, value: str = "@value") -> list[ast.stmt]:
        """Return the end of a function that has recovered and has no pending call."""
        give = shapes.GIVE.fill(at, VALUE=value) if self.keeps_value else []
        hidden = {**self.hidden, "@value": None} if self.keeps_value else {**self.hidden}
        hidden.pop(value, None)
        return [*nodes.unbind(hidden, at), *give]

    def block(self, body: Statements) -> list[ast.stmt]:
        """Return *body*; its first statement with a site begins the region of that site."""
        for i, (statement, sites) in enumerate(body):
            if not sites:
                continue
            before, rest = _plain(body[:i]), body[i + 1 :]
            later = _sites(rest)
            self.nesting -= len(sites)
            crowded = self.nesting < 1 and (self.nesting < 0 or bool(later))
            if crowded or any(s.in_loop or (s.enters and s.node is not statement) for s in sites):
                self.nesting += len(sites) - 1
                if not crowded:
                    later = []
                return before + self.in_list(statement, rest, [*sites, *later], crowded=crowded)
            if sites[0].node is not statement:
                return before + self.conditional(statement, rest, sites)
            if sites[0].enters:
                return before + self.native_with(sites[0], rest)
            return before + self.inline(sites[0], rest)
        return _plain(body)

    def inline(self, site: Site, rest: Statements) -> list[ast.stmt]:
        """Return the capture of an inline call, and the *rest* with the call pending."""
        region = self.region(site)
        body = self.block(rest) or [ast.Pass(**nodes.NOWHERE)]
        return [*region.capture(), *region.around(body)]

    def conditional(
        self, statement: ast.stmt, rest: Statements, sites: Sequence[Site]
    ) -> list[ast.stmt]:
        """Return a statement with sites in it, and the *rest*, with their calls pending."""
        at = _start(statement, sites)
        regions = [self.region(site, at) for site in sites]
        slots = [region.slot for region in regions]
        self.hide("@callee")
        captures = {id(region.site.node): region.capture() for region in regions}
        body = _replace([statement], captures) + self.block(rest)
        for region in reversed(regions):
            body = region.around(body)
        return [*(s for slot in slots for s in nodes.clear([slot], at)), *body]

    def region(self, site: Site, start: nodes.Position | None = None) -> _Region:
        """Return the region of a call. It is conditional if its statement's *start* is given."""
        call = DeferredCall(site, str(self.number))
        ends = self.ends and site.statement != "errdefer"
        region = _Region(self, call, start, outermost=self.outermost, ends=ends)
        self.ends = self.ends and not ends
        self.number += 1
        self.outermost = False
        self.settles = True
        self.hide(region.slot, *call.filled_slots, "@returned")
        if not region.first:
            self.hide("@failing", "@recovered")
        return region

    def native_with(self, site: Site, rest: Statements) -> list[ast.stmt]:
        """Return the native `with` of a `using` around the *rest* (D11)."""
        self.outermost = self.ends = False
        node, at = site.node, nodes.position(site.node)
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
                ast.Assign(node.targets, nodes.load("@entered", at), **at),
                *nodes.clear(["@entered"], at),
            ]
        inner = [*first, *self.block(rest)] or [ast.Pass(**nodes.NOWHERE)]
        suppressed: list[ast.stmt] = []
        # The code after the `with` is reached only if it has suppressed an exception.
        if self.hidden or self.keeps_value:
            inner.append(ast.Return(None, **nodes.NOWHERE))
            suppressed = self.recovered(at)
        kind = ast.AsyncWith if site.statement == "ausing" else ast.With
        return [kind([ast.withitem(site.positional[0], target)], inner, **at), *suppressed]

    def in_list(
        self, statement: ast.stmt, rest: Statements, sites: list[Site], *, crowded: bool
    ) -> list[ast.stmt]:
        """Return a statement with sites in it, and the *rest*, with their calls in a list.

        The outermost list unbinds the hidden locals itself: there may be no room for a guard.
        """
        outermost = self.list_guards = self.outermost
        entry = self.entry if self.ends else nodes.NOWHERE
        self.outermost = self.ends = False
        pending = PendingList(sites, self.number, entry, asynchronous=self.asynchronous)
        self.number += 1
        self.hide(*pending.hidden)
        pushes = pending.pushes()
        at = _start(statement, sites)
        body = _replace([statement], pushes)
        body += _replace(_plain(rest), pushes) if crowded else self.block(rest)
        if not outermost:
            reraise: list[ast.stmt] = [ast.Raise(**nodes.NOWHERE)]
            return pending.region(body, at, self.recovered(sites[0].at), reraise)
        value = ["@value"] if self.keeps_value else []
        reraise = [*nodes.unbind([*self.hidden, *value], at), ast.Raise(**at)]
        end = self.end(at) if self.keeps_value else [*self.end(at), ast.Return(None, **at)]
        return pending.region(body, at, end, reraise)

    def recovered(self, at: nodes.Position, *, reset: bool = True) -> list[ast.stmt]:
        """Return the statements that leave the function after a recovery."""
        self.breaks = True
        leave: list[ast.stmt] = [ast.Break(**at)]
        if reset and "@failing" in self.hidden:
            leave = shapes.RECOVERED.fill(at)
        if self.forgets_value:
            self.hide("@given")
            return [*shapes.KEEP_VALUE.fill(at), *leave]
        return leave

    def hide(self, *names: str) -> None:
        """Add hidden locals."""
        self.hidden.update(dict.fromkeys(names))


class _Region:
    """The part of a function in which one call is pending."""

    def __init__(
        self,
        lowering: _Lowering,
        call: DeferredCall,
        start: nodes.Position | None,
        *,
        outermost: bool,
        ends: bool,
    ) -> None:
        self.lowering = lowering
        self.call = call
        self.site = call.site
        self.slot = call.slot
        self.conditional = start is not None
        self.start = start or self.site.at
        self.ends = ends  # its `finally` is the last to run
        # Only the last exit of a return clears `@value`.
        self.forgets_value = ends and lowering.forgets_value
        always = self.site.statement == "defer" and not lowering.asynchronous
        # OUTERMOST_DEFER has no `except`, so its `finally` cannot tell a failure from a return.
        self.first = outermost and always and not self.forgets_value
        if self.conditional:
            self.site.shape = "conditional"

    def capture(self) -> list[ast.stmt]:
        """Return the statements in place of the site."""
        return self.call.capture(conditional=self.conditional)

    def around(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """Return *body* with the call pending."""
        site, lowering = self.site, self.lowering
        at = nodes.NOWHERE if self.conditional else site.at
        call = self.call.exit(asynchronous=lowering.asynchronous)
        returning = list(call)
        if lowering.catches:
            returning += nodes.clear([self.slot, *self.call.filled_slots], site.at)
        returning = self.if_pending(returning)
        if self.forgets_value:
            returning += nodes.clear(["@value"], self.start)
        if self.ends and self.conditional:
            returning.append(ast.Pass(**lowering.entry))
        if self.first:
            return shapes.OUTERMOST_DEFER.fill(at, REST=body, EXIT=returning)
        settle = shapes.SETTLE.fill(site.at, RECOVERED=self.recovered())
        return _SHAPES[site.statement].fill(
            at,
            REST=body,
            FAILING=self.failing(at),
            PANICKING=self.if_pending([*call, *settle]),
            EXIT=returning,
        )

    def recovered(self) -> list[ast.stmt]:
        """Return the statements that leave the region after a recovery."""
        at = self.site.at
        # `@failing` stays set in the last region: then its own `finally` makes no call, and there
        # is no `finally` further out.
        if self.ends:
            return self.lowering.recovered(at, reset=False)
        made = (
            nodes.clear([self.slot], at)
            if self.conditional
            else shapes.DONE.fill(at, SLOT=self.slot)
        )
        return [*made, *self.lowering.recovered(at)]

    def failing(self, at: nodes.Position) -> list[ast.stmt]:
        """Return the statements that note that the function is failing."""
        if self.lowering.asynchronous:
            return shapes.ASYNC_FAILING.fill(self.start)
        return shapes.FAILING.fill(at)

    def if_pending(self, stmts: list[ast.stmt]) -> list[ast.stmt]:
        """Return *stmts*, run only if the call is pending."""
        if not self.conditional:
            return stmts
        return shapes.IF_PENDING.fill(nodes.NOWHERE, SLOT=self.slot, EXIT=stmts)


_SHAPES = {"defer": shapes.DEFER, "errdefer": shapes.ERRDEFER, "okdefer": shapes.OKDEFER}


def _plain(body: Statements) -> list[ast.stmt]:
    return [statement for statement, _ in body]


def _sites(body: Statements) -> list[Site]:
    return [site for _, sites in body for site in sites]


def _line_of(node: Function) -> nodes.Position:
    """Return the position of the word ``def``."""
    line, column = node.lineno, node.col_offset
    return {
        "lineno": line,
        "col_offset": column,
        "end_lineno": line,
        "end_col_offset": column + len("def"),
    }


def _start(statement: ast.stmt, sites: Sequence[Site]) -> nodes.Position:
    """Return the position of a statement's start: its decorator, if it is a deferred function."""
    if sites and sites[0].node is statement:
        return sites[0].at
    while statement.lineno == -1:  # it is in `shapes.OVERTAKEN`
        statement = statement.body[0]  # type: ignore[attr-defined]
    return nodes.position(statement)


def _rewrite(body: Statements, rewrite: Callable[[list[ast.stmt]], list[ast.stmt]]) -> Statements:
    """Rewrite each statement of *body*. The first new statement of each keeps its sites."""
    rewritten: Statements = []
    for statement, sites in body:
        first, *others = rewrite([statement])
        rewritten += [(first, sites), *((other, []) for other in others)]
    return rewritten


def _replace(body: Iterable[ast.stmt], by_id: dict[int, list[ast.stmt]]) -> list[ast.stmt]:
    """Return *body*, with each statement whose node's id is in *by_id* replaced."""
    replaced: list[ast.stmt] = []
    for statement in body:
        if id(statement) in by_id:
            replaced += by_id[id(statement)]
            continue
        if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for block in returns.blocks(statement):
                block[:] = _replace(block, by_id)
        replaced.append(statement)
    return replaced
