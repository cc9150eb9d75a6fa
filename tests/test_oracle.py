"""The Go compiler as the judge (`tests/oracle`): programs do the same in both (D, P, N, R3)."""

import pytest

from tests.oracle import as_python, features
from tests.oracle.__main__ import main, smallest
from tests.oracle.generator import program
from tests.oracle.model import all_statements
from tests.oracle.running import HOW_TO_INSTALL, Runner, go
from tests.oracle.shrinking import shrink

if go() is None:
    pytest.skip(HOW_TO_INSTALL, allow_module_level=True)

SEED = "corpus"
PROGRAMS = 2000

# The least number of places that the corpus's first 500 programs execute of each feature.
# `features` defines the features and their places.
OFTEN = {
    "Assign outer result": 40,
    "Break": 5,
    "Call": 150,
    "CallNil": 15,
    "Continue": 5,
    "Declare": 100,
    "DeferClosure": 1000,
    "DeferClosure in a condition": 50,
    "DeferClosure in a loop": 40,
    "DeferEvent": 200,
    "DeferEvent in a condition": 40,
    "DeferEvent in a loop": 20,
    "DeferFunction": 200,
    "DeferFunction in a condition": 20,
    "DeferFunction in a loop": 20,
    "DeferNil": 40,
    "DeferPanic": 60,
    "DeferRecover": 80,
    "DeferRecovered": 50,
    "DeferResult": 40,
    "Divide": 10,
    "Exit": 100,
    "Exit deferred": 80,
    "If": 300,
    "Loop": 150,
    "Panic": 400,
    "Panic deferred": 250,
    "PanicAgain deferred": 15,
    "Recover 0 deep": 40,
    "Recover 1 deep": 250,
    "Recover 2 deep": 150,
    "Recover 3 deep": 100,
    "Recover 4 deep": 80,
    "Recover 5 deep": 80,
    "Recover not deferred": 40,
    "Return early": 30,
    "ReturnCall": 15,
    "Switch": 50,
    **{f"DeferClosure {spelling}": 80 for spelling in ("keyword", "method", "partial", "star")},
    **{f"DeferFunction {spelling}": 10 for spelling in ("keyword", "method", "partial", "star")},
    "ends by exit": 40,
    "ends by panic": 150,
    "ends by return": 100,
    "recover finds a panic": 150,
    "recover finds a panic, and an exit goes on": 15,
    "recover finds a panic, and a panic goes on": 40,
    "recover finds nothing": 250,
}


def corpus(count):
    return {f"p{number}": program(SEED, number) for number in range(count)}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Return the folder of the compiler's build cache."""
    return tmp_path_factory.mktemp("oracle")


def test_the_same_events_results_and_panics_as_go(directory):
    """Random programs log the same in Go and in Python, each way (D2, P2, P3, P4, P5, N, R3).

    They have nested defers, panics, recovers and exits.
    """
    runner = Runner(directory, coroutines=4)
    programs = corpus(PROGRAMS)
    differences = runner.differences(programs)
    if differences:
        first = differences[0]
        pytest.fail(
            f"{len(differences)} runs differ:\n{smallest(programs[first.name], runner, first)}",
            pytrace=False,
        )
    assert runner.runs == 2.5 * PROGRAMS
    # The functions with defers really were run both ways.
    assert min(runner.functions.values()) > 2 * PROGRAMS


@pytest.mark.project
def test_every_feature_is_executed(tmp_path):
    """Many of the random programs execute each feature; writing it is not enough."""
    _, executed = features.count(corpus(500), tmp_path)
    assert {name: executed[name] for name, least in OFTEN.items() if executed[name] < least} == {}


@pytest.mark.project
def test_a_difference_is_found_and_made_small(directory):
    """Programs that never recover in Python differ, and shrink to a panic and its recover."""

    def without_recover(program, **options):
        return as_python.source(program, **options).replace("= recover()", "= None")

    runner = Runner(directory, python=without_recover)
    programs = corpus(40)
    differences = runner.differences(programs)
    small, difference = shrink(programs[differences[0].name], runner, differences[0])
    statements = [type(s).__name__ for s in all_statements(small)]
    assert sorted(statements) == ["DeferClosure", "Panic", "Recover"]
    assert difference.go_log[-1] == "return"
    assert difference.python_log[-1] == "panic: 0"


@pytest.mark.project
def test_the_command_compares(capsys):
    """``python -m tests.oracle`` prints the number of programs, and of differences."""
    assert main(["--seed", "command", "--count", "20", "--batch", "10"]) == 0
    *_, batch, summary = capsys.readouterr().out.splitlines()
    assert batch.startswith("20 programs, 0 differences, ")
    assert summary.startswith("80 runs compared; ")
