"""Go's defer, panic and recover for Python: a clean-up stands next to what it cleans up, and always runs."""

from godefer._decorate import with_defers as with_defers
from godefer._errors import DeferError as DeferError
from godefer._explain import Explanation as Explanation
from godefer._explain import explain as explain
from godefer._panic import Panic as Panic
from godefer._panic import panic as panic
from godefer._panic import recover as recover
from godefer._scope import defer_scope as defer_scope
from godefer._statements import ausing as ausing
from godefer._statements import defer as defer
from godefer._statements import errdefer as errdefer
from godefer._statements import okdefer as okdefer
from godefer._statements import using as using

__version__ = "0.1.0"

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
    defer_scope,
    Explanation,
    Panic,
    ausing,
    defer,
    errdefer,
    explain,
    okdefer,
    panic,
    recover,
    using,
    with_defers,
):
    _public.__module__ = "godefer"
