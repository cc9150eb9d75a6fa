"""Time programs from start to end, with functions that are decorated or written by hand.

A program is a folder with modules, and a main program that imports them. It calls no function. The
measured time is that of the whole process, including the start of the interpreter. The programs of
a size take turns. The `.pyc` files always exist, so warm and cold differ only in godefer's cache:

- *by hand*: the functions have nested `try`/`finally`, and godefer is not imported;
- *warm cache*: the functions are decorated, and all of them are in the cache;
- *cold cache*: no function is in the cache, so all are compiled and written to it;
- *no cache*: GODEFER_CACHE=0.

The times of single decorations are from programs that time each decoration themselves.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks import others
from benchmarks.group import HAND, OPEN, RUNTIME, nothing, open_coding
from godefer import defer, with_defers

if TYPE_CHECKING:
    from collections.abc import Callable

WARM, COLD, OFF = "warm cache", "cold cache", "no cache"
WAYS = (HAND, WARM, COLD, OFF)
BARE = "an interpreter alone"

# The number of functions, and of modules.
SIZES = {
    "1 function": (1, 1),
    "50 functions in 5 modules": (50, 5),
    "200 functions in 10 modules": (200, 10),
    "500 functions in 10 modules": (500, 10),
}
JUDGED = "200 functions in 10 modules"
FIRST, FURTHER_MODULE, FURTHER = (
    "the first function of a process",
    "the first of a further module",
    "a further function",
)

_HEAD = "from godefer import defer, errdefer, with_defers\n\n\n"
_DECORATED = '''\
@with_defers
def copy_{n}(source, target, size=65536):
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
        raise ValueError(f"{{source}} is empty")
    return copied


'''
_BY_HAND = '''\
def copy_{n}(source, target, size=65536):
    """Copy what is in one file to another."""
    src = open(source, "rb")
    try:
        dst = open(target, "wb")
        try:
            copied = 0
            while True:
                block = src.read(size)
                if not block:
                    break
                dst.write(block)
                copied += len(block)
            if not copied:
                raise ValueError(f"{{source}} is empty")
            return copied
        except BaseException:
            print("not copied:", source)
            raise
        finally:
            dst.close()
    finally:
        src.close()


'''
# This code runs before the imports of the modules, and times each decoration.
_TIMING = """\
import json
from time import perf_counter_ns
import godefer
decorate, times = godefer.with_defers, []
def with_defers(fn):
    began = perf_counter_ns()
    fn = decorate(fn)
    times.append(perf_counter_ns() - began)
    return fn
godefer.with_defers = with_defers
"""


class Program(NamedTuple):
    """A program and its start.

    Args:
        command: The words of the command.
        folder: The folder to start it in.
        environment: Its environment.
        before: Called before the start, outside of the measured time.
    """

    command: list[str]
    folder: Path
    environment: dict[str, str]
    before: Callable[[], object]

    def output(self) -> str:
        self.before()
        done = subprocess.run(
            self.command,
            cwd=self.folder,
            env=self.environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout

    def seconds(self) -> float:
        self.before()
        began = time.perf_counter()
        subprocess.run(self.command, cwd=self.folder, env=self.environment, check=True)
        return time.perf_counter() - began


def programs(functions: int, modules: int, folder: Path) -> dict[str, Program]:
    """Return a program of that size in each way, and programs that time each decoration."""
    bytecode = folder / "bytecode"
    imports = f"import {', '.join(f'module_{i}' for i in range(modules))}\n"
    for name, head, text in (("hand", "", _BY_HAND), ("decorated", _HEAD, _DECORATED)):
        (folder / name).mkdir(parents=True)
        for i in range(modules):
            body = "".join(text.format(n=n) for n in range(functions // modules))
            (folder / name / f"module_{i}.py").write_text(head + body)
        (folder / name / "main.py").write_text(imports)
    (folder / "decorated" / "timed.py").write_text(f"{_TIMING}{imports}print(json.dumps(times))\n")
    environment = others.environment(bytecode)
    environment.pop("GODEFER_CACHE", None)
    environment.pop("GODEFER_OPEN_CODED", None)

    def files() -> list[Path]:
        return list(bytecode.rglob("module_*.godefer"))

    def forget() -> None:
        for file in files():
            file.unlink()

    def check() -> None:
        if len(files()) != modules:
            message = "a module has no file in the cache"
            raise RuntimeError(message)

    def program(
        name: str, before: Callable[[], object], file: str = "main.py", **more: str
    ) -> Program:
        return Program([sys.executable, file], folder / name, {**environment, **more}, before)

    found = {
        HAND: program("hand", bool),
        COLD: program("decorated", forget),
        WARM: program("decorated", check),
        OFF: program("decorated", bool, GODEFER_CACHE="0"),
        f"{COLD}, timed": program("decorated", forget, "timed.py"),
        f"{WARM}, timed": program("decorated", check, "timed.py"),
    }
    for each in found.values():  # so that the .pyc files and the cache files exist
        each.output()
    return found


def measure(
    rounds: int,
    sizes: dict[str, tuple[int, int]] = SIZES,
    judged: tuple[int, int] = SIZES[JUDGED],
) -> dict[str, Any]:
    """Return the seconds of starts, and of single decorations: a value for each round."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        return {
            "programs": {
                size: _starts(rounds, programs(*numbers, folder / size), folder)
                for size, numbers in sizes.items()
            },
            "decorating": _decorations(rounds, *judged, folder / "timed"),
        }


def _starts(rounds: int, made: dict[str, Program], folder: Path) -> dict[str, list[float]]:
    bare = Program([sys.executable, "-c", "pass"], folder, made[HAND].environment, bool)
    found: dict[str, list[float]] = {way: [] for way in (BARE, *WAYS)}
    for _ in range(rounds):
        for way, times in found.items():
            times.append((bare if way == BARE else made[way]).seconds())
    return found


def _decorations(rounds: int, functions: int, modules: int, folder: Path) -> dict[str, list[float]]:
    """Return seconds by the kind of decoration: the first one, the first of a module, the others.

    There is a value for each round: the median over the decorations of one process.
    """
    made = programs(functions, modules, folder)
    each = functions // modules
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for cache in (COLD, WARM):
            times = [ns / 1e9 for ns in json.loads(made[f"{cache}, timed"].output())]
            assert len(times) == functions
            heads = times[each::each]
            rest = [seconds for i, seconds in enumerate(times) if i % each]
            for which, value in (
                (FIRST, times[0]),
                (FURTHER_MODULE, statistics.median(heads)),
                (FURTHER, statistics.median(rest)),
            ):
                found.setdefault(f"{which}, {cache}", []).append(value)
    return found


def nested() -> dict[str, Callable[[], Any]]:
    """Return functions that define another function on each call, decorated or by hand."""

    def by_hand() -> Any:
        def inner() -> None:
            f = nothing
            try:
                pass
            finally:
                f(None)

        return inner

    def decorated() -> Any:
        @with_defers
        def inner() -> None:
            defer(nothing, None)

        return inner

    def at_run_time() -> Any:
        @with_defers
        def inner() -> None:
            later = defer  # a use as a value cannot be open-coded
            later(nothing, None)

        return inner

    with open_coding(True):
        decorated()
        at_run_time()
    return {HAND: by_hand, OPEN: decorated, RUNTIME: at_run_time}
