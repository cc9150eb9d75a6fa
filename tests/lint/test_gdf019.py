"""GDF019: a close runs before the commit, or flush, of the same object."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF019"

WRONG = [
    """
@with_defers
def f(path, conn):
    okdefer(conn.commit)
    errdefer(conn.rollback)
    defer(conn.close)  #!
@with_defers
def g(path, self):
    out = open(path, "w")
    defer(out.flush)
    if path:
        defer(lambda: out.close())  #!
    defer(self.conn.commit)
    @defer  #!
    def close():
        self.conn.close()
def h(conn):
    with defer_scope() as later:
        later.ok(conn.commit)
        later(conn.close)  #!
""",
]

RIGHT = [
    """
@with_defers
async def f(path, conn, other, writer):
    defer(conn.close)
    okdefer(conn.commit)
    errdefer(conn.rollback)
    defer(other.commit)
    defer(other.cursor.close)
    defer(writer.wait_closed)
    defer(writer.close)
@with_defers
def g(path, conn, flag):
    if flag:
        defer(conn.commit)
    else:
        defer(conn.close)
@with_defers
def swap(connect):
    conn = connect(1)
    defer(conn.commit)
    conn = connect(2)
    defer(conn.close)
def h(conn):
    with defer_scope() as outer, defer_scope() as inner:
        inner.ok(conn.commit)
        outer(conn.close)
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
