"""Processes, pipes and sockets: none is left behind, and the other side sees the end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover, using

ECHO = [
    sys.executable,
    "-c",
    "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)",
]
FOREVER = [sys.executable, "-c", "import time\nprint('up', flush=True)\ntime.sleep(600)"]


def test_a_process_that_is_asked(way):
    """The input of a process is closed, then the process is waited for, then its output is closed:
    the statements in reverse (D2).
    """

    @way
    def ask(*questions):
        process = subprocess.Popen(ECHO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        defer(process.stdout.close)
        defer(process.wait, 30)
        defer(process.stdin.close)
        started.append(process)
        answers = []
        for question in questions:
            process.stdin.write(f"{question}\n")
            process.stdin.flush()
            answers.append(process.stdout.readline().strip())
        return answers

    started = []
    assert ask("a", "b") == ["A", "B"]
    assert (started[0].returncode, started[0].stdout.closed) == (0, True)


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_a_process_is_killed_on_failure_only(way, error):
    """`errdefer(process.kill)` kills the process when the function fails, so that the exit of the
    earlier `using(process)`, which waits for it, returns (D10).
    """

    @way
    def work(command, error):
        process = using(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        errdefer(process.kill)
        started.append(process)
        process.stdout.readline()
        if error:
            raise error

    started = []
    with pytest.raises(error):
        work(FOREVER, error)
    work([sys.executable, "-c", "print('up')"], None)
    assert [process.returncode for process in started] == [-signal.SIGKILL, 0]


def test_a_pipeline(way):
    """Each started process of a pipeline is waited for, though a later one cannot be
    started (D8).
    """
    started = []

    @way
    def pipeline(*commands):
        source = subprocess.DEVNULL
        for command in commands:
            process = subprocess.Popen(command, stdin=source, stdout=subprocess.PIPE)
            defer(process.wait, 30)
            defer(process.stdout.close)
            errdefer(process.kill)
            started.append(process)
            source = process.stdout
        return process.stdout.read()

    hello, upper = [sys.executable, "-c", "print('hello')"], ECHO
    assert pipeline(hello, upper, upper) == b"HELLO\n"
    with pytest.raises(FileNotFoundError):
        pipeline(FOREVER, upper, ["/no/such/program"], upper)
    # The second of them ends by itself, or is killed: whichever is first.
    assert [process.returncode for process in started][:4] == [0, 0, 0, -signal.SIGKILL]
    assert all(process.stdout.closed for process in started)


def test_an_async_process_of_a_cancelled_task(way):
    """A cancelled task kills its process and waits for it before it ends (D2, D6)."""
    started = []

    @way
    async def work():
        process = await asyncio.create_subprocess_exec(*FOREVER, stdout=subprocess.PIPE)
        defer(process.wait)
        errdefer(process.kill)
        started.append(process)
        await process.stdout.readline()
        up.set()
        await process.wait()

    async def main():
        task = asyncio.create_task(work())
        await up.wait()
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), [process.returncode for process in started]

    up = asyncio.Event()
    assert asyncio.run(main()) == (True, [-signal.SIGKILL])


SERVICE = """
    import os, signal, sys, tempfile, time
    from godefer import defer, errdefer, explain, okdefer, recover, using, with_defers

    @with_defers
    def serve(directory):
        pid = os.path.join(directory, "pid")
        open(pid, "x").close()
        defer(os.unlink, pid)
        okdefer(print, "returned", flush=True)
        errdefer(lambda: print(type(sys.exception()).__name__, recover(), flush=True))
        scratch = using(tempfile.TemporaryDirectory(dir=directory))
        print(explain(serve).way, flush=True)
        while True:
            # Not one long wait, which would delay a signal that comes right before it.
            time.sleep(0.05)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    serve(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("number", "status", "name"),
    [(signal.SIGTERM, 7, "SystemExit"), (signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt")],
)
def test_a_service_that_is_told_to_end(way, tmp_path, monkeypatch, number, status, name):
    """SIGTERM, made a SystemExit, and Ctrl-C clean up, are not recovered, and end the
    process as usual (D2, P3).
    """
    program, directory = tmp_path / "service.py", tmp_path / "run"
    program.write_text(textwrap.dedent(SERVICE))
    directory.mkdir()
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with subprocess.Popen(
        [sys.executable, program, directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().decode().strip() == way.name
        assert len(os.listdir(directory)) == 2
        process.send_signal(number)
        out, _ = process.communicate(timeout=30)
    assert (process.returncode, out.decode().strip()) == (status, f"{name} None")
    assert os.listdir(directory) == []


def test_sockets_of_threads(way):
    """Both ends are closed however a conversation ends; the server survives a client
    that hangs up (D2, D4, P4).
    """
    ended, failures = [], []

    @way
    def converse(connection):
        defer(lambda: failures.append(recover(UnicodeDecodeError)))
        defer(ended.append, connection)
        defer(connection.close)
        lines = connection.makefile("rb")
        defer(lines.close)
        for line in lines:
            connection.sendall(line.decode("ascii").upper().encode())

    @way
    def serve(listener, clients):
        pool = using(ThreadPoolExecutor(4))
        defer(listener.close)
        for _ in range(clients):
            connection, _ = listener.accept()
            pool.submit(converse, connection)

    @way
    def ask(port, *questions):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        defer(connection.close)
        answers = using(connection.makefile("rb"))
        found = []
        for question in questions:
            if question is None:
                raise LookupError
            connection.sendall(question)
            found.append(answers.readline())
        okdefer(connection.shutdown, socket.SHUT_RDWR)
        return found

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = threading.Thread(target=serve, args=(listener, 4))
    server.start()
    assert ask(port, b"one\n", b"two\n") == [b"ONE\n", b"TWO\n"]
    with pytest.raises(LookupError):
        ask(port, b"one\n", None)
    assert ask(port, b"caf\xe9\n") == [b""]  # the server hangs up
    assert ask(port, b"again\n") == [b"AGAIN\n"]
    server.join(30)
    assert not server.is_alive()
    assert (len(ended), {connection.fileno() for connection in ended}, listener.fileno()) == (
        4,
        {-1},
        -1,
    )
    assert sorted(type(failure).__name__ for failure in failures) == ["NoneType"] * 3 + [
        "UnicodeDecodeError"
    ]
    with pytest.raises(ConnectionRefusedError):
        ask(port, b"one\n")


def test_a_pair_of_sockets(way):
    """The other side sees the end of the conversation when, and only when, the
    function has exited (D2).
    """
    ours, theirs = socket.socketpair()
    theirs.settimeout(30)

    @way
    def talk():
        defer(ours.close)
        defer(ours.sendall, b"bye")
        ours.sendall(b"hello ")
        theirs.setblocking(False)
        seen.append(theirs.recv(100))
        with pytest.raises(BlockingIOError):
            theirs.recv(100)
        raise LookupError

    seen = []
    with theirs:
        with pytest.raises(LookupError):
            talk()
        assert (seen, theirs.recv(100), theirs.recv(100)) == ([b"hello "], b"bye", b"")


def test_sockets_of_tasks(way):
    """Streams are closed, and the closing is awaited, after a conversation and after a
    cancellation of either side (D2, D6).
    """
    ended = []

    @way
    async def converse(reader, writer):
        defer(lambda: ended.append(type(sys.exception()).__name__))
        defer(writer.wait_closed)
        defer(writer.close)
        while line := await reader.readline():
            if line == b"wait\n":
                hangs.set()
                await asyncio.Event().wait()
            writer.write(line.upper())
            await writer.drain()

    @way
    async def ask(port, *questions):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        defer(writer.wait_closed)
        defer(writer.close)
        answers = []
        for question in questions:
            writer.write(question)
            answers.append(await reader.readline())
        return answers

    async def handle(reader, writer):
        handlers.append(asyncio.current_task())
        await converse(reader, writer)

    @way
    async def main():
        server = await ausing(await asyncio.start_server(handle, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        answers = await ask(port, b"one\n", b"two\n")
        asking = asyncio.create_task(ask(port, b"wait\n"))
        await hangs.wait()
        asking.cancel()
        await asyncio.wait([asking])
        handlers[-1].cancel()
        await asyncio.wait(handlers)
        return answers, asking.cancelled(), handlers[-1].cancelled()

    hangs, handlers = asyncio.Event(), []
    assert asyncio.run(main()) == ([b"ONE\n", b"TWO\n"], True, True)
    assert ended == ["NoneType", "CancelledError"]
