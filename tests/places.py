"""Places where a function may be called, resumed or awaited: many are in a caller's handler.

A place takes the function, calls it, and returns its result. `PLACES` has them by the kind of the
function: a plain one, a generator, a coroutine function, an async generator.
"""

import asyncio
import contextlib

from tests.helpers import chain


class OfTheCaller(Exception):
    """The exception that the caller is handling."""


def _handling():
    """Raise OfTheCaller. A plain `raise` in the `try` would look useless to linters."""
    raise OfTheCaller


def plainly(run):
    return run()


def in_a_handler(run):
    try:
        _handling()
    except OfTheCaller:
        return run()


def exhausted_in_a_handler(run):
    generator = run()
    next(generator)
    try:
        _handling()
    except OfTheCaller:
        return next(generator, "exhausted")


def begun_in_a_handler(run):
    try:
        _handling()
    except OfTheCaller:
        generator = run()
        next(generator)
    return next(generator, "exhausted")


def closed_in_a_handler(run):
    generator = run()
    next(generator)
    try:
        _handling()
    except OfTheCaller:
        return generator.close()


def thrown_into_in_a_handler(run):
    generator = run()
    next(generator)
    try:
        _handling()
    except OfTheCaller:
        return generator.throw(KeyError("thrown"))


def awaited_in_a_handler(run):
    async def main():
        try:
            _handling()
        except OfTheCaller:
            return await run()

    return asyncio.run(main())


def a_task_of_a_handler(run):
    async def main():
        try:
            _handling()
        except OfTheCaller:
            task = asyncio.ensure_future(run())
            await asyncio.sleep(0)
            return await task

    return asyncio.run(main())


def cancelled_in_a_handler(run):
    async def main():
        task = asyncio.ensure_future(run())
        await asyncio.sleep(0)
        try:
            _handling()
        except OfTheCaller:
            task.cancel()
            await asyncio.wait([task])
        return await task

    return asyncio.run(main())


def iterated_in_a_handler(run):
    async def main():
        items = run()
        await anext(items)
        try:
            _handling()
        except OfTheCaller:
            return [item async for item in items]

    return asyncio.run(main())


def aclosed_in_a_handler(run):
    async def main():
        try:
            _handling()
        except OfTheCaller:
            async with contextlib.aclosing(run()) as items:
                await anext(items)

    return asyncio.run(main())


PLACES = {
    "function": [plainly, in_a_handler],
    "generator": [
        exhausted_in_a_handler,
        begun_in_a_handler,
        closed_in_a_handler,
        thrown_into_in_a_handler,
    ],
    "coroutine": [awaited_in_a_handler, a_task_of_a_handler, cancelled_in_a_handler],
    "async generator": [iterated_in_a_handler, aclosed_in_a_handler],
}
# For each kind of function: its keyword, and a statement in the middle of its body.
FORMS = {
    "function": ("def", "pass"),
    "generator": ("def", "yield 'item'"),
    "coroutine": ("async def", "await sleep(0)"),
    "async generator": ("async def", "yield 'item'"),
}


def outcome(place, run):
    """Return the result as text, or the exceptions of the chain, the last one first."""
    try:
        return repr(place(run))
    except BaseException as error:
        return [repr(e) for e in chain(error)]
