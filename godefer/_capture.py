"""One deferred call in the lowered code: how it is captured where its statement stands, and made where the function exits."""

from __future__ import annotations

import ast

from godefer import _nodes as n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from godefer._scan import Site


class Captured:
    """The parts of one deferred call: how they are captured, and how the call is made of what was captured."""

    def __init__(self, site: Site, prefix: str) -> None:
        self.at = n.at(site.call)
        self.callee = site.call.args[0]
        positional, keywords = site.call.args[1:], site.call.keywords
        self.starred = any(isinstance(a, ast.Starred) for a in positional) or any(k.arg is None for k in keywords)
        self.keywords = () if self.starred else tuple(k.arg or "" for k in keywords)
        self.values: list[ast.expr]
        if self.starred:
            mapping = ast.Call(n.const("@dict", self.at), [], keywords, **self.at) if keywords else n.const(None)
            self.values = [n.pack(positional, self.at), mapping]
        else:
            self.values = [*positional, *(k.value for k in keywords)]
        self.slots = [f"@a{prefix}_{i}" for i in range(len(self.values))]

    @property
    def filled(self) -> list[str]:
        """The slots that `capture` fills."""
        return [
            name for name, value in zip(self.slots, self.values, strict=True) if not isinstance(value, ast.Constant)
        ]

    @property
    def noop(self) -> str:
        """What takes the callee's place once it has run."""
        return "@noop_keywords" if self.starred or self.keywords else "@noop"

    @property
    def positionals(self) -> int:
        return 0 if self.starred else len(self.values) - len(self.keywords)

    def checked_callee(self) -> ast.expr:
        """The callee, or in place of None what fails when it is called (D7)."""
        callee = ast.NamedExpr(ast.Name("@c", ast.Store(), **self.at), self.callee, **self.at)
        return ast.IfExp(n.is_not_none(callee), n.load("@c"), n.const("@nil"), **n.GLUE)

    def capture(self, slot: str, *, conditional: bool) -> list[ast.stmt]:
        """Evaluate callee and arguments, left to right (D1), into slots.

        In the place of a callee that is None comes what fails when it is called (D7). A conditional slot is set last, since it
        says that the call is pending.
        """
        callee = "@c" if conditional else slot
        stmts: list[ast.stmt] = [n.assign(callee, self.callee, self.at)]
        stmts += [
            n.assign(name, value, self.at)
            for name, value in zip(self.slots, self.values, strict=True)
            if not isinstance(value, ast.Constant)
        ]
        if conditional:
            checked = ast.IfExp(n.is_not_none(n.load(callee)), n.load(callee), n.const("@nil"), **n.GLUE)
            return [*stmts, n.assign(slot, checked), n.assign(callee, n.const(None))]
        is_none = ast.Compare(n.load(callee), [ast.Is()], [n.const(None)], **n.GLUE)
        return [*stmts, n.when(is_none, n.assign(slot, n.const("@nil")))]

    def arguments(self) -> list[ast.expr]:
        """What was captured."""
        return [
            value if isinstance(value, ast.Constant) else n.load(name, self.at)
            for name, value in zip(self.slots, self.values, strict=True)
        ]

    def make(self, callee: ast.expr, arguments: Sequence[ast.expr]) -> ast.Call:
        """The call, of *callee* with *arguments* as they were captured."""
        if self.starred:
            args: list[ast.expr] = [ast.Starred(arguments[0], ast.Load(), **self.at)]
            none = isinstance(self.values[1], ast.Constant)
            return ast.Call(callee, args, [] if none else [ast.keyword(None, arguments[1], **self.at)], **self.at)
        keywords = zip(self.keywords, arguments[self.positionals :], strict=True)
        named = [ast.keyword(name, value, **self.at) for name, value in keywords]
        return ast.Call(callee, list(arguments[: self.positionals]), named, **self.at)

    def packed(self) -> tuple[ast.expr, ast.expr]:
        """What was captured, as a tuple and a dict."""
        arguments = self.arguments()
        if self.starred:
            return arguments[0], arguments[1]
        positional, named = arguments[: self.positionals], arguments[self.positionals :]
        keys: list[ast.expr | None] = [n.const(name) for name in self.keywords]
        return n.pack(positional), ast.Dict(keys, named, **n.GLUE) if keys else n.const(None)

    def forget(self) -> list[ast.stmt]:
        """Let go of the arguments: a frame that an exception holds must not hold them (D9)."""
        empty: list[ast.expr] = [n.const(None)] * len(self.slots)
        if self.starred:
            empty = [n.pack(()), ast.Dict([], [], **n.GLUE)]
        return [
            n.assign(name, nothing)
            for name, value, nothing in zip(self.slots, self.values, empty, strict=True)
            if not isinstance(value, ast.Constant)
        ]
