"""GDF016: a deferred call takes a future, or a task, out of a container."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF016"

WRONG = [
    """
@with_defers
async def f(key, work):
    tasks = {}
    tasks[key] = asyncio.create_task(work())
    defer(tasks.get, key)  #!
    running = []
    running.append(asyncio.create_task(work()))
    defer(running.pop)  #!
    pending = {}
    pending[key] = asyncio.get_running_loop().create_future()
    defer(lambda: pending.pop(key))  #!
class Client:
    @with_defers
    async def ask(self, key):
        future = asyncio.get_running_loop().create_future()
        self.pending[key] = future
        defer(lambda: self.pending.pop(key, None))  #!
        return await future
""",
]

RIGHT = [
    """
class Client:
    @with_defers
    async def ask(self, key):
        future = asyncio.get_running_loop().create_future()
        self.pending[key] = future
        defer(self.pending.pop, key, None)
        return await future
    @with_defers
    async def run(self, key, work):
        task = asyncio.create_task(work())
        self.tasks[key] = task
        defer(self.tasks.pop, key)
        await task
@with_defers
async def f(key, work):
    tasks = {}
    tasks[key] = asyncio.create_task(work())
    defer(lambda: tasks.pop(key))
    names = {}
    names[key] = work
    defer(names.get, key)
    others = {}
    others[key] = asyncio.create_task(work())
    defer(others.pop, key)
    await others[key]
""",
]


@pytest.mark.parametrize("snippet", WRONG)
def test_wrong(snippet):
    """The rule finds each mistake on its line, and no rule finds anything else."""
    check_wrong(CODE, snippet)


@pytest.mark.parametrize("snippet", RIGHT)
def test_right(snippet):
    """No rule fires on correct code that looks like the mistake."""
    check_right(snippet)


@pytest.mark.parametrize("snippet", WRONG)
def test_other_names(snippet):
    """No rule fires on functions of another library that have the names of godefer's."""
    check_names(snippet)
