"""Tools that rebuild functions: typeguard, beartype, line_profiler
(docs/cookbook/frameworks.md).
"""

import importlib.util
import io
import re
import sys
import warnings
from textwrap import dedent

import pytest

from godefer import DeferError, explain

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TYPEGUARD = """
    from typeguard import typechecked as check
"""
BEARTYPE = """
    from beartype import beartype as check
"""
BODY = """
    from godefer import defer, with_defers

    ran = []


    @with_defers
    @check
    def below(x: int) -> int:
        defer(ran.append, x)
        return x


    @check
    @with_defers
    def above(x: int) -> int:
        defer(ran.append, x)
        return x


    class OnMethods:
        @with_defers
        @check
        def method(self, x: int) -> int:
            defer(ran.append, x)
            return x

        @staticmethod
        @with_defers
        @check
        def static(x: int) -> int:
            defer(ran.append, x)
            return x


    @check
    class OnTheClass:
        @with_defers
        def method(self, x: int) -> int:
            defer(ran.append, x)
            return x

        @staticmethod
        @with_defers
        def static(x: int) -> int:
            defer(ran.append, x)
            return x

        @property
        @with_defers
        def value(self) -> int:
            defer(ran.append, 1)
            return 1
"""


@pytest.fixture(params=["1", "0"], ids=["open-coded", "runtime"])
def load(request, monkeypatch, tmp_path):
    """Return a function that imports a source as a module, in each way."""
    monkeypatch.setenv("GODEFER_OPEN_CODED", request.param)
    monkeypatch.setenv("GODEFER_CACHE", "0")

    def load(name, *parts):
        path = tmp_path / f"{name}.py"
        path.write_text("".join(dedent(part) for part in parts))
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # typeguard warns of functions that it leaves alone
            spec.loader.exec_module(module)
        return module

    load.open_coded = request.param == "1"
    return load


def calls(module):
    return {
        "below": module.below,
        "above": module.above,
        "method": module.OnMethods().method,
        "static": module.OnMethods.static,
        "class's method": module.OnTheClass().method,
        "class's static": module.OnTheClass.static,
    }


def test_typechecked_below(load):
    """typeguard's `@typechecked` below `@with_defers` checks, and the deferred calls run (A)."""
    typeguard = pytest.importorskip(
        "typeguard", reason="typeguard is not installed (the extra 'frameworks' has it)"
    )
    module = load("checked_by_typeguard", TYPEGUARD, BODY)
    for name in ("below", "method", "static"):
        module.ran.clear()
        assert calls(module)[name](1) == 1
        assert module.ran == [1]
        with pytest.raises(typeguard.TypeCheckError):
            calls(module)[name]("x")
        assert module.ran == [1]


@pytest.mark.parametrize("name", ["above", "class's method", "class's static", "class's property"])
def test_typechecked_above(load, name):
    """Above @with_defers, `@typechecked` drops the defers of an open-coded function: the error
    names typeguard and the right order (D3).
    """
    pytest.importorskip(
        "typeguard", reason="typeguard is not installed (the extra 'frameworks' has it)"
    )
    module = load("checked_by_typeguard", TYPEGUARD, BODY)

    def call():
        if name == "class's property":
            return module.OnTheClass().value
        return calls(module)[name](1)

    if not load.open_coded:  # typeguard leaves it alone
        assert call() == 1
        assert module.ran == [1]
        return
    with pytest.raises(DeferError) as caught:
        call()
    message = str(caught.value)
    assert message.startswith("defer() is used in ")
    assert "typeguard has made anew from its source" in message
    assert "put @typechecked below @with_defers" in message
    assert module.ran == []


def test_typeguard_import_hook(load, tmp_path, monkeypatch):
    """typeguard's import hook changes the source before it is decorated: both work (A)."""
    typeguard = pytest.importorskip(
        "typeguard", reason="typeguard is not installed (the extra 'frameworks' has it)"
    )
    (tmp_path / "hooked_by_typeguard.py").write_text(
        dedent(re.sub(r"^ *@check\n", "", BODY, flags=re.MULTILINE))
    )
    monkeypatch.syspath_prepend(tmp_path)
    with typeguard.install_import_hook("hooked_by_typeguard"):
        module = importlib.import_module("hooked_by_typeguard")
    try:
        for call in calls(module).values():
            module.ran.clear()
            assert call(1) == 1
            assert module.ran == [1]
            with pytest.raises(typeguard.TypeCheckError):
                call("x")
    finally:
        del sys.modules["hooked_by_typeguard"]


def test_beartype(load):
    """`@beartype` goes above, below and on a class: it checks, and the deferred calls run (A)."""
    roar = pytest.importorskip(
        "beartype.roar", reason="beartype is not installed (the extra 'frameworks' has it)"
    )
    module = load("checked_by_beartype", BEARTYPE, BODY)
    for call in calls(module).values():
        module.ran.clear()
        assert call(1) == 1
        assert module.ran == [1]
        with pytest.raises(roar.BeartypeCallHintParamViolation):
            call("x")
        assert module.ran == [1]
    assert module.OnTheClass().value == 1
    assert module.ran == [1, 1]


def test_beartype_import_hook(load, tmp_path, monkeypatch):
    """`beartype.claw` decorates a module's definitions, outside of
    `@with_defers`: both work (A).
    """
    roar = pytest.importorskip(
        "beartype.roar", reason="beartype is not installed (the extra 'frameworks' has it)"
    )
    from beartype.claw import beartype_package

    name = f"hooked_by_beartype_{'open_coded' if load.open_coded else 'runtime'}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "inner.py").write_text(
        dedent(re.sub(r"^ *@check\n", "", BODY, flags=re.MULTILINE))
    )
    monkeypatch.syspath_prepend(tmp_path)
    beartype_package(name)
    module = importlib.import_module(f"{name}.inner")
    for call in calls(module).values():
        module.ran.clear()
        assert call(1) == 1
        assert module.ran == [1]
        with pytest.raises(roar.BeartypeCallHintParamViolation):
            call("x")
    assert explain(module.below).way == ("open-coded" if load.open_coded else "runtime")


def test_line_profiler(load):
    """line_profiler works above and below, and counts the lines of the function
    with its deferred calls (A).
    """
    pytest.importorskip(
        "line_profiler", reason="line_profiler is not installed (the extra 'frameworks' has it)"
    )
    profiler = """
        from line_profiler import LineProfiler

        check = LineProfiler()
    """
    body = BODY.partition("    class OnMethods")[0]
    module = load("profiled", profiler, body)
    for f in (module.below, module.above):
        module.ran.clear()
        assert f(1) == 1
        assert module.ran == [1]
    shown = io.StringIO()
    module.check.print_stats(shown)
    assert "Function: below" in shown.getvalue()
    if load.open_coded:
        assert "Function: above" in shown.getvalue()
