"""A decorated callable object is that object, but each call has its own deferred calls (A)."""

import asyncio
import copy
import pickle

import pytest

from godefer import DeferError, defer


class Counter:
    """An object that is called."""

    def __init__(self, start):
        self.n = start
        self.events = []

    def __call__(self, by=1):
        defer(self.events.append, "exits")
        self.n += by
        return self.n

    def __eq__(self, other):
        return isinstance(other, Counter) and self.n == other.n

    def __hash__(self):
        return hash(self.n)

    def __repr__(self):
        return f"Counter({self.n})"

    def __len__(self):
        return self.n


def test_callable_object(way):
    """A callable object can be decorated: every call has its own defers (A)."""
    counter = way(Counter(0))
    assert [counter(), counter(2), counter(by=3)] == [1, 3, 6]
    assert counter.events == ["exits"] * 3


def test_callable_object_in_every_other_use(way):
    """A decorated callable object is the object itself for every use but calling it (A)."""
    original = Counter(1)
    counter = way(original)
    assert isinstance(counter, Counter)
    assert counter.__class__ is Counter
    assert (counter == original, original == counter, counter == Counter(2)) == (True, True, False)
    assert (hash(counter), len(counter), str(counter)) == (1, 1, "Counter(1)")
    counter.n = 5
    counter.extra = "kept"
    assert (original.n, original.extra) == (5, "kept")
    del counter.extra
    assert not hasattr(original, "extra")
    assert {original: "found"}[counter] == "found"


def test_callable_object_called_on_itself(way):
    """In `__call__`, `self` is the original object, by `is` as well (A)."""

    class Self:
        def __call__(self):
            defer(str)
            return self

    original = Self()
    assert way(original)() is original


def test_callable_object_is_left_alone(way):
    """The class of a decorated object, and its other objects, stay undecorated (A)."""
    way(Counter(0))
    with pytest.raises(DeferError, match=r"Counter\.__call__"):
        Counter(0)()


def test_callable_object_pickled(way):
    """A decorated callable object can be pickled if the object can, and
    comes back decorated (A).
    """
    counter = way(Counter(1))
    counter()
    again = pickle.loads(pickle.dumps(counter))
    assert isinstance(again, Counter)
    assert again() == 3
    assert again.events == ["exits", "exits"]
    assert counter.events == ["exits"]


def test_callable_object_with_an_async_call(way):
    """An object with a coroutine function as `__call__` can be decorated (A)."""
    events = []

    class Worker:
        async def __call__(self, x):
            defer(events.append, "exits")
            await asyncio.sleep(0)
            return x

    worker = way(Worker())
    assert asyncio.run(worker(1)) == 1
    assert events == ["exits"]


def test_callable_object_with_slots(way):
    """An object without a `__dict__` can be decorated (A)."""
    events = []

    class Slotted:
        __slots__ = ("x",)

        def __call__(self):
            defer(events.append, "exits")
            return self.x

    slotted = way(Slotted())
    slotted.x = 1
    assert slotted() == 1
    assert events == ["exits"]


def test_callable_object_twice(way):
    """Decorating a callable object twice equals decorating it once (A)."""
    once = way(Counter(0))
    twice = way(once)
    assert twice is once
    twice()
    assert once.events == ["exits"]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_decorated_too(way, copied):
    """A copy of a decorated object is a copy of the object, with defers of its own (A)."""

    class Job:
        def __init__(self):
            self.done = []

        def __call__(self, n):
            defer(self.done.append, n)

    job = way(Job())
    again = copied(job)
    again(1)
    assert type(again.__wrapped__) is Job
    assert again.__wrapped__ is not job.__wrapped__
    assert (job.done is again.done) == (copied is copy.copy)
    assert again.done == [1]
