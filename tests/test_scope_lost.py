"""Scopes that die with pending calls: section S of the rules."""

import asyncio
import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import warnings

import pytest

from godefer import defer_scope


def clean_up():
    raise AssertionError("a lost call was made")


def line():
    return inspect.currentframe().f_back.f_lineno


def lost(fn):
    """Call *fn*; return its warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fn()
        gc.collect()
    return caught


def never_entered():
    scope = defer_scope()
    scope(print)
    scope(clean_up)
    return line() - 1, 2


def never_entered_errdefer():
    scope = defer_scope()
    scope.err(clean_up)
    return line() - 1, 1


def detached():
    with defer_scope() as scope:
        scope(clean_up)
        scope.detach()
    return line() - 2, 1


def detached_and_kept():
    with defer_scope() as scope:
        scope(clean_up)
        kept = scope.detach()
    kept.close
    return line() - 3, 1


def detached_by_an_async_block():
    async def main():
        async with defer_scope() as scope:
            scope(clean_up)
            scope.detach()
        return line() - 2, 1

    return asyncio.run(main())


def emptied_and_filled_again():
    scope = defer_scope()
    scope(len, "")
    scope.close()
    scope(clean_up)
    return line() - 1, 1


def in_a_cycle():
    scope = defer_scope()
    scope(print, scope)
    scope(clean_up)
    return line() - 1, 2


def entered_by_hand_later():
    scope = defer_scope()
    scope(clean_up)
    scope.__enter__()
    return line() - 2, 1


LOST = [
    never_entered,
    never_entered_errdefer,
    detached,
    detached_and_kept,
    detached_by_an_async_block,
    emptied_and_filled_again,
    in_a_cycle,
    entered_by_hand_later,
]


@pytest.mark.parametrize("fn", LOST)
def test_a_scope_that_dies_with_calls_pending(fn):
    """A scope that dies with pending calls gives one ResourceWarning, and makes none (S).

    The warning has the line of the `defer` of the first call to make.
    """
    places = []
    (warning,) = lost(lambda: places.append(fn()))
    ((number, count),) = places
    message = str(warning.message)
    assert warning.category is ResourceWarning
    assert (warning.filename, warning.lineno) == (__file__, number)
    assert f"clean_up, deferred at {__file__}:{number} in {fn.__name__}" in message
    assert ("a pending call" if count == 1 else f"{count} pending calls") in message


def in_a_block():
    with defer_scope() as scope:
        scope(len, "")


def in_a_failing_block():
    try:
        with defer_scope() as scope:
            scope(len, "")
            raise LookupError
    except LookupError:
        pass


def filled_before_the_block():
    scope = defer_scope()
    scope(len, "")
    with scope:
        scope.err(len, "")


def closed():
    scope = defer_scope()
    scope(len, "")
    scope.close()


def closed_and_awaited():
    async def main():
        scope = defer_scope()
        scope(asyncio.sleep, 0)
        await scope.aclose()

    asyncio.run(main())


def detached_and_closed():
    with defer_scope() as scope:
        scope(len, "")
        kept = scope.detach()
    kept.close()


def detached_and_entered():
    with defer_scope() as scope:
        scope(len, "")
        kept = scope.detach()
    with kept:
        pass


def detached_twice():
    scope = defer_scope()
    scope(len, "")
    scope.detach().detach().close()


def empty():
    defer_scope()
    with defer_scope() as scope:
        scope.detach()


def refused():
    with defer_scope() as scope:
        pass
    try:
        scope(clean_up)
    except RuntimeError:
        pass


def filled_by_threads():
    scope = defer_scope()
    threads = [threading.Thread(target=scope, args=(len, "")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scope.close()


QUIET = [
    in_a_block,
    in_a_failing_block,
    filled_before_the_block,
    closed,
    closed_and_awaited,
    detached_and_closed,
    detached_and_entered,
    detached_twice,
    empty,
    refused,
    filled_by_threads,
]


@pytest.mark.parametrize("fn", QUIET)
def test_a_scope_that_has_made_its_calls(fn):
    """A scope that has made or moved its calls dies without a warning (S)."""
    assert lost(fn) == []


def test_a_recorded_warning_keeps_nothing_alive():
    """A list of warnings keeps no scope and no argument of a call alive (S, D9)."""
    freed = []

    class Argument:
        def __del__(self):
            freed.append(True)

    def drop():
        scope = defer_scope()
        scope(clean_up, Argument())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop()
        gc.collect()
        assert len(caught) == 1
        assert freed == [True]


@pytest.mark.parametrize("options", [["-X", "dev"], ["-W", "error"], []])
def test_at_the_end_of_the_program(options, tmp_path):
    """A scope that lives until the program's end dies quietly, except in development mode (S)."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""\
            import sys
            from godefer import defer_scope
            scope = defer_scope()
            scope(print, "never")
            circle = defer_scope()
            circle(print, circle)
            kept = sys.modules["kept"] = type(sys)("kept")
            kept.scope = defer_scope()
            kept.scope(print, "never")
        """)
    )
    done = subprocess.run(
        [sys.executable, *options, script], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert "Error" not in done.stderr
    if options == ["-X", "dev"]:
        assert f"{script}:4: ResourceWarning: a scope was dropped" in done.stderr
    if not options:
        assert done.stderr == ""
