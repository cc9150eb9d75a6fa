"""Go's defer, panic and recover for Python: clean-up on the line after the code that needs it."""

from godefer._decorate import with_defers as with_defers
from godefer._errors import DeferError as DeferError
from godefer._panic import Panic as Panic
from godefer._panic import panic as panic
from godefer._panic import recover as recover
from godefer._statements import ausing as ausing
from godefer._statements import defer as defer
from godefer._statements import errdefer as errdefer
from godefer._statements import okdefer as okdefer
from godefer._statements import using as using
from godefer._version import __version__ as __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from godefer._explain import Explanation as Explanation
    from godefer._explain import explain as explain
    from godefer._scope import defer_scope as defer_scope

__all__ = [
    "DeferError",
    "Explanation",
    "Panic",
    "ausing",
    "defer",
    "defer_scope",
    "errdefer",
    "explain",
    "okdefer",
    "panic",
    "recover",
    "using",
    "with_defers",
]

for _public in (
    DeferError,
    Panic,
    ausing,
    defer,
    errdefer,
    okdefer,
    panic,
    recover,
    using,
    with_defers,
):
    _public.__module__ = "godefer"
del TYPE_CHECKING


def __getattr__(name: str) -> "Any":
    """Import a rarely used name when it is first used (PEP 562)."""
    if name == "defer_scope":
        from godefer import _scope as module  # noqa: PLC0415
    elif name in {"Explanation", "explain"}:
        from godefer import _explain as module  # type: ignore[no-redef]  # noqa: PLC0415
    else:
        msg = f"module 'godefer' has no attribute {name!r}"
        raise AttributeError(msg, name=name)
    found = globals()[name] = getattr(module, name)
    return found


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
