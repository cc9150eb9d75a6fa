"""End a program with functions suspended: ``python -m tests.faults.suspended WAY KIND``.

WAY may be "by hand".
"""

import asyncio
import atexit
import gc
import sys
import threading

from tests.faults import shapes


def note(text):
    print(text, flush=True)


def generator_by_hand():
    try:
        try:
            yield
        finally:
            note("b")
    finally:
        note("a")


def generator_deferring():
    shapes.defer(note, "a")
    shapes.defer(note, "b")
    yield


async def waiting_by_hand(event):
    try:
        try:
            await event.wait()
        finally:
            note("b")
    finally:
        note("a")


async def waiting_deferring(event):
    shapes.defer(note, "a")
    for text in "b":
        shapes.defer(note, text)
    await event.wait()


async def stream_by_hand():
    try:
        try:
            yield
        finally:
            note("b")
    finally:
        note("a")


async def stream_deferring():
    shapes.defer(note, "a")
    shapes.defer(note, "b")
    yield


def function_by_hand(wait):
    try:
        try:
            wait()
        finally:
            note("b")
    finally:
        note("a")


def function_deferring(wait):
    shapes.defer(note, "a")
    shapes.defer(note, "b")
    wait()


def of(kind, way):
    """Return the function of that kind, written by hand or decorated."""
    if way == "by hand":
        return globals()[f"{kind}_by_hand"]
    return shapes.decorate(globals()[f"{kind}_deferring"], way)


kept = []


def in_a_global(way):
    """Return a suspended generator, alive at exit."""
    kept.append(of("generator", way)())
    next(kept[0])


def in_a_cycle(way):
    """Drop a suspended generator that is part of a cycle, and collect it."""
    generator = of("generator", way)()
    next(generator)
    cycle = [generator]
    cycle.append(cycle)
    del generator, cycle
    gc.collect()
    note("collected")


def at_exit(way):
    """Run a function when the program ends."""
    atexit.register(of("function", way), lambda: note("at exit"))


def in_a_daemon_thread(way):
    """End the program while a daemon thread is in a function."""
    began = threading.Event()

    def wait():
        began.set()
        threading.Event().wait()

    threading.Thread(target=of("function", way), args=(wait,), daemon=True).start()
    began.wait()


def task_pending(way):
    """End `asyncio.run` while a task is pending: it is cancelled."""

    async def main():
        kept.append(asyncio.ensure_future(of("waiting", way)(asyncio.Event())))
        await asyncio.sleep(0)

    asyncio.run(main())
    note("closed")


def coroutine_dropped(way):
    """Drop a suspended coroutine with no loop running."""
    coroutine = of("waiting", way)(Waiting())
    coroutine.send(None)
    del coroutine
    gc.collect()
    note("dropped")


class Waiting:
    """An event that is never set, and needs no loop."""

    def wait(self):
        return shapes.Pause()


def stream_dropped(way):
    """Drop an async generator half-way, while its loop runs."""

    async def main():
        stream = of("stream", way)()
        await anext(stream)
        del stream
        gc.collect()
        await asyncio.sleep(0.01)
        note("main ends")

    asyncio.run(main())


def stream_pending(way):
    """Close the loop of a suspended async generator."""

    async def main():
        kept.append(of("stream", way)())
        await anext(kept[0])
        note("main ends")

    asyncio.run(main())
    note("closed")


def loop_closed(way):
    """Close a loop while a task is pending, without cancelling it; the interpreter says so."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(of("waiting", way)(Waiting()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    task._log_destroy_pending = False
    loop.close()
    note("closed")
    del task, loop
    gc.collect()


PROGRAMS = {
    fn.__name__: fn
    for fn in (
        in_a_global,
        in_a_cycle,
        at_exit,
        in_a_daemon_thread,
        task_pending,
        coroutine_dropped,
        stream_dropped,
        stream_pending,
        loop_closed,
    )
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[2]](sys.argv[1])
