"""pytest: fixtures, tests, and pytest's own report of them, by runs of
pytest inside pytest (A, D2).
"""

import re

import pytest

pytest_plugins = ["pytester"]

HEAD = """
import pytest

from godefer import defer, errdefer, explain, okdefer, recover, with_defers

events = []


@with_defers
def probe():
    defer(str)


assert explain(probe).way == "{way}"

"""


@pytest.fixture
def run(pytester, way, monkeypatch):
    """Return a function that runs pytest on a text, with the functions run in each way."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", "1" if way.name == "open-coded" else "0")
    monkeypatch.setenv(
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"
    )  # otherwise every run would import them again

    def run(text, *options):
        pytester.makepyfile(HEAD.replace("{way}", way.name) + text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-q", *options)

    return run


ORDERS = ["@pytest.fixture{}\n@with_defers", "@with_defers\n@pytest.fixture{}"]


@pytest.mark.parametrize("order", ORDERS)
def test_fixture(run, order):
    """Below or above `@pytest.fixture`, the deferred calls run at teardown, or before the test if
    the fixture returns (A, D2).
    """
    result = run(
        f"""
{order.format("")}
def yielding(tmp_path):
    defer(events.append, "yielding exits")
    okdefer(events.append, "yielding returns")
    yield tmp_path.name

{order.format("")}
def returning(request):
    defer(events.append, "returning exits")
    return request.node.name

def test_them(yielding, returning):
    assert yielding.startswith("test_them")
    assert returning == "test_them"
    assert events == ["returning exits"]

def test_after():
    assert events == ["returning exits", "yielding returns", "yielding exits"]
"""
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("order", ORDERS)
def test_parametrised_and_wider_fixtures(run, order):
    """Scopes, parameters and names of fixtures are the same as without the decorator (A, D4)."""
    result = run(
        f"""
{order.format('(scope="module", params=["a", "b"], name="letter")')}
def make_letter(request):
    defer(events.append, f"{{request.param}} exits")
    yield request.param

{order.format("(autouse=True)")}
def each():
    defer(events.append, "each exits")
    yield

def test_one(letter):
    events.append(f"one {{letter}}")

def test_two(letter):
    events.append(f"two {{letter}}")

def test_after():
    assert events == [
        "one a", "each exits", "two a", "each exits", "a exits",
        "one b", "each exits", "two b", "each exits",
    ]

def test_after_the_module(pytestconfig):
    pytestconfig.add_cleanup(lambda: print("at the end:", events[-1]))
"""
    )
    result.assert_outcomes(passed=6)
    result.stdout.fnmatch_lines(["at the end: b exits"])


@pytest.mark.parametrize("order", ORDERS)
def test_fixture_of_a_class(run, order):
    """A fixture that is a method has the test's own object (A)."""
    indented = order.format("").replace("\n", "\n    ")
    result = run(
        f"""
class TestThing:
    {indented}
    def thing(self):
        self.mark = "set by the fixture"
        defer(events.append, "exits")
        yield self

    @with_defers
    def test_it(self, thing):
        defer(events.append, "test exits")
        assert thing is self
        assert self.mark == "set by the fixture"

def test_after():
    assert events == ["test exits", "exits"]
"""
    )
    result.assert_outcomes(passed=2)


def test_a_fixture_whose_clean_up_fails(run):
    """A deferred call that fails at teardown is a pytest error that shows the `defer`
    line; the rest run (D5, P6).
    """
    result = run(
        """
def fail():
    raise OSError("cannot remove")

@pytest.fixture
@with_defers
def file():
    defer(events.append, "exits")
    defer(fail)
    yield

def test_it(file):
    pass

def test_after():
    assert events == ["exits"]
"""
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_it*", ">*defer(fail)", "E*OSError: cannot remove"]
    )


def test_a_fixture_that_fails(run):
    """A fixture that fails, or skips, before it has a value runs `errdefer`; the test is
    an error, or skipped (D10).
    """
    result = run(
        """
@pytest.fixture(params=[OSError, pytest.skip.Exception])
@with_defers
def server(request):
    defer(events.append, "exits")
    errdefer(events.append, "fails")
    raise request.param("no port")
    yield

def test_it(server):
    pass

def test_after():
    assert events == ["fails", "exits"] * 2
"""
    )
    result.assert_outcomes(passed=1, skipped=1, errors=1)


def test_a_test(run):
    """A test's calls run before its fixtures are torn down; marks may be above or below, and pytest
    explains a failing `assert` (A, D2).
    """
    result = run(
        """
@pytest.fixture
def file():
    yield
    events.append("file is torn down")

@pytest.mark.parametrize("n", [1, 2])
@with_defers
def test_below(file, n):
    defer(events.append, f"{n} exits")
    errdefer(events.append, f"{n} fails")
    assert n == 1

@with_defers
@pytest.mark.parametrize("n", [3])
def test_above(file, n):
    defer(events.append, f"{n} exits")

def test_after():
    assert events == [
        "1 exits", "file is torn down",
        "2 fails", "2 exits", "file is torn down",
        "3 exits", "file is torn down",
    ]
"""
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines([">*assert n == 1", "E*assert 2 == 1"])


@pytest.mark.parametrize("outcome", ["skip", "xfail", "fail"])
def test_an_outcome_that_is_raised(run, outcome):
    """`pytest.skip`, `xfail` and `fail` raise: `errdefer` runs, and `recover()` does not stop
    them (D10, P3).
    """
    result = run(
        f"""
@with_defers
def test_it():
    defer(lambda: events.append(recover()))
    errdefer(events.append, "fails")
    pytest.{outcome}("because")

def test_after():
    assert events == ["fails", None]
"""
    )
    expected = {"skip": {"skipped": 1}, "xfail": {"xfailed": 1}, "fail": {"failed": 1}}[outcome]
    result.assert_outcomes(passed=1, **expected)


def test_pytest_raises_and_monkeypatch(run):
    """`pytest.raises` works around a decorated function and `monkeypatch` in it; a deferred
    `undo` restores the environment when the function exits (D2).
    """
    result = run(
        """
import os

def setting(monkeypatch):
    @with_defers
    def setting():
        monkeypatch.setenv("GODEFER_SETTING", "on")
        defer(monkeypatch.undo)
        events.append(os.environ["GODEFER_SETTING"])
        raise LookupError("expected")

    return setting

def test_it(monkeypatch):
    with pytest.raises(LookupError, match="expected"):
        setting(monkeypatch)()
    assert events == ["on"]
    assert "GODEFER_SETTING" not in os.environ
"""
    )
    result.assert_outcomes(passed=1)


def test_usefixtures_plugins_and_reports(run):
    """`--fixtures` and `--setup-show` list a decorated fixture, the first with its line and doc;
    `--collect-only` lists a decorated test (A).
    """
    text = """
@pytest.fixture
@with_defers
def server():
    '''A server that is stopped.'''
    defer(str)
    yield

@pytest.mark.usefixtures("server")
@with_defers
def test_it():
    defer(str)
"""
    line = (HEAD + text).strip().splitlines().index("@pytest.fixture") + 1
    name = "test_usefixtures_plugins_and_reports.py"
    # Older versions of pytest give the line of the second decorator.
    shown = run(text, "--fixtures").stdout.str()
    assert re.search(
        rf"^server -- {name}:({line}|{line + 1})\n    A server that is stopped\.$",
        shown,
        re.MULTILINE,
    )
    run(text, "--collect-only").stdout.fnmatch_lines([f"{name}::test_it"])
    run(text, "--setup-show").stdout.fnmatch_lines(["*SETUP *F server", "*TEARDOWN F server"])
