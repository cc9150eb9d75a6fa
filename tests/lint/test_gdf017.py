"""GDF017: a scope is never entered, or the result of detach() is dropped."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF017"

WRONG = [
    """
def f(file):
    defer_scope()  #!
    scope = defer_scope()  #!
    scope(file.close)
    scope.err(print)
def g(file):
    with defer_scope() as defer:
        defer(file.close)
        defer.detach()  #!
def h(file):
    with defer_scope() as defer:
        defer(file.close)
        kept = defer.detach()  #!
    return file
""",
]

RIGHT = [
    """
class Pool:
    def __init__(self):
        self.scope = defer_scope()
    def open(self, file):
        with defer_scope() as defer:
            defer(file.close)
            self.kept = defer.detach()
        with defer_scope() as defer:
            return defer.detach()
def g(file, later):
    scope = defer_scope()
    with scope as defer:
        defer(file.close)
    other = defer_scope()
    other(file.close)
    other.close()
    third = defer_scope()
    later.append(third)
    fourth = defer_scope()
    fourth(file.close)
    return fourth
def h(file):
    with defer_scope() as defer:
        kept = defer.detach()
    with kept:
        kept(print)
    shared = defer_scope()
    def late():
        shared.close()
    return late
""",
]


@pytest.mark.parametrize("snippet", WRONG)
def test_wrong(snippet):
    """The rule finds each mistake on its line, and no rule finds anything else."""
    check_wrong(CODE, snippet)


@pytest.mark.parametrize("snippet", RIGHT)
def test_right(snippet):
    """No rule fires on correct code that looks like the mistake."""
    check_right(snippet)


@pytest.mark.parametrize("snippet", WRONG)
def test_other_names(snippet):
    """No rule fires on functions of another library that have the names of godefer's."""
    check_names(snippet)
