"""The demo: godefer at work on real files, a real database, real threads and real tasks.

The first part has the functions to demonstrate. The demo prints the source of each before it runs
it. So the terminal shows the code that runs, and readers can copy it.

The second part runs the functions, watches them from outside (`demo_watch`) and checks the
outcome: the bytes on the disk, the balances that a second connection reads, the lock. The checks
do not rely on godefer. If a step raises an unexpected exception, the step fails, and the demo goes
on.
"""

from __future__ import annotations

import asyncio
import json
import platform
import shutil
import sqlite3
import sys
import tempfile
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from godefer import __version__, ausing, defer, errdefer, okdefer, panic, recover, with_defers
from godefer._cli.demo_report import Report
from godefer._cli.demo_watch import Event, Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

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
    """Run every step and print it to *out*; return whether all checks held."""
    report = Report(out)
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


_WATCH = Watch(run.__code__.co_filename)


def _files(report: Report, directory: Path) -> None:
    report.step("Copy a file: each close stands next to its open", copy)
    source, target = Path(__file__), directory / "copy.py"
    with _WATCH.calls_of(copy) as happened:
        copy(source, target)
    report.happened("copy(source, target)", happened)
    content = source.read_bytes()
    report.check(f"the copy has the same {len(content):,} bytes", target.read_bytes() == content)
    report.check_deferred(
        "last opened, first closed", happened, f"close {target.name}", f"close {source.name}"
    )


def _database(report: Report, directory: Path) -> None:
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
        happened[1].text.startswith("UPDATE account SET balance = balance + -30"),
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
    """Read the balances through a new connection, which sees only committed changes."""
    db = sqlite3.connect(path)
    defer(db.close)
    return dict(db.execute("SELECT name, balance FROM account"))


@with_defers
def _transfer(path: Path, taker: str) -> list[Event]:
    """Transfer 30 from checking to *taker*; list the statements that SQLite traces."""
    happened: list[Event] = []

    def trace(sql: str) -> None:
        caller = sys._getframe(1)
        # PyPy's sqlite3 is written in Python.
        while caller.f_code.co_filename.endswith("_sqlite3.py") and caller.f_back is not None:
            caller = caller.f_back
        happened.append(Event(sql.strip(), deferred=_WATCH.makes_deferred_call(caller)))

    db = sqlite3.connect(path)
    defer(db.close)
    db.set_trace_callback(trace)
    try:
        transfer(db, "checking", taker, 30)
    except LookupError as error:
        happened.append(Event.raised(error))
    return happened


def _lock(report: Report, directory: Path) -> None:
    report.step("Guard a section with a lock: it is free after every exit", draw_ticket)
    counter, lock, last = directory / "counter.txt", threading.Lock(), 100
    counter.write_text("0")
    with _WATCH.calls_of(draw_ticket) as happened:
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


def _draw_none(counter: Path, lock: threading.Lock, last: int) -> list[Event]:
    with _WATCH.calls_of(draw_ticket) as happened:
        try:
            draw_ticket(counter, lock, last)
        except LookupError as error:
            happened.append(Event.raised(error))
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


def _recover(report: Report, directory: Path) -> None:
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
        with _WATCH.calls_of(load) as happened:
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


def _asyncio(report: Report, directory: Path) -> None:
    report.step("The same in asyncio: awaited clean-up, also of a cancelled task", download)
    asyncio.run(asyncio.wait_for(_downloads(report, directory), _PATIENCE))


@with_defers
async def _downloads(report: Report, directory: Path) -> None:
    content = Path(__file__).read_bytes()
    hung_up = asyncio.Queue[bool]()
    stalls = False

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):  # not a defer: the demo watches those of the client
            if stalls:
                writer.write(content[: len(content) // 2])
            else:
                writer.write(content)
                writer.write_eof()
            rest = b""
            with suppress(ConnectionResetError):  # if the client closes with bytes still to be read
                rest = await reader.read()
            hung_up.put_nowait(rest == b"")

    server = await ausing(await asyncio.start_server(serve, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    await _whole_download(report, port, directory / "whole.txt", content)
    report.check("the server saw the client hang up", await hung_up.get())
    stalls = True
    await _cancelled_download(report, port, directory / "half.txt")
    report.check("the server saw the client hang up", await hung_up.get())


async def _whole_download(report: Report, port: int, target: Path, content: bytes) -> None:
    with _WATCH.calls_of(download) as happened:
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


async def _cancelled_download(report: Report, port: int, target: Path) -> None:
    with _WATCH.calls_of(download) as happened:
        task = asyncio.create_task(download(port, target))
        # Only the watch sees the write.
        while not any(event.text == "write half.part" for event in happened):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    happened.append(
        Event("raised CancelledError" if task.cancelled() else "was not cancelled", deferred=False)
    )
    report.happened("download(port, 'half.txt') as a task, cancelled half-way", happened)
    report.check("the task is cancelled", task.cancelled())
    report.check(
        "no file is left, neither half.txt nor half.part", not list(target.parent.glob("half.*"))
    )
    report.check_deferred(
        "closed, removed, hung up, in this order",
        happened,
        "close half.part",
        "unlink half.part",
        "close the connection",
        "wait_closed the connection",
    )
