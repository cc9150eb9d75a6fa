"""The source of a function is found in files of any look (R1, A)."""

import gc
import linecache
import random
import re
import sys
import sysconfig
import types
import warnings
import weakref
from pathlib import Path

import pytest

from godefer import defer, explain
from godefer._compiler.source import find_source
from tests.sources import FROM_3_12, MODULES

PYPY = sys.implementation.name == "pypy"


def unindented(text):
    """Return the text without its indentation here, which not every line of a string has."""
    return re.sub("(?m)^ {8}", "", text)


def checked(module):
    events = []
    assert module.run(events) is True
    assert events == [1, 2]


@pytest.mark.parametrize("name", MODULES)
def test_modules(way, load, name):
    """A function of any look and name is found, proven and compiled again (R1, A)."""
    checked(load(unindented(MODULES[name]), way))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize("name", FROM_3_12)
def test_modules_from_3_12(way, load, name):
    """Functions with type parameters and methods of generic classes are found (R1, A, PEP 695)."""
    checked(load(unindented(FROM_3_12[name]), way))


# Files

PLAIN = """\
# Ünïcödé
class A:
    @decorate
    def m(self, events):
        # \u00e9
        defer(events.append, "\u00e9")
        x = '''\u00e9
\u00e9'''
        return x

    y = 1


@decorate
def f(events):
    defer(events.append, 2)
    if events is None:
        return 3
    return 4
    # the end"""


def encoded(name):
    text = PLAIN
    if name == "CRLF":
        return text.replace("\n", "\r\n").encode()
    if name == "CR":
        return text.replace("\n", "\r").encode()
    if name == "tabs":
        return text.replace("    ", "\t").encode()
    if name == "mixed tabs and spaces":
        return text.replace("        ", " \t").replace("    ", " ").encode()
    if name == "one space":
        return text.replace("    ", " ").encode()
    if name == "form feeds":
        return (
            text.replace("class", "\fclass")
            .replace("    @dec", "    \f    @dec")
            .replace("\n\n", "\n\f\n")
            .encode()
        )
    if name == "latin-1":
        return ("# -*- coding: latin-1 -*-\n" + text).encode("latin-1")
    if name == "UTF-8 with a mark":
        return text.encode("utf-8-sig")
    if name == "newline at the end":
        return (text + "\n").encode()
    if name == "no comment at the end":
        return text.removesuffix("\n    # the end").encode()
    if name == "blank lines at the end":
        return (text + "\n    \n\n\t\n").encode()
    assert name == "no newline at the end"
    return text.encode()


@pytest.mark.parametrize(
    "name",
    [
        "no newline at the end",
        "newline at the end",
        "no comment at the end",
        "blank lines at the end",
        "CRLF",
        "CR",
        "tabs",
        "mixed tabs and spaces",
        "one space",
        pytest.param(
            "form feeds",
            marks=pytest.mark.skipif(
                PYPY, reason="PyPy does not allow a form feed within an indentation"
            ),
        ),
        "latin-1",
        "UTF-8 with a mark",
    ],
)
def test_files(way, load, name):
    """Line ends, indentation and encodings are read as by the interpreter (R1)."""
    module = load(encoded(name), way)
    events = []
    assert module.A().m(events) == "\u00e9\n\u00e9"
    assert module.f(events) == 4
    assert events == ["\u00e9", 2]


def test_large_module(way, load):
    """A function is found at the beginning and end of a file of five thousand lines (R1)."""
    function = "@decorate\ndef f{}(events):\n    defer(events.append, {})\n    return True\n\n"
    module = load("".join(function.format(i, i) for i in range(1000)), _sampled(way))
    assert len(Path(module.__file__).read_text().splitlines()) == 5000
    events = []
    for i in (0, 500, 999):
        assert module.__dict__[f"f{i}"](events)
    assert events == [0, 500, 999]


def _sampled(way):
    return lambda fn: way(fn) if fn.__name__ in {"f0", "f500", "f999"} else fn


def test_same_code_in_two_files(load):
    """Equal functions of two files each have their own source and lines (A)."""
    text = "@decorate\ndef f(events):\n    defer(events.append, 1)\n"
    one, other = load(text), load(text)
    assert one.f.__code__.co_filename != other.f.__code__.co_filename
    for module in (one, other):
        explanation = explain(module.f)
        assert explanation.way == "open-coded"
        assert explanation.file == module.__file__
        assert module.f.__code__.co_filename == module.__file__


def test_same_name_in_one_file(load):
    """Of two functions with the same name each is compiled from its own lines (A)."""
    text = "@decorate\ndef f(events):\n    defer(events.append, {})\n    return True\nf{} = f\n"
    module = load(text.format(1, 1) + text.format(2, 2))
    events = []
    module.f1(events)
    module.f2(events)
    assert events == [1, 2]
    assert explain(module.f1).line == 1
    assert explain(module.f2).line == 6


def test_function_made_anew(load):
    """A function defined in each call of another is compiled once (R1)."""
    module = load(
        "def make(events):\n    @decorate\n"
        "    def f():\n        defer(events.append, 1)\n    return f\n"
    )
    one, other = module.make([]), module.make([])
    assert one.__code__ is other.__code__
    assert explain(one).way == explain(other).way == "open-coded"
    Path(module.__file__).unlink()
    linecache.clearcache()
    assert explain(module.make([])).way == "open-coded"


def test_code_is_not_kept_alive(load, way):
    """godefer's memory of a function goes away with its code (D9)."""
    codes = []

    def decorate(fn):
        codes.append(weakref.ref(fn.__code__))
        decorated = way(fn)
        codes.append(weakref.ref(decorated.__code__))
        return decorated

    module = load("@decorate\ndef f(events):\n    defer(events.append, 1)\n", decorate)
    events = []
    module.f(events)
    del module
    for _ in range(3):  # PyPy frees code only after the objects that refer to it
        gc.collect()
    assert [code() for code in codes] == [None, None]
    assert events == [1]


def test_recursive_closure_is_not_kept_alive(way):
    """A nested function that names itself can be collected with its closure (D9)."""

    class Big:
        pass

    def make():
        big = Big()

        @way
        def f(n):
            defer(str, big)
            return f(n - 1) if n else big

        return weakref.ref(f(2))

    big = make()
    gc.collect()
    assert big() is None


def test_declared_global(load):
    """A function whose qualified name misleads is run the runtime way, with a reason (R4)."""
    module = load(
        "def make():\n    global f\n    @decorate\n"
        "    def f(events):\n        defer(events.append, 1)\n        return 2\n"
    )
    module.make()
    events = []
    assert module.f(events) == 2
    assert events == [1]
    assert explain(module.f).way == "runtime"
    reason = explain(module.f).reason
    assert reason.startswith(f"{module.__file__} no longer holds, at line 3, ")
    assert reason.endswith(": it was edited, or a tool has rewritten it")


# The standard library


def functions_of(code):
    """Yield the code of each `def` function in *code*, without annotations (PEP 649)."""
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            if (
                inner.co_flags & 0x1
                and not inner.co_name.startswith("<")
                and inner.co_name != "__annotate__"
            ):
                yield inner
            yield from functions_of(inner)


def standard_library():
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "test", "tests", "idle_test", "__pycache__", "lib2to3"}
    return [
        path for path in sorted(root.rglob("*.py")) if not skipped & {*path.relative_to(root).parts}
    ]


def accepted(paths):
    """Count the functions in *paths*; return the reasons for those without a source."""
    count, reasons = 0, []
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = compile(path.read_bytes(), path, "exec", dont_inherit=True)
        for code in functions_of(module):
            count += 1
            source = find_source(code, {})
            if isinstance(source, str):
                reasons.append(f"{path.name}:{code.co_firstlineno} {code.co_qualname}: {source}")
        linecache.clearcache()
    return count, reasons


@pytest.mark.parametrize(
    "text",
    [
        "@same\ndef f(x):\n    'A docstring'\n",
        '@same\ndef f(\n    x,\n):\n    """A\n    docstring."""\n',
        "class A:\n    @same\n    @same\n    def f(\n    x\n    ):\n        'A'\n",
    ],
)
def test_a_docstring_alone(tmp_path, text):
    """A body without instructions is found below its decorators and parameters (R1)."""
    path = tmp_path / "module.py"
    path.write_text("same = lambda f: f\n" + text + "x = 1\n")
    (code,) = functions_of(compile(path.read_text(), str(path), "exec"))
    assert not isinstance(find_source(code, {}), str)


def test_standard_library(capsys):
    """Of a fixed sample of the standard library, 999 of 1,000 functions are proven (R1)."""
    paths = random.Random(1).sample(standard_library(), 110)
    count, reasons = accepted(paths)
    with capsys.disabled():
        print(f"\n{count - len(reasons)} of {count} functions in {len(paths)} modules", end=" ")
    assert count > 1500
    assert len(reasons) < count / 1_000, "\n".join(reasons)
