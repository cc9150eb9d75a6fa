"""The docstrings of everything public: what it does, its arguments and errors, the rule's number, an example that runs, a place in the reference."""

import inspect
import re
from pathlib import Path

import pytest

import godefer
from godefer import lint
from godefer._explain import DeferSite

PUBLIC = {
    **{f"godefer.{name}": getattr(godefer, name) for name in godefer.__all__},
    "godefer._explain.DeferSite": DeferSite,
    "godefer.Explanation.summary": godefer.Explanation.summary,
    **{f"godefer.lint.{name}": getattr(lint, name) for name in lint.__all__ if name != "RULES"},
}


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_is_complete(name):
    """A public object's docstring has a summary line, a line for each argument, the rule (if it is one of the library's), and an example."""
    thing = PUBLIC[name]
    text = inspect.getdoc(thing)
    summary, _, rest = text.partition("\n\n")
    assert summary.endswith((".", ":")) and "\n" not in summary
    assert re.search(r"^Example:\n    >>> ", rest, re.MULTILINE)
    if not name.startswith("godefer.lint."):
        assert re.search(r"\((?:rules? |section )?[DPNARS]\d*\b|\bsection [NAS]\)", text), "no rule is named"
    if inspect.isroutine(thing):
        for argument in inspect.signature(thing).parameters.values():
            stars = {argument.VAR_POSITIONAL: r"\*", argument.VAR_KEYWORD: r"\*\*"}.get(argument.kind, "")
            assert argument.name == "self" or re.search(rf"^    {stars}{argument.name}: ", rest, re.MULTILINE)


def test_reference_page_shows_everything_public():
    """docs/reference.md has each public object once, and nothing that is not there."""
    page = Path(__file__).parent.parent / "docs" / "reference.md"
    shown = re.findall(r"^::: (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted({*PUBLIC, "godefer.lint.RULES"} - {"godefer.Explanation.summary"})
