"""Click: commands, groups, and the ways in which they end (A, D2)."""

import sys

import pytest

pytest.importorskip("click", reason="click is not installed (the extra 'frameworks' has it)")

import click
from click.testing import CliRunner

from godefer import DeferError, defer, errdefer, okdefer, recover, with_defers


@pytest.fixture
def invoke():
    runner = CliRunner()
    return lambda command, *args: runner.invoke(command, args)


@pytest.mark.parametrize("order", ["at the def", "in the middle", "in both places"])
def test_command(way, invoke, events, order):
    """@with_defers works next to the `def` and anywhere below `@click.command` (A)."""

    def at(place, fn):
        return way(fn) if order in {place, "in both places"} else fn

    def greet(name, count):
        """Greet somebody."""
        defer(events.append, "exits")
        okdefer(click.echo, "returns")
        click.echo(f"hello {name} " * count)

    greet = at("at the def", greet)
    greet = click.argument("name")(greet)
    greet = at("in the middle", greet)
    greet = click.option("--count", default=1, help="How often.")(greet)
    command = click.command(greet)
    assert command.name == "greet"
    assert invoke(command, "Ada", "--count", "2").output == "hello Ada hello Ada \nreturns\n"
    assert events == ["exits"]
    shown = invoke(command, "--help").output
    assert "Greet somebody." in shown
    assert "How often." in shown
    assert events == ["exits"]


@pytest.mark.parametrize("command", [click.command, click.group(invoke_without_command=True)])
def test_above_the_command(invoke, events, command):
    """Above `@click.command` @with_defers comes too late: `defer` says where to put it (A, D3)."""

    @with_defers
    @command
    def greet():
        defer(events.append, "exits")

    assert isinstance(greet, click.Command)
    result = invoke(greet)
    assert type(result.exception) is DeferError
    message = str(result.exception)
    assert "test_above_the_command.<locals>.greet" in message
    assert f"{__file__}:" in message
    assert "put @with_defers on the line right above its own `def`, below @" in message
    assert events == []


@pytest.mark.parametrize("pass_it", [click.pass_context, click.make_pass_decorator(dict)])
@pytest.mark.parametrize("below", [True, False])
def test_pass_decorators(way, events, pass_it, below):
    """`click.pass_context` and its like may stand above or below (A)."""

    def show(passed, n):
        defer(events.append, "exits")
        click.echo(f"{type(passed).__name__} {n}")

    show = way(pass_it(show)) if below else pass_it(way(show))
    command = click.command(click.option("--n", type=int)(show))
    output = CliRunner().invoke(command, ["--n", "3"], obj={}).output
    assert output in {"Context 3\n", "dict 3\n"}
    assert events == ["exits"]


def test_group(way, invoke, events):
    """A group's function exits before its command begins; the context does the
    clean-up for both (A, D2).
    """

    @click.group
    @click.pass_context
    @way
    def main(context):
        defer(events.append, "group exits")
        context.call_on_close(lambda: events.append("context is closed"))

    @main.command
    @way
    def work():
        defer(events.append, "command exits")

    @main.result_callback()
    @way
    def after(result):
        defer(events.append, "result callback exits")

    assert invoke(main, "work").exit_code == 0
    assert events == ["group exits", "command exits", "result callback exits", "context is closed"]


@pytest.mark.parametrize(
    ("leave", "code"),
    [
        (lambda: sys.exit(3), 3),
        (lambda: click.get_current_context().exit(4), 4),
        (lambda: click.get_current_context().abort(), 1),
        (lambda: click.get_current_context().fail("wrong"), 2),
        (lambda: 1 // 0, 1),
    ],
)
def test_every_way_to_end(way, invoke, events, leave, code):
    """Deferred calls run in each way a command can end the program by an exception, and
    `errdefer` counts each as a failure (D2, D10).
    """

    @click.command
    @way
    def command():
        defer(events.append, "exits")
        errdefer(events.append, "fails")
        okdefer(events.append, "returns")
        leave()

    assert invoke(command).exit_code == code
    assert events == ["fails", "exits"]


def test_recovering_from_how_click_ends(way, invoke, events):
    """`recover` takes Click's own exceptions, which are `Exception`s, unless
    its types exclude them (P3).
    """

    def command(types):
        @click.command
        @way
        def command():
            defer(lambda: events.append(type(recover(*types))))
            click.get_current_context().exit(4)

        return command

    assert invoke(command([])).exit_code == 0
    assert invoke(command([OSError])).exit_code == 4
    assert events == [click.exceptions.Exit, type(None)]


def test_callbacks_of_options(way, invoke, events):
    """The functions that Click calls for a parameter have deferred calls as well (A)."""

    @way
    def double(context, parameter, value):
        defer(events.append, f"{parameter.name} exits")
        return 2 * value

    @click.command
    @click.option("--n", default=2, callback=double)
    @way
    def command(n):
        defer(events.append, "command exits")
        click.echo(n)

    assert invoke(command).output == "4\n"
    assert events == ["n exits", "command exits"]


def test_invoking_a_command_from_another(way, invoke, events):
    """A command that invokes another has its own deferred calls, and so has the other (D4)."""

    @click.command
    @click.option("--n", default=3)
    @way
    def inner(n):
        defer(events.append, f"inner exits with {n}")
        return n

    @click.command
    @click.pass_context
    @way
    def outer(context):
        defer(events.append, "outer exits")
        click.echo(context.invoke(inner) + context.invoke(inner, n=4))

    assert invoke(outer).output == "7\n"
    assert events == ["inner exits with 3", "inner exits with 4", "outer exits"]
