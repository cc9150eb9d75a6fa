"""Parse the command line, ``python -m godefer``, and run the subcommand."""

from __future__ import annotations

import argparse
import io
import os
import sys

from godefer import __version__
from godefer._cli import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the subcommand that *arguments* name; return the exit status."""
    options = _parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The encoding of a pipe may lack characters of the source.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `python -m godefer demo | head`
        # The interpreter flushes stdout once more when it exits, and must not fail again.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return 1
    return status


_COLOURS = (
    "Colours are used on a terminal; NO_COLOR in the environment takes them away, "
    "FORCE_COLOR has them in a pipe too."
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m godefer",
        description="Go's defer, panic and recover for Python.",
    )
    parser.add_argument("--version", action="version", version=f"godefer {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    _add_demo(subcommands)
    _add_explain(subcommands)
    _add_check(subcommands)
    _add_compile(subcommands)
    return parser


def _add_demo(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = subcommands.add_parser(
        "demo",
        help="show what godefer does, on real files, a database, threads and tasks",
        description=(
            "Copy a file, move money in a SQLite database, guard a section with a lock, recover a "
            "panic, and download in asyncio: each step prints the code it runs and what happened "
            "in which order, then checks what is left behind. Everything happens in a temporary "
            "directory, which is removed at the end. The exit status is 0 if every step checked "
            f"out, else 1. {_COLOURS}"
        ),
    )
    demo.set_defaults(run=_demo)


def _add_explain(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = subcommands.add_parser(
        "explain",
        help="tell how a decorated function is run, and why",
        description=(
            "Import a module and tell how its decorated functions are run, or those of a class: "
            "open-coded, that is compiled again with their deferred calls written into their "
            "exits, or the runtime way, with the reason. Of a single function, also its source, "
            "each defer statement with its shape beside it. The exit status is 2 if there is "
            f"nothing to explain. {_COLOURS}"
        ),
    )
    explain.add_argument(
        "target",
        metavar="MODULE[:NAME]",
        help=(
            "a module, as in `import pkg.mod`, or what it defines: "
            "pkg.mod:function, pkg.mod:Class, pkg.mod:Class.method"
        ),
    )
    explain.add_argument(
        "--lowered",
        action="store_true",
        help=(
            "show the Python code that runs, too: of an open-coded function the lowered source "
            "that it was compiled from, of a function run the runtime way its wrapper's source"
        ),
    )
    explain.set_defaults(run=_explain)


def _add_check(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    check.add_options(
        subcommands.add_parser(
            "check",
            help="find mistakes with godefer in source files",
            description=f"{check.DESCRIPTION} {_COLOURS}",
        )
    )


def _add_compile(subcommands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compile_ = subcommands.add_parser(
        "compile",
        help="compile decorated functions ahead of time",
        description=(
            "Compile the decorated functions of Python files, without importing them, and write "
            "the cache files beside their .pyc files, as the programs that import them would. It "
            "is for images, read-only installations and packages without sources. Run it with the "
            "Python, and the option -O, that the program will be run with. The exit status is 1 "
            "if anything could not be compiled, 2 if the command itself is wrong, else 0."
        ),
    )
    compile_.add_argument("paths", metavar="PATH", nargs="+", help="files, and directories")
    compile_.add_argument(
        "--check",
        action="store_true",
        help="write nothing, and report the functions that are not compiled",
    )
    compile_.add_argument("--quiet", action="store_true", help="report nothing but problems")
    compile_.set_defaults(run=_compile)


def _demo(_options: argparse.Namespace) -> int:
    # It imports asyncio and sqlite3, which no other subcommand needs.
    from godefer._cli import demo  # noqa: PLC0415

    return 0 if demo.run(sys.stdout) else 1


def _explain(options: argparse.Namespace) -> int:
    from godefer._cli import explain  # noqa: PLC0415  # only this subcommand needs it
    from godefer._cli.colours import Paint  # noqa: PLC0415

    try:
        report = explain.report(options.target, Paint(sys.stdout), with_lowered=options.lowered)
    except explain.NothingToExplainError as mistake:
        sys.stderr.write(f"python -m godefer explain: {mistake}\n")
        return 2
    sys.stdout.write(f"{report}\n")
    return 0


def _compile(options: argparse.Namespace) -> int:
    from godefer._cli import compile as ahead  # noqa: PLC0415  # only this subcommand needs it

    compiled = fresh = problems = status = 0
    for path in dict.fromkeys(ahead.source_files(options.paths)):
        try:
            report = ahead.compile_file(path, check=options.check)
        except OSError as error:
            sys.stderr.write(f"python -m godefer compile: {path}: {error.strerror}\n")
            status = 2
            continue
        compiled += report.compiled
        fresh += report.fresh
        problems += len(report.problems)
        sys.stdout.writelines(f"{problem}\n" for problem in report.problems)
    if not options.quiet:
        sys.stdout.write(f"compiled: {compiled}, fresh: {fresh}, problems: {problems}\n")
    return status or (1 if problems else 0)
