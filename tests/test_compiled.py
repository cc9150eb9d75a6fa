"""Functions compiled by Cython, mypyc and Nuitka are refused, and never taken for a body (A, D3).

Each tool compiles `SOURCE` for real, once a session.
"""

import asyncio
import contextlib
import functools
import importlib.util
import inspect
import os
import subprocess
import sys

import pytest

from godefer import DeferError, defer, recover, with_defers

SOURCE = """
from typing import Any, AsyncIterator, Callable, Iterator
from godefer import defer, defer_scope, errdefer, using, with_defers


def plain(log: list[Any]) -> None:
    log.append("begins")
    defer(log.append, "deferred by compiled code")
    log.append("attached")


def failing(log: list[Any]) -> None:
    errdefer(log.append, "deferred by compiled code")
    log.append("attached")


def entering(log: list[Any], cm: Any) -> None:
    using(cm)
    log.append("attached")


def generator(log: list[Any]) -> Iterator[int]:
    defer(log.append, "deferred by compiled code")
    log.append("attached")
    yield 1


async def coroutine(log: list[Any]) -> None:
    defer(log.append, "deferred by compiled code")
    log.append("attached")


class Plain:
    def method(self, log: list[Any]) -> None:
        defer(log.append, "deferred by compiled code")
        log.append("attached")

    @staticmethod
    def static(log: list[Any]) -> None:
        defer(log.append, "deferred by compiled code")
        log.append("attached")

    @classmethod
    def of_class(cls, log: list[Any]) -> None:
        defer(log.append, "deferred by compiled code")
        log.append("attached")

    def __call__(self, log: list[Any]) -> None:
        defer(log.append, "deferred by compiled code")
        log.append("attached")


def nested() -> Any:
    prefix = "deferred by compiled code"

    def inner(log: list[Any]) -> None:
        defer(log.append, prefix)
        log.append("attached")

    return inner


def decorating() -> Any:
    @with_defers
    def inner(log: list[Any]) -> None:
        defer(log.append, "deferred by compiled code")

    return inner


def calling(log: list[Any], fn: Any) -> Any:
    return fn(log)


def in_a_scope(log: list[Any], error: Any, fn: Any) -> str:
    with defer_scope() as defer:
        defer(log.append, 1)
        if fn is not None:
            defer(fn)
        defer.err(log.append, "err")
        defer.ok(log.append, "ok")
        if error is not None:
            raise error
        return "result"
    return "recovered"


async def in_an_async_scope(log: list[Any], sleep: Any) -> str:
    async with defer_scope() as defer:
        defer(log.append, 1)
        defer(sleep, 0)
        defer(log.append, 2)
    return "result"
"""

# The optimizer takes most of the time, and changes nothing here.
ENVIRONMENT = {**os.environ, "CFLAGS": "-O0 -g0", "MYPYC_OPT_LEVEL": "0", "MYPYC_DEBUG_LEVEL": "0"}
TOOLS = {
    "Cython": ["Cython.Build.Cythonize", "--inplace", "-3"],
    "mypyc": ["mypyc", "--follow-imports=skip", "--allow-untyped-decorators"],
    "nuitka": ["nuitka", "--module", "--no-pyi-file", "--remove-output", "--lto=no"],
}


@pytest.fixture(scope="session", params=TOOLS)
def module(request, tmp_path_factory):
    """Compile `SOURCE` by one of the tools."""
    for name in (request.param, "setuptools"):
        pytest.importorskip(name, reason=f"{name} is not installed (the extra 'compiled' has it)")
    name = f"compiled_by_{request.param.lower()}"
    directory = tmp_path_factory.mktemp(name)
    path = directory / f"{name}.py"
    path.write_text(SOURCE)
    done = subprocess.run(
        [sys.executable, "-m", *TOOLS[request.param], path.name],
        cwd=directory,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    path.unlink()
    [built] = [
        p
        for p in directory.iterdir()
        if p.name.startswith(f"{name}.") and p.suffix in {".so", ".pyd"}
    ]
    spec = importlib.util.spec_from_file_location(name, built)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


def hidden(fn):
    @functools.wraps(fn)
    def around(*args):
        return fn(*args)

    return around


class Calling:
    """An object with a compiled function as its call."""

    def __init__(self, module):
        type(self).__call__ = module.nested()


KINDS = {
    "function": lambda m: m.plain,
    "generator function": lambda m: m.generator,
    "coroutine function": lambda m: m.coroutine,
    "closure": lambda m: m.nested(),
    "method in the class": lambda m: m.Plain.method,
    "bound method": lambda m: m.Plain().method,
    "static method": lambda m: m.Plain.static,
    "staticmethod object": lambda m: inspect.getattr_static(m.Plain, "static"),
    "class method": lambda m: m.Plain.of_class,
    "classmethod object": lambda m: inspect.getattr_static(m.Plain, "of_class"),
    "object with a __call__": lambda m: m.Plain(),
    "__call__": lambda m: m.Plain().__call__,
    "Python object with a compiled __call__": Calling,
    "property": lambda m: property(m.plain),
    "cached_property": lambda m: functools.cached_property(m.plain),
    "partial": lambda m: functools.partial(m.plain, []),
    "partialmethod": lambda m: functools.partialmethod(m.plain, []),
    "under a decorator": lambda m: hidden(m.plain),
    "under two": lambda m: hidden(functools.lru_cache(m.plain)),
    "under lru_cache": lambda m: functools.lru_cache(hidden(m.plain)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_refused_at_decoration(module, kind):
    """A compiled function, in whatever object, is a TypeError at decoration
    that recommends a scope (A).
    """
    thing = KINDS[kind](module)
    with pytest.raises(
        TypeError, match=r"has none: it is built in, or compiled.*`with defer_scope\(\) as defer:`"
    ):
        with_defers(thing)


@pytest.mark.parametrize("result", ["x", ("x", "y")])
def test_refused_with_named_results(module, result):
    """With named results it is the same TypeError (A, N)."""
    with pytest.raises(
        TypeError, match="with_defers takes a function with a Python body, and plain has none"
    ):
        with_defers(result=result)(module.plain)


def test_refused_inside_of_the_compiled_module(module):
    """`@with_defers` in the compiled source itself is that error as well (A)."""
    with pytest.raises(TypeError, match="with_defers takes a function with a Python body"):
        module.decorating()


def test_a_python_function_may_have_a_compiled_one_for_its_name(module, way):
    """A decorated Python function with `functools.wraps` of a compiled function may call that,
    and has its own deferred calls (A).
    """
    log = []

    @way
    @functools.wraps(module.in_a_scope)
    def around(*args):
        defer(log.append, "after")
        return module.in_a_scope(log, None, *args)

    assert around(None) == "result"
    assert log == ["ok", 1, "after"]


CALLS = {
    "function": lambda m, log: m.plain(log),
    "errdefer": lambda m, log: m.failing(log),
    "using": lambda m, log: m.entering(log, contextlib.nullcontext()),
    "generator": lambda m, log: list(m.generator(log)),
    "coroutine": lambda m, log: drive(m.coroutine(log)),
    "closure": lambda m, log: m.nested()(log),
    "method": lambda m, log: m.Plain().method(log),
    "static method": lambda m, log: m.Plain.static(log),
    "class method": lambda m, log: m.Plain.of_class(log),
    "object": lambda m, log: m.Plain()(log),
    "compiled code in between": lambda m, log: m.calling(log, m.plain),
    "builtin code in between": lambda m, log: list(map(m.plain, [log])),
}


def drive(coroutine):
    with contextlib.suppress(StopIteration):
        coroutine.send(None)


def test_called_directly_in_a_decorated_function(module, way):
    """The `defer` of a compiled function is a DeferError, and attaches to no Python caller (D3)."""
    log = []

    @way
    def f():
        defer(log.append, "of f")
        module.plain(log)

    with pytest.raises(DeferError) as caught:
        f()
    assert log == ["begins", "of f"]
    message = str(caught.value)
    assert message.startswith("defer() was called in ")
    assert "compiled code" in message
    assert "`with defer_scope() as defer:`" in message


def test_called_in_other_ways(module, way):
    """`errdefer` and `using` are DeferErrors too, however the compiled function is called (D3)."""
    log, plain = [], module.plain

    bodies = []

    @bodies.append
    def deref():
        defer(log.append, "own")
        plain(log)

    @bodies.append
    def errdefers():
        defer(log.append, "own")
        module.failing(log)

    @bodies.append
    def enters():
        defer(log.append, "own")
        module.entering(log, contextlib.nullcontext())

    @bodies.append
    def method():
        defer(log.append, "own")
        thing = module.Plain()
        thing.method(log)

    @bodies.append
    def chained():
        defer(log.append, "own")
        module.Plain().method(log)

    @bodies.append
    def static():
        defer(log.append, "own")
        module.Plain.static(log)

    @bodies.append
    def called_object():
        defer(log.append, "own")
        module.Plain()(log)

    @bodies.append
    def closure():
        defer(log.append, "own")
        module.nested()(log)

    @bodies.append
    def from_a_list():
        defer(log.append, "own")
        [print, plain][1](log)

    @bodies.append
    def by_condition():
        defer(log.append, "own")
        (plain if log is not None else print)(log)

    @bodies.append
    def through_compiled_code():
        defer(log.append, "own")
        module.calling(log, plain)

    @bodies.append
    def through_builtin_code():
        defer(log.append, "own")
        list(map(plain, [log]))

    @bodies.append
    def in_a_loop():
        defer(log.append, "own")
        for _ in map(plain, [log]):
            pass

    @bodies.append
    def iterating():
        defer(log.append, "own")
        for _ in module.generator(log):
            pass

    @bodies.append
    def in_a_comprehension():
        defer(log.append, "own")
        [plain(log) for _ in range(1)]

    @bodies.append
    def with_a_keyword():
        defer(log.append, "own")
        plain(log=log)

    @bodies.append
    def with_stars():
        defer(log.append, "own")
        plain(*[log])

    @bodies.append
    def partially():
        defer(log.append, "own")
        functools.partial(plain, log)()

    @bodies.append
    def as_an_argument():
        defer(log.append, "own")
        defer(print, plain(log))

    for body in bodies:
        log.clear()
        with pytest.raises(DeferError, match="compiled code"):
            way(body)()
        assert [entry for entry in log if entry != "begins"] == ["own"], body


@pytest.mark.parametrize("kind", ["generator", "coroutine", "async generator"])
def test_in_functions_that_suspend(module, way, kind):
    """Generators, coroutines and async generators take no `defer` of compiled code either (D3)."""
    log = []

    @way
    def generator():
        defer(log.append, "own")
        yield
        module.plain(log)

    @way
    async def coroutine():
        defer(log.append, "own")
        await asyncio.sleep(0)
        module.plain(log)

    @way
    async def async_generator():
        defer(log.append, "own")
        yield
        module.plain(log)

    async def main():
        async for _ in async_generator():
            pass

    with pytest.raises(DeferError, match="compiled code"):
        if kind == "generator":
            list(generator())
        else:
            asyncio.run(coroutine() if kind == "coroutine" else main())
    assert log == ["begins", "own"]


def test_a_compiled_coroutine(module, way):
    """An awaited compiled coroutine attaches nothing to the coroutine that awaits it (D3)."""
    log = []

    @way
    async def f():
        defer(log.append, "own")
        await module.coroutine(log)

    with pytest.raises(DeferError, match=r"compiled code|is used in"):
        asyncio.run(f())
    assert log == ["own"]


@pytest.mark.parametrize("call", CALLS)
def test_called_in_an_undecorated_function(module, call):
    """Where nothing is decorated, the error names compiled code as its place, not
    the Python function (D3).
    """
    log = []
    with pytest.raises(DeferError, match=r"\(\) was called in .* by compiled code"):
        CALLS[call](module, log)
    assert "attached" not in log


def test_a_body_without_any_statement(module):
    """A decorated function without a `defer` does not get the calls of compiled code (D3)."""
    log = []

    @with_defers
    def f():
        module.plain(log)

    with pytest.raises(DeferError, match="compiled code"):
        f()
    assert log == ["begins"]


def test_a_deferred_compiled_function(module, way):
    """A compiled function can be deferred; its own `defer` is an error, as in any helper (D3)."""
    log = []

    @way
    def f():
        defer(module.in_a_scope, log, None, None)
        defer(module.plain, log)
        defer(log.append, "body")

    with pytest.raises(DeferError):
        f()
    assert log == ["body", "begins", "ok", 1]


@pytest.mark.parametrize("where", ["a Python function", "a thread without Python code"])
def test_a_scope_works(module, where):
    """`defer_scope` works in compiled code: on return, on an exception, and
    where a call recovers (S).
    """
    log, error = [], LookupError("block")

    def recovers():
        log.append(recover())

    def run():
        assert module.in_a_scope(log, None, None) == "result"
        assert module.in_a_scope(log, error, recovers) == "recovered"
        with pytest.raises(LookupError) as caught:
            module.in_a_scope(log, error, None)
        assert caught.value is error

    if where == "a Python function":
        run()
    else:
        import _thread

        ended, problems = _thread.allocate_lock(), []
        hook, sys.unraisablehook = sys.unraisablehook, problems.append
        try:
            _thread.start_new_thread(module.in_a_scope, (log, None, ended.release))
            ended.acquire()
            assert ended.acquire(timeout=10)
            while len(log) < 2:  # the calls behind it
                pass
        finally:
            sys.unraisablehook = hook
        assert problems == []
        assert log == ["ok", 1]
        return
    assert log == ["ok", 1, "err", error, 1, "err", 1]


def test_an_async_scope_works(module):
    """`async with defer_scope()` works in compiled code, too (S)."""
    log = []
    assert asyncio.run(module.in_an_async_scope(log, asyncio.sleep)) == "result"
    assert log == [2, 1]
