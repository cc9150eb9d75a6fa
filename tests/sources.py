"""Modules in many shapes for test_source.py, which must find their functions' source."""

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
