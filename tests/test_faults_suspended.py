"""Suspended functions at the end of their references, of their loop and of the program: rule D2."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import shapes
from tests.faults.suspended import PROGRAMS

ROOT = Path(__file__).parents[1]


def outcome(way, program):
    """Return the lines on stdout, the stderr, and the exit status of a program."""
    command = [sys.executable, "-m", "tests.faults.suspended", way, program]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout.split("\n"), done.stderr, done.returncode


@pytest.fixture(scope="module")
def by_hand():
    """Return the outcome of each program with hand-written clean-ups."""
    return {program: outcome("by hand", program) for program in PROGRAMS}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("way", shapes.WAYS)
def test_suspended_functions_end_as_if_written_by_hand(way, program, by_hand):
    """The calls, the messages and the exit status are those of `try` and `finally` (D2)."""
    assert outcome(way, program) == by_hand[program]


@pytest.mark.parametrize("program", sorted({*PROGRAMS} - {"in_a_daemon_thread"}))
def test_hand_written_functions_clean_up_in_silence(program, by_hand):
    """Every hand-written program but the daemon thread's runs both clean-ups silently (D2)."""
    printed, complaints, code = by_hand[program]
    assert [line for line in printed if line in {"a", "b"}] == ["b", "a"]
    assert (complaints, code) == ("", 0)
