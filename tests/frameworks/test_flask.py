"""Flask: views, class-based views, hooks, streams, error handlers and commands (A, D2)."""

import asyncio
import functools

import pytest

pytest.importorskip("flask", reason="flask is not installed (the extra 'frameworks' has it)")

import flask
from flask.views import MethodView

from godefer import DeferError, ausing, defer, errdefer, okdefer, recover, using, with_defers


@pytest.fixture
def app():
    return flask.Flask("shop")


@pytest.fixture
def client(app):
    return app.test_client()


def test_view(way, app, client, events):
    """A view's deferred calls run when it has returned, in the context of its request (A, D2)."""

    @app.route("/<int:n>", methods=["GET", "POST"])
    @way
    def view(n):
        defer(lambda: events.append(flask.request.method))
        okdefer(events.append, "returns")
        return {"n": n, "name": flask.request.args["name"]}

    assert client.post("/3?name=tea").get_json() == {"n": 3, "name": "tea"}
    assert events == ["returns", "POST"]
    assert app.view_functions == {"static": app.view_functions["static"], "view": view}


def test_views_of_a_blueprint(way, app, client, events):
    """Flask finds a blueprint's view by the function's name, which decorating keeps (A)."""
    blueprint = flask.Blueprint("admin", "admin", url_prefix="/admin")

    @blueprint.get("/users")
    @way
    def users():
        defer(events.append, "exits")
        return flask.url_for("admin.users")

    app.register_blueprint(blueprint)
    assert client.get("/admin/users").text == "/admin/users"
    assert events == ["exits"]


def login_required(fn):
    """Refuse anonymous users, like the decorator in Flask's documentation."""

    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        if "token" not in flask.request.args:
            return "who are you?", 401
        return fn(*args, **kwargs)

    return wrapper


def test_below_a_decorator_of_its_own(way, app, client, events):
    """@with_defers works below other decorators; a request that they refuse defers nothing (A)."""

    @app.route("/next")
    @login_required
    @way
    def next_to_def():
        defer(events.append, "exits")
        return "in"

    @app.route("/above")
    @way
    @login_required
    def above():
        defer(events.append, "exits")
        return "in"

    for path in ("/next", "/above"):
        assert client.get(path).status_code == 401
        assert events == []
        assert client.get(f"{path}?token=1").text == "in"
        assert events == ["exits"]
        events.clear()


def test_above_the_route(app, client, events):
    """Above the route @with_defers comes too late: Flask calls the function below, and `defer`
    says where to put it (A, D3).
    """

    @with_defers
    @app.route("/")
    def view():
        defer(events.append, "exits")
        return "seen"

    app.testing = True
    with pytest.raises(DeferError) as caught:
        client.get("/")
    message = str(caught.value)
    assert "test_above_the_route.<locals>.view" in message
    assert f"{__file__}:" in message
    assert "put @with_defers on the line right above its own `def`, below @" in message
    assert view() == "seen"
    assert events == ["exits"]


@pytest.mark.parametrize("kind", ["before_request", "errorhandler", "command"])
def test_above_other_decorators_of_the_application(app, client, events, kind):
    """Above `@app.before_request`, `@app.errorhandler` or `@app.cli.command` @with_defers
    comes too late (A, D3).
    """
    register = {
        "before_request": app.before_request,
        "errorhandler": app.errorhandler(404),
        "command": app.cli.command("late"),
    }[kind]

    @with_defers
    @register
    def late(*error):
        defer(events.append, "never")

    app.testing = True
    with pytest.raises(
        DeferError,
        match="late .*put @with_defers on the line right above its own `def`, below @",
    ):
        if kind == "command":
            raise app.test_cli_runner().invoke(args=["late"]).exception
        client.get("/")
    assert events == []


@pytest.mark.parametrize("fail", [lambda: flask.abort(404), lambda: {}[0]])
def test_a_view_that_fails(way, app, client, events, fail):
    """`errdefer` runs when a view aborts, as for any other exception,
    before the error handler (D10).
    """

    @app.errorhandler(404)
    @app.errorhandler(KeyError)
    @way
    def handler(error):
        defer(events.append, "handler exits")
        return type(error).__name__, 400

    @app.route("/")
    @way
    def view():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        fail()

    assert client.get("/").text in {"NotFound", "KeyError"}
    assert events == ["fails", "exits", "handler exits"]


def test_a_view_that_recovers(app, client):
    """A view can recover, and responds with its named result (P4, N)."""

    @app.route("/<int:n>")
    @with_defers(result="response")
    def divide(n):
        response = None

        def rescue():
            nonlocal response
            if error := recover(ZeroDivisionError):
                response = flask.jsonify(error=str(error)), 400

        defer(rescue)
        return {"result": 12 // n}

    assert client.get("/4").get_json() == {"result": 3}
    failed = client.get("/0")
    assert (failed.status_code, failed.get_json()) == (
        400,
        {"error": "integer division or modulo by zero"},
    )


def test_streamed_view(way, app, client, events):
    """A streamed generator exits when the client has all of it, or closes the response (D2)."""

    @way
    def lines(n):
        defer(events.append, "lines exit")
        errdefer(events.append, "lines fail")
        for i in range(n):
            yield f"{flask.request.path} {i}\n"

    @app.route("/<int:n>")
    @way
    def view(n):
        defer(events.append, "view exits")
        return flask.stream_with_context(lines(n)), {"Content-Type": "text/plain"}

    assert client.get("/2").text == "/2 0\n/2 1\n"
    assert events == ["view exits", "lines exit"]
    events.clear()

    response = client.get("/1000", buffered=False)
    assert next(response.iter_encoded()) == b"/1000 0\n"
    assert events == ["view exits"]
    response.close()
    assert events == ["view exits", "lines fail", "lines exit"]


def test_decorated_with_stream_with_context(way, app, client, events):
    """A generator view under `stream_with_context` is decorated next to its `def` (A)."""

    @app.route("/")
    @flask.stream_with_context
    @way
    def view():
        defer(events.append, "exits")
        yield flask.request.path
        yield "!"

    assert client.get("/").text == "/!"
    assert events == ["exits"]


def test_async_view(way, app, client, events):
    """An async view is run to its end, with its clean-ups awaited (D6)."""
    pytest.importorskip(
        "asgiref",
        reason="asgiref, which async views need, is not installed (the extra 'frameworks' has it)",
    )

    class Session:
        async def __aenter__(self):
            return "session"

        async def __aexit__(self, *details):
            await asyncio.sleep(0)
            events.append("session is left")

    @app.route("/")
    @way
    async def view():
        name = await ausing(Session())
        defer(asyncio.sleep, 0)
        defer(events.append, "exits")
        return name

    assert client.get("/").text == "session"
    assert events == ["exits", "session is left"]


def test_class_based_views(way, app, client, events):
    """The methods of a class-based view can be decorated, and its
    `decorators` decorate all views (A).
    """

    class Things(MethodView):
        decorators = [login_required]

        def __init__(self, name):
            self.name = name

        @way
        def get(self):
            defer(events.append, "get exits")
            return self.name

        @way
        def post(self):
            defer(events.append, "post exits")
            return self.name

    app.add_url_rule("/", view_func=Things.as_view("things", "tea"))
    assert [
        client.get("/?token=1").text,
        client.post("/?token=1").text,
        client.get("/").status_code,
    ] == [
        "tea",
        "tea",
        401,
    ]
    assert events == ["get exits", "post exits"]


def test_hooks(way, app, client, events):
    """The functions that Flask calls around a request each have their own deferred calls (A)."""

    @app.before_request
    @way
    def before():
        defer(events.append, "before exits")

    @app.after_request
    @way
    def after(response):
        defer(events.append, "after exits")
        return response

    @app.teardown_request
    @way
    def teardown(error):
        defer(events.append, "teardown exits")

    @app.route("/")
    @way
    def view():
        defer(events.append, "view exits")
        return ""

    client.get("/")
    assert events == ["before exits", "view exits", "after exits", "teardown exits"]


def test_command(way, app, events):
    """A command and its deferred calls run in the application's context (A, D2)."""

    @app.cli.command("import")
    @way
    def import_data():
        """Import."""
        using(app.test_request_context("/imported"))
        defer(lambda: events.append(flask.current_app.name))
        flask.current_app.logger.debug("imports")

    result = app.test_cli_runner().invoke(args=["import"])
    assert (result.exit_code, result.exception) == (0, None)
    assert events == ["shop"]
