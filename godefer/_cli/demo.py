"""python -m godefer demo: the library's main job on real files, a real database, real threads and real tasks.

The functions in the first part are what the demo is about. Each is printed from its own source as it is run, so what
the terminal shows is what happened, and can be copied as it stands.

The second part runs them, watches, and checks. It watches from outside (`_watching`), by the interpreter's profiling hook, so
the functions need not be cluttered with lines that report what they do. It checks what is left behind: the bytes on the disk,
the balances that a second connection reads, the lock. It relies on nothing that it is to show: a step that raises, or
that raises nothing where it should, is a failed step and not the end of the demo.
"""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import linecache
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import threading
import traceback
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from godefer import __version__, ausing, defer, errdefer, okdefer, panic, recover, with_defers
from godefer._cli.colours import has_colours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Any, TextIO

T = TypeVar("T")


@with_defers
def copy(source: Path, target: Path) -> None:
    src = source.open("rb")
    defer(src.close)
    dst = target.open("wb")
    defer(dst.close)
    dst.write(src.read())


@with_defers
def transfer(db: sqlite3.Connection, giver: str, taker: str, amount: int) -> None:
    errdefer(db.rollback)
    okdefer(db.commit)  # runs first: if it fails, the rollback follows
    for account, change in ((giver, -amount), (taker, amount)):
        found = db.execute(
            "UPDATE account SET balance = balance + ? WHERE name = ?", (change, account)
        )
        if found.rowcount != 1:
            raise LookupError(f"no account named {account!r}")


@with_defers
def draw_ticket(counter: Path, lock: threading.Lock, last: int) -> int:
    lock.acquire()
    defer(lock.release)
    number = int(counter.read_text()) + 1
    if number > last:
        raise LookupError("sold out")
    counter.write_text(str(number))
    return number


@with_defers
def load(path: Path, problems: list[str]) -> object:
    def note_problem() -> None:
        if (error := recover()) is not None:
            problems.append(f"{path.name}: {error}")

    defer(note_problem)
    file = path.open()
    defer(file.close)
    settings = json.load(file)
    if settings["version"] > 1:
        panic(f"version {settings['version']} is newer than this program")
    return settings


@with_defers
async def download(port: int, target: Path) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    defer(writer.wait_closed)  # a coroutine function: awaited, after the close
    defer(writer.close)
    part = target.with_suffix(".part")
    file = part.open("wb")
    okdefer(part.replace, target)
    errdefer(part.unlink)
    defer(file.close)
    while chunk := await reader.read(65536):
        file.write(chunk)


@with_defers
def in_temporary_directory(work: Callable[[Path], T]) -> T:
    directory = Path(tempfile.mkdtemp(prefix="godefer-"))
    defer(shutil.rmtree, directory)
    return work(directory)


def run(out: TextIO) -> bool:
    """Run every step and print it to *out*; say whether all that was checked held."""
    report = _Report(out)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    report.say(report.bold(f"godefer {__version__}"), f" on {python}")
    used: list[Path] = []

    def all_steps(directory: Path) -> None:
        used.append(directory)
        for step in (_files, _database, _lock, _recover, _asyncio):
            try:
                step(report, directory)
            except Exception as error:
                report.broken(error)

    try:
        in_temporary_directory(all_steps)
    except Exception as error:
        report.broken(error)
    report.step("All this was in a temporary directory that removes itself", in_temporary_directory)
    report.check("the directory is gone", bool(used) and not used[0].exists())
    report.end()
    return not report.failures


def _files(report: _Report, directory: Path) -> None:
    report.step("Copy a file: each close stands next to its open", copy)
    source, target = Path(__file__), directory / "copy.py"
    with _watching(copy) as happened:
        copy(source, target)
    report.happened("copy(source, target)", happened)
    content = source.read_bytes()
    report.check(f"the copy has the same {len(content):,} bytes", target.read_bytes() == content)
    report.check_deferred(
        "last opened, first closed", happened, f"close {target.name}", f"close {source.name}"
    )


def _database(report: _Report, directory: Path) -> None:
    report.step("Move money in a SQLite database: all of it or none", transfer)
    path = directory / "bank.db"
    _create_bank(path)
    report.check(
        "before: checking 100, savings 0", _balances(path) == {"checking": 100, "savings": 0}
    )

    happened = _transfer(path, "savings")
    report.happened("transfer(db, 'checking', 'savings', 30)", happened)
    report.check(
        "after: checking 70, savings 30", _balances(path) == {"checking": 70, "savings": 30}
    )
    report.check_deferred("committed, not rolled back", happened, "COMMIT")

    happened = _transfer(path, "pension")
    report.happened("transfer(db, 'checking', 'pension', 30), with no such account", happened)
    report.check(
        "30 had left checking by then",
        happened[1].what.startswith("UPDATE account SET balance = balance + -30"),
    )
    report.check_deferred("rolled back, not committed", happened, "ROLLBACK")
    report.check(
        "still checking 70, savings 30: nothing is lost",
        _balances(path) == {"checking": 70, "savings": 30},
    )


@with_defers
def _create_bank(path: Path) -> None:
    db = sqlite3.connect(path)
    defer(db.close)
    okdefer(db.commit)
    db.execute("CREATE TABLE account (name TEXT PRIMARY KEY, balance INTEGER NOT NULL)")
    db.execute("INSERT INTO account VALUES ('checking', 100), ('savings', 0)")


@with_defers
def _balances(path: Path) -> dict[str, int]:
    """What is in the file, read by a connection of its own, which sees what was committed and nothing else."""
    db = sqlite3.connect(path)
    defer(db.close)
    return dict(db.execute("SELECT name, balance FROM account"))


@with_defers
def _transfer(path: Path, taker: str) -> list[_Event]:
    """Transfer 30 from checking to *taker*; list what SQLite itself says it was told."""
    happened: list[_Event] = []

    def told(sql: str) -> None:
        caller = sys._getframe(1)
        while (
            caller.f_code.co_filename.endswith("_sqlite3.py") and caller.f_back is not None
        ):  # PyPy's is in Python
            caller = caller.f_back
        happened.append(_Event(sql.strip(), deferred=_by_defer(caller)))

    db = sqlite3.connect(path)
    defer(db.close)
    db.set_trace_callback(told)
    try:
        transfer(db, "checking", taker, 30)
    except LookupError as error:
        happened.append(_Event.raised(error))
    return happened


def _lock(report: _Report, directory: Path) -> None:
    report.step("Guard a section with a lock: it is free after every exit", draw_ticket)
    counter, lock, last = directory / "counter.txt", threading.Lock(), 100
    counter.write_text("0")
    with _watching(draw_ticket) as happened:
        first = draw_ticket(counter, lock, last)
    report.happened("draw_ticket(counter, lock, 100)", happened)
    report.check_deferred("the lock is released", happened, "release the lock")

    drawn = [[first], *_in_threads(4, lambda: _draw_all(counter, lock, last))]
    shares = " + ".join(str(len(numbers)) for numbers in drawn[1:])
    report.check(
        f"4 threads drew the other {shares} tickets, each number once",
        sorted(number for numbers in drawn for number in numbers) == list(range(1, last + 1)),
    )

    happened = [
        event
        for events in _in_threads(1, lambda: _draw_none(counter, lock, last))
        for event in events
    ]
    report.happened("draw_ticket(counter, lock, 100), once more", happened)
    report.check_deferred("the lock is released", happened, "release the lock")
    report.check("it is free, though every thread left by an exception", not lock.locked())


def _draw_none(counter: Path, lock: threading.Lock, last: int) -> list[_Event]:
    with _watching(draw_ticket) as happened:
        try:
            draw_ticket(counter, lock, last)
        except LookupError as error:
            happened.append(_Event.raised(error))
    return happened


def _draw_all(counter: Path, lock: threading.Lock, last: int) -> list[int]:
    drawn = []
    while True:
        try:
            drawn.append(draw_ticket(counter, lock, last))
        except LookupError:
            return drawn


def _in_threads(count: int, work: Callable[[], T]) -> list[T]:
    results: list[T] = []
    threads = [
        threading.Thread(target=lambda: results.append(work()), daemon=True) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_PATIENCE)  # a lock that stays locked is a failed check, not a demo that hangs
    return results


_PATIENCE = 10.0  # seconds


def _recover(report: _Report, directory: Path) -> None:
    report.step("Recover a panic: one bad file does not stop the program", load)
    for name, content in (
        ("good.json", '{"version": 1, "colour": "green"}'),
        ("broken.json", '{"version": 1, "colour":'),
        ("future.json", '{"version": 2}'),
    ):
        (directory / name).write_text(content)
    problems: list[str] = []
    loaded = {}
    for name in ("good.json", "broken.json", "future.json", "missing.json"):
        with _watching(load) as happened:
            loaded[name] = load(directory / name, problems)
        report.happened(f"load({name}) returned {loaded[name]!r}", happened)
    report.check(
        "the good file is loaded", loaded.pop("good.json") == {"version": 1, "colour": "green"}
    )
    report.check("the others returned None", set(loaded.values()) == {None})
    report.say("       problems:")
    for problem in problems:
        report.say(f"         {problem}")
    report.check(
        "their three problems were recovered", [p.split(":")[0] for p in problems] == list(loaded)
    )


def _asyncio(report: _Report, directory: Path) -> None:
    report.step("The same in asyncio: awaited clean-up, also of a cancelled task", download)
    asyncio.run(asyncio.wait_for(_downloads(report, directory), _PATIENCE))


@with_defers
async def _downloads(report: _Report, directory: Path) -> None:
    content = Path(__file__).read_bytes()
    ended = asyncio.Queue[bool]()  # the server's view: did the client hang up?

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):  # not a defer: the demo watches those of the client
            if not target.exists():
                writer.write(content)
                writer.write_eof()
            else:  # the second download stalls half-way
                writer.write(content[: len(content) // 2])
            rest = b""
            with suppress(ConnectionResetError):  # if the client closes with bytes still to be read
                rest = await reader.read()
            ended.put_nowait(rest == b"")

    target = directory / "whole.txt"
    server = await ausing(await asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]

    with _watching(download) as happened:
        await download(port, target)
    report.happened("await download(port, 'whole.txt')", happened)
    report.check("the file is there, whole", target.read_bytes() == content)
    report.check_deferred(
        "closed, renamed, hung up, in this order",
        happened,
        "close whole.part",
        "replace whole.part",
        "close the connection",
        "wait_closed the connection",
    )
    report.check("the server saw the client hang up", await ended.get())

    half = directory / "half.txt"
    with _watching(download) as happened:
        task = asyncio.create_task(download(port, half))
        while not any(event.what == "write half.part" for event in happened):  # noqa: ASYNC110  # only the watcher knows
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    happened.append(
        _Event("raised CancelledError" if task.cancelled() else "was not cancelled", deferred=False)
    )
    report.happened("download(port, 'half.txt') as a task, cancelled half-way", happened)
    report.check("the task is cancelled", task.cancelled())
    report.check(
        "no file is left, neither half.txt nor half.part", not list(directory.glob("half.*"))
    )
    report.check_deferred(
        "closed, removed, hung up, in this order",
        happened,
        "close half.part",
        "unlink half.part",
        "close the connection",
        "wait_closed the connection",
    )
    report.check("the server saw the client hang up", await ended.get())


class _Event(NamedTuple):
    what: str
    deferred: bool

    @classmethod
    def raised(cls, error: Exception) -> _Event:
        return cls(f"raised {type(error).__name__}: {error}", deferred=False)


@contextmanager
def _watching(fn: Callable[..., Any]) -> Iterator[list[_Event]]:
    """List the calls that *fn* makes, itself or by its defers, on files, paths, locks, connections and its own functions."""
    watcher = _Watcher(fn)
    sys.setprofile(watcher)
    try:
        yield watcher.happened
    finally:
        sys.setprofile(None)


class _Watcher:  # pragma: no cover  # the interpreter traces nothing inside of a profiling function
    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.happened: list[_Event] = []
        self.called: set[FrameType] = set()  # a coroutine's frame is called again for each step

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call":
            self.call(frame, arg.__name__, getattr(arg, "__self__", None))
        elif event == "call" and frame.f_back is not None and frame not in self.called:
            code = frame.f_code
            if code.co_qualname.startswith(f"{self.fn.__qualname__}.<locals>."):
                self.call(frame.f_back, code.co_name, self.fn)
            elif code.co_argcount and not _of_godefer(frame):
                self.called.add(frame)
                self.call(frame.f_back, code.co_name, frame.f_locals[code.co_varnames[0]])

    def call(self, caller: FrameType, name: str, thing: object) -> None:
        by_fn = caller.f_code.co_filename == _HERE and caller.f_code.co_name == self.fn.__name__
        if by_fn or _by_defer(caller):
            subject = self.subject(thing)
            if subject:
                self.happened.append(_Event(name + subject, deferred=_by_defer(caller)))

    def subject(self, thing: object) -> str:
        """What a call is about, in words; nothing if the demo does not follow such things."""
        if thing is self.fn:
            return "()"
        if isinstance(thing, Path):
            return f" {thing.name}"
        if isinstance(thing, io.IOBase):
            return f" {Path(getattr(thing, 'name', '')).name}"
        if isinstance(thing, type(threading.Lock())):
            return " the lock"
        if isinstance(thing, (asyncio.StreamReader, asyncio.StreamWriter)):
            return " the connection"
        return ""


_HERE = run.__code__.co_filename
_PACKAGE = str(Path(_HERE).parents[1]) + os.sep


def _of_godefer(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith((_PACKAGE, "<godefer"))


def _by_defer(caller: FrameType) -> bool:
    """Is what *caller* calls a deferred call?

    godefer makes it, or, where it was compiled into the function, the function itself, on the line of the `defer` statement.
    """
    if caller.f_code.co_filename != _HERE:
        return _of_godefer(caller)
    return linecache.getline(_HERE, caller.f_lineno).lstrip().startswith(_DEFERS)


_DEFERS = ("defer(", "errdefer(", "okdefer(")


class _Report:
    """What the demo prints: plain text, and colours where somebody can see them."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.steps = 0
        self.checks = 0
        self.blank = True
        self.failures: list[str] = []
        self.colours = has_colours(out)

    def say(self, *parts: str) -> None:
        line = "".join(parts).rstrip()
        if line or not self.blank:  # never two blank lines
            self.out.write(line + "\n")
        self.blank = not line

    def paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colours else text

    def bold(self, text: str) -> str:
        return self.paint("1", text)

    def step(self, title: str, fn: Callable[..., Any]) -> None:
        """The title, and the source of the function that is about to run, its deferring lines standing out."""
        self.steps += 1
        self.say()
        self.say(self.bold(f"{self.steps}. {title}"))
        self.say()
        for line in inspect.getsource(fn).splitlines():
            stands_out = line.lstrip().startswith(("@with_defers", *_DEFERS))
            self.say("    ", self.paint("33" if stands_out else "36", line) if line else "")
        self.say()

    def happened(self, call: str, events: list[_Event]) -> None:
        self.say()
        self.say(f"   {call}:")
        width = max((len(event.what) for event in events if event.deferred), default=0)
        for number, event in enumerate(events, 1):
            mark = (
                " " * (width - len(event.what)) + "  " + self.paint("33", "deferred")
                if event.deferred
                else ""
            )
            self.say(f"     {number:2}  {event.what}{mark}")

    def check(self, what: str, held: bool) -> None:  # noqa: FBT001  # a call reads like a sentence
        self.say("   ", self.paint("32", "ok") if held else self.paint("31", "FAILED"), f"  {what}")
        self.checks += 1
        if not held:
            self.failures.append(f"step {self.steps}: {what}")

    def check_deferred(self, what: str, events: list[_Event], *expected: str) -> None:
        self.check(what, [event.what for event in events if event.deferred] == list(expected))

    def broken(self, error: Exception) -> None:
        self.say()
        self.say("".join(traceback.format_exception(error)))
        self.check(f"the step runs without {type(error).__name__}", held=False)

    def end(self) -> None:
        self.say()
        if self.failures:
            self.say(self.paint("31", f"{len(self.failures)} of {self.checks} checks FAILED:"))
            for failure in self.failures:
                self.say(f"  {failure}")
        else:
            self.say(self.paint("32", f"All {self.steps} steps checked out."))
