"""CPython's own tests of ExitStack and AsyncExitStack, run on defer_scope."""

import importlib
import unittest

import pytest

from tests import exit_stack_api

try:
    theirs = importlib.import_module("test.test_contextlib")
    theirs_async = importlib.import_module("test.test_contextlib_async")
except ImportError as missing:
    pytest.skip(f"this Python has no tests of contextlib ({missing})", allow_module_level=True)

# The tests of CPython that fail, and their reasons.
EXCEPTIONS = {
    "test_exit_exception_traceback": (
        "it wants the frames of contextlib itself; "
        "a scope shows the line that deferred instead (P6)"
    ),
}


class TestExitStack(theirs.TestExitStack):
    """CPython's tests of ExitStack, on a scope."""

    exit_stack = exit_stack_api.ExitStack


class TestAsyncExitStack(theirs_async.TestAsyncExitStack):
    """CPython's tests of AsyncExitStack, on a scope, with their methods for `with` statements."""

    exit_stack = type(
        "SyncAsyncExitStack",
        (exit_stack_api.AsyncExitStack,),
        {
            name: value
            for name, value in vars(theirs_async.TestAsyncExitStack.SyncAsyncExitStack).items()
            if name in {"run_coroutine", "close", "__enter__", "__exit__"}
        },
    )


def cases():
    for case in (TestExitStack, TestAsyncExitStack):
        for name in unittest.TestLoader().getTestCaseNames(case):
            marks = (
                [pytest.mark.xfail(reason=EXCEPTIONS[name], strict=True)]
                if name in EXCEPTIONS
                else []
            )
            yield pytest.param(case, name, id=f"{case.__name__}-{name}", marks=marks)


CASES = list(cases())
del TestExitStack, TestAsyncExitStack  # pytest must not find them by itself


# Some of CPython's tests never close their stacks.
@pytest.mark.filterwarnings("ignore:a scope was dropped:ResourceWarning")
@pytest.mark.parametrize(("case", "name"), CASES)
def test_theirs(case, name, monkeypatch):
    """A scope passes CPython's tests of ExitStack and AsyncExitStack, but for EXCEPTIONS (S)."""
    monkeypatch.setattr(theirs_async, "AsyncExitStack", exit_stack_api.AsyncExitStack)
    result = unittest.TestResult()
    case(name).run(result)
    assert result.testsRun == 1
    assert [text for _, text in result.failures + result.errors + result.skipped] == []


def test_the_exceptions_are_tests_of_theirs():
    """Each name in EXCEPTIONS is that of a test of CPython (S)."""
    assert set(EXCEPTIONS) <= {case.values[1] for case in CASES}
