"""One deferred call in lowered code: its capture at the statement, and the call at an exit."""

from __future__ import annotations

import ast

from godefer._compiler import shapes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from godefer._compiler.sites import Site


class Captured:
    """The parts of one deferred call. *prefix* marks its hidden locals."""

    def __init__(self, site: Site, prefix: str) -> None:
        self.site = site
        self.callee = site.callee
        self.starred = any(
            isinstance(argument, ast.Starred) for argument in site.positional
        ) or any(keyword.arg is None for keyword in site.keywords)
        self.names = () if self.starred else tuple(keyword.arg or "" for keyword in site.keywords)
        self.values: list[ast.expr]
        if self.starred:
            self.values = [shapes.pack(site.positional, site.arguments), self._mapping()]
        else:
            self.values = [*site.positional, *(keyword.value for keyword in site.keywords)]
        self.slot = f"@f{prefix}"  # of the callee
        self.slots = [f"@a{prefix}_{i}" for i in range(len(self.values))]

    def _mapping(self) -> ast.expr:
        """Return the keyword arguments as a dict."""
        if not self.site.keywords:
            return shapes.none()
        dict_ = ast.Constant("@dict", **self.site.arguments)
        return ast.Call(dict_, [], self.site.keywords, **self.site.arguments)

    @property
    def filled(self) -> list[str]:
        """The slots that are assigned to: a constant needs none."""
        pairs = zip(self.slots, self.values, strict=True)
        return [slot for slot, value in pairs if not isinstance(value, ast.Constant)]

    @property
    def positionals(self) -> int:
        """The number of positional arguments that have a slot of their own."""
        return 0 if self.starred else len(self.values) - len(self.names)

    def capture(self, slot: str, *, conditional: bool) -> list[ast.stmt]:
        """Return the statements that evaluate callee and arguments, left to right (D1)."""
        at = self.site.glue
        stmts = shapes.CAPTURE.fill(at, SLOT="@callee" if conditional else slot, VALUE=self.callee)
        for name, value in zip(self.slots, self.values, strict=True):
            if not isinstance(value, ast.Constant):
                stmts += shapes.CAPTURE.fill(at, SLOT=name, VALUE=value)
        if conditional:
            stmts += shapes.PENDING_CAPTURE.fill(at, SLOT=slot)
        return self.site.stored(stmts)

    def arguments(self) -> list[ast.expr]:
        """Return what was captured."""
        return [
            value if isinstance(value, ast.Constant) else shapes.load(slot, self.site.call)
            for slot, value in zip(self.slots, self.values, strict=True)
        ]

    def call(self, callee: ast.expr, arguments: Sequence[ast.expr]) -> ast.Call:
        """Return the call of *callee* with the captured *arguments*."""
        at = self.site.call
        if self.starred:
            args: list[ast.expr] = [ast.Starred(arguments[0], ast.Load(), **at)]
            empty = isinstance(self.values[1], ast.Constant)
            return ast.Call(
                callee, args, [] if empty else [ast.keyword(None, arguments[1], **at)], **at
            )
        named = zip(self.names, arguments[self.positionals :], strict=True)
        keywords = [ast.keyword(name, value, **at) for name, value in named]
        return ast.Call(callee, list(arguments[: self.positionals]), keywords, **at)

    def exit(self, slot: str, *, asynchronous: bool) -> list[ast.stmt]:
        """Return the statements that make the call at an exit."""
        site = self.site
        call = self.call(shapes.load(slot, site.call), self.arguments())
        return made(site, call, asynchronous=asynchronous, callee=shapes.load(slot, site.glue))


def made(
    site: Site, call: ast.Call, *, asynchronous: bool, callee: ast.expr | None
) -> list[ast.stmt]:
    """Return the statements that make a call and deal with its result (D6).

    The call of a list has no *callee* to blame.
    """
    if not asynchronous:
        shape = shapes.LIST_EXIT if callee is None else shapes.EXIT
        return shape.fill(site.glue, CALL=call, CALLEE=callee)
    shape = shapes.ASYNC_LIST_EXIT if callee is None else shapes.ASYNC_EXIT
    awaited = ast.Expr(ast.Await(shapes.load("@returned", site.call), **site.call), **site.call)
    (test,) = shapes.AWAITABLE.fill(site.glue)
    parts = {"AWAITABLE": test.value, "AWAITED": [awaited]}  # type: ignore[attr-defined]
    return shape.fill(site.glue, asynchronous=True, CALL=call, CALLEE=callee, **parts)
