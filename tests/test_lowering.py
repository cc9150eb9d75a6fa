"""Lowering: a function's source in, the source of the same function with its deferred calls inlined out (R1).

`_lower` is pure, so the tests need no code object: they parse, lower, and compare with what `ast.unparse` gives. Names that
begin with "@" are hidden locals; strings that begin with "@" stand for what the runtime puts in their place.
"""

import ast
import re
import warnings
from textwrap import dedent

import pytest

from godefer._lower import lower
from godefer._scan import Names

STATEMENTS = ("defer", "errdefer", "okdefer", "using", "ausing")
NAMES = Names(
    {**{name: name for name in STATEMENTS}, "later": "defer"},
    frozenset({"godefer", "package"}),
    {("godefer", "defer"): "defer", ("package", "cleanup", "errdefer"): "errdefer"}.get,
)


def parsed(source):
    (node,) = ast.parse(dedent(source).strip("\n")).body
    return node


def check(source, expected, **options):
    """The plan, if lowering *source* gives *expected*."""
    node = parsed(source)
    plan = lower(node, NAMES, **options)
    assert ast.unparse(node) == dedent(expected).strip("\n").rstrip()
    return plan


def test_inline_defer():
    """A defer at the top level takes the rest of the function into a try; constants need no slot (R1, D1)."""
    plan = check(
        '''
        def f(x):
            """The doc."""
            start()
            defer(g, x, 1, k=x)
            work()
        ''',
        '''
        def f(x):
            """The doc."""
            start()
            @f0 = g
            @a0_0 = x
            @a0_2 = x
            if @f0 is None:
                @f0 = '@nil'
            try:
                work()
            except:
                @t = [@f0]
                @f0 = '@noop_keywords'
                try:
                    if '@unwind'(@t, (@a0_0, 1), {'k': @a0_2}):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0(@a0_0, 1, k=@a0_2)) is not None:
                    @r = '@drop'(@r)
        ''',
    )
    assert plan == ((4, "defer", "inline"),)


def test_errdefer_is_the_except_alone():
    """An errdefer costs the normal exit nothing (D10)."""
    plan = check(
        """
        def f(x):
            errdefer(g, x)
            work()
        """,
        """
        def f(x):
            @f0 = g
            @a0_0 = x
            if @f0 is None:
                @f0 = '@nil'
            try:
                work()
            except:
                @t = [@f0]
                @f0 = '@noop'
                try:
                    if '@unwind'(@t, (@a0_0,)):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
        """,
    )
    assert plan == ((2, "errdefer", "inline"),)


def test_okdefer_is_the_finally_alone():
    """An okdefer's slot is emptied by an exception, and called by the finally (D10)."""
    plan = check(
        """
        def f(x):
            okdefer(g, x)
            work()
        """,
        """
        def f(x):
            @f0 = g
            @a0_0 = x
            if @f0 is None:
                @f0 = '@nil'
            try:
                work()
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0(@a0_0)) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "okdefer", "inline"),)


def test_two_defers_nest():
    """Each defer nests inside of the one before it, so that the position in the code says what is pending (D2)."""
    plan = check(
        """
        def f():
            defer(a)
            defer(b)
        """,
        """
        def f():
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @f1 = b
                if @f1 is None:
                    @f1 = '@nil'
                try:
                    pass
                except:
                    @t = [@f1]
                    @f1 = '@noop'
                    try:
                        if '@unwind'(@t, ()):
                            return
                    except:
                        if @t:
                            @f1 = @t[0]
                        raise
                    raise
                finally:
                    if (@r := @f1()) is not None:
                        @r = '@drop'(@r)
            except:
                @t = [@f0]
                @f0 = '@noop'
                try:
                    if '@unwind'(@t, ()):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "defer", "inline"), (3, "defer", "inline"))


def test_one_defer_leaves_returns_alone():
    """With one call nobody could recover what another raised, and no return is rewritten (P4)."""
    plan = check(
        """
        def f(x):
            defer(a)
            if x:
                return
            return x + 1
        """,
        """
        def f(x):
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                if x:
                    return
                return x + 1
            except:
                @t = [@f0]
                @f0 = '@noop'
                try:
                    if '@unwind'(@t, ()):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "defer", "inline"),)


def test_returns_are_kept_in_R():
    """What a return evaluated is kept where a recovery further out can see it (P4)."""
    plan = check(
        """
        def f(x):
            defer(a)
            okdefer(b)
            if x:
                return 1
            return x + 1
        """,
        """
        def f(x):
            @R = None
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @f1 = b
                if @f1 is None:
                    @f1 = '@nil'
                try:
                    if x:
                        @R = 1
                        return 1
                    @R = x + 1
                    return @R
                except:
                    @f1 = '@noop'
                    raise
                finally:
                    if (@r := @f1()) is not None:
                        @r = '@drop'(@r)
            except:
                @t = [@f0]
                @f0 = '@noop'
                try:
                    if '@unwind'(@t, ()):
                        return @R
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "defer", "inline"), (3, "okdefer", "inline"))


def test_return_inside_with():
    """What the exit of a user's with raises comes from the body, which has then not returned (P4)."""
    plan = check(
        """
        def f(x):
            okdefer(a)
            okdefer(b)
            with x as y:
                return y
        """,
        """
        def f(x):
            @R = None
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @f1 = b
                if @f1 is None:
                    @f1 = '@nil'
                try:
                    try:
                        with x as y:
                            @R = y
                            return @R
                    except:
                        @R = None
                        raise
                except:
                    @f1 = '@noop'
                    raise
                finally:
                    if (@r := @f1()) is not None:
                        @r = '@drop'(@r)
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "okdefer", "inline"), (3, "okdefer", "inline"))


def test_return_inside_try_finally():
    """What a user's finally raises comes from the body, which has then not returned (P4)."""
    plan = check(
        """
        def f(x):
            okdefer(a)
            okdefer(b)
            try:
                return x
            finally:
                close()
        """,
        """
        def f(x):
            @R = None
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @f1 = b
                if @f1 is None:
                    @f1 = '@nil'
                try:
                    try:
                        try:
                            @R = x
                            return @R
                        finally:
                            close()
                    except:
                        @R = None
                        raise
                except:
                    @f1 = '@noop'
                    raise
                finally:
                    if (@r := @f1()) is not None:
                        @r = '@drop'(@r)
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "okdefer", "inline"), (3, "okdefer", "inline"))


def test_starred_arguments():
    """Starred arguments are captured as a tuple and a dict (D1)."""
    plan = check(
        """
        def f(*args, **kwargs):
            defer(g, 0, *args, x=1, **kwargs)
        """,
        """
        def f(*args, **kwargs):
            @f0 = g
            @a0_0 = (0, *args)
            @a0_1 = '@dict'(x=1, **kwargs)
            if @f0 is None:
                @f0 = '@nil'
            try:
                pass
            except:
                @t = [@f0]
                @f0 = '@noop_keywords'
                try:
                    if '@unwind'(@t, @a0_0, @a0_1):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0(*@a0_0, **@a0_1)) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "defer", "inline"),)


def test_starred_positional_arguments():
    """Without keywords there is no dict."""
    plan = check(
        """
        def f(*args):
            defer(g, *args)
        """,
        """
        def f(*args):
            @f0 = g
            @a0_0 = (*args,)
            if @f0 is None:
                @f0 = '@nil'
            try:
                pass
            except:
                @t = [@f0]
                @f0 = '@noop_keywords'
                try:
                    if '@unwind'(@t, @a0_0):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0(*@a0_0)) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "defer", "inline"),)


def test_using_is_a_with():
    """A using is a native with around the rest of the function (D11)."""
    plan = check(
        """
        def f(path):
            start()
            file = using(open(path))
            return file.read()
        """,
        """
        def f(path):
            start()
            with open(path) as file:
                return file.read()
        """,
    )
    assert plan == ((3, "using", "inline"),)


def test_using_without_target():
    """A using whose value is not kept, as the last statement."""
    plan = check(
        """
        def f():
            using(lock)
        """,
        """
        def f():
            with lock:
                pass
        """,
    )
    assert plan == ((2, "using", "inline"),)


def test_using_with_targets():
    """Several targets are assigned inside of the with; one of any kind is the target of the with."""
    plan = check(
        """
        def f(path):
            a = b = using(open(path))
            c: int = using(open(path))
            d, (e, *self.f) = using(open(path))
        """,
        """
        def f(path):
            with open(path) as @v:
                a = b = @v
                @v = None
                with open(path) as c:
                    with open(path) as (d, (e, *self.f)):
                        pass
        """,
    )
    assert plan == ((2, "using", "inline"), (3, "using", "inline"), (4, "using", "inline"))


def test_ausing_is_an_async_with():
    """An ausing is a native async with around the rest of the function (D11)."""
    plan = check(
        """
        async def f(pool):
            conn = await ausing(pool.acquire())
            await conn.ping()
        """,
        """
        async def f(pool):
            async with pool.acquire() as conn:
                await conn.ping()
        """,
    )
    assert plan == ((2, "ausing", "inline"),)


def test_conditional_under_if():
    """A call under an if has a slot that is None until it is pending, set last (D8)."""
    plan = check(
        """
        def f(x):
            if x:
                defer(a, x)
            else:
                errdefer(b)
            work()
        """,
        """
        def f(x):
            @f0 = None
            @f1 = None
            try:
                try:
                    if x:
                        @c = a
                        @a0_0 = x
                        @f0 = @c if @c is not None else '@nil'
                    else:
                        @c = b
                        @f1 = @c if @c is not None else '@nil'
                    work()
                except:
                    if @f1 is not None:
                        @t = [@f1]
                        @f1 = None
                        try:
                            if '@unwind'(@t, ()):
                                return
                        except:
                            if @t:
                                @f1 = @t[0]
                            raise
                    raise
            except:
                if @f0 is not None:
                    @t = [@f0]
                    @f0 = None
                    try:
                        if '@unwind'(@t, (@a0_0,)):
                            return
                    except:
                        if @t:
                            @f0 = @t[0]
                        raise
                raise
            finally:
                if @f0 is not None:
                    if (@r := @f0(@a0_0)) is not None:
                        @r = '@drop'(@r)
        """,
    )
    assert plan == ((3, "defer", "conditional"), (5, "errdefer", "conditional"))


def test_conditional_under_match():
    """A call under a match is conditional (D8)."""
    plan = check(
        """
        def f(x):
            match x:
                case [y]:
                    defer(a, y, k=1)
        """,
        """
        def f(x):
            @f0 = None
            try:
                match x:
                    case [y]:
                        @c = a
                        @a0_0 = y
                        @f0 = @c if @c is not None else '@nil'
            except:
                if @f0 is not None:
                    @t = [@f0]
                    @f0 = None
                    try:
                        if '@unwind'(@t, (@a0_0,), {'k': 1}):
                            return
                    except:
                        if @t:
                            @f0 = @t[0]
                        raise
                raise
            finally:
                if @f0 is not None:
                    if (@r := @f0(@a0_0, k=1)) is not None:
                        @r = '@drop'(@r)
        """,
    )
    assert plan == ((4, "defer", "conditional"),)


def test_conditional_under_try():
    """A call in any part of a try is conditional (D8)."""
    plan = check(
        """
        def f(x):
            try:
                work()
            except OSError:
                okdefer(a, x)
        """,
        """
        def f(x):
            @f0 = None
            try:
                try:
                    work()
                except OSError:
                    @c = a
                    @a0_0 = x
                    @f0 = @c if @c is not None else '@nil'
            except:
                @f0 = None
                raise
            finally:
                if @f0 is not None:
                    if (@r := @f0(@a0_0)) is not None:
                        @r = '@drop'(@r)
        """,
    )
    assert plan == ((5, "okdefer", "conditional"),)


def test_conditional_under_with():
    """A call in a user's with is conditional (D8)."""
    plan = check(
        """
        def f(x):
            with lock:
                okdefer(a, x)
        """,
        """
        def f(x):
            @f0 = None
            try:
                with lock:
                    @c = a
                    @a0_0 = x
                    @f0 = @c if @c is not None else '@nil'
            except:
                @f0 = None
                raise
            finally:
                if @f0 is not None:
                    if (@r := @f0(@a0_0)) is not None:
                        @r = '@drop'(@r)
        """,
    )
    assert plan == ((3, "okdefer", "conditional"),)


def test_using_under_a_condition_is_a_list():
    """A using that is not at the top level cannot be a native with, and goes into a list (D8)."""
    plan = check(
        """
        def f(x):
            if x:
                y = using(x)
            work()
        """,
        """
        def f(x):
            @l0 = None
            @k0 = None
            try:
                try:
                    if x:
                        @c, @v = '@enter'(x)
                        @l0 = (@l0, @c)
                        y = @v
                        @v = None
                    work()
                except:
                    @k0 = @l0
                    @l0 = None
                    raise
                finally:
                    while @l0 is not None:
                        @l0, @f = @l0
                        @f(None, None, None)
            except:
                @t = @k0 if @k0 is not None else @l0
                @k0 = None
                @l0 = None
                @k0 = '@unwind_list'(@t, ((3, 3, 0, (), False),))
                if @k0 is '@going':
                    raise
            if @k0 is not None:
                '@finish'(@k0)
        """,
    )
    assert plan == ((3, "using", "list"),)


def test_loop_with_one_site():
    """The calls of a loop are linked tuples in one hidden local, drained at the exit (D8)."""
    plan = check(
        """
        def f(xs):
            for x in xs:
                defer(g, x, k=x)
            work()
        """,
        """
        def f(xs):
            @l0 = None
            @k0 = None
            try:
                try:
                    for x in xs:
                        @l0 = (@l0, @c if (@c := g) is not None else '@nil', x, x)
                    work()
                except:
                    @k0 = @l0
                    @l0 = None
                    raise
                finally:
                    while @l0 is not None:
                        @l0, @f, @a0_0_0, @a0_0_1 = @l0
                        if (@r := @f(@a0_0_0, k=@a0_0_1)) is not None:
                            @r = '@drop'(@r)
            except:
                @t = @k0 if @k0 is not None else @l0
                @k0 = None
                @l0 = None
                @k0 = '@unwind_list'(@t, ((0, 3, 1, ('k',), False),))
                if @k0 is '@going':
                    raise
            if @k0 is not None:
                '@finish'(@k0)
        """,
    )
    assert plan == ((3, "defer", "list"),)


def test_loop_with_several_sites():
    """Where a loop has several sites, each tuple says which it is from (D8)."""
    plan = check(
        """
        def f(xs):
            while xs:
                defer(g, xs)
                errdefer(g)
                y = using(xs)
            work()
        """,
        """
        def f(xs):
            @l0 = None
            @k0 = None
            try:
                try:
                    while xs:
                        @l0 = (@l0, 0, @c if (@c := g) is not None else '@nil', xs)
                        @l0 = (@l0, 1, @c if (@c := g) is not None else '@nil')
                        @c, @v = '@enter'(xs)
                        @l0 = (@l0, 2, @c)
                        y = @v
                        @v = None
                    work()
                except:
                    @k0 = @l0
                    @l0 = None
                    raise
                finally:
                    while @l0 is not None:
                        @t = @l0
                        @l0 = @t[0]
                        if @t[1] == 0:
                            if (@r := @t[2](@t[3])) is not None:
                                @r = '@drop'(@r)
                        elif @t[1] == 1:
                            pass
                        elif @t[1] == 2:
                            @t[2](None, None, None)
            except:
                @t = @k0 if @k0 is not None else @l0
                @k0 = None
                @l0 = None
                @k0 = '@unwind_list'(@t, ((0, 3, 1, (), False), (1, 4, 0, (), False), (3, 5, 0, (), False)))
                if @k0 is '@going':
                    raise
            if @k0 is not None:
                '@finish'(@k0)
        """,
    )
    assert plan == ((3, "defer", "list"), (4, "errdefer", "list"), (5, "using", "list"))


def test_loop_and_return():
    """A loop is more than one call: what a return evaluated is kept (P4)."""
    plan = check(
        """
        def f(xs):
            for x in xs:
                defer(g, x)
            return x
        """,
        """
        def f(xs):
            @R = None
            @l0 = None
            @k0 = None
            try:
                try:
                    for x in xs:
                        @l0 = (@l0, @c if (@c := g) is not None else '@nil', x)
                    @R = x
                    return @R
                except:
                    @k0 = @l0
                    @l0 = None
                    raise
                finally:
                    while @l0 is not None:
                        @l0, @f, @a0_0_0 = @l0
                        if (@r := @f(@a0_0_0)) is not None:
                            @r = '@drop'(@r)
            except:
                @t = @k0 if @k0 is not None else @l0
                @k0 = None
                @l0 = None
                @k0 = '@unwind_list'(@t, ((0, 3, 1, (), False),))
                if @k0 is '@going':
                    raise
            if @k0 is not None:
                '@finish'(@k0)
            return @R
        """,
    )
    assert plan == ((3, "defer", "list"),)


def test_more_than_the_limit_is_a_list():
    """The statements that would nest too deep share one list; it is for 2 here, and 8 unless told."""
    plan = check(
        """
        def f():
            okdefer(a)
            okdefer(b)
            okdefer(c, 1)
        """,
        """
        def f():
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @l1 = None
                @k1 = None
                try:
                    try:
                        @l1 = (@l1, 0, @c if (@c := b) is not None else '@nil')
                        @l1 = (@l1, 1, @c if (@c := c) is not None else '@nil', 1)
                    except:
                        @k1 = @l1
                        @l1 = None
                        raise
                    finally:
                        while @l1 is not None:
                            @t = @l1
                            @l1 = @t[0]
                            if @t[1] == 0:
                                if (@r := @t[2]()) is not None:
                                    @r = '@drop'(@r)
                            elif @t[1] == 1:
                                if (@r := @t[2](@t[3])) is not None:
                                    @r = '@drop'(@r)
                except:
                    @t = @k1 if @k1 is not None else @l1
                    @k1 = None
                    @l1 = None
                    @k1 = '@unwind_list'(@t, ((2, 3, 0, (), False), (2, 4, 1, (), False)))
                    if @k1 is '@going':
                        raise
                if @k1 is not None:
                    '@finish'(@k1)
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
        nesting=2,
    )
    assert plan == ((2, "okdefer", "inline"), (3, "okdefer", "list"), (4, "okdefer", "list"))


def test_one_named_result():
    """A return assigns the named result, which is read after the last call (N)."""
    plan = check(
        """
        def f():
            okdefer(g)
            err = work()
            return err + 1
        """,
        """
        def f():
            err = None
            @x = None
            try:
                @f0 = g
                if @f0 is None:
                    @f0 = '@nil'
                try:
                    err = work()
                    err = err + 1
                    return
                except:
                    @f0 = '@noop'
                    raise
                finally:
                    if (@r := @f0()) is not None:
                        @r = '@drop'(@r)
            except:
                @x = 'set'
                raise
            finally:
                if @x is None:
                    return err
        """,
        result="err",
    )
    assert plan == ((2, "okdefer", "inline"),)


def test_several_named_results():
    """Several named results are unpacked into, and returned as a tuple (N)."""
    plan = check(
        """
        def f():
            n, err = 0, None
            if n:
                return
            return 1, 2
        """,
        """
        def f():
            n = None
            err = None
            @x = None
            try:
                n, err = (0, None)
                if n:
                    return
                n, err = (1, 2)
                return
            except:
                @x = 'set'
                raise
            finally:
                if @x is None:
                    return (n, err)
        """,
        result=("n", "err"),
    )
    assert plan == ()


def test_async_function():
    """In an async function an awaitable result is awaited, in turn (D6)."""
    plan = check(
        """
        async def f(x):
            defer(g, x)
            await work()
        """,
        """
        async def f(x):
            @f0 = g
            @a0_0 = x
            if @f0 is None:
                @f0 = '@nil'
            try:
                await work()
            except:
                @t = [@f0]
                @f0 = '@noop'
                try:
                    if await '@aunwind'(@t, (@a0_0,)):
                        return
                except:
                    if @t:
                        @f0 = @t[0]
                    raise
                raise
            finally:
                if (@r := @f0(@a0_0)) is not None:
                    if '@type'(@r) is '@coroutine' or '@awaitable'(@r):
                        await @r
                    @r = None
        """,
    )
    assert plan == ((2, "defer", "inline"),)


def test_async_function_with_a_loop():
    """The loops of an async function await what they drain (D6, D11)."""
    plan = check(
        """
        async def f(xs):
            async for x in xs:
                defer(g, x)
                await ausing(x)
        """,
        """
        async def f(xs):
            @l0 = None
            @k0 = None
            try:
                try:
                    async for x in xs:
                        @l0 = (@l0, 0, @c if (@c := g) is not None else '@nil', x)
                        @c, @v = await '@aenter'(x)
                        @l0 = (@l0, 1, @c)
                        @v = None
                except:
                    @k0 = @l0
                    @l0 = None
                    raise
                finally:
                    while @l0 is not None:
                        @t = @l0
                        @l0 = @t[0]
                        if @t[1] == 0:
                            if (@r := @t[2](@t[3])) is not None:
                                if '@type'(@r) is '@coroutine' or '@awaitable'(@r):
                                    await @r
                                @r = None
                        elif @t[1] == 1:
                            await '@awaited'('__aexit__', @t[2](None, None, None))
            except:
                @t = @k0 if @k0 is not None else @l0
                @k0 = None
                @l0 = None
                @k0 = await '@aunwind_list'(@t, ((0, 3, 1, (), False), (4, 4, 0, (), False)))
                if @k0 is '@going':
                    raise
            if @k0 is not None:
                await '@afinish'(@k0)
        """,
    )
    assert plan == ((3, "defer", "list"), (4, "ausing", "list"))


def test_async_generator():
    """An async generator returns no value, so nothing is kept of its returns."""
    plan = check(
        """
        async def f(x):
            okdefer(a)
            okdefer(b)
            yield x
            return
        """,
        """
        async def f(x):
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                @f1 = b
                if @f1 is None:
                    @f1 = '@nil'
                try:
                    yield x
                    return
                except:
                    @f1 = '@noop'
                    raise
                finally:
                    if (@r := @f1()) is not None:
                        if '@type'(@r) is '@coroutine' or '@awaitable'(@r):
                            await @r
                        @r = None
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    if '@type'(@r) is '@coroutine' or '@awaitable'(@r):
                        await @r
                    @r = None
        """,
        asynchronous_generator=True,
    )
    assert plan == ((2, "okdefer", "inline"), (3, "okdefer", "inline"))


def test_generator():
    """A generator's body is lowered as a function's; its exits are those of the try (D2)."""
    plan = check(
        """
        def f(x):
            okdefer(a)
            y = yield x
            return y
        """,
        """
        def f(x):
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:
                y = (yield x)
                return y
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "okdefer", "inline"),)


def test_nested_functions_are_left_alone():
    """A defer in a nested function, lambda, class or generator expression is not this function's (D3)."""
    plan = check(
        """
        def f(x):
            okdefer(a)

            def inner():
                defer(b)
                return 1

            class C:
                defer(b)
            return (inner, C, lambda: defer(b), (defer(b) for _ in x))
        """,
        """
        def f(x):
            @f0 = a
            if @f0 is None:
                @f0 = '@nil'
            try:

                def inner():
                    defer(b)
                    return 1

                class C:
                    defer(b)
                return (inner, C, lambda: defer(b), (defer(b) for _ in x))
            except:
                @f0 = '@noop'
                raise
            finally:
                if (@r := @f0()) is not None:
                    @r = '@drop'(@r)
        """,
    )
    assert plan == ((2, "okdefer", "inline"),)


# Names


@pytest.mark.parametrize(
    ("statement", "meaning"),
    [
        ("later(g, x)", "defer"),
        ("godefer.defer(g, x)", "defer"),
        ("package.cleanup.errdefer(g, x)", "errdefer"),
    ],
)
def test_other_names(statement, meaning):
    """What a name or a dotted name means is what counts, not how it is spelled (R1)."""
    node = parsed(f"def f(x):\n    {statement}")
    plain = parsed(f"def f(x):\n    {meaning}(g, x)")
    assert lower(node, NAMES) == lower(plain, NAMES) == ((2, meaning, "inline"),)
    assert ast.unparse(node) == ast.unparse(plain)


@pytest.mark.parametrize(
    "statement", ["cleanup.defer(g)", "godefer.scope.defer(g)", "package.defer(g)", "self.defer(g)"]
)
def test_somebody_else_s_defer(statement):
    """An attribute that is not godefer's is a call like any other."""
    node = parsed(f"def f(self):\n    {statement}")
    assert lower(node, NAMES) == "there is no defer statement in its body"


# Positions


def test_positions():
    """The calls at the exit stand where their statement stands, and all else that was added stands nowhere (P6)."""
    node = parsed(
        """
        def f(x):
            defer(g, x)
            if x:
                defer(h, x)
            for y in x:
                defer(i, y)
            return x
        """
    )
    before = {id(part) for part in ast.walk(node)}
    lower(node, NAMES)
    added = [part for part in ast.walk(node) if id(part) not in before and hasattr(part, "lineno")]
    calls = {
        part.func.id: part.lineno for part in added if isinstance(part, ast.Call) and isinstance(part.func, ast.Name)
    }
    assert calls == {"@f0": 2, "@f1": 4, "@f": 6}
    assert {part.lineno for part in added if isinstance(part, (ast.Try, ast.If, ast.Raise, ast.While))} == {-1}
    assert {part.lineno for part in added} == {-1, 2, 4, 6, 7}


def test_every_added_node_can_be_compiled():
    """No node is without a position, of which the compiler would complain."""
    node = parsed("async def f(x):\n    for y in x:\n        defer(g, *y, k=1)\n    return x")
    lower(node, NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a string is not callable
        assert compile(ast.Module([node], []), "<lowered>", "exec")


# Refusals


def refused(source, **options):
    """The reason why *source* is not lowered; it must be left as it was."""
    node = parsed(source)
    before = ast.dump(node, include_attributes=True)
    reason = lower(node, NAMES, **options)
    assert ast.dump(node, include_attributes=True) == before
    return reason


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize(
    "use",
    [
        "g(S)",
        "x = S",
        "return S",
        "x = S(g)[0]",
        "return S(g)",
        "x and S(g)",
        "g(S(g))",
        "(y := S(g))",
        "lambda y=S: y",
        "def inner(y=S): pass",
        "def inner(*, y=S): pass",
        "class Inner(S): pass",
        "class Inner(metaclass=S): pass",
        "[S(y) for y in x]",
        "[y for y in x if S(y)]",
        "{S(y) for y in x}",
        "{y: S(y) for y in x}",
        "(S(y) for y in S(x))",
        "f'{S(x)}'",
        "defer(S, g)",
        "defer(g, S)",
        "defer(g, k=S)",
        "x[S].y = using(x)",
        "while S(g): pass",
        "with S(x): pass",
        "assert S(g)",
        "del x[S(g)]",
        "y: S(g) = 1",
        "match x:\n        case 1 if S(g): pass",
        "try: pass\n    except S(g): pass",
        "@S\n    def inner(): pass",
    ],
)
def test_used_as_a_value(statement, use):
    """A statement of godefer that is no statement of its own is a reason for the runtime way (R2)."""
    reason = refused("def f(x):\n    " + re.sub(r"\bS\b", statement, use))
    line = 3 if "\n" in use and "@" not in use else 2
    assert reason == f"{statement} is used as a value, or inside an expression, at line {line}"


@pytest.mark.parametrize(
    ("malformed", "name"),
    [
        ("defer()", "defer"),
        ("defer(*x)", "defer"),
        ("errdefer(fn=g)", "errdefer"),
        ("okdefer(**x)", "okdefer"),
        ("x = defer(g)", "defer"),
        ("using()", "using"),
        ("using(x, x)", "using"),
        ("using(*x)", "using"),
        ("using(x, k=1)", "using"),
        ("x += using(x)", "using"),
        ("ausing(x)", "ausing"),
        ("x = ausing(x)", "ausing"),
        ("await defer(g)", "defer"),
        ("x = await using(x)", "using"),
        ("await ausing()", "ausing"),
    ],
)
def test_malformed(malformed, name):
    """A call that does not have the statement's form is left to the statement, whose error says what is wrong (R2)."""
    reason = refused(f"async def f(x):\n    {malformed}")
    assert reason == f"{name} is used as a value, or inside an expression, at line 2"


@pytest.mark.parametrize("reader", ["locals()", "eval('x')", "exec('x')", "vars()", "dir()", "[dir() for _ in x]"])
def test_frame_readers(reader):
    """Who reads the names of the frame would see the hidden ones, so the function runs the runtime way (R2)."""
    name = next(name for name in ("locals", "eval", "exec", "vars", "dir") if name in reader)
    reason = refused(f"def f(x):\n    defer(g)\n    return {reader}")
    assert reason == f"{name}() could see or need the names of the body, at line 3"
    assert refused(f"def f(x):\n    defer(g, {reader})").startswith(f"{name}() could see")


@pytest.mark.parametrize(
    "statement",
    ["import godefer", "import godefer.lint as x", "from godefer import defer", "from godefer.lint import x"],
)
def test_godefer_imported_in_the_body(statement):
    """Names that the body itself binds to godefer's are not known when it is decorated (R2)."""
    assert refused(f"def f(x):\n    {statement}\n    defer(g)") == "godefer is imported in the body, at line 2"


def test_other_imports_in_the_body():
    """An import of something else does not matter."""
    node = parsed("def f(x):\n    import godeferred, os\n    from . import godefer_helper\n    defer(g)")
    assert lower(node, NAMES) == ((4, "defer", "inline"),)


@pytest.mark.parametrize("declaration", ["global", "nonlocal"])
def test_declared_name(declaration):
    """A body that may rebind the name while it runs is not open-coded (R2)."""
    reason = refused(f"def f(x):\n    if x:\n        {declaration} y, later\n    defer(g)")
    assert reason == f"later is declared {declaration} at line 3"


@pytest.mark.parametrize(
    "body", ["pass", "def inner(): defer(g)", "lambda: defer(g)", '"""defer(g)"""', "defer_(g)", "x.defer(g)"]
)
def test_no_statement(body):
    """Without a statement in its own scope there is nothing to lower."""
    assert refused(f"def f(x):\n    {body}") == "there is no defer statement in its body"
