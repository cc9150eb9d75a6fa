"""A kept exception keeps the frames of its traceback, but no deferred call or argument (D9).

Each case is a function that exits in its own way, with deferred calls that hold the only references
to their arguments. The test keeps the exception that leaves it, and each one that is recovered or
caught in it; the arguments must be gone all the same. When the exceptions are dropped, no reference
cycle is left.
"""

import gc
import sys

import pytest

from godefer import with_defers
from godefer._runtime.invocation import live
from godefer._runtime.record import _defer, pool
from tests.keeping import functions, suspended  # they fill CASES
from tests.keeping.arguments import CASES, arguments, kept

NAMED = ("named", "named_return_bad")  # named results are always open-coded


@pytest.fixture
def collector_disabled():
    gc.collect()
    gc.disable()
    gc.freeze()
    yield
    gc.enable()
    kept.clear()
    arguments.clear()


def check(function):
    kept.clear()
    arguments.clear()
    try:
        function()
    except BaseException as e:
        kept.append(e)
    assert arguments
    assert [i for i, ref in enumerate(arguments) if ref() is not None] == []
    assert [e for e in kept if e is not None] != []
    kept.clear()
    assert gc.collect() == 0
    unused = _defer()
    for node in pool:
        for field in set(_defer.__slots__) - {"pc"}:
            assert getattr(node, field) == getattr(unused, field)
    assert live == {}


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
@pytest.mark.parametrize("name", [name for name in CASES if name not in NAMED])
def test_a_kept_exception_keeps_no_argument(way, name, collector_disabled):
    """An exception that is kept, whether it was raised, recovered or caught, keeps no argument
    of a deferred call alive (D9).
    """
    check(CASES[name](way))


@pytest.mark.skipif(
    sys.implementation.name == "pypy",
    reason="PyPy has no reference counts: its collector decides when an object dies",
)
@pytest.mark.parametrize("name", NAMED)
def test_a_kept_exception_keeps_no_argument_with_named_results(name, collector_disabled):
    """Nor does an exception that is kept after a function with named results (D9, N)."""
    check(CASES[name](with_defers))
