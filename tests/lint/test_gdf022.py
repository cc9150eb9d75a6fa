"""GDF022: the deferred function calls nothing."""

import pytest

from godefer.lint import _files, check_source
from tests.lint.snippets import IMPORTS, check_names, check_right, check_wrong

CODE = "GDF022"

WRONG = [
    """
def undo(): ...
@with_defers
def f(file, conn, log):
    defer(lambda: file.close)  #!
    defer(lambda: undo)  #!
    defer(lambda: conn and conn.close)  #!
    defer(lambda f: f.close, file)  #!
    defer(lambda: lambda: file.close())  #!
    defer(lambda: functools.partial(print, 1))  #!
    @defer
    def done():
        print("done")
        file.close  #!
    def later():
        file.close  #!
    defer(later)
""",
]

RIGHT = [
    """
class Thing:
    @property
    def stop(self): ...
@with_defers
async def f(file, task, thing):
    defer(lambda: file.close())
    defer(lambda: None)
    defer(lambda: task)
    defer(lambda: file.closed)
    defer(lambda: thing.stop)
    defer(lambda: (file.close(), file.name))
    defer(file.close)
    @defer
    def done():
        file.close()
        ...
    return lambda: file.close
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


# The body of a function, and the statement that the safe fix writes.
FIXED = [
    ("defer(lambda: given.close)", "defer(given.close)"),
    ("file = open(given)\n    defer(lambda: file.close)", "defer(file.close)"),
    ("defer(lambda: undo)", "defer(undo)"),
    ("defer(lambda: later_on)", "defer(later_on)"),
    ("defer(lambda: os.close)", "defer(os.close)"),
    ("defer(lambda: lambda: given.close())", "defer(lambda: given.close())"),
    ("defer(lambda: functools.partial(given, 1))", "defer(functools.partial(given, 1))"),
    # Here the value at the exit may be another, or there is none yet.
    (
        "file = None\n    defer(lambda: file.close)\n    file = open(given)",
        "defer(lambda: file.close())",
    ),
    ("defer(lambda: file.close)\n    file = open(given)", "defer(lambda: file.close())"),
    ("defer(lambda: given.file.close)", "defer(lambda: given.file.close())"),
    ("given.close = print\n    defer(lambda: given.close)", "defer(lambda: given.close())"),
    ("defer(lambda: given[0].close)", "defer(lambda: given[0].close())"),
    ("for x in given:\n        defer(lambda x=x: x.close)", "defer(lambda x=x: x.close())"),
    ("global shared\n    defer(lambda: shared.close)", "defer(lambda: shared.close())"),
    ("defer(lambda: shared.close)", "defer(lambda: shared.close())"),
    (
        "defer(lambda: functools.partial(print, given.x))",
        "defer(lambda: functools.partial(print, given.x)())",
    ),
    ("defer(lambda: lambda x=given.x: x)", "defer(lambda: (lambda x=given.x: x)())"),
    ("defer(lambda: inner)\n    def inner(): ...", "defer(lambda: inner())"),
    ("defer(lambda: given and given.close)", "defer(lambda: given and given.close())"),
    ("file = 1\n    del file\n    defer(lambda: file.close)", "defer(lambda: file.close())"),
]


@pytest.mark.parametrize(("body", "expected"), FIXED)
def test_the_fix_reads_no_variable_earlier(body, expected):
    """A name that the lambda reads at exit is read by the fix at exit, unless it stays the same."""
    source = (
        f"{IMPORTS}shared = None\ndef undo(): ...\ndef bind():\n    global shared\n"
        f"    shared = open('x')\n@with_defers\ndef f(given):\n    {body}\ndef later_on(): ...\n"
    )
    [problem] = [p for p in check_source(source) if p.code == CODE]
    assert problem.fix.safe
    result, count = _files.fix_source(source.encode(), "x.py", _files.Selection([CODE]))
    assert count == 1
    assert expected in [line.strip() for line in result.decode().splitlines()]


def test_the_message_shows_the_fix():
    """The message says what the fix writes."""
    source = f"{IMPORTS}@with_defers\ndef f(given):\n    defer(lambda: given.file.close)\n"
    assert check_source(source)[0].message.endswith("; write given.file.close()")
