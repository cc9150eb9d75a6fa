"""GDF002: the statement is in no function decorated with @with_defers."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF002"

WRONG = [
    """
class C:
    @property
    def size(self):
        defer(print)  #!
    @size.setter
    def size(self, n):
        defer(print)  #!
    def use(self):
        return show(self.size)
""",
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

RIGHT = [
    """
class C:
    @property
    @with_defers
    def size(self):
        defer(print)
    @size.setter
    @with_defers
    def size(self, n):
        defer(print)
""",
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
