"""explain(): tell how a decorated function is run, and why."""

from __future__ import annotations

from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, SimpleNamespace

from godefer import _errors
from godefer._decision import decision_on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType
    from typing import Any

    from godefer._decision import Decision


class DeferSite(SimpleNamespace):
    """One statement of an open-coded function.

    Attributes:
        line: Its line in the function's file.
        statement: ``defer``, ``errdefer``, ``okdefer``, ``using`` or ``ausing``.
        shape: ``inline``, ``conditional`` or ``list``.

    Only an explanation of an open-coded function (R1) has them.

    Example:
        >>> from godefer import errdefer, explain, with_defers
        >>> @with_defers
        ... def save(paths):
        ...     for path in paths:
        ...         errdefer(print, "not saved:", path)
        >>> for site in explain(save).defers:
        ...     assert (site.statement, site.shape) == ("errdefer", "list")
    """

    line: int
    statement: str
    shape: str


class Explanation(SimpleNamespace):
    """The way that a decorated function is run, with the reason: the result of `explain`.

    Attributes:
        function: The function's qualified name.
        file: The file that it was compiled from.
        line: Its first line there.
        way: ``open-coded`` (R1) or ``runtime`` (R2).
        reason: The reason why it is not open-coded; empty if it is.
        defers: Its statements, if it is open-coded.
        lowered: The source of its open code, if it is open-coded. Names that begin with ``@`` are
            godefer's.
        cached: The cache file of its code; empty if this process has compiled it.
        wrapper: The source of its wrapper, if it is run the runtime way. Names that begin with
            ``@`` are godefer's.

    Example:
        >>> from godefer import defer, explain, with_defers
        >>> def hello(name):
        ...     defer(print, "bye", name)
        >>> explain(with_defers(hello)).function
        'hello'
    """

    __module__ = "godefer"

    function: str
    file: str
    line: int
    way: str
    reason: str
    defers: tuple[DeferSite, ...]
    lowered: str
    cached: str
    wrapper: str

    def __str__(self) -> str:
        """Return the explanation in lines."""
        lines = [f"  line {d.line}: {d.statement}, {d.shape}" for d in self.defers]
        return "\n".join((self.summary(), *lines))

    def summary(self) -> str:
        """Return the way, and the reason if there is one (R4).

        Returns:
            One line, or two.

        Example:
            >>> from godefer import explain, with_defers
            >>> @with_defers
            ... def idle():
            ...     pass
            >>> print(explain(idle).summary().partition("): ")[2])
            runtime
              because there is no defer statement in its body
        """
        head = f"{self.function} ({self.file}:{self.line}): {self.way}"
        return f"{head}\n  because {self.reason}" if self.reason else head


def explain(fn: Callable[..., Any]) -> Explanation:
    """Tell how a decorated function is run, and why (R4).

    Args:
        fn: A function decorated by `with_defers`, or an object that holds one: a method, a
            property, or the function of another decorator around it.

    Returns:
        The way, the reason, and for each statement its line and shape.

    Raises:
        DeferError: *fn* is not decorated.

    After ``go build -gcflags=-d=defer``, which prints the same for each `defer` of a Go program.

    Example:
        >>> from godefer import defer, explain, with_defers
        >>> @with_defers
        ... def copy(n):
        ...     for i in range(n):
        ...         defer(print, i)
        >>> explain(copy).way in {"open-coded", "runtime"}
        True
    """
    for candidate in decorated_functions(fn):
        decision: Decision = decision_on(candidate.__code__)  # type: ignore[assignment]  # not None
        code, plan = decision.original or candidate.__code__, decision.plan
        open_coded = plan is not None
        return Explanation(
            function=candidate.__qualname__,
            file=code.co_filename,
            line=code.co_firstlineno,
            way="open-coded" if open_coded else "runtime",
            reason=decision.reason,
            defers=tuple(
                DeferSite(line=line, statement=statement, shape=shape)
                for line, statement, shape in plan or ()
            ),
            lowered=_lowered_source(candidate, decision) if open_coded else "",
            cached=decision.file,
            wrapper="" if open_coded else _wrapper_source(code),
        )
    raise _errors.not_decorated(fn)


def _lowered_source(fn: FunctionType, decision: Decision) -> str:
    from godefer._compiler.compile import lowered_text  # noqa: PLC0415  # slow to import

    return lowered_text(fn, decision)


def _wrapper_source(code: CodeType) -> str:
    # Not needed if all functions are open-coded.
    from godefer._runtime.wrapper import wrapper_source  # noqa: PLC0415

    return wrapper_source(code)


explain.__module__ = "godefer"


def decorated_functions(fn: Any) -> Iterator[FunctionType]:
    """Yield the decorated functions in *fn*, each once; *fn* itself may be one."""
    queue, seen = [fn], set()
    while queue:
        part = queue.pop(0)
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if type(part).__module__ == "godefer._proxy":
            queue.append(part._self_call)
        if isinstance(part, FunctionType) and decision_on(part.__code__) is not None:
            yield part
        for name in _HOLDING_ATTRIBUTES:
            try:
                queue.append(static_attribute(part, name))
            except AttributeError:
                continue


_HOLDING_ATTRIBUTES = ("__wrapped__", "__func__", "func", "fget", "fset", "fdel")


def static_attribute(thing: object, name: str) -> Any:
    """Return an attribute without running any code of *thing*.

    A mock, for example, has every attribute, and each of these is a mock.

    Raises:
        AttributeError: *thing* has no such attribute.
    """
    from inspect import getattr_static  # noqa: PLC0415  # slow to import

    found = getattr_static(thing, name)
    if isinstance(found, (GetSetDescriptorType, MemberDescriptorType)) and not isinstance(
        thing, type
    ):
        return found.__get__(thing)  # as attributes of built-in types are
    return found
