"""No memory, and no stack: rules D2 and D5.

Each test runs a process of its own, which may be left in any state.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import shapes

ROOT = Path(__file__).parents[1]


def figures(module, way):
    """Return the figures that the process prints."""
    command = [sys.executable, "-W", "ignore", "-m", module, way]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", shapes.WAYS)
def test_an_allocation_that_fails_loses_no_call(way):
    """If any allocation fails, each registered call runs once, and the next
    invocation is normal (D5).
    """
    pytest.importorskip("_testcapi", reason="only CPython's test module can let an allocation fail")
    result = figures("tests.faults.memory", way)
    assert result["wrong"] == []
    assert result["failures"] > 100


@pytest.mark.parametrize("way", shapes.WAYS)
def test_the_end_of_the_stack_loses_no_call(way):
    """With any number of frames left, each registered call runs once, if there is
    room for a call at all (D5).
    """
    result = figures("tests.faults.stack", way)
    assert result["wrong"] == []
    assert result["overflows"] > 30
