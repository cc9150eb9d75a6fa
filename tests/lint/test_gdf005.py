"""GDF005: an argument is evaluated now that was meant for later."""

import pytest

from godefer.lint import check_source
from tests.lint.snippets import IMPORTS, check_names, check_right, check_wrong

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

# The body of a function with an argument `other` of a call that is moved into a lambda, and whether
# the value is certain to be the same at the exit.
MOVED = [
    ("", "other", True),
    ("", "'rows'", True),
    ("", "-1", True),
    ("", "(other, None)", True),
    ("", "other if other else None", False),
    ("", "self.count", False),
    ("", "other[0]", False),
    ("", "other[:]", False),
    ("", "other + other", False),
    ("", "-other", False),
    ("", "not other", False),
    ("", "other == 1", False),
    ("", "other in other", False),
    ("", "[other]", True),
    ("", "{other: 1}", False),
    ("", "{1: other}", False),
    ("", "[*other]", False),
    ("", "f'{other}'", False),
    ("", "[x for x in other]", False),
    ("", "(x for x in other)", False),
    ("", "lambda: other", True),
    ("", "*other", False),
    ("", "SETTING", True),
    ("", "print", True),
    ("global SHARED\n    SHARED = 1", "SHARED", False),
    ("local = 1", "local", True),
    ("local = 1\n    local = 2", "local", False),
    ("local = 1\n    del local", "local", False),
    ("local = 1", "-local + 1", True),
    ("local = 1", "f'{local}: {local + 1}'", True),
    ("local = [1]", "f'{local}'", False),
    ("local = open(other)", "local", True),
    ("for local in other: pass", "local", False),
]


@pytest.mark.parametrize(("first", "argument", "safe"), MOVED)
def test_a_fix_is_safe_if_no_argument_can_change(first, argument, safe):
    """The fix moves the other arguments to the exit: it is safe if they are the same there."""
    source = (
        f"{IMPORTS}SETTING = 1\n@with_defers\ndef f(self, other):\n    {first}\n"
        f"    defer(print, 'done', {argument}, time.time())\n"
    )
    [problem] = check_source(source)
    assert problem.code == CODE
    assert problem.fix.safe is safe


@pytest.mark.parametrize(
    ("call", "safe"),
    [
        ("defer(self.log.info, 'done %s', time.time())", False),
        ("defer(logging.info, 'done %s', time.time())", True),
        ("defer(print, f'done {other.x} {time.time()}')", False),
        ("defer(print, f'done {other!r} {time.time()}')", False),
        ("defer(print, 'done', time.time(), other.x)", False),
        ("defer(print, 'done', time.time() - other)", True),
        ("defer(print, 'done', time.time() - self.start)", False),
        ("defer(print, 'done', time.time() - other[0])", False),
        ("defer(print, 'done', round(time.time() - other, 2))", True),
        ("defer(print, 'done', time.time(), sep=other.x)", False),
        ("defer(print, 'done', time.time(), sep='')", True),
        ("defer(print, 'done', time.time(), **other)", False),
        ("defer(print, 'done', other(time.time()))", False),
        ("defer(print, 'done %s %s' % (other, time.time()))", False),
        ("defer(print, 'done %s' % (time.time(),))", True),
        ("defer(print, f'done {time.time():{other.x}}')", False),
        ("defer(print, f'done {time.time():.2f}')", True),
        ("start = time.time(); defer(print, time.time() - start)", True),
        ("start = time.time(); defer(print, time.time() - start); start = 0", False),
        ("seen = []; defer(print, len(seen)); seen.append(1)", True),
        ("seen = []; defer(print, len(seen)); seen = [1]", False),
        ("seen = []; defer(other.note, len(seen)); seen.append(1)", False),
        ("seen = []; defer(other, len(seen)); seen.append(1)", True),
        ("seen = []; defer(print, ', '.join(seen)); seen.append('')", True),
        ("seen = []; defer(print, other.sep.join(seen)); seen.append('')", False),
        ("n = 0\n    defer(print, f'{n} rows')\n    n = 1", True),
        ("n = 0\n    defer(print, f'{n} rows of', other.x)\n    n = 1", False),
        ("n = 0\n    defer(print, f'{n} rows of', other)\n    n = 1", True),
    ],
)
def test_a_fix_is_safe_if_no_part_can_change(call, safe):
    """The function, and the parts of the argument itself, are evaluated late as well."""
    source = f"{IMPORTS}@with_defers\ndef f(self, other):\n    {call}\n"
    [problem] = check_source(source)
    assert problem.code == CODE
    assert problem.fix.safe is safe


def test_a_caught_exception_is_gone_at_exit():
    """The variable of `except` is deleted at the end of its clause: no fix that reads it is safe.

    A class has no variables that a lambda in it could read.
    """
    caught = (
        f"{IMPORTS}@with_defers\ndef f():\n    try:\n        f()\n    except OSError as error:\n"
        "        defer(print, 'done', error, time.time())\n"
        "class C:\n    x = 1\n    with defer_scope() as later:\n"
        "        later(print, 'done', x, time.time())\n"
    )
    problems = check_source(caught)
    assert [(p.code, p.fix.safe) for p in problems] == [(CODE, False)] * 2


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
