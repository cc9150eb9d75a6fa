"""Callables of the standard library, deferred: right calls pass, wrong ones are errors. Never run.

Each callable has its wrong uses right below the right ones.
"""
# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

import asyncio
import atexit
import builtins
import concurrent.futures
import contextlib
import contextvars
import ctypes
import decimal
import faulthandler
import fcntl
import functools
import gc
import io
import locale
import logging
import mmap
import operator
import os
import queue
import selectors
import shelve
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
import urllib.request
import warnings
import weakref
import zipfile
from collections import deque
from collections.abc import Awaitable, Callable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, assert_type

from godefer import ausing, defer, defer_scope, errdefer, okdefer, using, with_defers

T = TypeVar("T")


@with_defers
async def with_asyncio(
    task: asyncio.Task[int],
    tasks: list[asyncio.Task[None]],
    writer: asyncio.StreamWriter,
    items: asyncio.Queue[str],
) -> None:
    loop = asyncio.get_running_loop()
    defer(asyncio.wait_for, task, 5)
    defer(asyncio.wait_for, task, timeout=None)
    defer(asyncio.wait_for, task, "5")  # type: ignore[arg-type]
    defer(asyncio.wait_for, task)  # type: ignore[arg-type]
    defer(asyncio.gather, task, task)
    defer(asyncio.gather, *tasks, return_exceptions=True)
    defer(asyncio.gather, task, 1)  # type: ignore[arg-type]
    defer(asyncio.gather, task, return_errors=True)  # type: ignore[arg-type]
    errdefer(asyncio.shield, task)
    errdefer(asyncio.shield, 1)  # type: ignore[arg-type]
    okdefer(asyncio.wait, tasks, timeout=1)
    okdefer(asyncio.wait, tasks, timeout="1")  # type: ignore[arg-type]
    defer(asyncio.sleep, 0.1)
    defer(asyncio.sleep, "0.1")  # type: ignore[arg-type]
    defer(asyncio.to_thread, os.unlink, "part", dir_fd=None)
    defer(asyncio.to_thread, "os.unlink")  # type: ignore[arg-type]
    defer(task.cancel, "the function has ended")
    defer(task.cancel, reason="the function has ended")  # type: ignore[call-arg]
    defer(writer.wait_closed)
    defer(writer.wait_closed, 1)  # type: ignore[call-arg]
    defer(items.join)
    defer(items.join, 1)  # type: ignore[call-arg]
    defer(items.put, "stop")
    defer(items.put, 1)  # type: ignore[arg-type]
    defer(loop.run_in_executor, None, time.sleep, 1)
    defer(loop.run_in_executor, None)  # type: ignore[arg-type]
    defer(loop.remove_signal_handler, signal.SIGTERM)
    defer(loop.remove_signal_handler, "SIGTERM")  # type: ignore[arg-type]
    server = await ausing(await asyncio.start_server(print, "127.0.0.1", 0))
    defer(server.wait_closed)
    defer(server.wait_closed, 1)  # type: ignore[call-arg]
    defer(server.close)
    defer(server.close, "now")  # type: ignore[call-arg]


@with_defers
def with_sqlite(db: sqlite3.Connection) -> None:
    defer(db.close)
    defer(db.close, "now")  # type: ignore[call-arg]
    errdefer(db.rollback)
    errdefer(db.rollback, "savepoint")  # type: ignore[call-arg]
    okdefer(db.execute, "DELETE FROM job WHERE id = ?", (1,))
    okdefer(db.execute)  # type: ignore[call-arg]
    cursor = db.execute("SELECT 1")
    defer(cursor.close)
    defer(cursor.close, 1)  # type: ignore[call-arg]
    defer(cursor.fetchmany, 10)
    defer(cursor.fetchmany, "10")  # type: ignore[arg-type]
    defer(db.backup, sqlite3.connect("copy"), pages=10)
    defer(db.backup, "copy")  # type: ignore[arg-type]


@with_defers
def with_files(path: Path, handle: int, file: io.BufferedWriter) -> None:
    defer(shutil.rmtree, path, ignore_errors=True)
    defer(shutil.rmtree, path, ignore_errors="yes")  # type: ignore[arg-type]
    defer(shutil.rmtree, 1)  # type: ignore[arg-type]
    okdefer(shutil.move, "part", path)
    okdefer(shutil.move, "part")  # type: ignore[arg-type]
    okdefer(shutil.copyfile, path, "copy", follow_symlinks=False)
    okdefer(shutil.copyfile, path, "copy", follow=False)  # type: ignore[arg-type]
    defer(os.close, handle)
    defer(os.close, str(handle))  # type: ignore[arg-type]
    okdefer(os.replace, "part", path)
    okdefer(os.replace, "part", 1)  # type: ignore[arg-type]
    defer(os.chdir, Path.cwd())
    defer(os.chdir)  # type: ignore[call-arg]
    defer(os.umask, os.umask(0o077))
    defer(os.umask, "077")  # type: ignore[arg-type]
    defer(os.environ.pop, "NAME", None)
    defer(os.environ.pop, 1)  # type: ignore[arg-type]
    defer(os.kill, handle, signal.SIGTERM)
    defer(os.kill, handle)  # type: ignore[call-arg]
    errdefer(path.unlink, missing_ok=True)
    errdefer(path.unlink, missing=True)  # type: ignore[call-arg]
    okdefer(path.write_text, "done", encoding="utf-8")
    okdefer(path.write_text, b"done")  # type: ignore[arg-type]
    defer(fcntl.flock, file, fcntl.LOCK_UN)
    defer(fcntl.flock, file, "LOCK_UN")  # type: ignore[arg-type]
    defer(file.write, b"end")
    defer(file.write, "end")  # type: ignore[arg-type]
    defer(tempfile.TemporaryDirectory().cleanup)
    defer(tempfile.TemporaryDirectory().cleanup, True)  # type: ignore[call-arg]
    defer(mmap.mmap(handle, 0).flush, 0, 10)
    defer(mmap.mmap(handle, 0).flush, "0")  # type: ignore[arg-type]
    okdefer(zipfile.ZipFile(path).extractall, path, pwd=b"")
    okdefer(zipfile.ZipFile(path).extractall, path, pwd="")  # type: ignore[arg-type]
    defer(shelve.open("shelf").sync)
    defer(shelve.open("shelf").sync, 1)  # type: ignore[call-arg]


@with_defers
def with_processes(process: subprocess.Popen[str]) -> None:
    defer(subprocess.run, ["git", "stash", "pop"], check=True)
    defer(subprocess.run, ["git", "stash", "pop"], checked=True)  # type: ignore[arg-type]
    defer(subprocess.check_call, ["sync"])
    defer(subprocess.check_call)  # type: ignore[call-arg]
    defer(process.wait, 5)
    defer(process.wait, "5")  # type: ignore[arg-type]
    defer(process.send_signal, signal.SIGINT)
    defer(process.send_signal, "SIGINT")  # type: ignore[arg-type]
    errdefer(process.kill)
    errdefer(process.kill, 9)  # type: ignore[call-arg]


@with_defers
def with_threads(lock: threading.Lock, ready: threading.Event, jobs: queue.Queue[str]) -> None:
    defer(lock.release)
    defer(lock.release, True)  # type: ignore[call-arg]
    defer(lock.__exit__, None, None, None)
    defer(lock.__exit__, None)  # type: ignore[call-arg]
    defer(threading.Thread(target=print).join, 5.0)
    defer(threading.Thread(target=print).join, "5")  # type: ignore[arg-type]
    defer(ready.wait, timeout=1)
    defer(ready.wait, timeout="1")  # type: ignore[arg-type]
    defer(ready.set)
    defer(ready.set, 1)  # type: ignore[call-arg]
    defer(threading.Timer(1, print).cancel)
    defer(threading.Timer(1, print).cancel, "now")  # type: ignore[call-arg]
    defer(jobs.put, "stop", timeout=1)
    defer(jobs.put, 0)  # type: ignore[arg-type]
    pool = using(concurrent.futures.ThreadPoolExecutor(2))
    errdefer(pool.shutdown, wait=False, cancel_futures=True)
    errdefer(pool.shutdown, wait="no")  # type: ignore[arg-type]
    defer(pool.submit, os.unlink, "part")
    defer(pool.submit, "os.unlink")  # type: ignore[arg-type]
    defer(concurrent.futures.wait, [pool.submit(pow, 2, 3)], timeout=1)
    defer(concurrent.futures.wait, 1)  # type: ignore[arg-type]
    defer(ThreadPool(2).apply, pow, (2, 3))
    defer(ThreadPool(2).apply, "pow")  # type: ignore[arg-type]


@with_defers
def with_sockets(connection: socket.socket, secure: ssl.SSLSocket) -> None:
    defer(connection.shutdown, socket.SHUT_RDWR)
    defer(connection.shutdown)  # type: ignore[call-arg]
    defer(connection.settimeout, connection.gettimeout())
    defer(connection.settimeout, "1")  # type: ignore[arg-type]
    okdefer(connection.sendall, b"bye")
    okdefer(connection.sendall, "bye")  # type: ignore[arg-type]
    defer(socket.setdefaulttimeout, None)
    defer(socket.setdefaulttimeout, "none")  # type: ignore[arg-type]
    defer(secure.unwrap)
    defer(secure.unwrap, 1)  # type: ignore[call-arg]
    defer(selectors.DefaultSelector().unregister, connection)
    defer(selectors.DefaultSelector().unregister)  # type: ignore[call-arg]
    defer(urllib.request.urlopen, "http://localhost/done", timeout=1)
    defer(urllib.request.urlopen, "http://localhost/done", timeout="1")  # type: ignore[arg-type]


@with_defers
def with_state_of_the_process(
    variable: contextvars.ContextVar[int], logger: logging.Logger, handler: logging.Handler
) -> None:
    defer(variable.reset, variable.set(1))
    defer(variable.reset, 1)  # type: ignore[arg-type]
    defer(contextvars.copy_context().run, print, 1)
    defer(contextvars.copy_context().run, 1)  # type: ignore[arg-type]
    defer(signal.signal, signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    defer(signal.signal, signal.SIGTERM)  # type: ignore[call-arg]
    defer(signal.alarm, 0)
    defer(signal.alarm, "0")  # type: ignore[arg-type]
    defer(signal.setitimer, signal.ITIMER_REAL, 0)
    defer(signal.setitimer, signal.ITIMER_REAL)  # type: ignore[call-arg]
    defer(logger.removeHandler, handler)
    defer(logger.removeHandler, print)  # type: ignore[arg-type]
    defer(logger.info, "after %d s", 1, extra={"job": 1})
    defer(logger.info, "after", level=1)  # type: ignore[call-arg]
    defer(logging.disable, logging.NOTSET)
    defer(logging.disable, None)  # type: ignore[arg-type]
    defer(locale.setlocale, locale.LC_ALL, "C")
    defer(locale.setlocale, "LC_ALL")  # type: ignore[arg-type]
    defer(decimal.setcontext, decimal.getcontext())
    defer(decimal.setcontext, 28)  # type: ignore[arg-type]
    defer(atexit.unregister, print)
    defer(atexit.unregister, "print")  # type: ignore[arg-type]
    defer(sys.setrecursionlimit, sys.getrecursionlimit())
    defer(sys.setrecursionlimit, "1000")  # type: ignore[arg-type]
    defer(gc.enable)
    defer(gc.enable, True)  # type: ignore[call-arg]
    defer(gc.set_threshold, *gc.get_threshold())
    defer(gc.set_threshold, "700")  # type: ignore[arg-type]
    defer(faulthandler.dump_traceback_later, 60, exit=True)
    defer(faulthandler.dump_traceback_later)  # type: ignore[call-arg]
    defer(tracemalloc.stop)
    defer(tracemalloc.stop, 1)  # type: ignore[call-arg]
    defer(warnings.warn, "late", DeprecationWarning, stacklevel=2)
    defer(warnings.warn, 1)  # type: ignore[arg-type]
    defer(time.sleep, 0.1)
    defer(time.sleep, None)  # type: ignore[arg-type]
    defer(ctypes.memset, 0, 0, 1)
    defer(ctypes.memset, 0, 0, "1")  # type: ignore[arg-type]
    defer(weakref.ref(handler))
    defer(weakref.ref(handler), 1)  # type: ignore[call-arg]


@with_defers
def with_builtins(
    names: set[str], numbers: list[int], ages: dict[str, int], recent: deque[int]
) -> None:
    defer(print, "bye", file=sys.stderr, flush=True)
    defer(print, "bye", file=1)  # type: ignore[arg-type]
    defer(setattr, handler := object(), "name", 1)
    defer(setattr, handler, "name")  # type: ignore[call-arg]
    defer(delattr, handler, "name")
    defer(delattr, handler, 1)  # type: ignore[arg-type]
    defer(builtins.open, "log", "w", encoding="utf-8")
    defer(builtins.open, "log", "w", encode="utf-8")  # type: ignore[arg-type]
    defer(names.add, "Ada")
    defer(names.add, 1)  # type: ignore[arg-type]
    defer(numbers.append, 1)
    defer(numbers.append, "1")  # type: ignore[arg-type]
    defer(ages.pop, "Ada")
    defer(ages.pop, "Ada", None)
    defer(ages.pop, 1)  # type: ignore[arg-type]
    defer(ages.update, {"Ada": 1}, Grace=2)
    defer(ages.update, 1)  # type: ignore[arg-type]
    defer(recent.popleft)
    defer(recent.popleft, 0)  # type: ignore[call-arg]
    defer(operator.setitem, ages, "Ada", 1)
    defer(operator.setitem, ages, "Ada")  # type: ignore[arg-type]
    defer(operator.delitem, ages, "Ada")
    defer(operator.delitem, ages)  # type: ignore[arg-type]
    defer(max, 1, 2)
    defer(max, numbers, default=0)
    defer(max)  # type: ignore[arg-type]
    defer(sorted, numbers, key=abs)
    defer(sorted, 1)  # type: ignore[arg-type]


class Box(Generic[T]):
    def put(self, item: T, /, *, twice: bool = False) -> T:
        return item

    @classmethod
    def make(cls, item: T) -> "Box[T]":
        return cls()

    @staticmethod
    def count(n: int) -> int:
        return n


def same(item: T, items: list[T]) -> T:
    items.append(item)
    return item


def only_by_name(*, name: str, age: int = 0) -> None: ...


@with_defers
def with_kinds_of_callables(
    box: Box[int],
    numbers: list[int],
    any_number: Callable[..., object],
    listener: Callable[[int], None] | None,
) -> None:
    defer(box.put, 1, twice=True)
    defer(box.put, "1")  # type: ignore[arg-type]
    defer(Box[str].make, "1")
    defer(Box[str].make)  # type: ignore[call-arg]
    defer(Box.count, 1)
    defer(Box.count, "1")  # type: ignore[arg-type]
    defer(same, 1, numbers)
    defer(same, 1, 2)  # type: ignore[arg-type]
    defer(only_by_name, name="Ada")
    defer(only_by_name, "Ada")  # type: ignore[call-arg]
    defer(functools.partial(only_by_name, name="Ada"), age=1)
    defer(functools.partial(only_by_name, name=1))  # type: ignore[arg-type]
    defer(any_number, 1, "2", three=3)
    defer(any_number(), 1)  # type: ignore[arg-type]
    if listener is not None:
        defer(listener, 1)
    defer(listener, 1)  # type: ignore[arg-type]
    defer(using(contextlib.closing(io.StringIO())).write, "end")
    defer(using(contextlib.closing(io.StringIO())).write, 1)  # type: ignore[arg-type]
    defer(sys.excepthook, *error_details())
    defer(sys.excepthook, ValueError)  # type: ignore[call-arg]
    defer(sys.exit, 1)
    defer(sys.exit, 1, 2)  # type: ignore[call-arg]


def error_details() -> tuple[type[BaseException], BaseException, TracebackType | None]:
    error = ValueError()
    return ValueError, error, error.__traceback__


@with_defers
def with_context_managers(path: Path, process: subprocess.Popen[str]) -> None:
    assert_type(using(path.open("rb")), io.BufferedReader)
    assert_type(using(process), subprocess.Popen[str])
    assert_type(using(tempfile.TemporaryDirectory()), str)
    assert_type(using(zipfile.ZipFile(path)), zipfile.ZipFile)
    assert_type(using(socket.create_server(("127.0.0.1", 0))), socket.socket)
    assert_type(using(contextlib.suppress(OSError)), None)
    assert_type(using(decimal.localcontext()), decimal.Context)
    assert_type(using(contextlib.chdir(path)), None)
    using(path.open)  # type: ignore[arg-type]
    using(tempfile.mkdtemp())  # type: ignore[arg-type]
    using(asyncio.timeout(1))  # type: ignore[arg-type]


P = ParamSpec("P")


def quiet(
    errors: tuple[type[Exception], ...], fn: Callable[P, Any], /, *args: P.args, **kwargs: P.kwargs
) -> None: ...


async def at_most(
    seconds: float, fn: Callable[P, Awaitable[Any]], /, *args: P.args, **kwargs: P.kwargs
) -> None: ...


@with_defers
async def with_functions_that_make_the_call(path: Path, task: asyncio.Task[int]) -> None:
    defer(quiet, (OSError,), os.unlink, path)
    defer(quiet, (OSError,), os.unlink, 1.5)  # type: ignore[arg-type]
    defer(quiet, (OSError,), path.unlink, missing_ok=True)
    defer(quiet, (OSError,), path.unlink, missing=True)  # type: ignore[arg-type]
    defer(quiet, OSError, os.unlink, path)  # type: ignore[arg-type]
    defer(at_most, 5, asyncio.sleep, 1)
    defer(at_most, 5, asyncio.sleep)  # type: ignore[arg-type]
    defer(at_most, 5, os.unlink, path)  # type: ignore[arg-type]


def on_a_scope(path: Path, numbers: list[int]) -> None:
    with defer_scope() as scope:
        scope(shutil.rmtree, path, ignore_errors=True)
        scope(shutil.rmtree, path, ignore_errors="yes")  # type: ignore[arg-type]
        scope.err(path.unlink, missing_ok=True)
        scope.err(path.unlink, missing=True)  # type: ignore[call-arg]
        scope.ok(same, 1, numbers)
        scope.ok(same, 1, 2)  # type: ignore[arg-type]
        scope.ok(max, 1, 2)
        scope.ok(max)  # type: ignore[arg-type]


async def on_an_async_scope(task: asyncio.Task[int], tasks: list[asyncio.Task[None]]) -> None:
    async with defer_scope() as scope:
        scope(asyncio.wait_for, task, 5)
        scope(asyncio.wait_for, task, "5")  # type: ignore[arg-type]
        scope.err(asyncio.gather, *tasks, return_exceptions=True)
        scope.err(asyncio.gather, task, 1)  # type: ignore[arg-type]
        scope.ok(asyncio.shield, task)
        scope.ok(asyncio.shield)  # type: ignore[arg-type]


@with_defers
async def as_decorators(task: asyncio.Task[int]) -> None:
    @defer
    async def wait() -> int:
        return await asyncio.wait_for(task, 5)

    @errdefer
    def cancel(message: str | None = None) -> bool:
        return task.cancel(message)

    @okdefer
    @functools.cache
    def note() -> None: ...

    @defer  # type: ignore[call-arg]
    async def late(seconds: float) -> None: ...

    @errdefer  # type: ignore[call-arg]
    def undo(*, savepoint: str) -> None: ...
