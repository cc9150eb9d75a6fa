"""FastAPI and Starlette: endpoints, dependencies, streams, sockets,
middleware, lifespan (A, D2).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import socket
import sys
import threading
import time
from collections.abc import AsyncIterable, Iterable  # noqa: TC003  # FastAPI reads annotations

import pytest

pytest.importorskip("fastapi", reason="fastapi is not installed (the extra 'frameworks' has it)")
pytest.importorskip(
    "httpx2",
    reason="httpx2, which the test client needs, is not installed (the extra 'frameworks' has it)",
)

import anyio  # noqa: E402
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request  # noqa: E402
from fastapi.responses import JSONResponse, StreamingResponse  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from pydantic import BaseModel  # noqa: E402
from starlette.applications import Starlette  # noqa: E402
from starlette.endpoints import HTTPEndpoint  # noqa: E402
from starlette.middleware import Middleware  # noqa: E402
from starlette.middleware.base import BaseHTTPMiddleware  # noqa: E402
from starlette.responses import PlainTextResponse  # noqa: E402
from starlette.routing import Route, WebSocketRoute  # noqa: E402
from starlette.websockets import WebSocketDisconnect  # noqa: E402

from godefer import DeferError, ausing, defer, errdefer, okdefer, recover, with_defers  # noqa: E402


@pytest.fixture
def app():
    return FastAPI()


@pytest.fixture
def client(app):
    return TestClient(app)


class Order(BaseModel):
    item: str
    count: int = 1


# Endpoints


def test_parameters_of_an_endpoint(way, app, client):
    """FastAPI finds the parameters, types and docstring of a decorated
    endpoint as of a plain one (A).
    """

    def plain(customer: int, order: Order, q: str = "none", limit: int = 3):
        """Order something."""
        return {"customer": customer, "order": order, "q": q, "limit": limit}

    @app.post("/decorated/{customer}")
    @way
    def decorated(customer: int, order: Order, q: str = "none", limit: int = 3):
        """Order something."""
        defer(str)
        return {"customer": customer, "order": order, "q": q, "limit": limit}

    app.post("/plain/{customer}")(plain)
    for path in ("plain", "decorated"):
        found = client.post(f"/{path}/7?limit=4", json={"item": "tea"})
        assert found.json() == {
            "customer": 7,
            "order": {"item": "tea", "count": 1},
            "q": "none",
            "limit": 4,
        }
        assert client.post(f"/{path}/x", json={}).status_code == 422
    described = [
        app.openapi()["paths"][f"/{path}/{{customer}}"]["post"] for path in ("plain", "decorated")
    ]
    assert described[0]["parameters"] == described[1]["parameters"]
    assert described[0]["requestBody"] == described[1]["requestBody"]
    assert described[0]["description"] == described[1]["description"] == "Order something."


def test_endpoint(way, app, client, events):
    """An endpoint's deferred calls run in its worker thread, before the
    client has its response (D2).
    """

    @app.get("/")
    @way
    def endpoint():
        here = threading.get_ident()
        defer(lambda: events.append(("exits", threading.get_ident() == here)))
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        events.append(threading.current_thread() is threading.main_thread())
        return "body"

    assert client.get("/").json() == "body"
    assert events == [False, "returns", ("exits", True)]


def test_async_endpoint(way, app, client, events):
    """An async endpoint awaits its deferred calls before the client has its response (D2, D6)."""

    async def close(name):
        await asyncio.sleep(0)
        events.append(name)

    @contextlib.asynccontextmanager
    async def session():
        yield "session"
        events.append("session is left")

    @app.get("/")
    @way
    async def endpoint():
        name = await ausing(session())
        defer(close, "exits")
        okdefer(close, "returns")
        return name

    assert client.get("/").json() == "session"
    assert events == ["returns", "exits", "session is left"]


def test_below_a_decorator_of_its_own(way, app, client, events):
    """Below another decorator @with_defers gives each request its own deferred calls (A, D4)."""

    def authorised(fn):
        @functools.wraps(fn)
        def wrapper(*args, **kwargs):
            events.append("authorised")
            return fn(*args, **kwargs)

        return wrapper

    @app.get("/next/{n}")
    @authorised
    @way
    def next_to_def(n: int):
        defer(events.append, f"{n} exits")

    @app.get("/above/{n}")
    @way
    @authorised
    def above(n: int):
        defer(events.append, f"{n} exits")

    client.get("/next/1"), client.get("/above/2")
    assert events == ["authorised", "1 exits", "authorised", "2 exits"]


def test_above_the_route(app, client, events):
    """Above the route @with_defers comes too late: FastAPI calls the function below, and `defer`
    says where to put it (A, D3).
    """

    @with_defers
    @app.get("/")
    def endpoint():
        defer(events.append, "exits")

    with pytest.raises(DeferError) as caught:
        client.get("/")
    message = str(caught.value)
    assert "test_above_the_route.<locals>.endpoint" in message
    assert f"{__file__}:" in message
    assert "put @with_defers on the line right above its own `def`, below @" in message
    endpoint()
    assert events == ["exits"]


@pytest.mark.parametrize("kind", ["middleware", "exception_handler"])
def test_above_other_decorators_of_the_application(app, client, events, kind):
    """Above `@app.middleware` or `@app.exception_handler` @with_defers comes too late (A, D3)."""

    @with_defers
    @getattr(app, kind)("http" if kind == "middleware" else LookupError)
    async def late(request, rest):
        defer(events.append, "never")

    @app.get("/")
    def endpoint():
        raise LookupError

    with pytest.raises(
        DeferError,
        match="late .*put @with_defers on the line right above its own `def`, below @",
    ):
        client.get("/")
    assert events == []


@pytest.mark.parametrize("error", [HTTPException(404, "no such thing"), ValueError("broken")])
def test_an_endpoint_that_fails(way, app, events, error):
    """`errdefer` runs for an HTTPException, as for any other exception, before the client has
    its response (D10).
    """

    @app.get("/sync")
    @way
    def endpoint():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        raise error

    @app.get("/async")
    @way
    async def async_endpoint():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        raise error

    client = TestClient(app, raise_server_exceptions=False)
    status = getattr(error, "status_code", 500)
    assert [client.get("/sync").status_code, client.get("/async").status_code] == [status, status]
    assert events == ["fails", "exits"] * 2


def test_an_endpoint_that_recovers(app, client):
    """An endpoint can recover, and responds with its named result (P4, N)."""

    @app.get("/{n}")
    @with_defers(result="response")
    async def divide(n: int):
        response = None

        def rescue():
            nonlocal response
            if error := recover(ZeroDivisionError):
                response = JSONResponse({"error": str(error)}, status_code=400)

        defer(rescue)
        return {"result": 12 // n}

    assert client.get("/4").json() == {"result": 3}
    failed = client.get("/0")
    assert (failed.status_code, failed.json()) == (
        400,
        {"error": "integer division or modulo by zero"},
    )


def test_background_tasks_run_after_the_deferred_calls(way, app, client, events):
    """A background task runs after the endpoint has exited; it may be decorated (D2)."""

    @way
    def task():
        defer(events.append, "task exits")
        events.append("task")

    @app.get("/")
    @way
    def endpoint(tasks: BackgroundTasks):
        defer(events.append, "endpoint exits")
        tasks.add_task(task)

    client.get("/")
    assert events == ["endpoint exits", "task", "task exits"]


def test_requests_at_the_same_time(way, app, client):
    """Requests that run at the same time, in threads and tasks, have
    their own deferred calls (D4).
    """
    barrier = threading.Barrier(4)
    ran = {}

    @app.get("/sync/{n}")
    @way
    def endpoint(n: int):
        for i in range(3):
            defer(ran.setdefault(n, []).append, i)
        barrier.wait(10)

    @app.get("/async/{n}")
    @way
    async def async_endpoint(n: int):
        for i in range(3):
            defer(ran.setdefault(n, []).append, i)
            await asyncio.sleep(0.001)

    with client:
        for kind in ("sync", "async"):
            threads = [
                threading.Thread(target=client.get, args=(f"/{kind}/{n}",)) for n in range(4)
            ]
            [thread.start() for thread in threads], [thread.join() for thread in threads]
            assert ran == dict.fromkeys(range(4), [2, 1, 0])
            ran.clear()


# Dependencies


def test_dependencies_with_yield(way, app, client, events):
    """A dependency's deferred calls run after the request, and after those
    of its dependants (A, D2).
    """

    @way
    def connection(host: str = "localhost"):
        defer(events.append, "connection exits")
        errdefer(events.append, "connection fails")
        yield f"connection to {host}"

    @way
    async def transaction(connection=Depends(connection)):
        async def commit():
            await asyncio.sleep(0)
            events.append("commit")

        okdefer(commit)
        errdefer(events.append, "rollback")
        yield f"transaction on {connection}"

    @app.get("/")
    @way
    def endpoint(fails: bool = False, transaction=Depends(transaction)):
        defer(events.append, "endpoint exits")
        if fails:
            raise HTTPException(409)
        return transaction

    assert client.get("/?host=db").json() == "transaction on connection to db"
    assert events == ["endpoint exits", "commit", "connection exits"]
    events.clear()
    assert client.get("/?fails=1").status_code == 409
    assert events == ["endpoint exits", "rollback", "connection fails", "connection exits"]


def test_dependency_that_returns(way, app, client, events):
    """A dependency that returns its value has exited before the endpoint begins (D2)."""

    @way
    async def settings():
        defer(events.append, "dependency exits")
        return {"limit": 3}

    @app.get("/")
    def endpoint(settings=Depends(settings)):
        events.append("endpoint")
        return settings

    assert client.get("/").json() == {"limit": 3}
    assert events == ["dependency exits", "endpoint"]


def test_dependency_as_a_callable_object(way, app, client, events):
    """A decorated callable object is a dependency, with the parameters of its `__call__` (A)."""

    class Pager:
        def __init__(self, size):
            self.size = size

        def __call__(self, page: int = 0):
            defer(events.append, "pager exits")
            return [page * self.size, self.size]

    pager = way(Pager(10))

    @app.get("/")
    def endpoint(page=Depends(pager)):
        return page

    assert client.get("/?page=2").json() == [20, 10]
    assert events == ["pager exits"]


def test_an_error_in_a_deferred_call_of_a_dependency_after_the_response(way, app, events):
    """If a dependency's deferred call fails after the response, the client has the response and
    the server the error (D5).
    """

    def fail():
        raise OSError("cannot commit")

    @way
    def connection():
        defer(events.append, "connection exits")
        errdefer(events.append, "connection fails")
        okdefer(fail)
        yield

    @app.get("/")
    def endpoint(connection=Depends(connection)):
        return "sent"

    assert TestClient(app, raise_server_exceptions=False).get("/").json() == "sent"
    with pytest.raises(OSError, match="cannot commit"):
        TestClient(app).get("/")
    assert events == ["connection fails", "connection exits"] * 2


# Streams


def test_streaming_response(way, app, client, events):
    """A streamed generator exits when the client has all of it, long after the endpoint (D2)."""

    @way
    def numbers():
        defer(events.append, "numbers exit")
        for n in range(3):
            yield f"{n} "

    @way
    async def letters():
        async def close():
            events.append("letters exit")

        defer(close)
        for letter in "abc":
            yield letter

    @app.get("/numbers")
    @way
    def stream_numbers():
        defer(events.append, "endpoint exits")
        return StreamingResponse(numbers())

    @app.get("/letters")
    @way
    async def stream_letters():
        defer(events.append, "endpoint exits")
        return StreamingResponse(letters())

    assert [client.get("/numbers").text, client.get("/letters").text] == ["0 1 2 ", "abc"]
    assert events == ["endpoint exits", "numbers exit", "endpoint exits", "letters exit"]


def test_generator_endpoint(way, app, client, events):
    """An endpoint that is itself a generator streams its items, and
    exits after the last (A, D2).
    """

    @app.get("/sync")
    @way
    def items() -> Iterable[Order]:
        defer(events.append, "exits")
        okdefer(events.append, "returns")
        for name in ("tea", "milk"):
            yield Order(item=name)

    @app.get("/async")
    @way
    async def async_items() -> AsyncIterable[Order]:
        defer(events.append, "exits")
        okdefer(events.append, "returns")
        for name in ("tea", "milk"):
            yield Order(item=name)

    expected = '{"item":"tea","count":1}\n{"item":"milk","count":1}\n'
    assert [client.get("/sync").text, client.get("/async").text] == [expected, expected]
    assert events == ["returns", "exits"] * 2


def test_a_stream_that_fails_when_the_response_has_begun(way, app, events):
    """An exception in the middle of a stream runs `errdefer`, though the
    client has the beginning (D10).
    """

    @way
    async def letters():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        yield "a"
        raise LookupError("b is missing")

    @app.get("/")
    def endpoint():
        return StreamingResponse(letters())

    with pytest.raises(LookupError, match="b is missing"):
        TestClient(app).get("/")
    assert events == ["fails", "exits"]


@contextlib.contextmanager
def served(app):
    """Run a real server for *app*, and yield its address."""
    uvicorn = pytest.importorskip(
        "uvicorn", reason="uvicorn is not installed (the extra 'frameworks' has it)"
    )
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(20)
        listener.close()
    assert not thread.is_alive()


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def leave_in_the_middle(address):
    """Be a client that leaves after the beginning of a stream."""
    with socket.create_connection(address, 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"more" not in received:
            received += client.recv(4096)


def test_a_client_that_goes_away(way, app, events):
    """A client that leaves cancels the async stream: its deferred calls run, and a shielded
    clean-up is awaited (D2, D6).
    """

    @way
    async def endless():
        async def close():
            with anyio.CancelScope(shield=True):  # anyio interrupts each await in a cancelled scope
                await asyncio.sleep(0.001)
            events.append("exits")

        defer(close)
        errdefer(lambda: events.append(type(sys.exception())))
        while True:
            yield "more\n"
            await asyncio.sleep(0.005)

    @app.get("/")
    async def endpoint():
        return StreamingResponse(endless())

    with served(app) as address:
        leave_in_the_middle(address)
        wait_for(lambda: len(events) == 2)
    assert events in ([asyncio.CancelledError, "exits"], [GeneratorExit, "exits"])


def test_a_client_that_goes_away_from_a_sync_stream(way, app, events):
    """Starlette drops a sync generator without closing it: its deferred calls run when it is
    collected, as a `finally` does (D2).
    """

    @way
    def endless():
        defer(events.append, "exits")
        errdefer(lambda: events.append(type(sys.exception())))
        while True:
            yield "more\n"
            time.sleep(0.005)

    def by_hand():
        try:
            yield from endless()
        finally:
            events.append("by hand")

    @app.get("/")
    def endpoint():
        return StreamingResponse(by_hand())

    with served(app) as address:
        leave_in_the_middle(address)
        wait_for(lambda: gc.collect() is not None and len(events) == 3)
    assert events == [GeneratorExit, "exits", "by hand"]


# Starlette


def test_starlette_endpoints(way, events):
    """Starlette's endpoints may be decorated functions, or have decorated methods (A)."""

    @way
    def sync(request):
        defer(events.append, "sync exits")
        return PlainTextResponse(request.path_params["name"])

    @way
    async def coroutine(request):
        defer(events.append, "async exits")
        return PlainTextResponse(request.path_params["name"])

    class Thing(HTTPEndpoint):
        @way
        def get(self, request):
            defer(events.append, "get exits")
            return PlainTextResponse(self.name())

        @way
        async def post(self, request):
            defer(events.append, "post exits")
            return PlainTextResponse(self.name())

        @way
        def name(self):
            defer(events.append, "name exits")
            return type(self).__name__

    app = Starlette(
        routes=[
            Route("/sync/{name}", sync),
            Route("/async/{name}", coroutine),
            Route("/thing", Thing),
        ]
    )
    client = TestClient(app)
    found = [
        client.get("/sync/a"),
        client.get("/async/b"),
        client.get("/thing"),
        client.post("/thing"),
    ]
    assert [response.text for response in found] == ["a", "b", "Thing", "Thing"]
    assert events == [
        "sync exits",
        "async exits",
        "name exits",
        "get exits",
        "name exits",
        "post exits",
    ]


def test_middleware_and_exception_handler(way, app, client, events):
    """The deferred calls of a middleware run when it returns the response, those of an exception
    handler when it has made the response (A, D2).
    """

    @app.middleware("http")
    @way
    async def outer(request: Request, call_next):
        defer(events.append, "middleware exits")
        response = await call_next(request)
        events.append(response.status_code)
        return response

    @app.exception_handler(LookupError)
    @way
    async def handler(request: Request, error: LookupError):
        defer(events.append, "handler exits")
        return JSONResponse(str(error), status_code=404)

    @app.get("/")
    @way
    def endpoint():
        errdefer(events.append, "endpoint fails")
        raise LookupError("nothing")

    assert client.get("/").json() == "nothing"
    assert events == ["endpoint fails", "handler exits", 404, "middleware exits"]


def test_a_middleware_that_recovers(way, events):
    """A method of a middleware class can recover from the application's exceptions (P2, P4)."""

    class Rescuing(BaseHTTPMiddleware):
        @way
        async def dispatch(self, request, call_next):
            response = []

            def rescue():
                if error := recover(LookupError):
                    response.append(f"rescued {error}")
                events.extend(response)

            defer(rescue)
            return await call_next(request)

    @way
    def endpoint(request):
        errdefer(events.append, "endpoint fails")
        raise LookupError("nothing")

    app = Starlette(routes=[Route("/", endpoint)], middleware=[Middleware(Rescuing)])
    with pytest.raises(TypeError, match="NoneType"):  # it recovered and returned None
        TestClient(app).get("/")
    assert events == ["endpoint fails", "rescued nothing"]


@pytest.mark.parametrize("above", [True, False])
def test_lifespan(way, events, above):
    """The lifespan of an application may have @with_defers above or below its decorator (A, D2)."""

    async def lifespan(app):
        async def stop():
            await asyncio.sleep(0)
            events.append("stopped")

        defer(stop)
        events.append("started")
        yield {"connection": "open"}

    if above:
        lifespan = way(contextlib.asynccontextmanager(lifespan))
    else:
        lifespan = contextlib.asynccontextmanager(way(lifespan))

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    def endpoint(request: Request):
        return request.state.connection

    with TestClient(app) as client:
        assert client.get("/").json() == "open"
        assert events == ["started"]
    assert events == ["started", "stopped"]


@pytest.mark.parametrize("leaves", ["the client", "the server", "by an error"])
def test_websocket(way, events, leaves):
    """A socket endpoint's deferred calls run when the client leaves, the server does,
    or a step fails (D2, D10).
    """

    @way
    async def talk(socket):
        async def close():
            await asyncio.sleep(0)
            events.append("exits")

        await socket.accept()
        defer(close)
        errdefer(events.append, "fails")
        while (text := await socket.receive_text()) != "bye":
            await socket.send_text(text[int(text == "x") and 1 // 0 :])
        await socket.close()

    client = TestClient(Starlette(routes=[WebSocketRoute("/", talk)]))
    expected = {"the client": WebSocketDisconnect, "by an error": ZeroDivisionError}.get(leaves)
    with (
        pytest.raises(expected) if expected else contextlib.nullcontext(),
        client.websocket_connect("/") as socket,
    ):
        socket.send_text("hello")
        assert socket.receive_text() == "hello"
        if leaves == "the client":
            socket.close()
        else:
            socket.send_text("bye" if leaves == "the server" else "x")
            wait_for(lambda: events)
    assert events == (["fails", "exits"] if expected else ["exits"])
