"""PostgreSQL over the network: transactions, advisory locks, and a server killed in a transfer."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from godefer import ausing, defer, errdefer, okdefer, recover, using
from tests.systems import postgresql as here

psycopg = pytest.importorskip(
    "psycopg", reason="psycopg is not installed (the extra 'systems' has it)"
)
psycopg_pool = pytest.importorskip(
    "psycopg_pool", reason="psycopg_pool is not installed (the extra 'systems' has it)"
)

try:
    here.programs(), here.unprivileged()
except here.NotHere as missing:
    pytest.skip(str(missing), allow_module_level=True)

ACCOUNTS = 4
EACH = 100


@pytest.fixture
def server(postgresql):
    """Start a server with accounts of 100 each. The commit checks that a payment's taker exists."""
    if postgresql.process.poll() is not None:
        postgresql.start()  # a failed test may have left it dead
    with psycopg.connect(postgresql.conninfo) as db:
        db.execute("DROP TABLE IF EXISTS payment, account")
        db.execute(
            "CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0))"
        )
        db.execute(
            "CREATE TABLE payment (key text, "
            "taker int REFERENCES account DEFERRABLE INITIALLY DEFERRED)"
        )
        db.execute(
            "INSERT INTO account SELECT n, %s FROM generate_series(0, %s) n", (EACH, ACCOUNTS - 1)
        )
    return postgresql


def ask(server, query, *parameters):
    with psycopg.connect(server.conninfo, autocommit=True) as db:
        return db.execute(query, parameters).fetchall()


def balances(server):
    return [balance for (balance,) in ask(server, "SELECT balance FROM account ORDER BY id")]


def connections(server):
    """Return the states of the other connections, once none is left or 5 seconds are over.

    The server takes a moment to see that a connection was closed.
    """
    others = (
        "SELECT state FROM pg_stat_activity WHERE backend_type = 'client backend'"
        " AND pid != pg_backend_pid()"
    )
    end = time.monotonic() + 5
    while (found := ask(server, others)) and time.monotonic() < end:
        time.sleep(0.005)
    return [state for (state,) in found]


async def waiting(server):
    """Wait until some connection waits for a lock that another one holds."""
    async with asyncio.timeout(30):
        while not ask(server, "SELECT pid FROM pg_locks WHERE NOT granted"):
            await asyncio.sleep(0.005)


TAKE = "UPDATE account SET balance = balance - %s WHERE id = %s"
GIVE = "UPDATE account SET balance = balance + %s WHERE id = %s"
NOTE = "INSERT INTO payment VALUES (%s, %s)"


@pytest.fixture
def transfer(way, server):
    """Move an amount; `seen` notes how the transaction ends."""

    @way
    def transfer(giver, taker, amount, seen, between=lambda: None):
        db = psycopg.connect(server.conninfo)
        defer(seen.append, "closed")
        defer(db.close)
        errdefer(db.rollback)
        errdefer(seen.append, "rollback")
        okdefer(db.commit)
        okdefer(seen.append, "commit")
        db.execute(TAKE, (amount, giver))
        between()
        db.execute(GIVE, (amount, taker))
        db.execute(NOTE, (f"{giver} to {taker}", taker))

    return transfer


@pytest.fixture
def atransfer(way, server):
    """Move an amount, in a coroutine function; `seen` notes how the transaction ends."""

    @way
    async def atransfer(giver, taker, amount, seen, between=asyncio.sleep):
        db = await psycopg.AsyncConnection.connect(server.conninfo)
        defer(seen.append, "closed")
        defer(db.close)
        errdefer(db.rollback)
        errdefer(seen.append, "rollback")
        okdefer(db.commit)
        okdefer(seen.append, "commit")
        await db.execute(TAKE, (amount, giver))
        await between(0)
        await db.execute(GIVE, (amount, taker))
        await db.execute(NOTE, (f"{giver} to {taker}", taker))

    return atransfer


def test_commit(transfer, server):
    """A function that returns commits and does not roll back (D10)."""
    seen = []
    transfer(0, 1, 30, seen)
    assert seen == ["commit", "closed"]
    assert balances(server) == [70, 130, 100, 100]


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_rollback(transfer, server, error):
    """A function that fails half-way rolls back, and its own exception leaves (D10)."""

    def fail():
        raise error

    seen = []
    with pytest.raises(error):
        transfer(0, 1, 30, seen, fail)
    assert seen == ["rollback", "closed"]
    assert balances(server) == [100] * 4


def test_a_commit_that_fails(transfer, server):
    """A commit that fails makes the function fail: it rolls back and closes, and
    the error leaves (D5, D10).
    """
    seen = []
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        transfer(0, 99, 30, seen)
    assert seen == ["commit", "rollback", "closed"]
    assert balances(server) == [100] * 4


def test_async_commit_and_rollback(atransfer, server):
    """Commit, rollback and close are awaited, in turn, before the function ends (D6, D10)."""

    async def fail(_):
        raise LookupError

    async def main():
        returned, failed, refused = [], [], []
        await atransfer(0, 1, 30, returned)
        with pytest.raises(LookupError):
            await atransfer(0, 1, 30, failed, fail)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            await atransfer(0, 99, 30, refused)
        return returned, failed, refused

    assert asyncio.run(main()) == (
        ["commit", "closed"],
        ["rollback", "closed"],
        ["commit", "rollback", "closed"],
    )
    assert balances(server) == [70, 130, 100, 100]


def test_a_cancelled_transfer(atransfer, server):
    """A task cancelled while the server runs its query rolls back, closes, and
    stays cancelled (D2, D10).
    """

    async def main():
        db = await psycopg.AsyncConnection.connect(server.conninfo)
        async with db:
            await db.execute(
                "SELECT balance FROM account WHERE id = 1 FOR UPDATE"
            )  # the transfer must wait
            seen, half_way = [], asyncio.Event()

            async def between(_):
                half_way.set()

            task = asyncio.create_task(atransfer(0, 1, 30, seen, between))
            await half_way.wait()
            await waiting(server)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled(), seen

    assert asyncio.run(main()) == (True, ["rollback", "closed"])
    assert balances(server) == [100] * 4
    assert connections(server) == []


def test_context_managers(way, server):
    """`using` works for a connection and its transaction. If the transaction suppresses an
    exception (`Rollback`), the function returns None: the block of the `with` would be the
    rest of the function (D11, P4).
    """

    @way
    def work(how):
        db = using(psycopg.connect(server.conninfo))
        using(db.transaction())
        db.execute(TAKE, (1, 0))
        if how is not None:
            raise how
        return "returned"

    @way
    async def awork(how):
        db = await ausing(await psycopg.AsyncConnection.connect(server.conninfo))
        await ausing(db.transaction())
        await db.execute(TAKE, (10, 0))
        if how is not None:
            raise how
        return "returned"

    for run, left in ((work, 99), (lambda how: asyncio.run(awork(how)), 89)):
        assert run(None) == "returned"
        assert run(psycopg.Rollback()) is None
        with pytest.raises(LookupError):
            run(LookupError())
        assert balances(server)[0] == left


def test_recover_from_an_error_of_the_database(way, server):
    """After a recovery from a database error, earlier deferred calls
    run as on a return (P2, P4).
    """

    errors = []

    @way
    def withdraw(account, amount):
        def refused():
            errors.append(recover(psycopg.errors.CheckViolation))

        db = using(psycopg.connect(server.conninfo))
        okdefer(db.execute, NOTE, ("after", 0))
        defer(refused)
        errdefer(db.rollback)
        db.execute(TAKE, (amount, account))
        return "withdrawn"

    assert [withdraw(0, 30), withdraw(0, 300)] == ["withdrawn", None]
    assert [type(error) for error in errors] == [type(None), psycopg.errors.CheckViolation]
    assert balances(server)[0] == 70
    assert ask(server, "SELECT count(*) FROM payment WHERE key = 'after'") == [(2,)]


@pytest.mark.parametrize("fails", [False, True])
def test_an_advisory_lock(way, server, fails):
    """The lock is held until the work is committed or rolled back, and is
    free after every exit (D2).
    """
    free = "SELECT pg_try_advisory_xact_lock(7)"
    observed = []

    @way
    def work():
        db = using(psycopg.connect(server.conninfo, autocommit=True))
        db.execute("SELECT pg_advisory_lock(7)")
        defer(lambda: observed.append(db.execute("SELECT pg_advisory_unlock(7)").fetchone()))
        defer(lambda: observed.append(ask(server, free)))
        db.execute("BEGIN")
        errdefer(db.execute, "ROLLBACK")
        okdefer(db.execute, "COMMIT")
        db.execute("SELECT 1 / %s", (0 if fails else 1,))

    if fails:
        with pytest.raises(psycopg.errors.DivisionByZero):
            work()
    else:
        work()
    assert observed == [[(False,)], (True,)]
    assert ask(server, free) == [(True,)]


def test_an_advisory_lock_between_threads(way, server):
    """One thread at a time does the work under an advisory lock, though some fail
    in the middle of it (D4).
    """
    inside, most, done = 0, 0, []

    @way
    def work(n):
        nonlocal inside, most
        db = using(psycopg.connect(server.conninfo, autocommit=True))
        db.execute("SELECT pg_advisory_lock(8)")
        defer(db.execute, "SELECT pg_advisory_unlock(8)")

        def leave():
            nonlocal inside
            inside -= 1

        inside += 1
        defer(leave)
        most = max(most, inside)
        [(balance,)] = db.execute("SELECT balance FROM account WHERE id = 0")
        if n % 3 == 2:
            raise LookupError(n)
        db.execute("UPDATE account SET balance = %s WHERE id = 0", (balance + 1,))
        done.append(n)

    with ThreadPoolExecutor(6) as pool:
        failed = [type(future.exception()) for future in [pool.submit(work, n) for n in range(18)]]
    assert failed == [[type(None), type(None), LookupError][n % 3] for n in range(18)]
    assert (most, inside, len(done), balances(server)[0]) == (1, 0, 12, 112)


def test_a_cancelled_wait_for_an_advisory_lock(way, server):
    """A task cancelled while it waits for the lock unlocks nothing, and
    closes its connection (D8).
    """
    seen = []

    @way
    async def work():
        db = await psycopg.AsyncConnection.connect(server.conninfo, autocommit=True)
        defer(db.close)
        defer(seen.append, "waiting ends")
        await db.execute("SELECT pg_advisory_lock(9)")
        defer(seen.append, "unlocks")
        defer(db.execute, "SELECT pg_advisory_unlock(9)")

    async def main():
        async with await psycopg.AsyncConnection.connect(
            server.conninfo, autocommit=True
        ) as holder:
            await holder.execute("SELECT pg_advisory_lock(9)")
            task = asyncio.create_task(work())
            await waiting(server)
            task.cancel()
            await asyncio.wait([task])
        await work()
        return task.cancelled()

    assert asyncio.run(main()) is True
    assert seen == ["waiting ends", "unlocks", "waiting ends"]


@pytest.mark.parametrize("entered", [False, True])
def test_a_pool(way, server, entered):
    """A pooled connection is back, clean, after every exit of its function; a waiting
    thread gets it (D4, D10).
    """
    if entered:

        @way
        def transfer(pool, giver, taker, error):
            db = using(pool.connection())
            db.execute(TAKE, (1, giver))
            if error is not None:
                raise error
            db.execute(GIVE, (1, taker))
    else:

        @way
        def transfer(pool, giver, taker, error):
            db = pool.getconn()
            defer(pool.putconn, db)
            defer(lambda: states.add(db.info.transaction_status.name))
            errdefer(db.rollback)
            okdefer(db.commit)
            db.execute(TAKE, (1, giver))
            if error is not None:
                raise error
            db.execute(GIVE, (1, taker))

    @way
    def work():
        pool = using(
            psycopg_pool.ConnectionPool(server.conninfo, min_size=2, max_size=2, open=False)
        )
        threads = using(ThreadPoolExecutor(6))
        errors = [LookupError() if n % 3 == 2 else None for n in range(18)]
        done = [threads.submit(transfer, pool, 0, 1, error) for error in errors]
        seen = [future.exception(30) for future in done]
        for _ in range(2):  # both connections are back
            db = pool.getconn()
            defer(pool.putconn, db)
        return seen == errors

    # The states of connections that are given back. The pool would roll back an open transaction.
    states = set()
    assert work() is True
    assert states == (set() if entered else {"IDLE"})
    assert balances(server) == [88, 112, 100, 100]


def test_an_async_pool(way, server):
    """Tasks cancelled while they hold a connection, or wait for one, leave the
    pool as it was (D2, D6, D8).
    """

    @way
    async def transfer(pool, giver, taker, held=None):
        db = await pool.getconn()
        defer(pool.putconn, db)
        defer(lambda: states.append(db.info.transaction_status.name))
        errdefer(db.rollback)
        okdefer(db.commit)
        await db.execute(TAKE, (1, giver))
        if held is not None:
            held.set()
            await asyncio.sleep(60)
        await db.execute(GIVE, (1, taker))

    @way
    async def main():
        pool = await ausing(
            psycopg_pool.AsyncConnectionPool(server.conninfo, min_size=1, max_size=1, open=False)
        )
        held = asyncio.Event()
        holder = asyncio.create_task(transfer(pool, 0, 1, held))
        await held.wait()
        waiter = asyncio.create_task(transfer(pool, 0, 1))
        async with asyncio.timeout(30):
            while not pool.get_stats()["requests_waiting"]:
                await asyncio.sleep(0.001)
        waiter.cancel()
        await asyncio.wait([waiter])
        holder.cancel()
        await asyncio.wait([holder])
        await asyncio.gather(*(transfer(pool, 0, 1) for _ in range(5)))
        return holder.cancelled(), waiter.cancelled()

    states = []
    assert asyncio.run(main()) == (True, True)
    assert states == ["IDLE"] * 6
    assert balances(server) == [95, 105, 100, 100]


def test_rows_that_are_read_half_way(way, server):
    """A generator closes its server-side cursor when it is closed (D2)."""
    open_cursors = "SELECT count(*) FROM pg_cursors"

    @way
    def numbers(db):
        cursor = using(db.cursor("numbers"))
        cursor.itersize = 10
        cursor.execute("SELECT * FROM generate_series(1, 1000)")
        for (n,) in cursor:
            yield n

    @way
    async def anumbers(db):
        cursor = await ausing(db.cursor("numbers"))
        cursor.itersize = 10
        await cursor.execute("SELECT * FROM generate_series(1, 1000)")
        async for (n,) in cursor:
            yield n

    async def main():
        async with await psycopg.AsyncConnection.connect(server.conninfo) as db:
            reading = anumbers(db)
            assert await anext(reading) == 1
            before = await (await db.execute(open_cursors)).fetchone()
            await reading.aclose()
            return before, await (await db.execute(open_cursors)).fetchone()

    with psycopg.connect(server.conninfo) as db:
        reading = numbers(db)
        assert next(reading) == 1
        assert db.execute(open_cursors).fetchone() == (1,)
        reading.close()
        assert db.execute(open_cursors).fetchone() == (0,)
    assert asyncio.run(main()) == ((1,), (0,))


def test_the_server_is_killed_half_way(transfer, server):
    """If the server dies between taking and giving, the rollback fails too, the connection is
    closed, and no money is lost (D5).
    """
    seen = []
    with pytest.raises(psycopg.OperationalError) as caught:
        transfer(0, 1, 30, seen, server.kill)
    assert seen == ["rollback", "closed"]
    # The error of the rollback, with the error of the body as its context.
    assert isinstance(caught.value.__context__, psycopg.OperationalError)
    server.start()
    assert balances(server) == [100] * 4
    transfer(0, 1, 30, seen)
    assert balances(server) == [70, 130, 100, 100]


def test_the_server_is_killed_half_way_of_an_async_transfer(atransfer, server):
    """An async transfer whose server dies half-way loses no money either; rollback and close are
    awaited (D5, D6).
    """

    async def kill(_):
        server.kill()

    seen = []
    with pytest.raises(psycopg.OperationalError) as caught:
        asyncio.run(atransfer(0, 1, 30, seen, kill))
    assert seen == ["rollback", "closed"]
    assert isinstance(caught.value.__context__, psycopg.OperationalError)
    server.start()
    assert balances(server) == [100] * 4


def test_the_server_is_killed_under_load(way, server):
    """After the server died under load, it has every transfer that returned, perhaps the last one
    of each thread, and no half of a transfer (D5).
    """
    returned, failed, enough = [], [], threading.Event()

    @way
    def transfer(key, giver, taker):
        db = psycopg.connect(server.conninfo)
        defer(db.close)
        errdefer(failed.append, key)
        errdefer(db.rollback)
        okdefer(db.commit)
        # In the order of their ids, so that no two transfers wait for each other.
        for account, query in sorted(((giver, TAKE), (taker, GIVE))):
            db.execute(query, (1, account))
        db.execute(NOTE, (key, taker))

    def many(thread):
        try:
            for n in range(10_000):
                key = f"{thread}-{n}"
                transfer(key, (thread + n) % ACCOUNTS, (thread + n + 1) % ACCOUNTS)
                returned.append(key)
                if len(returned) > 40:
                    enough.set()
        except psycopg.OperationalError:
            return key
        finally:
            enough.set()

    with ThreadPoolExecutor(4) as pool:
        threads = [pool.submit(many, thread) for thread in range(4)]
        enough.wait(30)
        server.kill()
        in_doubt = {thread.result(30) for thread in threads}
    assert len(returned) > 40
    assert None not in in_doubt
    assert set(failed) <= in_doubt  # a transfer that could not connect had deferred nothing
    server.start()
    there = {key for (key,) in ask(server, "SELECT key FROM payment")}
    assert set(returned) <= there <= set(returned) | in_doubt
    assert sum(balances(server)) == ACCOUNTS * EACH
