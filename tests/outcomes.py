"""What tests of several files run: a function for what came of it, a coroutine without an event loop."""

import asyncio


def run(function, *args):
    """What a function returned or raised."""
    try:
        return function(*args)
    except BaseException as e:
        return e


def drive(coroutine):
    """Run a coroutine that only ever waits for `pause`; its result."""
    try:
        while True:
            coroutine.send(None)
    except StopIteration as stop:
        return stop.value


async def pause():
    """Suspend once."""
    await asyncio.sleep(0)
