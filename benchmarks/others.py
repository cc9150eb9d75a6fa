"""The work behind figures that are not ratios of calls: decorating, importing, memory, the pool."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import godefer
from benchmarks.group import CACHED, HAND, OPEN, RUNTIME, SCOPE, STACK, nothing, open_coding
from godefer import defer, defer_scope, with_defers
from godefer._compiler.lower import lower
from godefer._compiler.quiet import compile_quietly
from godefer._compiler.sites import Meanings
from godefer._runtime.record import _defer, freedefer, newdefer

try:
    import tracemalloc
except ImportError:  # PyPy has none
    MEMORY = False
else:
    MEMORY = True

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

# A function as in a real program: 17 lines, including the `def`.
_FUNCTION = '''\
def copy(source, target, size=65536):
    """Copy what is in one file to another."""
    src = open(source, "rb")
    defer(src.close)
    dst = open(target, "wb")
    defer(dst.close)
    errdefer(print, "not copied:", source)
    copied = 0
    while True:
        block = src.read(size)
        if not block:
            break
        dst.write(block)
        copied += len(block)
    if not copied:
        raise ValueError(f"{source} is empty")
    return copied
'''
_FILLER = '''\
def filler_{n}(first, second):
    """Add two things, unless the first is none."""
    if first is None:
        return second
    return first + second


'''


def module_of(lines: int, directory: Path) -> ModuleType:
    """Return a module of that many lines, with _FUNCTION in the middle."""
    fillers = [_FILLER.format(n=n) for n in range((lines - 21) // _FILLER.count("\n"))]
    half = len(fillers) // 2
    text = "".join(
        [
            "from godefer import defer, errdefer\n\n\n",
            *fillers[:half],
            _FUNCTION,
            "\n\n",
            *fillers[half:],
        ]
    )
    text += "#\n" * (lines - text.count("\n"))
    path = directory / f"module_of_{lines}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def decorating(module: ModuleType, way: str) -> Callable[[], Any]:
    """Return a run that decorates the module's function as new, or with a warm cache."""
    fn: Any = module.copy
    code = fn.__code__

    def decorate() -> Any:
        fn.__code__ = code.replace()  # decisions are cached by the code's identity
        with open_coding(way != RUNTIME), caching(way == CACHED):
            return with_defers(fn)

    return decorate


@contextmanager
def caching(enabled: bool) -> Iterator[None]:
    """Turn the cache on or off, whatever the environment says."""
    before = os.environ.get("GODEFER_CACHE"), sys.dont_write_bytecode
    os.environ["GODEFER_CACHE"] = "1" if enabled else "0"
    sys.dont_write_bytecode = False
    try:
        yield
    finally:
        sys.dont_write_bytecode = before[1]
        if before[0] is None:
            del os.environ["GODEFER_CACHE"]
        else:
            os.environ["GODEFER_CACHE"] = before[0]


def compiling() -> Callable[[], object]:
    """Return a run of the interpreter's part of the work: parse _FUNCTION, compile it twice."""
    meanings = Meanings({"defer": "defer", "errdefer": "errdefer"}, frozenset(), lambda _: None, 0)
    original, lowered = ast.parse(_FUNCTION), ast.parse(_FUNCTION)
    plan = lower(lowered.body[0], meanings)
    assert not isinstance(plan, str), plan

    def run() -> None:
        compile_quietly(_FUNCTION, "<function>", ast.PyCF_ONLY_AST)
        compile_quietly(original, "<function>", 0)
        compile_quietly(lowered, "<function>", 0)

    return run


def importing(what: str, bytecode: Path) -> Callable[[], object]:
    """Return a run of an interpreter that imports a module, or nothing, with cached bytecode."""
    command = [sys.executable, "-c", f"import {what}" if what else "pass"]
    env = environment(bytecode)
    run = lambda: subprocess.run(command, env=env, check=True)  # noqa: E731
    run()
    return run


def modules_imported(bytecode: Path) -> set[str]:
    """Return the modules that ``import godefer`` loads."""
    program = (
        "import sys; before = set(sys.modules); import godefer; print(*set(sys.modules) - before)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env=environment(bytecode), check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def environment(bytecode: Path) -> dict[str, str]:
    """Return the environment of an interpreter that finds godefer and caches in *bytecode*."""
    found = {**os.environ, "PYTHONPATH": str(Path(godefer.__file__).parent.parent)}
    found["PYTHONPYCACHEPREFIX"] = str(bytecode)
    found.pop("PYTHONDONTWRITEBYTECODE", None)
    return found


def _by_hand(n: int, look: Callable[[], int]) -> int:
    pending: list[Any] = []
    try:
        for _ in range(n):
            pending.append((nothing, None))
        return look()
    finally:
        while pending:
            f, argument = pending.pop()
            f(argument)


def _deferring(n: int, look: Callable[[], int]) -> int:
    for _ in range(n):
        defer(nothing, None)
    return look()


def _stack(n: int, look: Callable[[], int]) -> int:
    with ExitStack() as stack:
        for _ in range(n):
            stack.callback(nothing, None)
        return look()


def _scope(n: int, look: Callable[[], int]) -> int:
    with defer_scope() as scope:
        for _ in range(n):
            scope(nothing, None)
        return look()


def pending() -> dict[str, Callable[[int, Callable[[], int]], int]]:
    """Return functions that defer the given number of calls, and then call something."""
    with open_coding(True):
        open_coded = with_defers(_deferring)
    with open_coding(False):
        runtime = with_defers(_deferring)
    return {HAND: _by_hand, OPEN: open_coded, RUNTIME: runtime, STACK: _stack, SCOPE: _scope}


def bytes_per_call(function: Callable[[int, Callable[[], int]], int], n: int) -> float:
    """Return the bytes for each of *n* pending calls."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        return (function(n, lambda: tracemalloc.get_traced_memory()[0]) - before) / n
    finally:
        tracemalloc.stop()


def pooled(n: int = 8) -> None:
    """Take the nodes for *n* defers from the pool, and give them back."""
    link = None
    for _ in range(n):
        d = newdefer()
        d.fn, d.link = nothing, link
        link = d
    while link is not None:
        d = link
        link = d.link
        freedefer(d)


def fresh(n: int = 8) -> None:
    """Make *n* nodes, and drop them."""
    link = None
    for _ in range(n):
        d = _defer()
        d.fn, d.link = nothing, link
        link = d
    while link is not None:
        d = link
        link = d.link
