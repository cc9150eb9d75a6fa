"""Context managers, sync and async, that note their entry and exit."""

import asyncio
import sys
import traceback


class Manager:
    """A context manager that notes all of its events."""

    def __init__(
        self,
        events,
        name="cm",
        *,
        value="entered",
        result=None,
        enter_raises=None,
        exit_raises=None,
    ):
        self.events = events
        self.name = name
        self.value = value
        self.result = result
        self.enter_raises = enter_raises
        self.exit_raises = exit_raises

    def __enter__(self):
        self.events.append(f"enter {self.name}")
        if self.enter_raises:
            raise self.enter_raises
        return self.value

    def __exit__(self, kind, error, tb):
        frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(tb)]
        self.events.append((f"exit {self.name}", kind, error, frames, sys.exception()))
        if self.exit_raises:
            raise self.exit_raises
        return self.result

    async def __aenter__(self):
        await asyncio.sleep(0)
        return self.__enter__()

    async def __aexit__(self, kind, error, tb):
        await asyncio.sleep(0)
        return self.__exit__(kind, error, tb)


def names(events):
    """Return the events that a `Manager` has noted, without their details."""
    return [event if isinstance(event, str) else event[0] for event in events]


class Answering:
    """A context manager, sync and async, that notes its exit; the exit returns *answer*."""

    def __init__(self, events, answer=None):
        self.events = events
        self.answer = answer

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        self.events.append(kind)
        return self.answer

    async def __aenter__(self):
        return self

    async def __aexit__(self, kind, error, traceback):
        await asyncio.sleep(0)
        return self.__exit__(kind, error, traceback)
