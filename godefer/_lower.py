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
from godefer._leaving import ALWAYS_FORGETS
from godefer._lists import Lists
from godefer._scan import Scan, Unclear, catches, check_result, own_returns, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from godefer._capture import Captured
    from godefer._scan import Names, Site

    Function = ast.FunctionDef | ast.AsyncFunctionDef
    Plan = tuple[tuple[int, str, str], ...]


# Each `return` gets a copy of the exit of each statement, as in Go, which stops at 15; a copy takes about 100 bytes.
COPIES = 2000

NESTING = 8  # slots nested at most, as in Go; two blocks each of the interpreter's twenty


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


class _Lowering(Lists):
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
