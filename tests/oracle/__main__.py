"""python -m tests.oracle: compare more programs than the tests do; shrink the differing ones."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.oracle import as_go, as_python, features
from tests.oracle.generator import program
from tests.oracle.running import ASYNC, HOW_TO_INSTALL, Runner, go
from tests.oracle.shrinking import shrink


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.oracle", description=__doc__.partition(": ")[2]
    )
    parser.add_argument(
        "--seed", default="1", help="which series of programs (default: %(default)s)"
    )
    parser.add_argument(
        "--start",
        type=int,
        default=0,
        help="the first program's number in it (default: %(default)s)",
    )
    parser.add_argument(
        "--count", type=int, default=2000, help="how many programs (default: %(default)s)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=1000,
        help="so many are compiled at once (default: %(default)s)",
    )
    parser.add_argument(
        "--coroutines",
        type=int,
        default=1,
        help="every how manieth is run with coroutine functions, too (default: %(default)s)",
    )
    parser.add_argument(
        "--shrink", type=int, default=3, help="so many are made small (default: %(default)s)"
    )
    parser.add_argument(
        "--features", action="store_true", help="only count the features of the programs"
    )
    options = parser.parse_args(arguments)
    if go() is None:
        return HOW_TO_INSTALL
    numbers = range(options.start, options.start + options.count)
    with tempfile.TemporaryDirectory(prefix="godefer-oracle-") as directory:
        if options.features:
            programs = {f"p{number}": program(options.seed, number) for number in numbers}
            print(table(*features.count(programs, Path(directory))))
            return 0
        return compare(options, numbers, Runner(directory, coroutines=options.coroutines))


def compare(options, numbers, runner):
    """Compare in batches; return the exit status."""
    began = time.monotonic()
    differences = []
    for start in numbers[:: options.batch]:
        batch = {
            f"p{n}": program(options.seed, n)
            for n in range(start, min(start + options.batch, numbers.stop))
        }
        found = runner.differences(batch)
        differences += found
        seconds = time.monotonic() - began
        print(
            f"{start - numbers.start + len(batch)} programs, "
            f"{len(differences)} differences, {seconds:.0f} s",
            flush=True,
        )
    functions = ", ".join(f"{count} {way}" for way, count in runner.functions.items())
    print(f"{runner.runs} runs compared; functions with defers decorated in them: {functions}")
    seen = set()
    for difference in differences:
        if difference.name not in seen and len(seen) < options.shrink:
            seen.add(difference.name)
            print(
                smallest(program(options.seed, int(difference.name[1:])), runner, difference),
                flush=True,
            )
    return 1 if differences else 0


def smallest(differing, runner, difference):
    """Return the smallest differing program in both languages, and its first difference."""
    small, its_difference = shrink(differing, runner, difference)
    python = as_python.source(small, asynchronous=difference.version == ASYNC)
    return "\n".join(["", str(difference), "", as_go.source(small), python, str(its_difference)])


def table(written, executed):
    """Return the features, one a line."""
    names = sorted({*written, *executed})
    lines = [f"{'feature':48} {'written':>8} {'executed':>9}"]
    return "\n".join(
        [*lines, *(f"{name:48} {written[name] or '':>8} {executed[name]:>9}" for name in names)]
    )


if __name__ == "__main__":
    sys.exit(main())
