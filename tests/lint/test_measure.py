"""The corpus: the checker finds nearly all of its mistakes, and nothing in its right snippets."""

import subprocess
import sys
from pathlib import Path

import pytest

from godefer.lint import RULES
from tests.lint import converted, measure

SNIPPETS = list(measure.snippets())
PAGE = (Path(__file__).parents[2] / "docs/checker.md").read_text(encoding="utf-8")


def total(chosen):
    result = measure.Score(0, 0, 0, 0)
    for snippet in chosen:
        result += measure.score(snippet)
    return result


def test_the_corpus_is_large_enough():
    """Each rule has wrong and right snippets, and there are at least 120 of each kind."""
    kinds = [snippet.kind for snippet in SNIPPETS]
    assert set(kinds) == {"wrong", "right"}
    assert kinds.count("wrong") >= 120
    assert kinds.count("right") >= 120
    for rule in RULES:
        own = {snippet.kind for snippet in SNIPPETS if snippet.rule == rule}
        assert own == {"wrong", "right"}, rule


def test_every_snippet_is_python():
    """A wrong snippet compiles and marks a mistake; a right one compiles and marks none."""
    for snippet in SNIPPETS:
        compile(snippet.source, snippet.title, "exec", dont_inherit=True)
        assert bool(snippet.marked()) == (snippet.kind == "wrong"), snippet.title


@pytest.mark.parametrize("rule", sorted({snippet.rule for snippet in SNIPPETS}))
def test_no_false_alarm(rule):
    """A right snippet has no problem, and a wrong one has none on other lines."""
    for snippet in SNIPPETS:
        if snippet.rule == rule:
            lines = {line for line, _ in snippet.reported()}
            assert lines <= snippet.marked(), snippet.title


def test_recall():
    """95 of 100 mistakes are found. docs/checker.md names each rule that finds fewer than 90."""
    assert total(SNIPPETS).recall >= 0.95
    for rule in RULES:
        recall = total(snippet for snippet in SNIPPETS if snippet.rule == rule).recall
        assert recall >= 0.9 or f"- {rule}" in PAGE.partition("## How much it finds")[2], rule


def test_the_numbers_in_the_page():
    """docs/checker.md has the numbers that `python -m tests.lint.measure` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.lint.measure"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert done.stdout.splitlines()[-2:] == [
        line for line in PAGE.splitlines() if line.startswith(("recall ",)) or " wrong and " in line
    ]


def test_a_conversion_keeps_the_meaning():
    """The converter turns `with` and `finally` into defers that do the same."""
    source = """
import contextlib
log = []
@contextlib.contextmanager
def noted(name):
    log.append(f"enter {name}")
    yield name
    log.append(f"exit {name}")
class C:
    def close(self):
        log.append("close")
def f(c, items):
    for item in items:
        with noted(item) as x:
            log.append(x)
    try:
        with noted("tail"):
            log.append("body")
            return 3
    finally:
        c.close()
        print("end", end="")
"""
    logs = []
    text, count = converted.convert(source)
    assert count == 4
    for each in (source, text):
        names = {}
        exec(compile(each, "<converted>", "exec", dont_inherit=True), names)
        assert names["f"](names["C"](), "ab") == 3
        logs.append(names["log"])
    assert logs[0] == logs[1]
