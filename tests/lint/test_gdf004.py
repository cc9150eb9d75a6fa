"""GDF004: a deferred function reads a loop variable when the loop is over."""

import pytest

from godefer.lint import _files
from tests.lint.snippets import IMPORTS, check_names, check_right, check_wrong

CODE = "GDF004"

WRONG = [
    """
@with_defers
def f(paths):
    for path in paths:
        for part in path:
            if part:
                break
        def skip(parts):
            for part in parts:
                continue
        defer(lambda: print(path))  #!
""",
    """
@with_defers
def f(pairs, ns):
    for a, b in pairs:
        defer(lambda: a.move(b))  #!
        defer(lambda x: ns.close(x, a), 3)  #!
""",
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

RIGHT = [
    """
class C:
    def note(self): ...
    @with_defers
    def f(self, files):
        for file in files:
            defer(self.note)
        for file in files:
            with defer_scope() as later:
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


# A call in a lambda, and the statement that the fix writes.
PASSED = [
    ("print(file)", "defer(print, file)"),
    ("file.close()", "defer(file.close)"),
    ("cb(file)", "defer(cb, file)"),
    ("cb.go(file)", "defer(cb.go, file)"),
    ("self.note(file)", "defer(self.note, file)"),
    ("later_on(file)", "defer(later_on, file)"),
    # Here the function at the exit may be another, or there is none yet.
    ("self.cb(file)", "defer(lambda file: self.cb(file), file)"),
    ("local(file)", "defer(lambda file: local(file), file)"),
    ("cb(file, self.x)", "defer(lambda file: cb(file, self.x), file)"),
]


@pytest.mark.parametrize(("call", "expected"), PASSED)
def test_the_fix_reads_nothing_else_earlier(call, expected):
    """The loop variable is passed now, and what may change is still read at exit."""
    source = (
        f"{IMPORTS}class C:\n    @with_defers\n    def f(self, files, cb):\n"
        f"        for file in files:\n            defer(lambda: {call})\n"
        "        self.cb = 3\n        def local(file): ...\ndef later_on(file): ...\n"
    )
    result, count = _files.fix_source(source.encode(), "x.py", _files.Selection([CODE]))
    assert count == 1
    assert expected in [line.strip() for line in result.decode().splitlines()]
