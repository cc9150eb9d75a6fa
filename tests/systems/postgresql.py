"""A PostgreSQL server for the tests: on loopback, in a temporary folder, started on first use."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

START_SECONDS = 30

# Ends the server and removes its folder ($0) when this process has ended, even by SIGKILL: its end
# of the pipe is closed by then.
GUARD = """
    read -r _
    pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
    mine() { grep -qaF "$0" "/proc/$pid/cmdline" 2>/dev/null; }
    if mine; then kill -QUIT "$pid"; fi
    while mine; do sleep 0.1; done
    rm -rf "$0"
"""
WHERE_DEBIAN_PUTS_IT = Path("/usr/lib/postgresql")


class NotHere(Exception):
    """Raised where a program or a user is missing; its message names that."""


def programs():
    """Return the folder of initdb and postgres: Debian's newest, else the one on PATH."""
    versions = [path for path in WHERE_DEBIAN_PUTS_IT.glob("*/bin") if path.parent.name.isdecimal()]
    for folder in sorted(versions, key=lambda path: -int(path.parent.name)):
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    if (found := shutil.which("postgres")) and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    raise NotHere("PostgreSQL's server is not on this machine (Debian's package is postgresql)")


def unprivileged():
    """Return options that run a process as another user: the server refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise NotHere(
            "there is no user 'postgres', which Debian's package makes, "
            "and root may not run PostgreSQL"
        ) from None
    return {"user": "postgres", "group": "postgres", "extra_groups": []}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def children(parent):
    """Yield the ids of the processes that *parent* has started, in any process group."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, ppid = path.read_text().rpartition(")")[2].split()[:2]
            if int(ppid) == parent:
                yield int(path.parent.name)


class Server:
    """A server of its own, with an empty database. Closing the server deletes its data."""

    def __init__(self):
        import psycopg

        self.psycopg = psycopg
        self.programs = programs()
        self.owner = unprivileged()
        self.process = None
        self.folder = Path(tempfile.mkdtemp(prefix="godefer-postgresql-"))
        self.log = self.folder / "log"
        self.guard = subprocess.Popen(
            ["sh", "-c", GUARD, self.folder],
            cwd="/",
            stdin=subprocess.PIPE,
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._create()
            self.start()
        except BaseException:
            self.close()
            raise

    def _create(self):
        if self.owner:
            shutil.chown(self.folder, self.owner["user"], self.owner["group"])
        self._run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--username=bank",
            "--no-sync",
        )

    def _run(self, program, *arguments):
        command = [self.programs / program, "-D", self.folder / "data", *arguments]
        ended = subprocess.run(
            command, cwd="/", capture_output=True, text=True, timeout=60, **self.owner
        )
        if ended.returncode:
            raise RuntimeError(f"{program}: {ended.stdout}{ended.stderr}")

    @property
    def environment(self):
        """Return the environment in which clients such as psql find the server."""
        return {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "bank",
            "PGDATABASE": "postgres",
        }

    @property
    def conninfo(self):
        return f"host=127.0.0.1 port={self.port} user=bank dbname=postgres connect_timeout=10"

    def start(self):
        """Start the server, or start it again on the same data if it was killed.

        The port is new each time: another process may have taken the old one.
        """
        for attempt in range(3):
            self.port = free_port()
            # Without fsync the server is faster. Its data survives the death of its processes, and
            # nothing else fails in these tests.
            options = [
                "-c",
                "fsync=off",
                "-c",
                "unix_socket_directories=",
                "-c",
                "max_connections=40",
            ]
            command = [
                self.programs / "postgres",
                "-D",
                self.folder / "data",
                "-h",
                "127.0.0.1",
                "-p",
                str(self.port),
            ]
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    [*command, *options],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    **self.owner,
                )
            if self._answers():
                return
        raise RuntimeError(f"PostgreSQL does not start:\n{self.log.read_text()}")

    def _answers(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                time.sleep(0.2)  # processes of a killed server may still hold its data
                return False
            with contextlib.suppress(self.psycopg.OperationalError):
                self.psycopg.connect(self.conninfo).close()
                return True
            time.sleep(0.02)
        self.stop()
        return False

    def kill(self):
        """Send SIGKILL to each of its processes, as when memory runs out.

        No process can tell its clients or write anything more. If only the first process were
        killed, those that serve a client would have time for a commit. It is stopped first, so that
        it starts none meanwhile: that one would wait forever, and its client, too.
        """
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        others = list(children(self.process.pid))
        self.process.kill()
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def close(self):
        self.stop()
        self.guard.stdin.close()
        self.guard.wait(20)
