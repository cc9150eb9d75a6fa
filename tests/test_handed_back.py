"""Objects that a container hands back are dropped, never awaited: rule D6 (a)."""

import asyncio
import collections
import functools
import gc
import types
import weakref
from collections.abc import MutableMapping, MutableSequence
from typing import NamedTuple

import pytest

from godefer import defer, defer_scope, errdefer, okdefer
from tests.helpers import later


class Registry(MutableMapping):
    """A mapping written in Python, with some methods of its own."""

    def __init__(self, items=()):
        self.items_ = dict(items)

    def __getitem__(self, key):
        return self.items_[key]

    def __setitem__(self, key, value):
        self.items_[key] = value

    def __delitem__(self, key):
        del self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


class Jobs(MutableSequence):
    def __init__(self, items):
        self.items = list(items)

    def __getitem__(self, index):
        return self.items[index]

    def __setitem__(self, index, value):
        self.items[index] = value

    def __delitem__(self, index):
        del self.items[index]

    def __len__(self):
        return len(self.items)

    def insert(self, index, value):
        self.items.insert(index, value)


class Pool(set):
    """A set with a `pop` of its own, under another name, too."""

    def take(self):
        return super().pop()

    pop = take


class LoggedDict(dict):
    def pop(self, key):
        return super().pop(key)


class Pair(NamedTuple):
    first: object
    second: object


def weak(thing):
    mapping = weakref.WeakValueDictionary()
    mapping["key"] = thing
    return mapping


# A container and a call on it, for an object that it holds.
HANDING_BACK = {
    "dict.pop": lambda thing: ({"key": thing}.pop, "key"),
    "dict.pop with a default": lambda thing: ({}.pop, "key", thing),
    "dict.get": lambda thing: ({"key": thing}.get, "key"),
    "dict.setdefault": lambda thing: ({}.setdefault, "key", thing),
    "dict.__getitem__": lambda thing: ({"key": thing}.__getitem__, "key"),
    "dict.pop, unbound": lambda thing: (dict.pop, {"key": thing}, "key"),
    "list.pop": lambda thing: ([thing].pop,),
    "list.__getitem__": lambda thing: ([thing].__getitem__, 0),
    "list.__getitem__, unbound": lambda thing: (list.__getitem__, [thing], 0),
    "set.pop": lambda thing: ({thing}.pop,),
    "tuple.__getitem__": lambda thing: ((thing,).__getitem__, 0),
    "tuple.__getitem__, unbound": lambda thing: (tuple.__getitem__, (thing,), 0),
    "namedtuple.__getitem__": lambda thing: (Pair(thing, 1).__getitem__, 0),
    "MappingProxyType.get": lambda thing: (types.MappingProxyType({"key": thing}).get, "key"),
    "deque.pop": lambda thing: (collections.deque([thing]).pop,),
    "deque.popleft": lambda thing: (collections.deque([thing]).popleft,),
    "deque.__getitem__": lambda thing: (collections.deque([thing]).__getitem__, 0),
    "OrderedDict.pop": lambda thing: (collections.OrderedDict(key=thing).pop, "key"),
    "defaultdict.__getitem__": lambda thing: (
        collections.defaultdict(lambda: thing).__getitem__,
        "key",
    ),
    "Counter.pop": lambda thing: (collections.Counter(key=thing).pop, "key"),
    "ChainMap.pop": lambda thing: (collections.ChainMap({"key": thing}).pop, "key"),
    "ChainMap.get": lambda thing: (collections.ChainMap({"key": thing}).get, "key"),
    "UserDict.pop": lambda thing: (collections.UserDict(key=thing).pop, "key"),
    "UserList.pop": lambda thing: (collections.UserList([thing]).pop,),
    "WeakValueDictionary.pop": lambda thing: (weak(thing).pop, "key"),
    "WeakSet.pop": lambda thing: (weakref.WeakSet([thing]).pop,),
    "a MutableMapping's pop": lambda thing: (Registry({"key": thing}).pop, "key"),
    "a MutableMapping's get": lambda thing: (Registry({"key": thing}).get, "key"),
    "a MutableMapping's setdefault": lambda thing: (Registry().setdefault, "key", thing),
    "a MutableMapping's __getitem__": lambda thing: (Registry({"key": thing}).__getitem__, "key"),
    "a MutableSequence's pop": lambda thing: (Jobs([thing]).pop,),
    "a subclass's own pop": lambda thing: (LoggedDict(key=thing).pop, "key"),
    "a subclass's own pop by another name": lambda thing: (Pool([thing]).take,),
    "a method made by hand": lambda thing: (types.MethodType(dict.pop, {"key": thing}), "key"),
    "a partial": lambda thing: (functools.partial({"key": thing}.pop, "key"),),
    "a partial of a method written in Python": lambda thing: (
        functools.partial(collections.UserDict(key=thing).pop),
        "key",
    ),
    "a partial in a partial": lambda thing: (
        functools.partial(functools.partial(dict.pop), {"key": thing}),
        "key",
    ),
    "a partial of an unbound method written in Python": lambda thing: (
        functools.partial(MutableMapping.pop, Registry({"key": thing})),
        "key",
    ),
    "a partial of an object of a subclass": lambda thing: (
        type("Later", (functools.partial,), {})({"key": thing}.pop),
        "key",
    ),
}


class Endless:
    """An awaitable that never ends."""

    def __await__(self):
        while True:
            yield


@types.coroutine
def old_style():
    yield


# Objects in a container, and the work left to do with each afterwards.
STORED = {
    "a future": (lambda: asyncio.get_running_loop().create_future(), lambda thing: thing.cancel()),
    "an awaitable": (Endless, lambda thing: None),
    "a coroutine": (later, lambda thing: thing.close()),
    "a generator-based coroutine": (old_style, lambda thing: thing.close()),
}


def coroutine_way(way):
    @way
    async def f(ran, callee, *args):
        defer(ran.append, "next")
        defer(callee, *args)
        ran.append("body")

    return f


def conditional_way(way):
    @way
    async def f(ran, callee, *args):
        defer(ran.append, "next")
        if callee:
            defer(callee, *args)
        ran.append("body")

    return f


def list_way(way):
    @way
    async def f(ran, callee, *args):
        defer(ran.append, "next")
        for _ in range(1):
            defer(callee, *args)
        ran.append("body")

    return f


def errdefer_way(way):
    @way
    async def f(ran, callee, *args):
        defer(ran.append, "next")
        errdefer(callee, *args)
        ran.append("body")
        raise ConnectionError

    return f


def failing_list_way(way):
    @way
    async def f(ran, callee, *args):
        for call in (functools.partial(ran.append, "next"), functools.partial(callee, *args)):
            errdefer(call)
        ran.append("body")
        raise ConnectionError

    return f


def okdefer_way(way):
    @way
    async def f(ran, callee, *args):
        defer(ran.append, "next")
        okdefer(callee, *args)
        ran.append("body")

    return f


def generator_way(way):
    @way
    async def generator(ran, callee, *args):
        defer(ran.append, "next")
        defer(callee, *args)
        ran.append("body")
        yield

    async def f(ran, callee, *args):
        async for _ in generator(ran, callee, *args):
            pass

    return f


def scope_way(way):
    async def f(ran, callee, *args):
        async with defer_scope() as scope:
            scope(ran.append, "next")
            scope(callee, *args)
            ran.append("body")

    return f


def failing_scope_way(way):
    async def f(ran, callee, *args):
        async with defer_scope() as scope:
            scope(ran.append, "next")
            scope.err(callee, *args)
            ran.append("body")
            raise ConnectionError

    return f


def aclose_way(way):
    async def f(ran, callee, *args):
        scope = defer_scope()
        scope(ran.append, "next")
        scope(callee, *args)
        ran.append("body")
        await scope.aclose()

    return f


ASYNC_WAYS = {
    name.removesuffix("_way"): make
    for name, make in list(globals().items())
    if name.endswith("_way")
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("name", HANDING_BACK)
def test_a_container_s_method_in_an_async_function(way, name, stored):
    """An awaitable that a container hands back is dropped: the function neither
    awaits nor closes it (D6).
    """
    make, end = STORED[stored]
    ran = []

    @way
    async def f(callee, *args):
        defer(ran.append, "next")
        defer(callee, *args)
        return "result"

    async def main():
        thing = make()
        callee, *args = HANDING_BACK[name](thing)
        assert await asyncio.wait_for(f(callee, *args), 5) == "result"
        if isinstance(thing, types.CoroutineType):
            assert thing.cr_frame is not None
        end(thing)

    asyncio.run(main())
    assert ran == ["next"]


@pytest.mark.parametrize("stored", STORED)
def test_a_container_s_method_written_in_python_and_unbound(way, stored):
    """`UserDict.pop` and `MutableMapping.pop` hand back a stored object, too (D6)."""
    make, end = STORED[stored]

    @way
    async def f(user_dict, registry):
        defer(collections.UserDict.pop, user_dict, "key")
        defer(MutableMapping.pop, registry, "key")
        return "result"

    async def main():
        thing = make()
        containers = collections.UserDict(key=thing), Registry({"key": thing})
        assert await asyncio.wait_for(f(*containers), 5) == "result"
        end(thing)

    asyncio.run(main())


@pytest.mark.parametrize("kind", ASYNC_WAYS)
@pytest.mark.parametrize("name", ["dict.pop", "a MutableMapping's pop", "a partial in a partial"])
def test_a_container_s_method_wherever_calls_are_awaited(way, name, kind):
    """A stored future is dropped in every shape, in async generators and in
    scopes, on every exit (D6).
    """
    ran = []

    async def main():
        future = asyncio.get_running_loop().create_future()
        callee, *args = HANDING_BACK[name](future)
        try:
            await asyncio.wait_for(ASYNC_WAYS[kind](way)(ran, callee, *args), 5)
        except ConnectionError:
            ran.append("failed")
        assert not future.cancelled()

    asyncio.run(main())
    assert ran == ["body", "next", "failed"][: 3 if "err" in kind or "failing" in kind else 2]


def test_a_failed_request_forgets_its_future(way):
    """With `defer(pending.pop, key, None)` the function fails at once, and does not
    wait for the future (D6).
    """
    pending = {}

    @way
    async def request(key):
        pending[key] = asyncio.get_running_loop().create_future()
        defer(pending.pop, key, None)
        raise ConnectionError("lost")

    async def main():
        async with asyncio.timeout(5):
            await request("key")

    with pytest.raises(ConnectionError, match="lost"):
        asyncio.run(main())
    assert pending == {}


def test_a_task_forgets_itself(way):
    """`defer(running.pop, name)` in the task that is stored there does not
    await the task itself (D6).
    """
    running = {}

    @way
    async def work(name):
        running[name] = asyncio.current_task()
        defer(running.pop, name)
        return name

    async def main():
        return await asyncio.create_task(work("a"))

    assert asyncio.run(main()) == "a"
    assert running == {}


def test_a_request_that_times_out(way):
    """A timeout while the body waits for the stored future is a TimeoutError,
    and cancels no task (D6).
    """
    pending = {}

    @way
    async def request(key):
        future = pending[key] = asyncio.get_running_loop().create_future()
        defer(pending.pop, key)
        return await asyncio.wait_for(future, 0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(request("key"))
    assert pending == {}


@pytest.mark.parametrize("name", HANDING_BACK)
def test_a_container_s_coroutine_in_a_function(way, name):
    """In a sync function, a stored coroutine is dropped as well: it is neither
    closed nor an error (D6).
    """
    thing = later()
    ran = []

    @way
    def f(callee, *args):
        defer(ran.append, "next")
        defer(callee, *args)
        return "result"

    @way
    def in_a_loop(callee, *args):
        for call in (functools.partial(ran.append, "next"), functools.partial(callee, *args)):
            defer(call)
        return "result"

    for fn in (f, in_a_loop):
        callee, *args = HANDING_BACK[name](thing)
        assert fn(callee, *args) == "result"
    callee, *args = HANDING_BACK[name](thing)
    with defer_scope() as scope:
        scope(ran.append, "next")
        scope(callee, *args)
    assert thing.cr_frame is not None
    thing.close()
    assert ran == ["next"] * 3


class Connections(dict):
    async def pop(self, key):
        await asyncio.sleep(0)
        return super().pop(key)

    @functools.wraps(dict.get)
    async def get(self, key):
        await asyncio.sleep(0)
        self.clear()


class Cache(Registry):
    async def pop(self, key):
        await asyncio.sleep(0)
        del self[key]


@pytest.mark.parametrize("make", [Connections, Cache])
@pytest.mark.parametrize("partial", [False, True])
def test_a_container_s_own_coroutine_function(way, make, partial):
    """A container's own `async def pop` is the clean-up's own work: awaited in async
    code, refused in sync (D6).
    """
    connections = make({"key": 1})
    callee = functools.partial(connections.pop) if partial else connections.pop

    @way
    async def f():
        defer(callee, "key")

    @way
    async def by_its_name():
        defer(connections.pop, "key")

    @way
    def sync():
        defer(callee, "key")

    asyncio.run(f())
    assert dict(connections) == {}
    connections["key"] = 2
    asyncio.run(by_its_name())
    assert dict(connections) == {}
    connections["key"] = 3
    with pytest.raises(TypeError, match="pop is a coroutine function"):
        sync()
    assert dict(connections) == {"key": 3}


class Queue:
    """An object with a container's methods that is no container."""

    def __init__(self, ran):
        self.ran = ran

    async def close(self):
        await asyncio.sleep(0)
        self.ran.append("closed")

    def pop(self):
        return self.close()

    def get(self):
        return asyncio.ensure_future(self.close())


def test_the_same_names_elsewhere(way):
    """`pop` and `get` of an object that is no container are clean-ups like
    others, and are awaited (D6).
    """
    ran = []
    queue = Queue(ran)

    @way
    async def f():
        defer(queue.pop)
        defer(queue.get)
        defer(functools.partial(queue.pop))

    asyncio.run(f())
    assert ran == ["closed"] * 3


def test_other_methods_of_a_container(way):
    """An awaitable from another method of a container is the method's own
    work, and is awaited (D6).
    """
    ran = []

    class Closing(dict):
        def close(self):
            return asyncio.ensure_future(Queue(ran).close())

    @way
    async def f(connections):
        defer(connections.close)

    asyncio.run(f(Closing()))
    assert ran == ["closed"]


def test_a_function_with_a_container_as_its_argument(way):
    """A function that is no method of the container does work of its own, and is awaited (D6)."""
    ran = []

    def close_all(connections):
        return asyncio.gather(*(connection.close() for connection in connections))

    @way
    async def f():
        defer(close_all, [Queue(ran), Queue(ran)])
        defer(asyncio.wait_for, Queue(ran).close(), 5)

    asyncio.run(f())
    assert ran == ["closed"] * 3


def test_a_result_handed_back_is_freed_before_the_next_call(way):
    """A result that is handed back is dropped at once, before the next call (D6)."""
    ran = []

    class Stored(Endless):
        def __del__(self):
            ran.append("freed")

    @way
    async def f(stored):
        defer(ran.append, "next")
        defer(gc.collect)  # where references are not counted
        defer(stored.pop, "key")

    asyncio.run(f({"key": Stored()}))
    assert ran == ["freed", "next"]
