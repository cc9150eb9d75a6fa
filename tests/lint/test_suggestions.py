"""Suggestions work: the tests apply each fix to generated code, run the code, and compare."""

import ast
import asyncio
import functools
import importlib
import linecache
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import godefer
from godefer.lint import RULES, _files, check_source
from tests.lint.snippets import IMPORTS

ALL = _files.Selection()


class Recorder:
    """An object that records the calls of its methods."""

    def __init__(self):
        self.log = []

    def note(self, *args, **kwargs):
        self.log.append((args, kwargs))

    close = stop = note

    async def anote(self, *args, **kwargs):
        await asyncio.sleep(0)
        self.note(*args, **kwargs)

    aclose = anote


def fixed(source, code):
    """Return the source with all fixes of the rule applied; there must be some."""
    found = [problem for problem in check_source(source) if problem.code == code]
    assert found, source
    assert all(problem.fix is not None for problem in found), source
    result, count = _files.fix_source(
        source.encode(), "x.py", _files.Selection([code]), unsafe=True
    )
    assert count >= len(found)
    return result.decode()


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def run(source, name="f", **names):
    """Execute the source and call its function; return the recorded calls."""
    recorder, clock = Recorder(), Clock()

    def tick():
        clock.now += 5.0
        recorder.note("body")

    namespace = {
        "rec": recorder.note,
        "obj": recorder,
        "arec": recorder.anote,
        "partial": functools.partial,
        "tick": tick,
        "done": lambda: recorder.note("after"),
        "__name__": "generated",
        **names,
    }
    with mock.patch.object(time, "process_time", clock):
        # Functions with named results are compiled from their source.
        linecache.cache["generated.py"] = (
            len(source),
            None,
            source.splitlines(True),
            "generated.py",
        )
        exec(compile(source, "generated.py", "exec", dont_inherit=True), namespace)
        result = namespace[name](obj=recorder, flag=True, x=3, pair=(7, 8))
        if asyncio.iscoroutine(result):
            asyncio.run(result)
    return recorder.log


def recorded(arguments):
    """Return the evaluated arguments of a call with the source *arguments*."""
    recorder = Recorder()
    names = {
        "rec": recorder.note,
        "x": 3,
        "pair": (7, 8),
        "flag": True,
        "partial": functools.partial,
    }
    exec(f"rec({arguments})", names)
    return recorder.log[0]


HEAD = (
    "import asyncio, functools, threading, time\n"
    "from functools import partial\nfrom godefer import *\n"
)
SIGNATURE = "obj, flag, x, pair"

# Sources of arguments, with operators of every precedence.
VALUES = st.sampled_from(
    [
        "1",
        "x",
        "x or flag",
        "x if flag else pair",
        "not x",
        "-x + 2 * x",
        "'a' \"b\"",
        '"it\'s"',
        "b'\\x00'",
        "f'{x!r}: {pair}'",
        "(x, 1)",
        "[n for n in pair]",
        "{'k': x}",
        "(lambda q: q + 1)(2)",
        "x == 3",
        "pair[0]",
        "None",
        "'''two\nlines'''",
        "(1 if flag else 2) + 1",
        "sum(n for n in pair)",
    ]
)
KEYWORDS = st.dictionaries(st.sampled_from(["key", "other", "sep"]), VALUES, max_size=2)


@st.composite
def arguments(draw, stars=True):
    """Draw the sources of some positional arguments, and of some keyword arguments."""
    values = draw(st.lists(VALUES, max_size=3))
    if stars and draw(st.booleans()):
        values.insert(draw(st.integers(0, len(values))), "*pair")
    return values, [f"{name}={value}" for name, value in draw(KEYWORDS).items()]


def joined(*parts):
    return ", ".join(part for part in parts if part)


@given(arguments(), arguments(), st.sampled_from(["defer", "okdefer", "gd.defer"]))
@settings(deadline=None, max_examples=60)
def test_called_not_passed(inner, outer, statement):
    """(GDF001) The function and its arguments are passed, and called once, at exit."""
    keywords = {part.partition("=")[0] for part in inner[1]}
    outer = outer[0], [part for part in outer[1] if part.partition("=")[0] not in keywords]
    call = joined(*inner[0], *inner[1])
    rest = joined(*outer[0], *outer[1])
    source = (
        f"import godefer as gd\n{HEAD}@with_defers\ndef f({SIGNATURE}):\n"
        f"    {statement}({joined(f'obj.close({call})', rest)})\n    tick()\n"
    )
    expected = recorded(joined(*inner[0], *outer[0], *inner[1], *outer[1]))
    assert run(fixed(source, "GDF001")) == [(("body",), {}), expected]


@given(arguments())
@settings(deadline=None, max_examples=30)
def test_awaited_not_passed(inner):
    """(GDF001) `defer(await f())` becomes `defer(f)`."""
    call = joined(*inner[0], *inner[1])
    source = (
        f"{HEAD}@with_defers\nasync def f({SIGNATURE}):\n"
        f"    defer(await obj.aclose({call}))\n    tick()\n"
    )
    assert run(fixed(source, "GDF001")) == [(("body",), {}), recorded(call)]


CALLEES = st.sampled_from(
    [
        "obj.note",
        "flag and obj.note",
        "obj.note if flag else print",
        "lambda *a, **k: obj.note(*a, **k)",
        "[obj.note][0]",
        "partial(obj.note)",
        "getattr(obj, 'note')",
        "None or obj.note",
    ]
)
ELAPSED = st.sampled_from(
    [
        ("time.process_time() - start", 5.0),
        ("round(time.process_time() - start)", 5),
        ("f'{time.process_time() - start:.1f}'", "5.0"),
        ("-(time.process_time() - start)", -5.0),
        ("[time.process_time() - start]", [5.0]),
    ]
)


@given(CALLEES, ELAPSED, arguments(), st.booleans())
@settings(deadline=None, max_examples=80)
def test_evaluated_late(callee, elapsed, other, as_keyword):
    """(GDF005) The argument is evaluated when the call runs, for each form of callee."""
    code, value = elapsed
    own = [f"took={code}"] if as_keyword else [code]
    parts = [*other[0], *([] if as_keyword else own), *other[1], *(own if as_keyword else [])]
    source = (
        f"{HEAD}@with_defers\ndef f({SIGNATURE}):\n    start = time.process_time()\n"
        f"    defer({joined(callee, *parts)})\n    tick()\n"
    )
    args, kwargs = recorded(joined(*other[0], *other[1]))
    expected = (args, {**kwargs, "took": value}) if as_keyword else ((*args, value), kwargs)
    assert run(fixed(source, "GDF005")) == [(("body",), {}), expected]


LAMBDAS = st.sampled_from(
    [
        ("lambda: obj.note(n)", ""),
        ("lambda: obj.note(n, x)", ""),
        ("lambda: obj.note(n, m)", ""),
        ("lambda: obj.note(n + m, [m])", ""),
        ("lambda: (obj.note if n else None)(n)", ""),
        ("lambda: [obj.note(n) for _ in 'a']", ""),
        ("lambda: obj.note(*pair, k=n)", ""),
        ("lambda: obj.note(x, n) or obj.note(m)", ""),
        ("lambda y: obj.note(y, n)", "3"),
        ("lambda y=1: obj.note(y, n)", ""),
        ("lambda y, /, z=2: obj.note(y, z, n)", "x"),
        ("lambda *ys: obj.note(*ys, n)", "x, 1"),
        ("lambda *, k: obj.note(k, n)", "k=x"),
        ("lambda **kw: obj.note(kw, n)", "a=1"),
        ("lambda y: (lambda: obj.note(y, n))()", "4"),
    ]
)


@given(LAMBDAS, st.sampled_from(["defer", "okdefer"]))
@settings(deadline=None, max_examples=60)
def test_loop_variables_are_passed(function, statement):
    """(GDF004) The call of each turn gets the variables of its turn, and the same arguments."""
    code, given_arguments = function
    turns = [(1, 2), (3, 4), (5, 6)]
    source = (
        f"{HEAD}@with_defers\ndef f({SIGNATURE}):\n    for n, m in {turns}:\n"
        f"        {statement}({joined(code, given_arguments)})\n    n = m = 0\n    tick()\n"
    ).replace("    n = m = 0\n", "")
    expected = Recorder()
    for n, m in reversed(turns):
        names = {"obj": expected, "n": n, "m": m, "x": 3, "pair": (7, 8)}
        exec(f"({code})({given_arguments})", names)
    assert run(fixed(source, "GDF004")) == [(("body",), {}), *expected.log]


@given(
    arguments(),
    st.sampled_from(["plain", "partial", "lambda"]),
    st.sampled_from(["defer", "okdefer"]),
)
@settings(deadline=None, max_examples=60)
def test_async_functions_are_run(given_arguments, form, statement):
    """(GDF006) The coroutine is made at exit with the given arguments, and runs."""
    call = joined(*given_arguments[0], *given_arguments[1])
    deferred = {
        "plain": joined("aclose", call),
        "partial": f"partial({joined('aclose', call)})",
        "lambda": f"lambda: aclose({call})",
    }[form]
    source = (
        f"{HEAD}async def aclose(*args, **kwargs):\n    rec(*args, **kwargs)\n"
        f"@with_defers\ndef f({SIGNATURE}):\n    {statement}({deferred})\n    tick()\n"
    )
    assert run(fixed(source, "GDF006")) == [(("body",), {}), recorded(call)]


def test_no_coroutine_is_made_that_never_runs():
    """(GDF006) The fixed `errdefer` makes no coroutine if the function returns."""
    source = (
        f"{HEAD}async def aclose(n):\n    rec(n)\n"
        f"@with_defers\ndef f({SIGNATURE}):\n    errdefer(aclose, 3)\n    tick()\n"
    )
    assert run(fixed(source, "GDF006")) == [(("body",), {})]


@given(arguments())
@settings(deadline=None, max_examples=30)
def test_generators_are_iterated(given_arguments):
    """(GDF015) The generator's body runs at exit, with the arguments."""
    call = joined(*given_arguments[0], *given_arguments[1])
    for deferred in (joined("steps", call), f"lambda: steps({call})"):
        source = (
            f"{HEAD}def steps(*args, **kwargs):\n    yield rec(*args, **kwargs)\n"
            f"@with_defers\ndef f({SIGNATURE}):\n    defer({deferred})\n    tick()\n"
        )
        assert run(fixed(source, "GDF015")) == [(("body",), {}), recorded(call)]


@given(arguments())
@settings(deadline=None, max_examples=30)
def test_context_managers_are_entered(given_arguments):
    """(GDF020) The context manager is entered now, and left at exit."""
    call = joined(*given_arguments[0], *given_arguments[1])
    source = (
        f"import contextlib\n{HEAD}@contextlib.contextmanager\ndef opened(*args, **kwargs):\n"
        "    rec('enter', *args, **kwargs)\n    yield\n    rec('exit')\n"
        f"@with_defers\ndef f({SIGNATURE}):\n    defer({joined('opened', call)})\n    tick()\n"
    )
    args, kwargs = recorded(call)
    entered = (("enter", *args), kwargs)
    assert run(fixed(source, "GDF020")) == [entered, (("body",), {}), (("exit",), {})]


ONE_EACH = [
    (
        "GDF007",
        """\
@with_defers
def f(**_):
    okdefer(rec, 'after')
    defer(recover)
    tick()
    int('x')
    return 1
""",
    ),
    (
        "GDF008",
        """\
@with_defers
def f(**_):
    lock.acquire()
    defer(lock.acquire)
    okdefer(lambda: rec('after'))
    tick()
""",
    ),
    (
        "GDF011",
        """\
@with_defers
def f(**_):
    tick()
    done()
""",
    ),
    (
        "GDF014",
        '''\
@with_defers(result="err")
def g():
    """Doc."""
    err = None
    def handle():
        err = recover()
    defer(handle)
    int("x")
def f(**_):
    tick()
    assert isinstance(g(), ValueError)
    rec("after")
''',
    ),
    (
        "GDF018",
        """\
def deco(fn):
    def inner(**kw):
        return fn(**kw)
    return inner
@with_defers
@deco
def f(**_):
    defer(rec, 'after')
    tick()
""",
    ),
    (
        "GDF021",
        """\
@with_defers
def f(**_):
    mine = threading.Lock()
    mine.acquire()
    okdefer(rec, 'after')
    defer(mine)
    tick()
""",
    ),
    (
        "GDF022",
        """\
@with_defers
def f(obj, **_):
    defer(lambda: partial(obj.close, 'after'))
    tick()
""",
    ),
    (
        "GDF022",
        """\
@with_defers
def f(obj, **_):
    defer(lambda name: lambda: obj.close(name), 'after')
    tick()
""",
    ),
    (
        "GDF016",
        """\
@with_defers
async def f(**_):
    tasks = {}
    tasks[1] = asyncio.create_task(arec('after'))
    defer(tasks.pop, 1)
    tick()
""",
    ),
    (
        "GDF017",
        """\
def f(**_):
    with defer_scope() as later:
        later(rec, 'after')
        tick()
        later.detach()
""",
    ),
]


@pytest.mark.parametrize(("code", "body"), ONE_EACH)
def test_other_fixes(code, body):
    """The fixed function does its work, and then the clean-up."""
    source = fixed(HEAD + body, code)
    assert run(source, lock=threading.Lock()) == [(("body",), {}), (("after",), {})]


AWAITED = [
    "    conn = ausing(cm())\n    conn.note('body')\n",
    "    ausing(cm()).note('body')\n",
    "    return ausing(cm())\n",
    "    await use(ausing(cm()))\n",
    "    using(cm())\n",
    "    conn = using(cm())\n    conn.note('body')\n",
]


@pytest.mark.parametrize("body", AWAITED)
def test_ausing_is_awaited(body):
    """(GDF010) The context manager is entered, and left at exit."""
    source = (
        f"import contextlib\n{HEAD}@contextlib.asynccontextmanager\nasync def cm():\n"
        "    rec('enter')\n    yield obj\n    rec('exit')\n"
        "async def use(conn):\n    conn.note('body')\n"
        f"@with_defers\nasync def g(obj):\n{body}"
        "async def f(obj, **_):\n    globals()['obj'] = obj\n    await g(obj)\n"
    )
    log = [args[0] for args, _ in run(fixed(source, "GDF010"))]
    assert [log[0], log[-1]] == ["enter", "exit"]
    assert set(log[1:-1]) <= {"body"}


def wrong_snippets():
    for code in RULES:
        module = importlib.import_module(f"tests.lint.test_{code.lower()}")
        for number, snippet in enumerate(module.WRONG, 1):
            yield pytest.param(code, snippet, id=f"{code}-{number}")


@pytest.mark.parametrize(("code", "snippet"), list(wrong_snippets()))
def test_fixes_compile_and_settle(code, snippet):
    """Each fixed snippet compiles, and has no problem left that can be fixed."""
    source = IMPORTS + snippet
    before = [p for p in check_source(source) if p.fix is not None]
    result, count = _files.fix_source(source.encode(), "x.py", ALL, unsafe=True)
    assert count >= bool(before)
    compile(result, code, "exec", dont_inherit=True)
    left = [p for p in check_source(result) if p.fix is not None]
    assert left == []


@pytest.mark.parametrize(("code", "snippet"), list(wrong_snippets()))
def test_quoted_code_is_code(code, snippet):
    """The code after "write" in a message is valid Python."""
    for problem in check_source(IMPORTS + snippet):
        before, word, rest = problem.message.rpartition("; write ")
        if (
            not word
            or "…" in rest
            or rest.startswith(("`", "nonlocal", "the function", "@", "using()"))
        ):
            continue
        ends = [
            len(rest),
            *(rest.find(end) for end in (", or ", ", in an ", ", which ") if end in rest),
        ]
        assert any(parses(rest[:end]) for end in ends), problem.message


def parses(code):
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def test_the_tree_is_the_one_under_test():
    """The checker is from the same tree as the library that runs the fixed code."""
    assert Path(godefer.__file__).parent == Path(_files.__file__).parent.parent
