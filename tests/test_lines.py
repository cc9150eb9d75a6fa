"""A decorated function's frames always have a line, and show only the user's names: rule P6."""

import dis
import gc
import inspect
import sys
import traceback

import pytest

from tests import failing
from tests.failing import EXITS, OPTIONS, SHAPES, Exit, failure, leave, makes_calls, outcome

PYPY = sys.implementation.name == "pypy"


@pytest.fixture(params=SHAPES)
def fn(request, way):
    """A decorated function of each shape; those with named results are open-coded only (R3)."""
    name = request.param
    if OPTIONS[name] and way.name == "runtime":
        pytest.skip("named results exist open-coded only (R3)")
    return way(**OPTIONS[name])(SHAPES[name]) if OPTIONS[name] else way(SHAPES[name])


@pytest.fixture(params=EXITS)
def x(request):
    """An Exit for each way to leave a function."""
    return Exit(**EXITS[request.param])


def lines_of(fn):
    """Return the numbers of the lines of a function."""
    lines, first = inspect.getsourcelines(fn)
    return range(first, first + len(lines))


def line_that_leaves(fn):
    """Return the number of the line that fails, or returns."""
    lines, first = inspect.getsourcelines(fn)
    (number,) = (n for n, line in enumerate(lines, first) if "# leaves" in line)
    return number


def is_of(frame, fn):
    """Return whether the frame is of the function's body, or of the wrapper around it."""
    return frame.f_code.co_qualname == fn.__qualname__


def is_body_of(frame, fn):
    return is_of(frame, fn) and frame.f_code.co_filename == failing.__file__


def failure_of(function, *args):
    """Return the exception of a call, or None if it returns."""
    try:
        function(*args)
    except BaseException as e:
        return e
    return None


def frames_above(frame):
    """Return the frame and its callers as (code, line) pairs, the innermost first."""
    found = []
    while frame is not None:
        found.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    return found


def tracebacks(error):
    """Return the entries of the tracebacks of an exception and of its contexts."""
    seen = []
    while error is not None and error not in seen:
        seen.append(error)
        tb = error.__traceback__
        while tb is not None:
            yield tb
            tb = tb.tb_next
        error = error.__context__


# Lines


def test_tracer(fn, x):
    """At every event of a tracer the frame is on a line of its function (P6)."""
    lines = lines_of(fn)
    events, wrong = [], []

    def trace(frame, event, arg):
        if is_of(frame, fn):
            frame.f_trace_opcodes = False
            events.append(event)
            line = frame.f_lineno
            if line is None or (is_body_of(frame, fn) and line not in lines):
                wrong.append((event, line))
        return trace

    sys.settrace(trace)
    try:
        outcome(fn, x)
    finally:
        sys.settrace(None)
    assert wrong == []
    assert {"call", "line", "return"} <= set(events)


def test_tracer_of_a_failing_body(fn):
    """A tracer sees the body's exception at the line that failed, and never without a line (P6)."""
    seen = []

    def trace(frame, event, arg):
        if event == "exception" and frame.f_code.co_filename == failing.__file__:
            seen.append(frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        outcome(fn, Exit(fails=True))
    finally:
        sys.settrace(None)
    assert line_that_leaves(fn) in seen
    assert None not in seen


def test_frames_above_a_deferred_call(fn, x):
    """A deferred function finds a line in each frame above it (P6)."""
    looks = []
    x.look = lambda: looks.append(frames_above(sys._getframe(1)))
    outcome(fn, x)
    lines = lines_of(fn)
    for frames in looks:
        assert None not in [line for _, line in frames]
        for code, line in frames:
            if code is fn.__code__ and code.co_filename == failing.__file__:
                assert line in lines
    assert bool(looks) == makes_calls(fn, x)


class Argument:
    """An argument with a finalizer that looks at the frames above it."""

    def __init__(self, looks):
        self.looks = looks

    def __del__(self):
        self.looks.append(frames_above(sys._getframe(1)))


@pytest.fixture(params=["function", "conditional", "loop", "async function", "generator"])
def fn_with_argument(request, way):
    """A decorated function that alone refers to an argument of its deferred calls."""
    from godefer import defer, errdefer, okdefer
    from tests.failing import call, later, pause

    def function(x, looks):
        defer(call, x, Argument(looks))
        errdefer(call, x, Argument(looks), k=Argument(looks))
        okdefer(call, x, *[Argument(looks)])
        return 1 / x.divisor

    def conditional(x, looks):
        if x:
            defer(call, x, Argument(looks))
        try:
            errdefer(call, x, Argument(looks))
        finally:
            okdefer(call, x, Argument(looks))
        return 1 / x.divisor

    def loop(x, looks):
        for _ in range(2):
            defer(call, x, Argument(looks))
            errdefer(call, x, k=Argument(looks))
        return 1 / x.divisor

    async def async_function(x, looks):
        defer(later, x, Argument(looks))
        errdefer(later, x, Argument(looks))
        await pause()
        return 1 / x.divisor

    def generator(x, looks):
        defer(call, x, Argument(looks))
        errdefer(call, x, Argument(looks))
        yield 1
        yield 1 / x.divisor

    return way(locals()[request.param.replace(" ", "_")])


def test_end_of_an_argument(fn_with_argument, x):
    """The ``__del__`` of an argument finds a line in every frame above it (P6)."""
    looks = []
    error = failure_of(leave, lambda x: fn_with_argument(x, looks), x)
    del error
    gc.collect()
    assert looks
    for frames in looks:
        assert None not in [line for _, line in frames]


def test_traceback(fn, x):
    """Each entry of a traceback, and its frame, has a line (P6)."""
    error = failure(fn, x)
    lines = lines_of(fn)
    for tb in tracebacks(error):
        assert tb.tb_lineno is not None
        assert tb.tb_frame.f_lineno is not None
        if is_body_of(tb.tb_frame, fn):
            assert tb.tb_lineno in lines
            assert tb.tb_frame.f_lineno in lines
    if error is not None:
        assert any(is_body_of(tb.tb_frame, fn) for tb in tracebacks(error))


def test_traceback_of_a_failing_body(fn):
    """The traceback of an exception of the body has the line that failed (P6)."""
    error = failure(fn, Exit(fails=True))
    found = [(tb.tb_frame.f_code.co_filename, tb.tb_lineno) for tb in tracebacks(error)]
    assert (failing.__file__, line_that_leaves(fn)) in found


def never_began(steps):
    """Return whether the frame has no line: traced code that never began has none in 3.15."""
    return steps == 0 and sys.version_info >= (3, 15)


@pytest.mark.parametrize("end", ["close", "throw"])
@pytest.mark.parametrize("exit_", EXITS)
@pytest.mark.parametrize("name", [name for name in SHAPES if name.startswith("generator")])
def test_suspended_generator(way, name, exit_, end):
    """A generator's frame has a line while suspended, and after `close` and `throw` (P6)."""
    fn = way(SHAPES[name])
    steps = 0
    while True:
        x = Exit(**EXITS[exit_])
        looks = []
        x.look = lambda: looks.append(frames_above(sys._getframe(1)))
        generator = fn(x)
        frame = generator.gi_frame
        for _ in range(steps):
            if frame.f_lineno is None or outcome(lambda _: next(generator), x) == "StopIteration":
                break
            assert generator.gi_frame is None or generator.gi_frame.f_lineno is not None
        error = failure_of(*(generator.close,) if end == "close" else (generator.throw, KeyError))
        assert frame.f_lineno is not None or never_began(steps)
        for tb in tracebacks(error):
            assert tb.tb_lineno is not None
            assert tb.tb_frame.f_lineno is not None or never_began(steps)
        assert bool(looks) == (steps > 0)  # a generator that never began makes no call
        for frames in looks:
            assert None not in [line for _, line in frames]
        if generator.gi_frame is None and steps > 4:
            break
        steps += 1


@pytest.mark.parametrize("exit_", EXITS)
@pytest.mark.parametrize("name", [name for name in SHAPES if "async" in name or "ausing" in name])
def test_suspended_coroutine(way, name, exit_):
    """A coroutine's frame has a line while suspended, in deferred calls too (P6)."""
    fn = way(SHAPES[name])
    for steps in range(12):
        made = fn(Exit(**EXITS[exit_]))
        coroutine = made if inspect.iscoroutine(made) else failing.exhaust(made)
        frames = []

        def run(coroutine, limit):
            for _ in range(limit):
                coroutine.send(None)
                frames.extend(suspended(coroutine))
                assert None not in [frame.f_lineno for frame in frames]

        def end(coroutine):
            coroutine.throw(KeyError)
            frames.extend(suspended(coroutine))
            run(coroutine, 100)

        error = failure_of(run, coroutine, steps) or failure_of(end, coroutine)
        assert not isinstance(error, AssertionError)
        for tb in tracebacks(error):
            assert tb.tb_lineno is not None
            assert tb.tb_frame.f_lineno is not None or never_began(steps)
        assert frames or steps == 0
        assert None not in [frame.f_lineno for frame in frames]


def suspended(coroutine):
    """Return the frames of a suspended coroutine and of the coroutines that it awaits."""
    frames = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "ag_frame", None)
        if frame is not None:
            frames.append(frame)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "ag_await", None)
    return frames


# At backward jumps and at RESUME the interpreter runs signal handlers and switches threads.
SEEN = ("JUMP_BACKWARD", "POP_JUMP_BACKWARD", "RESUME")
CALLS = ("CALL", "PRECALL", "SEND", "YIELD", "WITH_", "BEFORE_")
# The compiler itself gives no line to these, nor to the jump after an `await` that was thrown into.
NEITHER = ("NO_INTERRUPT", "INTRINSIC_1")


@pytest.mark.skipif(PYPY, reason="PyPy's bytecode always has a line")
@pytest.mark.parametrize("way", ["open-coded"], indirect=True)
def test_instructions(fn):
    """Each instruction at which other code can run has a line of the body (P6)."""
    code = fn.__code__
    lines = lines_of(fn)
    seen, before = [], ""
    for i in dis.get_instructions(code):
        if i.opname.startswith(SEEN + CALLS) and not i.opname.endswith(NEITHER):
            if before != "CLEANUP_THROW":
                seen.append((i.offset, i.opname, i.positions.lineno))
        before = before if i.opname == "EXTENDED_ARG" else i.opname
    assert seen
    assert [instruction for instruction in seen if instruction[2] not in lines] == []


# Hidden locals


def own_names(fn):
    """Return the names that the source of a function binds or uses."""
    code = SHAPES[fn.__name__].__code__
    return {*code.co_varnames, *code.co_cellvars, *code.co_freevars}


def is_wrapper(filename):
    """Return whether this is the file name of the runtime way's wrapper."""
    return filename == "<godefer wrapper>"


def test_locals(fn, x):
    """Once an exception has left, the frame shows the user's names, and no others (P6)."""
    error = failure(fn, x)
    for tb in tracebacks(error):
        names = set(tb.tb_frame.f_locals)
        if not is_wrapper(tb.tb_frame.f_code.co_filename):
            assert not [name for name in names if name.startswith("@")]
        if is_body_of(tb.tb_frame, fn):
            assert names <= own_names(fn)
            # The runtime way shows the line of a `defer` statement by a frame that never ran, which
            # has no x. On PyPy no frame of the runtime way has it.
            assert "x" in names or x.divisor or PYPY


def test_captured_locals(fn, x):
    """A traceback that is rendered with the locals has none of godefer's (P6)."""
    error = failure(fn, x)
    if error is None:
        return
    captured = traceback.TracebackException.from_exception(error, capture_locals=True)
    own = []
    while captured is not None:
        for summary in captured.stack:
            if not is_wrapper(summary.filename):
                assert not [name for name in summary.locals or () if name.startswith("@")]
            if (summary.filename, summary.name) == (failing.__file__, fn.__name__):
                own.append(set(summary.locals or ()))
        captured = captured.__context__
    assert own
    assert set().union(*own) <= own_names(fn)
    assert all("x" in names for names in own) or x.divisor or PYPY


@pytest.mark.parametrize("way", ["runtime"], indirect=True)
def test_locals_of_the_wrapper(fn, x):
    """The frame of the runtime way's wrapper, too, shows no hidden local (P6)."""
    frames = [tb.tb_frame for tb in tracebacks(failure(fn, x))]
    if x.raises and makes_calls(fn, x):
        assert [frame for frame in frames if is_wrapper(frame.f_code.co_filename)]
    for frame in frames:
        assert not [name for name in frame.f_locals if name.startswith("@")]


@pytest.mark.parametrize("name", [name for name in SHAPES if name.startswith("generator")])
def test_locals_of_a_closed_generator(way, name):
    """An exception thrown into a generator shows the user's own names (P6)."""
    fn = way(SHAPES[name])
    for steps in (1, 2):
        generator = fn(Exit())
        for _ in range(steps):
            next(generator)
        frames = [tb.tb_frame for tb in tracebacks(failure_of(generator.throw, KeyError))]
        bodies = [frame for frame in frames if is_body_of(frame, fn)]
        assert bodies
        for frame in bodies:
            assert set(frame.f_locals) <= own_names(fn)
