"""How a lowered function is left: what its `return` statements do, what a recovery returns, and what is let go of (P4, N, D9)."""

from __future__ import annotations

import ast

from godefer import _nodes as n
from godefer._capture import Captured
from godefer._scan import blocks, own_returns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from godefer._scan import Scan, Site

# When hidden locals are let go of, beyond the arguments of a call that was made because of an exception (`Leaving._forgetting`).
ALWAYS_FORGETS = "failing or recovered"
FORGETS = (ALWAYS_FORGETS, "failing", "")


class Leaving:
    """What is known of the function while it is lowered, and its ways out."""

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
