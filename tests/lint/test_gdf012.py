"""GDF012: a statement between acquiring and deferring can raise."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF012"

WRONG = [
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

WRONG += [
    """
@with_defers
def f(path, wanted):
    file = open(path)
    path.stat()
    @defer  #!
    def close():
        file.close()
    other = open(path)
    if not wanted:
        return None
    defer(other.close)  #!
    third = open(path)
    first = json.load(third)
    defer(third.close)  #!
    fourth = open(path)
    path.stat()
    defer(lambda: fourth.close())  #!
import json
""",
]

RIGHT = [
    """
@with_defers
def f(path, wanted, lock):
    file = open(path)
    if file is None:
        return None
    defer(file.close)
    other = open(path)
    if wanted:
        return other
    defer(other.close)
    third = open(path)
    if wanted:
        third.close()
        return None
    defer(third.close)
    fourth = open(path)
    register(fourth)
    defer(fourth.close)
""",
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
    """
@with_defers
def f(path):
    file = open(path)
    @errdefer
    def undo():
        os.unlink(path)
    defer(file.close)
    file2 = open(path)
    @defer
    def close():
        file2.close()
""",
]

WRONG += [
    """
@with_defers
def f(path, names, wanted):
    for name in names:
        file = open(path)
        for part in name:
            if part:
                return None
        defer(file.close)  #!
        other = open(path)
        for part in name:
            wanted += part
        else:
            break
        defer(other.close)  #!
        third = open(path)
        while wanted:
            wanted -= 1
        else:
            if name:
                continue
        defer(third.close)  #!
""",
]
RIGHT += [
    """
@with_defers
def f(path, names):
    found = []
    file = open(path)
    for name in names:
        def by_name(name=name):
            return name
        found += [by_name]
    defer(file.close)
    other = open(path)
    for name in names:
        class Named:
            def get(self):
                return 1
        async def later():
            while True:
                return 2
    defer(other.close)
    third = open(path)
    for name in names:
        for part in name:
            if part:
                break
            continue
    defer(third.close)
    fourth = open(path)
    try:
        async def unused():
            await names
        path.warm()
    except Exception:
        print("cold")
    defer(fourth.close)
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
