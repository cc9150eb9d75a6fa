"""Public docstrings are complete: arguments, errors, rule number, running example, reference."""

import inspect
import re
from pathlib import Path

import pytest

import godefer
from godefer import aio, lint
from godefer._cli.command import _parser
from godefer._explain import DeferSite

pytestmark = pytest.mark.project

PUBLIC = {
    **{f"godefer.{name}": getattr(godefer, name) for name in godefer.__all__},
    "godefer._explain.DeferSite": DeferSite,
    **{f"godefer.aio.{name}": getattr(aio, name) for name in aio.__all__},
    **{f"godefer.lint.{name}": getattr(lint, name) for name in lint.__all__ if name != "RULES"},
}
METHODS = {
    f"{name}.{method}": value
    for name, cls in PUBLIC.items()
    if isinstance(cls, type)
    for method, value in vars(cls).items()
    if inspect.isfunction(value) and (method[0] != "_" or method in {"__call__", "__len__"})
}


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_docstring_is_complete(name):
    """A public object's docstring has a summary line, a line for each
    argument, its rule and an example.
    """
    thing = {**PUBLIC, **METHODS}[name]
    text = inspect.getdoc(thing)
    summary, _, rest = text.partition("\n\n")
    assert summary.endswith((".", ":")) and "\n" not in summary
    assert re.search(r"^Example:\n    >>> ", rest, re.MULTILINE)
    if not name.startswith("godefer.lint."):
        assert re.search(r"\((?:rules? |section )?[DPNARSX]\d*\b|\bsection [NASX]\)", text), (
            "no rule is named"
        )
    if inspect.isroutine(thing):
        for argument in inspect.signature(thing).parameters.values():
            stars = {argument.VAR_POSITIONAL: r"\*", argument.VAR_KEYWORD: r"\*\*"}.get(
                argument.kind, ""
            )
            assert argument.name == "self" or re.search(
                rf"^    {stars}{argument.name}: ", rest, re.MULTILINE
            )


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_docstring_tells_of_errors(name):
    """The docstring of a function lists its errors, unless the function only looks."""
    thing = {**PUBLIC, **METHODS}[name]
    looks = {"godefer.defer_scope.__len__", "godefer.Explanation.summary"}
    if inspect.isroutine(thing) and not name.startswith("godefer.lint.") and name not in looks:
        assert re.search(r"^Raises:\n    \w+: ", inspect.getdoc(thing), re.MULTILINE)


@pytest.mark.parametrize("name", [*PUBLIC, *METHODS])
def test_signature_shows_nothing_private(name):
    """`help` shows a signature without private names and addresses of objects (A)."""
    thing = {**PUBLIC, **METHODS}[name]
    if inspect.isroutine(thing):
        assert not re.search(r"\b_\w|\bat 0x", str(inspect.signature(thing)))


def test_help_on_with_defers():
    """`help(with_defers)` shows that the function is optional, and the types of
    the names of results (N).
    """
    shown = str(inspect.signature(godefer.with_defers))
    assert shown == (
        "(fn: 'F' = ..., /, *, result: 'str | tuple[str, ...] | None' = None)"
        " -> 'F | Callable[[F], F]'"
    )


def test_reference_page_shows_everything_public():
    """docs/reference.md has each public object once, and nothing that does not exist."""
    page = Path(__file__).parent.parent / "docs" / "reference.md"
    shown = re.findall(r"^::: (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted({*PUBLIC, "godefer.lint.RULES"})


def test_reference_page_has_the_command_line():
    """docs/reference.md has each subcommand, with all of its arguments and options."""
    page = (Path(__file__).parent.parent / "docs" / "reference.md").read_text(encoding="utf-8")
    section = page.partition("## The command line\n")[2].partition("\n## ")[0]
    (subcommands,) = (
        action.choices for action in _parser()._actions if isinstance(action.choices, dict)
    )
    shown = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert shown == list(subcommands)
    for name, text in zip(
        shown, re.split(r"^### .*$", section, flags=re.MULTILINE)[1:], strict=True
    ):
        for action in subcommands[name]._actions:
            for written in action.option_strings[-1:] or [action.metavar]:
                assert written == "--help" or f"`{written}" in text


def test_command_line_has_help_for_everything():
    """Each subcommand, argument and option of the command line has its line of help."""
    for parser in parsers(_parser()):
        assert parser.description
        assert all(
            action.help for action in parser._actions if not isinstance(action.choices, dict)
        )


def parsers(parser):
    yield parser
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for name, found in action.choices.items():
                assert any(
                    choice.dest == name and choice.help for choice in action._choices_actions
                )
                yield from parsers(found)
