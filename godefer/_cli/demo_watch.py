"""Watch the demo's functions: list the calls that they make, and mark the deferred ones.

The interpreter's profiling hook reports the calls. So the functions need no additional lines.
"""

from __future__ import annotations

import asyncio
import io
import linecache
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any

DEFERRING = ("defer(", "errdefer(", "okdefer(")


class Event(NamedTuple):
    """The text of one event, and whether it was a deferred call."""

    text: str
    deferred: bool

    @classmethod
    def raised(cls, error: Exception) -> Event:
        """Return the event of an exception that has left a function."""
        return cls(f"raised {type(error).__name__}: {error}", deferred=False)


class Watch:
    """Watches functions that one file defines.

    Args:
        file: The file, as the code of its functions names it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.package = str(Path(file).parents[1]) + os.sep

    @contextmanager
    def calls_of(self, fn: Callable[..., Any]) -> Iterator[list[Event]]:
        """List the calls that *fn* makes or defers while the block runs.

        The list has calls of methods of files, paths, locks and connections, and calls of the
        functions that *fn* defines. It has no other calls.
        """
        hook = _Hook(self, fn)
        sys.setprofile(hook)
        try:
            yield hook.events
        finally:
            sys.setprofile(None)

    def makes_deferred_call(self, caller: FrameType) -> bool:
        """Return whether the call that *caller* is making is a deferred call.

        Deferred calls are made by godefer's runtime, or by an open-coded function, on the line of
        the `defer` statement.
        """
        if caller.f_code.co_filename != self.file:
            return self.is_of_godefer(caller)
        return linecache.getline(self.file, caller.f_lineno).lstrip().startswith(DEFERRING)

    def is_of_godefer(self, frame: FrameType) -> bool:
        """Return whether *frame* runs code of godefer, including the demo."""
        return frame.f_code.co_filename.startswith((self.package, "<godefer"))


class _Hook:  # pragma: no cover  # the interpreter traces nothing inside of a profiling function
    def __init__(self, watch: Watch, fn: Callable[..., Any]) -> None:
        self.watch = watch
        self.fn = fn
        self.events: list[Event] = []
        self.called: set[FrameType] = set()  # a coroutine's frame is called again for each step

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            self.call(frame, arg.__name__, getattr(arg, "__self__", None))
        elif event == "call" and frame.f_back is not None and frame not in self.called:
            code = frame.f_code
            if code.co_qualname.startswith(f"{self.fn.__qualname__}.<locals>."):
                self.call(frame.f_back, code.co_name, self.fn)
            elif code.co_argcount and not self.watch.is_of_godefer(frame):
                self.called.add(frame)
                self.call(frame.f_back, code.co_name, frame.f_locals[code.co_varnames[0]])

    def call(self, caller: FrameType, name: str, thing: object) -> None:
        code = caller.f_code
        deferred = self.watch.makes_deferred_call(caller)
        if deferred or (code.co_filename == self.watch.file and code.co_name == self.fn.__name__):
            subject = self.subject(thing)
            if subject:
                self.events.append(Event(name + subject, deferred=deferred))

    def subject(self, thing: object) -> str:
        """Return the text for the object of a call; "" if such calls are not listed."""
        if thing is self.fn:
            return "()"
        if isinstance(thing, Path):
            return f" {thing.name}"
        if isinstance(thing, io.IOBase):
            return f" {Path(getattr(thing, 'name', '')).name}"
        if isinstance(thing, type(threading.Lock())):
            return " the lock"
        if isinstance(thing, (asyncio.StreamReader, asyncio.StreamWriter)):
            return " the connection"
        return ""
