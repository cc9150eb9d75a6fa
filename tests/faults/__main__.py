"""python -m tests.faults: more faults, and more random signals, than the tests have time for."""

import argparse
import sys
import time
import warnings

from tests.faults import interrupts, lines, shapes, signals


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__.partition(": ")[2]
    )
    parser.add_argument(
        "--signals", type=int, default=5000, help="how many, for each way (default: %(default)s)"
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=1,
        help="of the moments at which they come (default: %(default)s)",
    )
    parser.add_argument(
        "--pairs",
        type=int,
        default=0,
        help="so many pairs of interrupts for each function, at random",
    )
    parser.add_argument(
        "--every",
        action="store_true",
        help="before each instruction, not only where signals are handled",
    )
    options = parser.parse_args(arguments)
    # A coroutine that an interrupt keeps from starting deserves no warning here.
    warnings.simplefilter("ignore", RuntimeWarning)
    began = time.monotonic()
    failed = False
    for title, sweep in (
        ("lines", lambda shape, way: lines.sweep(shape, way)),
        ("interrupts", lambda shape, way: interrupts.sweep(shape, way, every=options.every)),
        (
            "pairs of interrupts",
            lambda shape, way: interrupts.pairs(shape, way, options.pairs, options.seed),
        ),
    ):
        positions = 0
        wrong = []
        for shape in shapes.SHAPES:
            for way in shape.ways:
                result = sweep(shape, way)
                positions += result.positions
                wrong += [f"  {shape} {way}: {problem}" for problem in result.wrong]
        print(
            f"{title}: {positions} faults, {len(wrong)} wrong, {time.monotonic() - began:.0f} s",
            *wrong,
            sep="\n",
        )
        failed |= bool(wrong) and title != "pairs of interrupts"
    for way in shapes.WAYS:
        result = signals.run(way, options.signals, options.seed)
        print(f"{way}: {result}")
        failed |= bool(result.lost or result.twice)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
