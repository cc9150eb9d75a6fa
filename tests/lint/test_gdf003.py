"""GDF003: a resource per turn of a loop, kept until the function exits."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF003"

WRONG = [
    """
import json, socket, urllib.request
@with_defers
def f(paths, lock, urls, hosts):
    for p in paths:
        c = sqlite3.connect(p)
        defer(c.close)  #!
        print(c.execute("x").fetchall())
    for u in urls:
        r = using(urllib.request.urlopen(u))  #!
        process(r.read())
    for u in urls:
        lock.acquire()
        defer(lock.release)  #!
        print(u)
    for p in paths:
        using(open(p))  #!
    for p in paths:
        print(json.load(using(open(p))))  #!
    for p in paths:
        f = open(p)
        defer(f.close)  #!
        process(f)
    for p in paths:
        using(lock)  #!
    for h in hosts:
        s = socket.create_connection(h)
        defer(s.close)  #!
        s.sendall(b"x")
        print(s.recv(3))
@with_defers
def server(sock):
    while True:
        conn, addr = sock.accept()
        defer(conn.close)  #!
        handle(conn)
def scoped(paths):
    with defer_scope() as defer:
        for p in paths:
            f = open(p)
            defer(f.close)  #!
            f.read()
@with_defers
def comprehended(paths):
    return [using(open(p)).read() for p in paths]  #!
""",
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

RIGHT = [
    """
import json, socket
@with_defers
def f(paths, accounts, hosts, ports):
    for account in accounts:
        account.lock.acquire()
        defer(account.lock.release)
    files = [using(open(p)) for p in paths]
    conns = []
    for h in hosts:
        s = socket.create_connection(h)
        defer(s.close)
        conns.append(s)
    for port in ports:
        s2 = socket.socket()
        defer(s2.close)
        s2.bind(port)
    readers = []
    for p in paths:
        f = open(p)
        defer(f.close)
        register(f)
    while True:
        conn = connect()
        defer(conn.close)
        if conn.ok:
            return conn.read()
@with_defers
def retry(connect):
    while True:
        try:
            conn = connect()
            defer(conn.close)
            return conn.read()
        except OSError:
            time.sleep(1)
@with_defers
def once(q):
    started = False
    while True:
        if not started:
            defer(print)
            started = True
        q.get()
def handed(scope, paths):
    for p in paths:
        f = open(p)
        scope(f.close)
        f.read()
def inside(paths):
    while True:
        with defer_scope() as defer:
            f = open(paths.get())
            defer(f.close)
            f.read()
""",
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


WRONG += [
    """
@with_defers
def f(names):
    lock = threading.Lock()
    for name in names:
        lock.acquire()
        @defer  #!
        def unlock(lock=lock):
            lock.release()
        print(name)
""",
]
RIGHT += [
    """
@with_defers
def f(names):
    lock = threading.Lock()
    for name in names:
        lock.acquire()
        @errdefer
        def unlock(lock=lock):
            lock.release()
        print(name)
        lock.release()
""",
    """
@with_defers
def f(names):
    lock = threading.Lock()
    for name in names:
        lock.acquire()
        errdefer(lock.release)
        print(name)
        lock.release()
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
