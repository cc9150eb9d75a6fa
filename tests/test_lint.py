"""The checker's rules: each finds what is wrong, where it is wrong, and nothing in the code that looks like it and is right."""

import ast
import re

import pytest

from godefer.lint import RULES, check_source

IMPORTS = """\
import asyncio, functools, logging, os, sqlite3, sys, threading, time
from pathlib import Path
from godefer import *
"""

# Snippets by rule. In the wrong ones `#!` stands at the end of each line on which the rule finds something.
WRONG = {}
RIGHT = {}

WRONG["GDF001"] = [
    """
@with_defers
def read(path):
    file = open(path)
    defer(file.close())  #!
    errdefer(file.close())  #!
    okdefer(print("done"))  #!
    defer(os.remove(path))  #!
    defer(file.close(), 1)  #!
""",
    """
def undo(n) -> None: ...
def note():
    print("noted")
async def work():
    return print
@with_defers
def f(n):
    defer(undo(n))  #!
    defer(note())  #!
    defer(
        note()  #!
    )
@with_defers
async def g(conn):
    defer(await conn.close())  #!
    defer(work())  #!
""",
    """
class Pool:
    def free(self) -> "None":
        self.used = 0
    @with_defers
    def run(self):
        defer(self.free())  #!
""",
    """
def f(conn):
    with defer_scope() as later:
        later(conn.close())  #!
        later.err(conn.rollback())  #!
        later.ok(conn.commit())  #!
""",
    """
@with_defers
def f(server, smtp, engine):
    defer(server.stop())  #!
    defer(smtp.quit())  #!
    defer(engine.dispose())  #!
    defer(server.server_close())  #!
    defer(server.wait())  #!
    defer(logging.info("left"))  #!
""",
]
RIGHT["GDF001"] = [
    """
def undoing(n):
    def undo():
        print(n)
    return undo
def perhaps(n):
    if n:
        return print
def typed() -> "Callable[[], None]":
    return print
class Closer:
    def __call__(self): ...
class Journal:
    def cancel(self):
        return self.rollback
    @with_defers
    def write(self):
        defer(self.cancel())
        defer(self.undo())
    def undo(self):
        raise NotImplementedError
@with_defers
def f(n, file, later, make):
    defer(undoing(n))
    defer(perhaps(n))
    defer(typed())
    defer(Closer())
    defer(functools.partial(print, n))
    defer(make())
    defer(later.factory())
    defer(file.close)
    defer((lambda: print)())
    defer(getattr(file, "close"))
    defer(file.close() or print)
    defer(undoing(n), *[])
    defer(*[print, n])
    defer(print, file.tell())
    defer(file.closer.close)
@with_defers
async def g(make):
    defer(await make())
    defer(await amake())
async def amake():
    return print
""",
    """
def print(*args):
    return args[0]
@wrapping
def decorated() -> None: ...
@with_defers(result="fn")
def named():
    fn = None
    defer(fn)
@with_defers
def f():
    defer(print(f))
    defer(decorated())
    defer(named())
def generate():
    yield
if sys.platform == "linux":
    def undo(): ...
else:
    def undo():
        return str
@with_defers
def g():
    defer(undo())
""",
]

WRONG["GDF002"] = [
    """
defer(print)  #!
[defer(print) for _ in "ab"]  #!
class C:
    defer(print)  #!
def f(file):
    defer(file.close)  #!
    errdefer(file.close)  #!
    okdefer(file.close)  #!
    f2 = using(file)  #!
    [defer(x) for x in file]  #!
async def g(conn):
    await ausing(conn)  #!
""",
    """
@with_defers
def outer(files):
    def inner(file):
        defer(file.close)  #!
    for file in files:
        inner(file)
    for each in files:
        each.map(1)
    list(map(lambda file: defer(file.close), files))  #!
    any(defer(file.close) for file in files)  #!
    defer(lambda: defer(print))  #!
    threading.Thread(target=inner).start()
""",
    """
class C:
    @property
    def size(self):
        defer(print)  #!
    @staticmethod
    def make():
        defer(print)  #!
    @functools.lru_cache(maxsize=None)
    def cached(self):
        defer(print)  #!
""",
    """
import godefer as gd
from godefer import defer as later, with_defers as deferring
again = later
def f():
    gd.defer(print)  #!
    later(print)  #!
    again(print)  #!
""",
    """
class Pager:
    def __call__(self):
        defer(print)  #!
    def turn(self):
        defer(print)  #!
class Other(Pager):
    def turn(self):
        defer(print)  #!
isinstance(Other(), Other)
""",
]
RIGHT["GDF002"] = [
    """
class Thing:
    def __call__(self):
        defer(print)
    def method(self):
        defer(print)
with_defers(Thing())
decorate_all(Thing)
def f():
    defer(print)
list(map(with_defers, [1]))
list(map(f, [1]))
""",
    """
import godefer
import godefer as gd
from godefer import with_defers as deferring, defer as later
@deferring
def a():
    later(print)
@gd.with_defers
def b():
    gd.defer(print)
    godefer.defer(print)
@with_defers(result="err")
def c():
    err = None
    defer(print)
class C:
    @with_defers
    @property
    def d(self):
        defer(print)
    @staticmethod
    @with_defers
    def e():
        defer(print)
    @with_defers
    def comprehended(self, files):
        [defer(f.close) for f in files]
        {defer(f.close) for f in files}
        {defer(f.close): [defer(g) for g in f] for f in files}
        list(x for x in [defer(print)])
        lambda x=defer(print): x
    def g(self):
        defer(print)
    g = with_defers(g)
with_defers(lambda: defer(print))()
""",
    """
def f(defer, file):
    defer(file.close)
def g(file):
    with defer_scope() as defer:
        defer(file.close)
        defer.err(file.close)
        defer.using(file)
        [defer(f.close) for f in file]
        helper(defer, file)
        list(map(lambda f: defer(f.close), file))
def helper(scope, file):
    scope(file.close)
async def h(file):
    async with defer_scope() as stack:
        stack(file.close)
        await stack.ausing(file)
def k():
    defer = print
    defer("x")
def m():
    from mylib import defer
    defer(print)
""",
    """
def f():
    defer(print)
f = with_defers(f)
def g():
    defer(print)
def run():
    with_defers(g)()
def h():
    defer(print)
    return 1
thing = decorate(h)
def k():
    defer(print)
job = retrying(with_defers(k))
class C:
    def method(self):
        defer(print)
C.method = with_defers(C.method)
def made():
    def inner():
        defer(print)
    return inner
@app.job
def unknown():
    defer(print)
table = {"x": lambda: defer(print)}
""",
    """
@deferring_methods
class A:
    def f(self):
        defer(print)
class Meta(type): ...
class B(metaclass=Meta):
    def f(self):
        defer(print)
class Base:
    def __init_subclass__(cls):
        for name, value in list(vars(cls).items()):
            setattr(cls, name, with_defers(value))
class D(Base):
    def f(self):
        defer(print)
""",
    """
try:
    from godefer import defer
except ImportError:
    def defer(fn): ...
def f():
    defer(print)
""",
    """
def decorate(fn):
    return with_defers(fn)
@decorate
def f():
    defer(print)
def g():
    defer(print)
for fn in (g,):
    with_defers(fn)()
""",
    """
from twisted.internet import defer
def f():
    defer.inlineCallbacks(print)
    defer(print)
""",
    """
def f():
    global defer
    defer = print
def g():
    defer("x")
def h(errdefer: defer(print) = None) -> defer(print):
    x: defer(print)
""",
    """
from mylib import cleaned, enrol
class Pager:
    def __call__(self):
        defer(print)
pager = cleaned(Pager())
class Counter:
    def __call__(self):
        defer(print)
counter = Counter()
counter = cleaned(counter)
class Service:
    def start(self):
        defer(print)
enrol(Service)
""",
]

WRONG["GDF003"] = [
    """
@with_defers
def total(paths):
    n = 0
    for path in paths:
        file = open(path)
        defer(file.close)  #!
        n += len(file.read())
    return n
""",
    """
@with_defers
def copy(paths, out):
    for path in paths:
        file = using(path.open("rb"))  #!
        for line in file:
            out.append(line)
""",
    """
@with_defers
def log(queue):
    while not queue.empty():
        file = queue.get().open("a")
        errdefer(file.close)  #!
        file.write("!")
""",
    """
@with_defers
async def log(queue):
    async for path in queue:
        file = Path(path).open("a")
        defer(file.close)  #!
        file.write("!")
""",
    """
import json, tomllib
@with_defers
def load(paths):
    found = []
    for path in paths:
        file = path.open()
        defer(file.close)  #!
        found.append(json.load(file))
    for path in paths:
        other = open(path, "rb")
        defer(other.close)  #!
        found += [tomllib.load(other)]
    for path in paths:
        text = using(open(path))  #!
        found.extend(sorted(text))
    return found
""",
    """
lock = threading.Lock()
@with_defers
def count(items):
    for item in items:
        lock.acquire()
        defer(lock.release)  #!
        item.count += 1
@with_defers
async def acount(queue):
    mine = asyncio.Lock()
    while not queue.empty():
        await mine.acquire()
        defer(mine.release)  #!
        await queue.get()
""",
]
RIGHT["GDF003"] = [
    """
@with_defers
def f(paths):
    for path in paths:
        file = using(open(path))
        file.read()
    file = None
""",
    """
@with_defers
def merge(paths):
    files = []
    for path in paths:
        file = open(path)
        defer(file.close)
        files.append(file)
    return sum(len(file.read()) for file in files)
@with_defers
def countdown(n):
    for i in range(n):
        defer(print, i)
@with_defers
def lock_all(locks):
    for lock in locks:
        lock.acquire()
        defer(lock.release)
@with_defers
def first(paths):
    for path in paths:
        file = open(path)
        defer(file.close)
        if file.read():
            return path
@with_defers
def once(paths):
    for path in paths:
        file = open(path)
        defer(file.close)
        file.read()
        break
@with_defers
def two():
    for name in ("a", "b"):
        file = open(name)
        defer(file.close)
        print(file.read())
    for i in range(2):
        file2 = open(str(i))
        defer(file2.close)
        print(file2.read())
@with_defers
def rows(paths):
    found = []
    for path in paths:
        db = sqlite3.connect(path)
        defer(db.close)
        found.append(db.execute("SELECT 1"))
    return found
@with_defers
def claim(paths):
    for path in paths:
        file = open(path, "x")
        defer(file.close)
@with_defers
def lazily(paths):
    found = []
    for path in paths:
        file = open(path)
        defer(file.close)
        found.append(line for line in file)
@with_defers
def threads(n):
    for i in range(n):
        thread = threading.Thread()
        thread.start()
        defer(thread.join)
@with_defers
def last(paths):
    for path in paths:
        file = open(path)
        defer(file.close)
        file.read()
    return file.read()
@with_defers
def lines(paths):
    for path in paths:
        file = open(path)
        defer(file.close)
        yield file.read()
""",
    """
def total(paths):
    n = 0
    for path in paths:
        with defer_scope() as defer:
            file = open(path)
            defer(file.close)
            n += len(file.read())
    return n
""",
    """
import csv, json, socket, subprocess, tempfile
from tempfile import NamedTemporaryFile
@with_defers
def sort(texts, directory):
    for text in texts:
        file = tempfile.NamedTemporaryFile("w", dir=directory)
        defer(file.close)
        file.write(text)
        file.flush()
    for text in texts:
        other = using(NamedTemporaryFile("w", dir=directory))
        other.write(text)
    subprocess.run(["sort", directory])
@with_defers
def fill(addresses, server):
    for address in addresses:
        connection = socket.create_connection(address)
        defer(connection.close)
        connection.sendall(b"hello")
    server.wait_for(len(addresses))
@with_defers
def lazily(paths):
    found = []
    for path in paths:
        file = open(path)
        defer(file.close)
        found.append(csv.reader(file))
    for path in paths:
        other = open(path)
        defer(other.close)
        other.json.load(other)
    return found
""",
    """
lock, again = threading.Lock(), threading.RLock()
other = threading.RLock()
slots = threading.Semaphore(3)
single = threading.Lock()
@with_defers
def f(items):
    for item in items:
        own = threading.Lock()
        own.acquire()
        defer(own.release)
        other.acquire()
        defer(other.release)
        slots.acquire()
        defer(slots.release)
        item.lock.acquire()
        defer(item.lock.release)
    for item in items:
        single.acquire()
        defer(single.release)
        break
def g(items):
    for item in items:
        with defer_scope() as defer:
            single.acquire()
            defer(single.release)
@with_defers
def h(items):
    for item in items:
        if single.acquire(blocking=False):
            defer(single.release)
""",
]

WRONG["GDF004"] = [
    """
@with_defers
def f(files):
    for file in files:
        defer(lambda: print(str(file)))  #!
        continue
""",
    """
@with_defers
def f(files):
    for file in files:
        defer(lambda: file.close())  #!
    for i, (name, file2) in enumerate(files):
        with file2:
            errdefer(lambda: print(name))  #!
    for each in files:
        if each:
            okdefer(lambda: each.close())  #!
    [defer(lambda: x.close()) for x in files]  #!
""",
    """
@with_defers
async def f(files):
    def show():
        print(file)
    async for file in files:
        async def close():
            await file.close()
        defer(close)  #!
        defer(show)  #!
""",
    """
def f(files):
    with defer_scope() as later:
        for file in files:
            later(lambda: file.close())  #!
""",
    """
@with_defers
def f(paths):
    for path in paths:
        file = open(path)
        defer(lambda: file.close())  #!
    while paths:
        conn = sqlite3.connect(paths.pop())
        def end():
            print("end")
            conn.close()
        defer(end)  #!
""",
]
RIGHT["GDF004"] = [
    """
class C:
    def note(self): ...
    @with_defers
    def f(self, files):
        for file in files:
            defer(self.note)
        for file in files:
            later = defer_scope()
            later(lambda: 1)
""",
    """
@with_defers
def f(files, path):
    for file in files:
        defer(file.close)
        defer(lambda file=file: file.close())
        defer(lambda file: file.close(), file)
        defer(functools.partial(print, file))
        defer(lambda: print(path))
        defer(lambda: [file for file in path])
        with defer_scope() as later:
            later(lambda: file.close())
        def close(file=file):
            file.close()
        defer(close)
    for file in files:
        if file.ready:
            defer(lambda: file.close())
            break
    for file in files:
        defer(lambda: file.close())
        return
    for i, file in enumerate(files):
        if i == 0:
            defer(lambda: print("got to", i))
    n = 0
    for file in files:
        n += 1
        if n == 1:
            defer(lambda: print(n))
    while n:
        n -= 1
    defer(lambda: print(file))
    for each in files:
        if each is None:
            continue
        defer(lambda: print("the last was", each))
    for each2 in files:
        @with_defers
        def turn():
            defer(lambda: each2.close())
        turn()
    else:
        defer(lambda: print(each2))
    for each in files:
        def own():
            each = 1
            print(each)
        defer(own)
""",
    """
@with_defers
def f(paths, log):
    log = None
    for path in paths:
        if log is None:
            log = open(path)
            defer(lambda: log.close())
    for path in paths:
        file = open(path)
        defer(lambda file=file: file.close())
        size = path.stat()
        defer(lambda: print("the last:", size))
    for path in paths:
        first = open(path)
        defer(lambda: first.close())
        break
    for path in paths:
        mine = open(path)
        with defer_scope() as later:
            later(lambda: mine.close())
    shared = open("x")
    for path in paths:
        defer(lambda: shared.close())
    for path in paths:
        if path:
            once = open(path)
            defer(lambda: once.close())
""",
]

WRONG["GDF005"] = [
    """
import datetime as dt
from time import perf_counter
log = logging.getLogger()
@with_defers
def f():
    start = time.perf_counter()
    defer(print, time.perf_counter() - start)  #!
    defer(log.info, "took %s", time.time())  #!
    defer(print, f"done at {time.time()}")  #!
    defer(print, time.time())  #!
    defer(print, "finished", dt.datetime.now())  #!
    defer(logging.info, perf_counter())  #!
    defer(print, "x", sep=f"ended {perf_counter()}")  #!
""",
    """
@with_defers
def f(rows, found):
    seen = []
    defer(print, "rows:", len(seen))  #!
    seen.extend(rows)
    count: dict = {}
    number = 0
    defer(print, len(count))  #!
    count.update(found)
    names = set()
    defer(print, len(names))  #!
""",
    """
def report(error): ...
@with_defers
def f():
    defer(report, sys.exception())  #!
    errdefer(report, sys.exc_info())  #!
class C:
    @with_defers
    def g(self):
        errdefer(report, sys.exception())  #!
    def h(self):
        self.g()
""",
    """
from datetime import datetime
def f():
    with defer_scope() as defer:
        defer(print, "done", datetime.now())  #!
""",
]
RIGHT["GDF005"] = [
    """
def note(*x): ...
@with_defers
def f(file):
    start = time.monotonic()
    defer(note, time.time() - start)
    start = 0
    defer(note, time.time() - start)
@with_defers
def g():
    defer(note, sys.exception())
try:
    pass
except ValueError:
    g()
@with_defers
def h(cm):
    with cm:
        defer(note, sys.exception())
""",
    """
def track(start, name): ...
def report(error): ...
def show(n): ...
@with_defers
def f(rows, items):
    defer(track, time.perf_counter(), "f")
    defer(print, "started at", time.time())
    start = time.time()
    items.sort()
    defer(print, "sorting:", time.time() - start)
    defer(lambda: print("done", time.time()))
    defer(show, len(rows))
    defer(print, "before:", len(rows))
    n = [1]
    defer(print, len(n))
    m = []
    m.append(1)
    defer(print, len(m))
    k = []
    for row in rows:
        k.append(row)
    defer(print, len(k))
    defer(print, [len(x) for x in rows])
    q = []
    for row in rows:
        defer(print, len(q))
        q.append(row)
@with_defers
def handled():
    try:
        open("x")
    except OSError:
        defer(report, sys.exception())
    finally:
        errdefer(report, sys.exception())
@with_defers
def cleanup():
    defer(report, sys.exception())
@with_defers
def g():
    defer(cleanup)
@with_defers
def on_error():
    defer(report, sys.exc_info())
def h():
    try:
        g()
    except ValueError:
        on_error()
class Guard:
    def __exit__(self, *details):
        self.end()
    @with_defers
    def end(self):
        defer(report, sys.exception())
hook(Guard().end)
""",
    """
class Guard:
    @with_defers
    def __exit__(self, *details):
        defer(print, sys.exception())
@with_defers
def on_error():
    defer(print, sys.exception())
class time:
    time = staticmethod(lambda: 1)
def len(x):
    return 1
@with_defers
def f():
    x = []
    defer(print, time.time(), len(x))
""",
    """
def shorten(x, n): ...
@with_defers
def f(n):
    stack = []
    defer(shorten, stack, len(stack))
    other = []
    defer(other.__delitem__, slice(len(other), None))
""",
]

WRONG["GDF006"] = [
    """
async def work(): ...
@with_defers
def f(n):
    defer(work)  #!
    errdefer(functools.partial(work))  #!
    okdefer(lambda: work())  #!
    async def inner(): ...
    defer(inner)  #!
    [defer(inner) for _ in n]  #!
class C:
    async def aclose(self): ...
    @with_defers
    def run(self):
        defer(self.aclose)  #!
    async def arun(self):
        with defer_scope() as later:
            later(self.aclose)  #!
            later.err(work)  #!
def g():
    with defer_scope() as later:
        later(work)  #!
@with_defers
async def decorated():
    defer(print)
@with_defers
def h():
    defer(decorated)  #!
    yield
""",
]
RIGHT["GDF006"] = [
    """
class C:
    async def close(self): ...
    run = lambda self: self.close()
    @staticmethod
    @with_defers
    def other(thing):
        defer(thing.close)
""",
    """
async def work(): ...
async def stream():
    yield 1
@asynchronous.to_sync
async def adapted(): ...
def plain(): ...
@with_defers
async def f(loop, other):
    defer(work)
    defer(lambda: work())
    async with defer_scope() as later:
        later(work)
    async with defer_scope() as later:
        with open("x") as file:
            later(work)
@with_defers
def g(loop, work2, other):
    defer(asyncio.run, work())
    defer(loop.run_until_complete, work())
    defer(lambda: asyncio.run(work()))
    defer(adapted)
    defer(plain)
    defer(work2)
    defer(other.work)
    defer(stream)
    work3 = plain
    defer(work3)
def hand(scope):
    scope(work)
def kept():
    scope = defer_scope()
    scope(work)
    return scope
def detached():
    with defer_scope() as later:
        later(work)
        return later.detach()
def handed(register):
    with defer_scope() as later:
        later(work)
        register(later)
class C:
    async def close(self): ...
    def other(self, other):
        with defer_scope() as later:
            later(other.close)
class D:
    def close(self): ...
    @with_defers
    def run(self):
        defer(self.close)
@with_defers
def shadowed(work):
    defer(work)
    return [defer(work) for work in [print]]
""",
]

WRONG["GDF007"] = [
    """
error = recover()  #!
class C:
    error = recover(OSError)  #!
caught = list(recover() for _ in "a")  #!
""",
    """
@with_defers
def f(n):
    def helper():
        return recover()  #!
    @with_defers
    def other():
        defer(print)
        return recover()  #!
    def cleanup():
        print(helper())
    look = lambda: recover()  #!
    defer(cleanup)
    defer(lambda: other())
    look()
    (lambda: recover())
""",
    """
@with_defers
async def f(n):
    async def helper():
        return recover()  #!
    await helper()
    defer(print)
def _work():
    recover()  #!
def main():
    _work()
""",
    """
@with_defers
def parse(text):
    defer(recover)  #!
    return int(text)
@with_defers
def fail():
    defer(recover)  #!
    raise ValueError
@with_defers
def called():
    defer(recover, OSError)  #!
    print("x")
called()
""",
]
RIGHT["GDF007"] = [
    """
__all__ = ["_helper"]
def _helper():
    recover()
_helper()
""",
    """
def note():
    print(recover())
@with_defers
def _private():
    defer(print)
    print(recover())
def _handed():
    recover()
def _exported():
    recover()
__all__ = ["_exported"]
class C:
    def cleanup(self):
        recover()
    def _method(self):
        recover()
@with_defers
def f(register, handlers):
    def nested():
        recover()
    def kept():
        recover()
    def returned():
        recover()
    def partial():
        recover()
    def unused():
        recover()
    @register
    def registered():
        recover()
    async def coroutine():
        recover()
    def generator():
        try:
            yield
        finally:
            recover()
    running = generator()
    next(running)
    defer(running.close)
    waiting = coroutine()
    defer(lambda: waiting)
    defer(note)
    defer(_private)
    defer(nested)
    nested()
    defer(lambda: recover())
    defer(lambda: print(recover(OSError)))
    handlers.append(kept)
    defer(functools.partial(partial))
    handlers.append(lambda: recover())
    defer(C()._method)
    alias = recover
    return returned
use(_handed)
""",
    """
@with_defers
def swallow():
    defer(recover)
@with_defers
def f():
    defer(swallow)
@with_defers
def public():
    defer(recover)
    print("done")
class C:
    @with_defers
    def cleanup(self):
        defer(recover)
        raise ValueError
@with_defers
def generator():
    defer(recover)
    yield 1
    raise ValueError
@with_defers
def nested():
    @with_defers
    def inner():
        defer(recover)
        return 1
    defer(inner)
@hook
@with_defers
def hooked():
    defer(recover)
    return 1
""",
    """
@with_defers
def f(g):
    def helper():
        return recover()
    helper()
    g(locals())
    defer(print)
def recover():
    return 1
recover()
""",
]

WRONG["GDF008"] = [
    """
@with_defers
def f(lock):
    lock.acquire()
    n = 1
    defer(lock.acquire)  #!
""",
    """
@with_defers
def f(lock, conn, path):
    lock.acquire()
    defer(lock.acquire)  #!
    if not conn.lock.acquire(timeout=1):
        return
    errdefer(conn.lock.acquire)  #!
    conn.start()
    defer(conn.start)  #!
    defer(open, path)  #!
@with_defers
async def g(lock):
    await lock.acquire()
    defer(lock.acquire)  #!
""",
    """
lock = threading.Lock()
@with_defers
def f(n):
    '''Count.'''
    defer(lock.acquire)  #!
    print(n)
@with_defers
def g(cm):
    defer(cm.__enter__)  #!
def h():
    with defer_scope() as later:
        lock.acquire()
        later(lock.acquire)  #!
""",
    """
mine = threading.RLock()
class Store:
    @with_defers
    def write(self, n):
        defer(self._lock.acquire)  #!
        print(n)
    @with_defers
    def read(self, n):
        defer(mine.acquire)  #!
        print(n)
@with_defers
def f(write_mutex, n):
    defer(write_mutex.acquire)  #!
    print(n)
""",
]
RIGHT["GDF008"] = [
    """
def f(lock):
    with defer_scope() as later:
        later(lock.acquire)
""",
    """
lock = threading.Lock()
class Worker:
    @with_defers
    def unlocked(self):
        self.lock.release()
        defer(self.lock.acquire)
    @with_defers
    def indirectly(self):
        self.leave()
        defer(self.lock.acquire)
    @with_defers
    def restart(self):
        self.timer.stop()
        defer(self.timer.start)
    @with_defers
    def again(self):
        defer(self.timer.start)
@with_defers
def f(path, timer, db, other):
    defer(open, path, "w")
    lock.acquire()
    defer(lock.release)
    timer.start()
    timer.stop()
    defer(timer.start)
    db.begin()
    db.commit()
    defer(db.begin)
    lock.acquire()
    defer(other.acquire)
@with_defers
def g():
    defer(lock.acquire)
    lock.release()
@with_defers
def h(leave):
    leave(lock)
    defer(lock.acquire)
@with_defers
def k():
    lock.acquire()
    try:
        print("x")
    finally:
        lock.release()
    defer(lock.acquire)
@with_defers
def m(n):
    if n:
        defer(lock.acquire)
""",
    """
done = threading.Semaphore(0)
@with_defers
def f(worker):
    defer(done.acquire)
    worker.start()
class Worker:
    @with_defers
    def run(self, pool, queue):
        defer(self.finished.acquire)
        queue.start()
    @with_defers
    def wait(self, semaphore, queue):
        defer(semaphore.acquire)
        queue.start()
""",
]

WRONG["GDF009"] = [
    """
@with_defers
def f(file, n):
    if n == 1:
        return
        defer(file.close)  #!
    for i in range(n):
        if i:
            continue
            defer(file.close)  #!
        else:
            break
            errdefer(file.close)  #!
    defer(print)
    os._exit(1)
    defer(file.close)  #!
    if n:
        defer(file.close)  #!
""",
    """
@with_defers
def a(file):
    os.execvp("ls", ["ls"])
    defer(file.close)  #!
@with_defers
def b(file):
    sys.exit()
    defer(file.close)  #!
@with_defers
def c(file):
    panic("x")
    defer(file.close)  #!
@with_defers
def d(file):
    while True:
        for x in file:
            break
    defer(file.close)  #!
@with_defers
def e(file, n):
    if n == 1:
        return 1
    elif n == 2:
        raise ValueError
    else:
        return 2
    defer(file.close)  #!
@with_defers
def f(file):
    try:
        return file.read()
    except OSError:
        raise
    x = using(file)  #!
@with_defers
def g(file):
    match file:
        case 1:
            return
        case _:
            return
    defer(file.close)  #!
@with_defers
async def h(file):
    try:
        print("x")
    finally:
        return
    y = await ausing(file)  #!
def k(file):
    with defer_scope() as later:
        raise ValueError
        later(file.close)  #!
""",
    """
@with_defers
def f(file):
    if file:
        exit(1)
        defer(file.close)  #!
    quit()
    defer(file.close)  #!
""",
]
RIGHT["GDF009"] = [
    """
import contextlib
@with_defers
def f(file, n):
    if n:
        return
    defer(file.close)
    while True:
        if n:
            break
    defer(file.close)
    while n:
        defer(file.close)
        return
    for x in file:
        continue
    else:
        defer(file.close)
    try:
        os.execvp("ls", ["ls"])
    except OSError:
        pass
    defer(file.close)
    try:
        return
    finally:
        defer(file.close)
@with_defers
def g(file, n):
    with contextlib.suppress(ValueError):
        raise ValueError
    defer(file.close)
    match n:
        case 1:
            return
    defer(file.close)
    match n:
        case _ if file:
            return
    defer(file.close)
    if n:
        return
    elif n is None:
        return
    defer(file.close)
    try:
        sys.exit()
    except SystemExit:
        defer(file.close)
    def never():
        return
    os.kill(1, 2)
    while True:
        for x in file:
            pass
        else:
            break
    defer(file.close)
    return None
""",
    """
class os:
    _exit = print
def panic(x): ...
@with_defers
def f(file):
    os._exit(1)
    panic(1)
    defer(file.close)
""",
]

WRONG["GDF010"] = [
    """
@with_defers
async def f(pool):
    ausing(pool)  #!
    conn = ausing(pool.acquire())  #!
    conn.execute("SELECT 1")
    ausing(pool).execute("x")  #!
    async with ausing(pool) as other:  #!
        print(other)
""",
    """
async def f(pool):
    async with defer_scope() as later:
        later.ausing(pool)  #!
        later.aclose()  #!
    with defer_scope() as later:
        await later.ausing(pool)  #!
    defer_scope()  #!
""",
]
RIGHT["GDF010"] = [
    """
class C:
    @with_defers
    async def f(self, pool):
        self.conn = ausing(pool)
        a = b = ausing(pool)
        a.x
""",
    """
@with_defers
async def f(pool, start):
    conn = await ausing(pool.acquire())
    await ausing(pool)
    entering = ausing(pool)
    conn2 = await entering
    other = ausing(pool)
    start(other)
    a, b = await asyncio.gather(ausing(pool), ausing(pool))
    task = asyncio.ensure_future(ausing(pool))
    return await task
@with_defers
async def g(pool):
    return ausing(pool)
async def h(pool):
    async with defer_scope() as later:
        conn = await later.ausing(pool)
        await later.aclose()
    scope = defer_scope()
    async with scope as later2:
        await later2.ausing(pool)
    with defer_scope() as later3:
        later3.using(pool)
        later3.close()
    with defer_scope() as later4:
        await later4.ausing(pool)
        return later4.detach()
@with_defers
async def k(pool, n):
    entering = ausing(pool)
    if n:
        entering = n
    entering.close()
""",
    """
@with_defers
async def f(acm):
    steps = ausing(acm).__await__()
    return list(steps)
""",
]

WRONG["GDF011"] = [
    """
@with_defers  #!
def f(n):
    return n + 1
class C:
    @property
    @with_defers  #!
    def size(self):
        return len(self.items)
@with_defers  #!
def outer():
    @with_defers
    def inner():
        defer(print)
    inner()
@with_defers  #!
def scoped(file):
    with defer_scope() as later:
        later(file.close)
def cleanup():
    recover()
import godefer
@godefer.with_defers  #!
def recovering():
    print(godefer.recover())
@with_defers  #!
async def main():
    await asyncio.sleep(1)
""",
]
RIGHT["GDF011"] = [
    """
import godefer, mylib, abc
from mylib import later
from . import cleanup
@with_defers
def a(files):
    [defer(f.close) for f in files]
@with_defers
def b(files):
    for do in (defer, errdefer):
        do(files.close)
@with_defers
def c(files):
    list(map(defer, files))
@with_defers
def d(f):
    mylib.defer(f)
@with_defers
def e(f):
    later(f.close)
@with_defers
def g(f, d):
    d(f.close)
@with_defers(result="n")
def h(f):
    n = 1
@with_defers
def i(f):
    exec("defer(print)")
@with_defers
def j(f): ...
@with_defers
def k(f):
    '''To be done.'''
    raise NotImplementedError
@with_defers
def l(f):
    from godefer import defer as x
    x(print)
@with_defers
def m(f):
    cleanup.when_done(f.close)
@with_defers
def n(f):
    getattr(godefer, "defer")(f.close)
@with_defers
@instrumented
def o(f):
    return 1
@with_defers
def p(f):
    x = using(f)
@with_defers
def q(f):
    do = pick(f)
    do(f.close)
@with_defers
async def r(f):
    return await ausing(f)
""",
    """
from mylib import *
@with_defers
def a(f):
    later(f.close)
""",
    """
class Job:
    later = staticmethod(defer)
    @with_defers
    def run(self, file):
        self.later(file.close)
""",
]

WRONG["GDF012"] = [
    """
@with_defers
def f(path, lock):
    file = open(path)
    size = os.stat(path).st_size
    defer(file.close)  #!
    lock.acquire()
    work(path)
    defer(lock.release)  #!
    fd = os.open(path, os.O_RDONLY)
    data = path.read_text()
    defer(os.close, fd)  #!
@with_defers
def g(path):
    file = path.open("rb")
    head = file.read(4)
    defer(file.close)  #!
@with_defers
def h(a, b):
    src = a.open()
    dst = b.open("w")
    defer(src.close)  #!
    defer(dst.close)
@with_defers
async def k(port):
    reader, writer = await asyncio.open_connection("", port)
    line = await reader.readline()
    defer(writer.close)  #!
def m(path):
    with defer_scope() as later:
        file = open(path)
        if not path.ok():
            raise ValueError
        later(file.close)  #!
""",
    """
import contextlib
@with_defers
def f(path):
    file = open(path)
    with contextlib.suppress(OSError):
        path.warm()
    defer(file.close)  #!
    file2 = open(path)
    try:
        path.warm()
    except OSError:
        pass
    defer(file2.close)  #!
    file3 = open(path)
    try:
        path.warm()
    except Exception:
        path.cool()
    defer(file3.close)  #!
""",
]
RIGHT["GDF012"] = [
    """
@with_defers
def f(path):
    file = open(path)
    path.stat()
    defer(file.close)
    with file:
        pass
@with_defers
def g(path):
    file = open(path)
    key = lambda: path.stat()
    defer(file.close)
""",
    """
log = logging.getLogger()
@with_defers
def f(path, lock, n):
    file = open(path)
    defer(file.close)
    size = os.stat(path).st_size
    file2 = open(path)
    okdefer(path.replace, path)
    errdefer(path.unlink)
    defer(file2.close)
    file3 = open(path)
    log.info("opened %s", path)
    count = 0
    print("opened")
    defer(file3.close)
    file4 = open(path)
    errdefer(file4.close)
    work(path)
    okdefer(file4.close)
    got = lock.acquire(timeout=1)
    if not got:
        raise TimeoutError
    defer(lock.release)
    fd = os.open(path, os.O_RDONLY)
    if fd < 0:
        raise OSError
    defer(os.close, fd)
    file5 = open(path)
    try:
        work(path)
    except OSError:
        file5.close()
        raise
    defer(file5.close)
    file6 = open(path)
    n.callback(file6)
    defer(file6.close)
    file7 = open(path)
    def show():
        work(path)
    defer(file7.close)
    lock.acquire()
    try:
        work(path)
    finally:
        lock.release()
    server = Server()
    server.start()
    defer(server.close)
    file8 = find(path)
    work(path)
    defer(file8.close)
@with_defers
def g(lock):
    try:
        lock.acquire()
        work(lock)
        defer(lock.release)
    except ValueError:
        lock.release()
@with_defers
def h(path):
    file = using(open(path))
    work(path)
    defer(file.flush)
""",
    """
import contextlib
@with_defers
def f(path):
    file = open(path)
    with contextlib.suppress(Exception):
        path.warm()
    defer(file.close)
    file2 = open(path)
    try:
        path.warm()
    except Exception:
        print("cold")
    defer(file2.close)
    file3 = open(path)
    try:
        path.warm()
    except:
        pass
    else:
        n = 1
    defer(file3.close)
""",
]

# Functions that a decorator defers (D12).

WRONG["GDF001"] += [
    """
@with_defers
def f(file):
    @defer(file)  #!
    def close(file):
        file.close()
    @errdefer()  #!
    def undo(): ...
    with defer_scope() as later:
        @later.ok(print)  #!
        def done(): ...
""",
]
RIGHT["GDF001"] += [
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
    @errdefer
    def undo(): ...
    @using(file.decorators())
    def used(): ...
    return used
""",
]
WRONG["GDF002"] += [
    """
@defer  #!
def f(): ...
class C:
    @errdefer  #!
    def f(self): ...
    def g(self):
        @okdefer  #!
        @functools.cache
        def f(): ...
def helper():
    @defer  #!
    def f(): ...
    @print
    @defer  #!
    class D: ...
import godefer as gd
later = gd.defer
@with_defers
def outer():
    @defer
    def own():
        @gd.defer  #!
        def nested(): ...
        @later  #!
        def nested2(): ...
        defer(print)  #!
    def helper():
        @(
            defer  #!
        )
        def f(): ...
    helper()
    class E:
        @defer  #!
        def method(self): ...
    return E
""",
]
RIGHT["GDF002"] += [
    """
import godefer as gd
@with_defers
def f(n):
    @defer
    def a(): ...
    if n:
        @gd.errdefer
        @with_defers
        def b():
            @okdefer
            def c(): ...
    class C:
        @with_defers
        def method(self):
            @defer
            def d(): ...
    return C
def g():
    with defer_scope() as defer:
        @defer
        def a(): ...
        @defer.err
        @defer.ok
        def b(): ...
def h(defer):
    @defer
    def a(): ...
@unknown
def k():
    @defer
    def a(): ...
def m():
    @defer
    def a(): ...
m = with_defers(m)
""",
]
WRONG["GDF003"] += [
    """
@with_defers
def f(paths):
    for path in paths:
        file = open(path)
        @defer  #!
        def close(file=file):
            file.close()
        file.read()
@with_defers
async def g(paths):
    for path in paths:
        file = open(path)
        @okdefer  #!
        async def close(*, f=file):
            await f.close()
        file.read()
""",
]
RIGHT["GDF003"] += [
    """
@with_defers
def f(paths):
    for path in paths:
        file = open(path)
        @defer
        def close(file=file):
            file.close()
            print("closed")
        file.read()
    for path in paths:
        file2 = open(path)
        @defer
        def close(file2=file2):
            file2.close()
        paths.kept.append(file2)
    for path in paths:
        file3 = open(path)
        @defer
        def close(n=file3.name):
            n.close()
        file3.read()
    for path in paths:
        file5 = open(path)
        @defer
        def close(n=file5):
            paths.close()
        file5.read()
    for path in paths:
        with defer_scope() as later:
            file4 = open(path)
            @later
            def close(file4=file4):
                file4.close()
            file4.read()
""",
]
WRONG["GDF004"] += [
    """
@with_defers
def f(files, paths):
    for file in files:
        @defer  #!
        def close():
            file.close()
    for number, other in enumerate(files):
        @errdefer  #!
        @functools.cache
        def show():
            print(number)
    for path in paths:
        opened = open(path)
        if path:
            @okdefer  #!
            @with_defers
            def close():
                defer(print)
                opened.close()
async def g(files):
    async with defer_scope() as later:
        for file in files:
            @later  #!
            async def close():
                await file.close()
""",
]
RIGHT["GDF004"] += [
    """
@with_defers
def f(files, paths, now):
    for file in files:
        @defer
        def close(file=file):
            file.close()
    for file2 in files:
        @defer
        @now.partial(file2)
        def close():
            file2.close()
    for file3 in files:
        if file3.last:
            @defer
            def close():
                file3.close()
            break
    for file4 in files:
        with defer_scope() as later:
            @later
            def close():
                file4.close()
    for file5 in files:
        @with_defers
        def close():
            @defer
            def inner():
                file5.close()
        close()
""",
]
RIGHT["GDF005"] += [
    """
@with_defers
def f(rows):
    @defer
    @with_defers
    def note():
        defer(print, sys.exception())
    seen = []
    @defer
    def show():
        print(len(seen), time.time())
""",
]
WRONG["GDF005"] += [
    """
@with_defers
def f(rows):
    start = time.time()
    @okdefer
    def show():
        print(rows)
    defer(print, "seconds:", time.time() - start)  #!
""",
]
WRONG["GDF006"] += [
    """
@with_defers
def f(conn, n):
    @defer  #!
    async def close():
        await conn.close()
    for _ in range(n):
        @errdefer  #!
        @functools.cache
        async def undo(): ...
    def inner():
        with defer_scope() as later:
            @later.ok  #!
            async def done(): ...
    inner()
async def g(conn):
    with defer_scope() as later:
        @later  #!
        @with_defers
        async def close():
            @defer
            async def last(): ...
""",
]
RIGHT["GDF006"] += [
    """
@with_defers
async def f(conn):
    @defer
    async def close():
        await conn.close()
    async with defer_scope() as later:
        @later
        async def close2(): ...
@with_defers
def g(conn, run):
    @defer
    @run.to_its_end
    async def close():
        await conn.close()
    @defer
    def close2():
        asyncio.run(conn.close())
    with defer_scope() as later:
        @later
        async def close3(): ...
        run(later.detach())
""",
]
WRONG["GDF007"] += [
    """
@with_defers
def f(text):
    @defer
    def rescue():
        def problem():
            return recover()  #!
        print(problem())
        any(recover() for _ in text)  #!
    return int(text)
@with_defers
def g(text):
    @errdefer
    def note(): ...
    defer(recover)  #!
    return int(text)
""",
]
RIGHT["GDF007"] += [
    """
@with_defers
def f(text):
    @defer
    def rescue():
        recover()
    @errdefer
    @functools.cache
    def rescue2():
        print(recover())
    @defer
    @with_defers
    def rescue3():
        defer(recover)
        return text.clear()
    return int(text)
async def g(text):
    async with defer_scope() as later:
        @later
        async def _rescue():
            recover()
""",
]
WRONG["GDF009"] += [
    """
@with_defers
def f(file, n):
    if n:
        return file.read()
        @defer  #!
        def close():
            file.close()
    while True:
        n()
    @errdefer  #!
    @with_defers
    def undo():
        defer(print)
""",
]
RIGHT["GDF009"] += [
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
    return file.read()
    def helper():
        @file.defer
        def nested(): ...
""",
]
WRONG["GDF011"] += [
    """
@with_defers
def f():
    @defer
    @with_defers  #!
    def cleanup():
        print("cleanup")
@with_defers  #!
def g():
    with defer_scope() as later:
        @later
        def cleanup():
            print("cleanup")
""",
]
RIGHT["GDF011"] += [
    """
@with_defers
def f(file):
    @defer
    def close():
        file.close()
@with_defers
async def g(file):
    for f in file:
        @okdefer
        @with_defers
        async def close():
            @errdefer
            def undo(): ...
""",
]
RIGHT["GDF012"] += [
    """
@with_defers
def f(path):
    file = open(path)
    @errdefer
    def undo():
        os.unlink(path)
    defer(file.close)
    file2 = open(path)
    path.stat()
    @defer
    def close():
        file2.close()
""",
]
WRONG["GDF012"] += [
    """
@with_defers
def f(path):
    file = open(path)
    @errdefer
    def undo():
        os.unlink(path)
    size = os.stat(path).st_size
    defer(file.close)  #!
""",
]

NAMES = """\
from other import defer, recover, with_defers, ausing, defer_scope
import other as godefer  # not this library's names, whatever they are called
"""


def findings(source):
    return [(problem.line, problem.code) for problem in check_source(source)]


def cases(table):
    return [
        pytest.param(code, snippet, id=f"{code}-{n}")
        for code in sorted(table)
        for n, snippet in enumerate(table[code], 1)
    ]


def test_every_rule_is_shown_wrong_and_right():
    """No rule is without code on which it fires, and code that looks like it on which it does not."""
    assert sorted(WRONG) == sorted(RIGHT) == sorted(RULES)


@pytest.mark.parametrize(("code", "snippet"), cases(WRONG))
def test_wrong(code, snippet):
    """A rule finds what is wrong, on the line where it is, and no other rule finds anything else there."""
    source = IMPORTS + snippet
    marked = [(n, code) for n, line in enumerate(source.splitlines(), 1) if line.endswith("#!")]
    assert findings(source) == marked


@pytest.mark.parametrize(("code", "snippet"), cases(RIGHT))
def test_right(code, snippet):
    """No rule fires on correct code."""
    compile(snippet, code, "exec", dont_inherit=True)
    assert findings(IMPORTS + snippet) == []


@pytest.mark.parametrize(("code", "snippet"), cases(WRONG))
def test_other_peoples_names(code, snippet):
    """What has the names of godefer's functions, and is not from godefer, is nobody's business here."""
    snippet = re.sub(r"\bgodefer\b", "other", snippet)
    source = IMPORTS.replace("from godefer import *", NAMES) + snippet
    ast.parse(source)
    assert findings(source + "\nimport godefer.lint as unrelated\n") == []


@pytest.mark.parametrize(
    ("acquire", "release", "expected"),
    [
        ("x = open('x')", "x.close", "x would stay open"),
        ("x.acquire()", "x.release", "x would stay locked"),
        ("x = tempfile.mkdtemp()", "shutil.rmtree, x", "x would be left behind"),
    ],
)
def test_what_a_gap_leaves(acquire, release, expected):
    """GDF012 says what becomes of the thing: a file stays open, a lock locked, and a directory is left behind."""
    body = f"    {acquire}\n    work()\n    defer({release})\n"
    (problem,) = check_source(
        f"{IMPORTS}import shutil, tempfile\n@with_defers\ndef f(x=None):\n{body}"
    )
    assert problem.code == "GDF012"
    assert f"is reached, and {expected}; put" in problem.message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("@defer\ndef f(): ...", "2:2 GDF002 @defer is used in no function; move it into one"),
        (
            "def g():\n    @godefer.errdefer\n    def f(): ...",
            "3:6 GDF002 @godefer.errdefer is used in g, which is not decorated; put @with_defers on",
        ),
        (
            "@with_defers\ndef g(x):\n    @defer(x)\n    def f(): ...",
            "4:6 GDF001 defer() is called here, and f decorated with what it returns, "
            "which is no function; write @defer above a function that needs no arguments",
        ),
        (
            "@with_defers\ndef g():\n    @defer\n    async def f(): ...",
            "4:6 GDF006 f is async, and g is not, so it would never run; make g `async def`, "
            "or make f a `def` that runs what it awaits by asyncio.run()",
        ),
        (
            "@with_defers\ndef g(xs):\n    for x in xs:\n        @defer\n        def f():\n            x.close()",
            "5:10 GDF004 f reads the loop variable `x` when the loop is over, "
            "so each call sees its last value; make it a parameter: def f(x=x)",
        ),
        (
            "@with_defers\ndef g():\n    return 1\n    @okdefer\n    def f(): ...",
            "5:6 GDF009 @okdefer is never reached, because of the `return` in line 4",
        ),
    ],
)
def test_the_place_and_the_words_for_a_decorator(body, expected):
    """A mistake with `@defer` above a function is found at the decorator."""
    (problem,) = check_source(f"import godefer; from godefer import *\n{body}\n")
    found = f"{problem.line}:{problem.column} {problem.code} {problem.message}"
    assert found.startswith(expected)
