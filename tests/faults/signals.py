"""Signals at random moments: a process runs decorated functions, and a timer interrupts them."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Result:
    """The figures of one run."""

    signals: int  # the handled ones
    struck: int  # those handled in a file of godefer or of the functions
    invocations: int
    registered: int  # calls with a finished statement
    unfinished: int  # calls that ran though an interrupt kept their statement from ending
    lost: int
    twice: int
    examples: list

    def __str__(self):
        return (
            f"{self.signals} signals, {self.struck} of them inside of a decorated function; "
            f"{self.invocations} invocations, {self.registered} calls registered, "
            f"{self.lost} lost, {self.twice} run twice"
            + "".join(f"\n  {example}" for example in self.examples)
        )


def run(way, signals, seed, again=0.0):
    """Run a process that gets *signals* signals.

    *again* is the probability of another signal right after one.
    """
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "tests.faults.interrupted",
        way,
        str(signals),
        str(seed),
        str(again),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return Result(**json.loads(done.stdout))
