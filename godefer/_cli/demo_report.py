"""Print the demo's steps, their events and the checks."""

from __future__ import annotations

import inspect
import traceback

from godefer._cli.colours import Paint
from godefer._cli.demo_watch import DEFERRING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

    from godefer._cli.demo_watch import Event


class Report:
    """Prints the demo's steps to *out*, and counts the checks that fail."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.steps = 0
        self.checks = 0
        self.blank = True
        self.failures: list[str] = []
        self.paint = Paint(out)

    def say(self, *parts: str) -> None:
        """Print a line. Of several blank lines in a row, only one is printed."""
        line = "".join(parts).rstrip()
        if line or not self.blank:
            self.out.write(line + "\n")
        self.blank = not line

    def bold(self, text: str) -> str:
        """Return *text* in bold."""
        return self.paint("1", text)

    def step(self, title: str, fn: Callable[..., Any]) -> None:
        """Print the title, and the source of *fn* with its deferring lines highlighted."""
        self.steps += 1
        self.say()
        self.say(self.bold(f"{self.steps}. {title}"))
        self.say()
        for line in inspect.getsource(fn).splitlines():
            highlighted = line.lstrip().startswith(("@with_defers", *DEFERRING))
            self.say("    ", self.paint("33" if highlighted else "36", line))
        self.say()

    def happened(self, call: str, events: list[Event]) -> None:
        """Print the events of a call, in order."""
        self.say()
        self.say(f"   {call}:")
        width = max((len(event.text) for event in events if event.deferred), default=0)
        for number, event in enumerate(events, 1):
            mark = ""
            if event.deferred:
                mark = " " * (width - len(event.text)) + "  " + self.paint("33", "deferred")
            self.say(f"     {number:2}  {event.text}{mark}")

    def check(self, claim: str, held: bool) -> None:  # noqa: FBT001  # a call reads like a sentence
        """Print whether *claim* held."""
        verdict = self.paint("32", "ok") if held else self.paint("31", "FAILED")
        self.say("   ", verdict, f"  {claim}")
        self.checks += 1
        if not held:
            self.failures.append(f"step {self.steps}: {claim}")

    def check_deferred(self, claim: str, events: list[Event], *expected: str) -> None:
        """Check that the deferred calls among *events* are those *expected*."""
        self.check(claim, [event.text for event in events if event.deferred] == list(expected))

    def broken(self, error: Exception) -> None:
        """Print the traceback of a step that has failed."""
        self.say()
        self.say("".join(traceback.format_exception(error)))
        self.check(f"the step runs without {type(error).__name__}", held=False)

    def end(self) -> None:
        """Print the failures, or a line that says that there are none."""
        self.say()
        if self.failures:
            self.say(self.paint("31", f"{len(self.failures)} of {self.checks} checks FAILED:"))
            for failure in self.failures:
                self.say(f"  {failure}")
        else:
            self.say(self.paint("32", f"All {self.steps} steps checked out."))
