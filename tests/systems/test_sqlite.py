"""SQLite, embedded: transactions end as their function does, even if their process is killed."""

import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from godefer import defer, errdefer, okdefer, recover, using


@pytest.fixture
def bank(tmp_path):
    """Return the path of a database with two accounts. The commit checks that a taker exists."""
    path = tmp_path / "bank.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript("""
            CREATE TABLE account (
                name TEXT PRIMARY KEY,
                balance INTEGER NOT NULL CHECK (balance >= 0)
            );
            CREATE TABLE payment (
                taker TEXT REFERENCES account DEFERRABLE INITIALLY DEFERRED,
                amount INTEGER
            );
            INSERT INTO account VALUES ('checking', 100), ('savings', 0);
        """)
    return path


def balances(path):
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT name, balance FROM account"))


def connect(path, timeout=5):
    db = sqlite3.connect(path, isolation_level=None, timeout=timeout)
    db.execute("PRAGMA foreign_keys = ON")
    return db


@pytest.fixture
def transfer(way):
    """Move an amount; `seen` notes its calls on the connection."""

    @way
    def transfer(path, giver, taker, amount, seen, between=lambda: None):
        db = connect(path)
        defer(db.close)
        db.set_trace_callback(seen.append)
        db.execute("BEGIN IMMEDIATE")
        errdefer(db.execute, "ROLLBACK")
        okdefer(db.execute, "COMMIT")
        db.execute("UPDATE account SET balance = balance - ? WHERE name = ?", (amount, giver))
        between()
        db.execute("UPDATE account SET balance = balance + ? WHERE name = ?", (amount, taker))
        db.execute("INSERT INTO payment VALUES (?, ?)", (taker, amount))

    return transfer


def test_commit(transfer, bank):
    """A function that returns commits, once, and does not roll back (D10)."""
    seen = []
    transfer(bank, "checking", "savings", 30, seen)
    assert (seen[0], seen[-1], seen.count("ROLLBACK")) == ("BEGIN IMMEDIATE", "COMMIT", 0)
    assert balances(bank) == {"checking": 70, "savings": 30}


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt, SystemExit])
def test_rollback(transfer, bank, error):
    """A function that fails half-way rolls back, whatever kind of exception it is (D10)."""

    def fail():
        raise error

    seen = []
    with pytest.raises(error):
        transfer(bank, "checking", "savings", 30, seen, fail)
    assert (seen[-1], seen.count("COMMIT")) == ("ROLLBACK", 0)
    assert balances(bank) == {"checking": 100, "savings": 0}


def test_a_constraint_that_fails(transfer, bank):
    """An error of the database itself rolls back, and leaves the function (D10)."""
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        transfer(bank, "checking", "savings", 101, [])
    assert balances(bank) == {"checking": 100, "savings": 0}


def test_a_commit_that_fails(transfer, bank):
    """A commit that fails makes the function fail: it rolls back and closes, and
    the error leaves (D5, D10).
    """
    seen = []
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        transfer(bank, "checking", "pension", 30, seen)
    assert seen[-2:] == ["COMMIT", "ROLLBACK"]
    assert balances(bank) == {"checking": 100, "savings": 0}


def test_a_database_that_is_locked(transfer, way, bank):
    """A transaction that cannot begin rolls nothing back; its connection is closed, and works
    when the lock is gone (D8).
    """

    @way
    def while_locked(seen):
        other = using(closing(connect(bank)))
        other.execute("BEGIN IMMEDIATE")
        defer(other.execute, "COMMIT")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            impatient(seen)

    @way
    def impatient(seen):
        db = connect(bank, timeout=0.05)
        defer(db.close)
        db.set_trace_callback(seen.append)
        db.execute("BEGIN IMMEDIATE")
        errdefer(db.execute, "ROLLBACK")

    seen = []
    while_locked(seen)
    assert seen == ["BEGIN IMMEDIATE"]
    transfer(bank, "checking", "savings", 30, [])
    assert balances(bank) == {"checking": 70, "savings": 30}


def test_savepoints(way, bank):
    """A function in a transaction undoes its own part only; the function that recovers decides how
    much is kept (D2, D10, P4).
    """

    @way
    def step(db, name, amount, fails=False):
        db.execute(f"SAVEPOINT {name}")
        defer(db.execute, f"RELEASE {name}")
        errdefer(db.execute, f"ROLLBACK TO {name}")
        db.execute("UPDATE account SET balance = balance + ? WHERE name = 'savings'", (amount,))
        if fails:
            raise LookupError(name)

    @way
    def attempt(db, name, amount):
        defer(lambda: recover(LookupError))
        step(db, name, amount, fails=True)

    @way
    def work():
        db = using(closing(connect(bank)))
        db.execute("BEGIN")
        errdefer(db.execute, "ROLLBACK")
        okdefer(db.execute, "COMMIT")
        step(db, "a", 1)
        attempt(db, "b", 10)
        step(db, "c", 100)

    work()
    assert balances(bank)["savings"] == 101


def test_rows_that_are_read_half_way(way, bank):
    """A generator over rows ends its statement when it is closed: the database
    is no longer locked (D2).
    """

    @way
    def names(db):
        rows = db.execute("SELECT name FROM account")
        defer(rows.close)
        for (name,) in rows:
            yield name

    with closing(connect(bank)) as db:
        reading = names(db)
        assert next(reading) == "checking"
        with (
            closing(connect(bank, timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("DELETE FROM payment")
        reading.close()
        with closing(connect(bank, timeout=0)) as other:
            other.execute("DELETE FROM payment")


KILLED = """
    import os, signal, sqlite3, sys
    from godefer import defer, errdefer, explain, okdefer, with_defers

    @with_defers
    def transfer(path):
        db = sqlite3.connect(path, isolation_level=None)
        defer(print, "closed", flush=True)
        defer(db.close)
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN IMMEDIATE")
        errdefer(db.execute, "ROLLBACK")
        okdefer(db.execute, "COMMIT")
        db.execute("UPDATE account SET balance = balance - 30 WHERE name = 'checking'")
        db.execute("CREATE TABLE large AS WITH n(i) AS"
                   " (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
                   " SELECT i, hex(zeroblob(500)) FROM n")
        os.kill(os.getpid(), int(sys.argv[2]))
        db.execute("UPDATE account SET balance = balance + 30 WHERE name = 'savings'")

    print(explain(transfer).way, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    transfer(sys.argv[1])
"""


@pytest.mark.parametrize(
    ("number", "status", "printed"),
    [
        (signal.SIGTERM, 3, ["closed"]),
        (signal.SIGINT, -signal.SIGINT, ["closed"]),
        (signal.SIGKILL, -signal.SIGKILL, []),
    ],
)
def test_a_process_that_is_told_to_end(way, bank, tmp_path, monkeypatch, number, status, printed):
    """A signal in a transfer rolls it back; after SIGKILL, which runs nothing, the journal undoes
    it for the next process (D2, D10).
    """
    program = tmp_path / "killed.py"
    program.write_text(textwrap.dedent(KILLED))
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, program, bank, str(int(number))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout.split()) == (status, [way.name, *printed]), ended.stderr
    assert (tmp_path / "bank.db-journal").exists() == (number == signal.SIGKILL)
    assert balances(bank) == {"checking": 100, "savings": 0}
    with closing(connect(bank)) as db:
        assert db.execute("SELECT name FROM sqlite_master WHERE name = 'large'").fetchall() == []
