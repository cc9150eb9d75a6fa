"""GDF005: an argument is evaluated now that was meant for later."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF005"

WRONG = [
    """
import traceback
from collections import deque
log = logging.getLogger()
@with_defers
def f(rows):
    start = time.monotonic()
    n = 3
    defer(log.info, f"{time.monotonic() - start:.2f}")  #!
    count = 0
    result = None
    defer(print, "count:", count)  #!
    defer(log.info, "result %s", result)  #!
    defer(print, f"{count} rows")  #!
    seen = deque()
    defer(print, f"rows {seen}")  #!
    defer(print, ", ".join(seen))  #!
    defer(print, sorted(seen))  #!
    defer(print, "lost:", recover())  #!
    errdefer(log.error, traceback.format_exc())  #!
    for r in rows:
        count += 1
    result = count
    return result
""",
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

RIGHT = [
    """
class C:
    @with_defers
    def note(self):
        defer(print, "lost", recover())
    @with_defers
    def run(self):
        defer(self.note)
        return 1
@with_defers
def note():
    defer(print, "lost", recover())
""",
    """
@with_defers
def f(rows, name=None):
    count = 0
    defer(print, count)
    total = 0
    defer(print, "total at first:", total)
    rows_ = []
    defer(print, "rows:", rows_)
    state = "new"
    defer(print, "state was", state)
    count += 1
    state = "old"
    for row in rows:
        seen = None
        defer(print, "seen:", seen)
        seen = row
@with_defers
def on_error():
    defer(print, "lost:", recover())
""",
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
