"""The runners of the asynchronous tests: each event loop that is installed."""

import asyncio
import importlib.util
import signal
import sys

import pytest


def needs(name):
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed (the extra 'systems' has it)")


@pytest.fixture(autouse=True)
def interruptible():
    """Make Ctrl-C reach the test and its processes: a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def eager_loop():
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


# Python 3.11 has no eager tasks. The tests that need uvloop say that it is missing.
LOOPS = ["asyncio"]
if sys.version_info >= (3, 12):
    LOOPS.append("eager tasks")
if importlib.util.find_spec("uvloop") is not None:
    LOOPS.append("uvloop")


@pytest.fixture(params=LOOPS)
def run(request):
    """Run a coroutine on one of the loops, and with tasks that begin to run when they are made."""
    if request.param == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    elif request.param == "eager tasks":
        factory = eager_loop
    else:
        factory = asyncio.new_event_loop

    def run(main):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(main)

    return run


@pytest.fixture(params=["asyncio", "asyncio with uvloop", "trio"])
def backend(request):
    """Return `anyio.run` for each of its backends."""
    needs("anyio")
    import anyio

    options = {}
    if request.param == "asyncio with uvloop":
        needs("uvloop")
        options = {"use_uvloop": True}
    name = request.param.split()[0]
    needs(name)

    def run(main):
        return anyio.run(main, backend=name, backend_options=options)

    run.name = name
    return run
