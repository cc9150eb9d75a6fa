"""The source of a function: found whatever the file looks like, and used only when it is the source of the code that runs (R1, A).

What cannot be proven the same runs the runtime way, silently, with the reason in `explain` (R4).
"""

import gc
import importlib.util
import linecache
import os
import random
import re
import subprocess
import sys
import sysconfig
import types
import warnings
import weakref
import zipfile
from pathlib import Path
from textwrap import dedent

import pytest

import godefer
from godefer import DeferError, defer, explain, with_defers
from godefer._compiler.source import find_source

PYPY = sys.implementation.name == "pypy"
ROOT = str(Path(godefer.__file__).resolve().parent.parent)


@pytest.fixture
def load(tmp_path):
    """Import a module from its text or bytes, with `decorate` and godefer's names as globals."""
    count = iter(range(1000))

    def load(text, decorate=with_defers, name=None):
        name = name or f"module_{next(count)}"
        path = tmp_path / f"{name}.py"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        module.decorate = decorate
        for public in godefer.__all__:
            setattr(module, public, getattr(godefer, public))
        spec.loader.exec_module(module)
        return module

    return load


def python(*arguments, stdin=None, **environment):
    """Run the interpreter; its stdout, if it wrote nothing to stderr and succeeded."""
    environment = {**os.environ, "PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1", **environment}
    environment.pop("GODEFER_OPEN_CODED", None)
    done = subprocess.run(
        [sys.executable, *arguments],
        input=stdin,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return done.stdout


def runtime(fn):
    """The reason why *fn* runs the runtime way."""
    explanation = explain(fn)
    assert explanation.way == "runtime"
    return explanation.reason


# Each is a module; `run(events)` must return True and leave [1, 2] in events.
MODULES = {
    "zero-argument super": """
        class A:
            def m(self, events):
                events.append(1)

        class B(A):
            @decorate
            def m(self, events):
                defer(events.append, 2)
                super().m(events)
                return __class__

        def run(events):
            return B().m(events) is B
        """,
    "zero-argument super of a class in a function": """
        def make(events):
            class A:
                def m(self):
                    events.append(1)

            class B(A):
                @decorate
                def m(self):
                    defer(events.append, 2)
                    super().m()
                    return __class__

                class C(A):
                    @decorate
                    def m(self):
                        defer(events.append, 1)
                        defer(super().m)
                        return __class__

            return B

        def run(events):
            B = make(events)
            found = B().m() is B
            also = B.C().m() is B.C
            del events[2:]
            return found and also
        """,
    "super deferred": """
        class A:
            def close(self, events):
                events.append(2)

        class B(A):
            @decorate
            def close(self, events):
                defer(super().close, events)
                events.append(1)
                return True

        def run(events):
            return B().close(events)
        """,
    "private names": """
        class _Private:
            def __hidden(self, events):
                events.append(2)

            @decorate
            def m(self, events, __x=1):
                self.__y = __x
                defer(self.__hidden, events)
                events.append(self._Private__y)
                return True

        def run(events):
            return _Private().m(events)
        """,
    "private names of classes in functions and classes": """
        def make():
            class __Outer:
                class Inner_:
                    def __hidden(self, *, events):
                        events.append(2)

                    @decorate
                    def m(self, events):
                        defer(self._Inner___hidden, events=events)
                        defer(self.__hidden, **{"events": []})
                        self.__x = 1
                        events.append(self._Inner___x)
                        return True

            return __Outer

        def run(events):
            return make().Inner_().m(events)
        """,
    "unfilled cells": """
        def make(events):
            @decorate
            def f():
                defer(events.append, later)
                events.append(earlier)
                return f is function

            later = 2
            earlier = 1
            function = f
            return f

        def run(events):
            return make(events)()
        """,
    "nonlocal": """
        def run(events):
            n = 0

            @decorate
            def f():
                nonlocal n
                defer(add, 2)
                n += 1
                events.append(n)

            def add(number):
                nonlocal n
                n += 1
                events.append(n)

            f()
            return n == 2
        """,
    "a variable of its own that a nested function changes": """
        @decorate
        def run(events):
            n = 0

            def add():
                nonlocal n
                n += 1
                events.append(n)

            defer(add)
            add()
            return True
        """,
    "self-recursion": """
        @decorate
        def down(n, events):
            if n == 2:
                return True
            defer(events.append, 2 - n)
            return down(n + 1, events)

        def run(events):
            return down(0, events)
        """,
    "self-recursion of a nested function": """
        def run(events):
            @decorate
            def down(n):
                if n == 2:
                    return True
                defer(events.append, 2 - n)
                return down(n + 1)

            return down(0)
        """,
    "PEP 563": """
        from __future__ import annotations

        @decorate
        def f(events: not_defined) -> also.not_there:
            x: neither.this = 1
            defer(events.append, 2)
            events.append(x)
            return f.__annotations__ == {"events": "not_defined", "return": "also.not_there"}

        def run(events):
            return f(events)
        """,
    "decorators above and below": """
        import functools

        def same(fn):
            return fn

        def passes_on(*numbers):
            def decorator(fn):
                @functools.wraps(fn)
                def wrapper(*args):
                    return fn(*args)

                return wrapper

            return decorator

        @passes_on(
            1,
        2)
        @same
        # A comment.
        @decorate

        @(lambda fn: fn)
        @same
        def run(events):
            defer(events.append, 2)
            events.append(1)
            return True
        """,
    "decorated from above another decorator": """
        import functools

        def passes_on(fn):
            @functools.wraps(fn)
            def wrapper(*args):
                return fn(*args)

            return wrapper

        @decorate
        @passes_on
        @functools.lru_cache
        @passes_on
        def f(events):
            defer(events.append, 2)
            events.append(1)
            return True

        def run(events):
            class Hashable(list):
                __hash__ = object.__hash__

            hashable = Hashable()
            done = f(hashable)
            events += hashable
            return done
        """,
    "one-line bodies": """
        class A:
            @decorate
            def m(self, events): defer(events.append, 1); return self

        @decorate
        def f(events): defer(events.append, 2)
        def run(events): return A().m(events) and f(events) is None
        """,
    "the same code twice": """
        @decorate
        def f(events):
            defer(events.append, 1)

        g = f

        @decorate
        def f(events):
            defer(events.append, 1)
            return True

        def run(events):
            g(events)
            f(events)
            events[-1] += 1
            return g.__code__ is not f.__code__
        """,
    "a name inside of its own function": """
        def f():
            @decorate
            def f(events):
                def f():
                    return 2

                defer(events.append, f())
                events.append(1)
                return True

            return f

        def run(events):
            return f()(events)
        """,
    "defined in blocks": """
        import contextlib

        for i in (1,):
            with contextlib.nullcontext():
                try:
                    raise KeyError
                except KeyError:
                    if i:
                        @decorate
                        def run(events):
                            defer(events.append, 2)
                            events.append(1)
                            return True
        """,
    "multi-line strings at the left margin": '''
        class A:
            @decorate
            def m(self, events):
                """A docstring
LEFT
                """
                defer(events.append, 2)
                x = """
left
   \\
# no comment
"""
                events.append(1)
                return x == """
left
   # no comment
""" and self.m.__doc__.splitlines()[1] == "LEFT"

            def other(self): pass

        def run(events):
            return A().m(events)
        ''',
    "ends in a multi-line string": '''
        class A:
            @decorate
            def m(self, events):
                defer(events.append, 2)
                events.append(1)
                return f"""{
            1}
left
"""

        def run(events):
            return A().m(events) == "1\\nleft\\n"
        ''',
    "a signature to the left margin": """
        class A:
            @decorate
            def m(
        self,
                events, x=(1,
            2),
        *, y: "an annotation" = 3
        ) -> None:
                defer(events.append, x[1])
                events.append(x[0])
                return y == 3

        def run(events):
            return A().m(events)
        """,
    "parentheses to the left margin": """
        class A:
            @decorate
            def m(self, events):
                defer(
        events.append,
                        2
        )
                return (events.append(1),
        self)[
        1
        ]

            x = 1

        def run(events):
            return type(A().m(events)) is A
        """,
    "backslash continuations": """
        class A:
            @decorate
            def m \\
        (self, events):
                defer(events.append, \\
        2)
                x = \\
        1
                events.append(x); \\
                return \\
        True

            x = 1

        def run(events):
            return A().m(events)
        """,
    "comments": """
        class A:
            @decorate  # here
            # and here
            def m(self, events):  # and here
        # and here
                defer(events.append, 2)
                if events:
                    raise KeyError
            # and here

        # and here
                events.append(1)
                return True
                # and here
            # and here
        # and here

        def run(events):
            return A().m(events)  # and here
            # and here
        # and here
        """,
    "a method of an imported name": """
        import collections
        from collections import deque
        import os.path as paths

        @decorate
        def run(events):
            defer(events.extend, [2])
            made = collections.deque([1])
            deque.append(made, 3)
            deque.pop(made)
            events.append(made.pop())
            return os_path.join("a") == paths.join("a") == "a"

        os_path = paths
        """,
    "a method of an imported name that was rebound": """
        from collections import deque
        from os import path
        path = __import__("os").path
        def deque(iterable): return list(iterable)

        @decorate
        def run(events):
            defer(events.append, 2)
            events.append(deque([1]).pop())
            return path.join("a") == "a"
        """,
    "a method of a global object whose class is imported": """
        from collections import deque
        made = deque([1])

        @decorate
        def run(events):
            defer(events.append, 2)
            events.append(made.pop())
            return True
        """,
    "a parameter with an imported name": """
        import queue

        @decorate
        def f(queue):
            defer(queue.append, 2)
            queue.append(1)
            return True

        def run(events):
            return f(events)
        """,
    "a local variable with an imported name": """
        from collections import deque as made

        @decorate
        def run(events):
            made = events
            defer(made.append, 2)
            made.append(1)
            return True
        """,
    "a closure variable with an imported name": """
        import queue

        def run(queue):
            @decorate
            def f():
                defer(queue.append, 2)
                queue.append(1)
                return True

            return f()
        """,
    "an imported name in a nested function": """
        import queue

        @decorate
        def run(events):
            defer(events.append, 2)
            def f(queue):
                queue.append(1)
                return [queue.copy() for queue in [queue]]
            return f(events) == [[1]]
        """,
    "imported in the body": """
        import queue

        @decorate
        def run(events):
            import queue
            from collections import deque
            defer(events.append, 2)
            made = deque([1])
            events.append(made.pop())
            return queue.Queue().empty()
        """,
    "a module that uses super": """
        base = super

        class A:
            @decorate
            def m(self, events):
                defer(events.append, 2)
                events.append(1)
                return True

        def run(events):
            return A().m(events)
        """,
    "super in a module that mentions it": """
        base = super

        class A:
            def m(self, events):
                events.append(1)
                return True

        class B(A):
            @decorate
            def m(self, events):
                defer(events.append, 2)
                return super().m(events)

        def run(events):
            return B().m(events)
        """,
    "a head whose lines are not indented": """
        def same(fn):
            return fn

        class A:
            @decorate
            @same
            def nothing(
                self,
            ):
                (
            "A docstring"
                )
                defer(self.append, 2); self.append(1)

        def run(events):
            A.nothing(events)
            return True
        """,
    "matching and assigning": """
        @decorate
        def run(events):
            defer(events.append, 2)
            match {"x": [1, *events]}:
                case {"x": [y]} if (z := y) and y:
                    events.append(z)
            try:
                raise ExceptionGroup("", [KeyError()])
            except* KeyError as group:
                done = len(group.exceptions) == 1
            return done
        """,
    "a class in the body": """
        y = 1

        @decorate
        def run(events):
            class A:
                '''The doc.'''

                def m(self):
                    self.one, self.two, self.three = 1, 2, 3
                    events.append(self.one)

                class B:
                    x: int = 2

            defer(events.append, A.B.x)
            A().m()
            return A.m.__code__.co_firstlineno == 9
        """,
    "generator expressions, lambdas and comprehensions": """
        @decorate
        def run(events):
            defer(lambda: events.append(2))
            numbers = [x for x in (y for y in [events]) if {z: z for z in [1]}]
            (lambda x=1: events.append(x))()
            return numbers == [events]
        """,
}

FROM_3_12 = {
    "a generic function": """
        @decorate
        def f[T: (int, str), *Ts, **P](events: T) -> T:
            defer(events.append, 2)
            events.append(1)
            return [parameter.__name__ for parameter in (T, Ts, P)] == ["T", "Ts", "P"]

        def run(events):
            return f(events)
        """,
    "a generic function in a function": """
        def run(events):
            @decorate
            def f[T](x: T) -> T:
                defer(events.append, 2)
                events.append(1)
                return x

            return f(True)
        """,
    "a method of a generic class": """
        class A[T]:
            @decorate
            def m(self, events: T) -> T:
                defer(events.append, 2)
                events.append(1)
                return True

        def run(events):
            return A().m(events)
        """,
    "a method that uses its class's type parameter": """
        class A[T]:
            @decorate
            def m(self, events):
                defer(events.append, 2)
                events.append(1)
                return T is A.__type_params__[0]

        def run(events):
            return A().m(events)
        """,
    "zero-argument super in a generic class": """
        class A:
            def m(self, events):
                events.append(1)

        class B[T](A):
            @decorate
            def m(self, events):
                defer(events.append, 2)
                super().m(events)
                return __class__ is B

        def run(events):
            return B().m(events)
        """,
    "a generic method of a generic class": """
        class A[T]:
            class B[U]:
                @decorate
                def m[V](self, events: V) -> T:
                    defer(events.append, 2)
                    events.append(1)
                    return [x.__name__ for x in (T, U, V)] == ["T", "U", "V"]

        def run(events):
            return A.B().m(events)
        """,
    "a generic class in a function": """
        def make(events):
            class A[T]:
                @decorate
                def uses_neither(self):
                    defer(print, end="")

                @decorate
                def uses_both(self):
                    defer(events.append, 2)
                    events.append(1)
                    return T.__name__ == "T"

            return A

        def run(events):
            A = make(events)
            A().uses_neither()
            return A().uses_both()
        """,
    "type aliases and nested f-strings": """
        @decorate
        def run(events):
            type Pair[T] = tuple[T, T]
            defer(events.append, 2)
            events.append(1)
            return f"{f"{Pair.__name__}"}" == "Pair"
        """,
}


def unindented(text):
    """The text of a module without the indentation it has here, which not every line of a string has."""
    return re.sub("(?m)^ {8}", "", text)


def checked(module):
    events = []
    assert module.run(events) is True
    assert events == [1, 2]


@pytest.mark.parametrize("name", MODULES)
def test_modules(way, load, name):
    """Whatever a function's source looks like, and whatever its names are, it is found, proven and compiled again (R1, A)."""
    checked(load(unindented(MODULES[name]), way))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="syntax of Python 3.12")
@pytest.mark.parametrize("name", FROM_3_12)
def test_modules_from_3_12(way, load, name):
    """Functions with type parameters, methods of generic classes: likewise (R1, A, PEP 695)."""
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
    """Line ends, indentation and encodings are read as the interpreter reads them (R1)."""
    module = load(encoded(name), way)
    events = []
    assert module.A().m(events) == "\u00e9\n\u00e9"
    assert module.f(events) == 4
    assert events == ["\u00e9", 2]


def test_large_module(way, load):
    """A function is found in a file of five thousand lines, at its beginning and at its end (R1)."""
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
    """Functions whose code is equal are told apart by their files: each has its own source and its own lines (A)."""
    text = "@decorate\ndef f(events):\n    defer(events.append, 1)\n"
    one, other = load(text), load(text)
    assert one.f.__code__.co_filename != other.f.__code__.co_filename
    for module in (one, other):
        explanation = explain(module.f)
        assert explanation.way == "open-coded"
        assert explanation.file == module.__file__
        assert module.f.__code__.co_filename == module.__file__


def test_same_name_in_one_file(load):
    """Of two functions with one name each is compiled from its own lines (A)."""
    text = "@decorate\ndef f(events):\n    defer(events.append, {})\n    return True\nf{} = f\n"
    module = load(text.format(1, 1) + text.format(2, 2))
    events = []
    module.f1(events)
    module.f2(events)
    assert events == [1, 2]
    assert explain(module.f1).line == 1
    assert explain(module.f2).line == 6


def test_function_made_anew(load):
    """A function that is defined in each call of another is compiled once: the code is the same object (R1)."""
    module = load(
        "def make(events):\n    @decorate\n    def f():\n        defer(events.append, 1)\n    return f\n"
    )
    one, other = module.make([]), module.make([])
    assert one.__code__ is other.__code__
    assert explain(one).way == explain(other).way == "open-coded"
    Path(module.__file__).unlink()
    linecache.clearcache()
    assert explain(module.make([])).way == "open-coded"


def test_code_is_not_kept_alive(load):
    """What is remembered of an open-coded function goes when its code goes (D9)."""
    module = load("@decorate\ndef f(events):\n    defer(events.append, 1)\n")
    assert explain(module.f).way == "open-coded"
    code = weakref.ref(module.f.__code__)
    events = []
    module.f(events)
    del module
    for _ in range(3):  # PyPy needs more than one, since code is freed after what refers to it
        gc.collect()
    assert code() is None
    assert events == [1]


def test_recursive_closure_is_not_kept_alive(way):
    """A nested function that names itself can be collected with all that it closes over (D9)."""

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
    """A function whose qualified name does not tell where it stands runs in one of the ways (R4)."""
    module = load(
        "def make():\n    global f\n    @decorate\n    def f(events):\n        defer(events.append, 1)\n        return 2\n"
    )
    module.make()
    events = []
    assert module.f(events) == 2
    assert events == [1]
    assert explain(module.f).way == "open-coded" or explain(module.f).reason


# Edited, or not there

EDITABLE = "def f(events):\n    defer(events.append, 1)\n    events.append(0)\n    return 2\n"


@pytest.mark.parametrize(
    "edited",
    [
        EDITABLE.replace("1", "9"),
        EDITABLE.replace("append(0)", "append(9)"),
        EDITABLE.replace("return 2", "return events"),
        EDITABLE.replace("append(0)", "extend(0)"),
        EDITABLE.replace("events", "things"),
        EDITABLE.replace("    return 2\n", ""),
        EDITABLE + "    yield\n",
        EDITABLE.replace("f(events)", "f(events, /)"),
        EDITABLE.replace("f(events)", "f(*events)"),
        EDITABLE.replace("    defer", "    \n    defer"),
        EDITABLE.replace("append(0)", "append (0)"),
        EDITABLE.replace("def", "async def"),
        EDITABLE.replace("def f", "def g"),
        EDITABLE.replace("    return", "  return"),
        EDITABLE.replace("def", "class"),
        "\n" + EDITABLE,
        "\n\n\n\n\n\n" + EDITABLE,
        EDITABLE.replace("\n", "\n\n"),
        "f = lambda events: defer(events.append, 1)\n",
        "x = 1\n" * 4,
        "x = (\n",
        "\0" + EDITABLE,
        "",
    ],
)
def test_edited(load, edited, recwarn):
    """A file edited between import and decoration is noticed; the function runs as it was imported (R4)."""
    module = load(EDITABLE)
    Path(module.__file__).write_text(edited)
    f = with_defers(module.f)
    reason = runtime(f)
    assert re.search(
        r"module_0\.py|is not made by a `def` statement|does not compile on its own|not found where its name says",
        reason,
    )
    events = []
    assert f(events) == 2
    assert events == [0, 1]
    assert not recwarn.list


def test_edited_below_and_above_in_the_same_lines(load):
    """An edit that leaves the function's own lines as and where they were does no harm (R1)."""
    module = load("x = 1\n" + EDITABLE + "y = 1\n")
    Path(module.__file__).write_text("z = 2\n" + EDITABLE + "def other():\n    pass\n")
    f = with_defers(module.f)
    assert explain(f).way == "open-coded"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_edited_after_decoration(load):
    """An edit after the decoration changes nothing: what is compiled is compiled (R1)."""
    module = load("@decorate\n" + EDITABLE)
    Path(module.__file__).write_text("\n" * 20)
    assert explain(module.f).way == "open-coded"
    events = []
    assert module.f(events) == 2
    assert events == [0, 1]


def test_deleted(load):
    """A function whose file is gone runs the runtime way (R4)."""
    module = load(EDITABLE)
    Path(module.__file__).unlink()
    f = with_defers(module.f)
    assert runtime(f) == f"the source of {module.__file__} is not available"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_edited_with_named_results(load):
    """A named result needs the source: where it is not proven, that is said (N, R3)."""
    module = load(EDITABLE.replace("return 2", "n = 2"))
    Path(module.__file__).write_text("\n" + EDITABLE)
    with pytest.raises(DeferError, match=r"named results need .* its source, and "):
        with_defers(result="n")(module.f)


def test_exec():
    """A function made by exec has no source, and runs the runtime way (R4)."""
    namespace = {"defer": defer}
    exec(EDITABLE, namespace)
    f = with_defers(namespace["f"])
    assert runtime(f) == "the source of <string> is not available"
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_exec_under_the_name_of_a_file(load):
    """A function made by exec that claims to be from a file is compared with that file (R4)."""
    other = load("def f(events):\n    defer(events.append, 3)\n    return 4\n")
    namespace = {"defer": defer}
    exec(compile(EDITABLE, other.__file__, "exec"), namespace)
    f = with_defers(namespace["f"])
    assert "edited" in runtime(f)
    events = []
    assert f(events) == 2
    assert events == [0, 1]


def test_source_in_linecache(way):
    """Source that a tool has put into `linecache`, as interactive shells do, is used (R1)."""
    text = "@decorate\n" + EDITABLE
    name = "<a cell>"
    namespace = {"defer": defer, "decorate": way}
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        exec(compile(text, name, "exec"), namespace)
    finally:
        del linecache.cache[name]
    events = []
    assert namespace["f"](events) == 2
    assert events == [0, 1]


def test_lambda():
    """A lambda is not made by a def, and runs the runtime way (R4, A)."""
    events = []
    f = with_defers(lambda: defer(events.append, 1))
    assert runtime(f) == "it is not made by a `def` statement at the beginning of a line"
    f()
    assert events == [1]


def test_renamed_code(load):
    """A function whose code was replaced has no source that is proven (R4)."""
    module = load(EDITABLE)
    module.f.__code__ = module.f.__code__.replace(co_name="g", co_qualname="g")
    f = with_defers(module.f)
    assert runtime(f)
    events = []
    assert f(events) == 2
    assert events == [0, 1]


SCRIPT = dedent("""\
    from godefer import defer, explain, with_defers
    @with_defers
    def f():
        defer(print, "deferred")
        print("body")

    f()
    print(explain(f).way, explain(f).reason, sep="; ")
    """)


def test_python_c():
    """In `python -c` the function runs, open-coded only where this Python keeps the source (R4)."""
    body, deferred, way = python("-W", "error", "-c", SCRIPT).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way in {"runtime; the source of <string> is not available", "open-coded; "}


def test_interactive():
    """At the interactive prompt the function runs, open-coded only where this Python keeps the source (R4)."""
    done = subprocess.run(
        [sys.executable, "-q", "-W", "error", "-i"],
        input=SCRIPT,
        env={**os.environ, "PYTHONPATH": ROOT, "PYTHON_BASIC_REPL": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Error" not in done.stderr
    # PyPy's prompt is part of the output.
    body, deferred, way = re.sub(r"(?m)^((>>>>|\.\.\.\.) )+", "", done.stdout).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way.partition(";")[0] in {"runtime", "open-coded"}
    assert way.partition(";")[2].strip() or way.startswith("open-coded")


def test_script_from_stdin():
    """A script read from stdin likewise (R4)."""
    body, deferred, way = python("-W", "error", "-", stdin=SCRIPT).splitlines()
    assert (body, deferred) == ("body", "deferred")
    assert way.startswith(("runtime; the source of <stdin> is not available", "open-coded; "))


def test_zipimport(tmp_path):
    """The source of a module in a zip archive is read through its loader (R1)."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("package/__init__.py", "")
        file.writestr("package/module.py", SCRIPT)
    out = python("-c", "import package.module", PYTHONPATH=f"{archive}{os.pathsep}{ROOT}")
    assert out == "body\ndeferred\nopen-coded; \n"


CLASS_IN_BODY = dedent("""\
    from godefer import defer, explain, with_defers
    @with_defers
    def f():
        class A:
            def m(self):
                self.one = self.two = self.three = self.four = self.five = self.six = self.seven = 1

        defer(print, "deferred", "one" in {"one", "two", "three", "four"})
        A().m()

    f()
    print(explain(f).way, explain(f).reason)
    """)


@pytest.mark.parametrize("seed", range(4))
def test_bytecode_of_another_process(tmp_path, seed):
    """Bytecode that was written by a process with other hashes is the same code (R1)."""
    (tmp_path / "module.py").write_text(CLASS_IN_BODY)
    python("-m", "compileall", "-q", str(tmp_path), PYTHONHASHSEED=str(100 + seed))
    out = python(
        "-c", "import module", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}", PYTHONHASHSEED=str(seed)
    )
    assert out == "deferred True\nopen-coded \n"


def test_bytecode_without_source(tmp_path):
    """A module of which only the bytecode is there runs the runtime way (R4)."""
    (tmp_path / "module.py").write_text(SCRIPT)
    python("-m", "compileall", "-q", "-b", str(tmp_path))
    (tmp_path / "module.py").unlink()
    out = python("-c", "import module", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert out.startswith("body\ndeferred\nruntime; the source of ")


OPTIMIZED = dedent('''\
    from godefer import defer, explain, with_defers
    @with_defers
    def f(x):
        """A docstring."""
        defer(print, "deferred", __debug__)
        assert x
        if __debug__:
            print("debug")

    f(1 if __debug__ else 0)
    print(explain(f).way, f.__doc__)
    @with_defers
    def g():
        """A docstring."""
    ''')


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("-B", "debug\ndeferred True\nopen-coded A docstring.\n"),
        ("-O", "deferred False\nopen-coded A docstring.\n"),
        ("-OO", "deferred False\nopen-coded None\n"),
    ],
)
def test_optimized(tmp_path, option, expected):
    """Under -O and -OO the function is compiled as they say (R1)."""
    (tmp_path / "script.py").write_text(OPTIMIZED)
    assert python(option, "-W", "error", str(tmp_path / "script.py")) == expected


WARNS = r'''
from godefer import defer, explain, with_defers
@with_defers
def f(x):
    """An invalid \escape."""
    defer(print, "\d", x is 1)
    assert (x, "always true")
    return x is "1"

@with_defers(result="n")
def g(x):
    n = "\d"
    defer(print, x is ())

f(2)
g(2)
print(explain(f).way, explain(g).way)
assert "is" in explain(f).lowered
'''


def test_syntax_warnings_are_not_repeated(tmp_path):
    """What the compiler warns of in a function it says once, when the module is compiled (R1)."""
    script = tmp_path / "warns.py"
    script.write_text(WARNS)

    def warned(*arguments):
        command = [sys.executable, "-B", "-W", "always", *arguments]
        environment = {**os.environ, "PYTHONPATH": ROOT}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0
        return done.stdout, sorted(line for line in done.stderr.splitlines() if "Warning" in line)

    compiling = (
        "import sys, pathlib; compile(pathlib.Path(sys.argv[1]).read_text(), sys.argv[1], 'exec')"
    )
    _, warnings_once = warned("-c", compiling, str(script))
    out, warnings_running = warned(str(script))
    assert out == "\\d False\nFalse\nopen-coded open-coded\n"
    assert warnings_running == warnings_once
    assert len(warnings_once) >= 6


def test_syntax_warnings_are_not_fatal(tmp_path):
    """Under -W error a module that was compiled before runs, open-coded, though its functions have warnings (R1)."""
    (tmp_path / "warns.py").write_text(WARNS)
    command = [sys.executable, "-W", "ignore", "-m", "compileall", "-q", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    out = python("-W", "error", "-c", "import warns", PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    assert out == "\\d False\nFalse\nopen-coded open-coded\n"


def test_warning_filters_are_left_alone(load):
    """Decorating neither changes the warning filters nor forgets what was warned of."""
    before = list(warnings.filters)
    assert explain(load("@decorate\n" + EDITABLE).f).way == "open-coded"
    assert warnings.filters == before


# The standard library


def functions_of(code):
    """The code of each `def` function in *code*; since 3.14 annotations (PEP 649) are code that looks like one."""
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
    """Of how many functions in *paths* the source is found, and why not of the others."""
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
    """Of the functions of the standard library 999 of 1,000 are found and proven, in a sample that is the same each time (R1)."""
    paths = random.Random(1).sample(standard_library(), 110)
    count, reasons = accepted(paths)
    with capsys.disabled():
        print(f"\n{count - len(reasons)} of {count} functions in {len(paths)} modules", end=" ")
    assert count > 1500
    assert len(reasons) < count / 1_000, "\n".join(reasons)
