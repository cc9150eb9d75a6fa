"""The subcommand ``python -m godefer check``: its options and its output."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from godefer.lint._files import Problem
    from godefer.lint._settings import Settings

DESCRIPTION = (
    "Read Python files, without importing them, and report mistakes with godefer that can be seen "
    "in their source. docs/checker.md explains the rules. A line that ends in `# noqa: GDF001` "
    "takes back what is found there. [tool.godefer] in pyproject.toml may have select, ignore, "
    "exclude, per-file-ignores and output-format. The exit status is 0 if nothing is found, 1 if "
    "anything is, and 2 if the command or its settings are wrong, or a path cannot be read."
)
_STDIN = "-"
_FEW = 64  # so few files are checked faster without a pool of processes
_CHUNK = 16  # the files that a process of the pool takes at once


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to the subcommand's parser."""
    add = parser.add_argument
    add(
        "paths",
        metavar="PATH",
        nargs="*",
        default=["."],
        help="files, directories, or - for the standard input; the current directory if none",
    )
    add(
        "--select",
        metavar="CODES",
        action="append",
        default=[],
        help="check only these: GDF001,GDF01",
    )
    add("--ignore", metavar="CODES", action="append", default=[], help="do not check these")
    add(
        "--exclude",
        metavar="PATTERNS",
        action="append",
        default=[],
        help="leave out these files and directories: build,tests/data,*_pb2.py",
    )
    add(
        "--force-exclude",
        action="store_true",
        help="leave out excluded files even if they are named, as by pre-commit",
    )
    add("--fix", action="store_true", help="apply the fixes that are safe")
    add(
        "--unsafe-fixes",
        action="store_true",
        help="with --fix or --diff: apply the others, too, which may not be what was meant",
    )
    add("--diff", action="store_true", help="show what --fix would change, and change nothing")
    add(
        "--output-format",
        choices=["text", "json", "github", "sarif"],
        help="text by default",
    )
    add("--statistics", action="store_true", help="count the problems of each rule")
    add("--exit-zero", action="store_true", help="exit with 0 even if anything is found")
    add(
        "--stdin-filename",
        metavar="PATH",
        help="the name of the standard input in the report and for the settings",
    )
    add("--no-cache", action="store_true", help="check files again that are known to be clean")
    add("--jobs", metavar="N", type=int, default=0, help="processes; one for each core by default")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check the files; return the exit status."""
    # Only this subcommand needs Python's parser.
    from godefer.lint._settings import UsageError  # noqa: PLC0415

    try:
        return _run(options)
    except UsageError as mistake:
        sys.stderr.write(f"python -m godefer check: {mistake}\n")
        return 2


def _run(options: argparse.Namespace) -> int:
    from godefer._cli.colours import Paint  # noqa: PLC0415
    from godefer.lint import _files, _output  # noqa: PLC0415
    from godefer.lint._settings import UsageError  # noqa: PLC0415

    from_stdin = _STDIN in options.paths
    if from_stdin and len(options.paths) > 1:
        raise UsageError("the standard input, -, cannot be checked with other paths")
    if from_stdin:
        named = options.stdin_filename or _STDIN
        settings = _settings(options, os.path.dirname(named) or ".")  # noqa: PTH120
        if options.stdin_filename and settings.excludes(named) and options.force_exclude:
            tasks = []
        else:
            tasks = [(named, settings)]
    else:
        tasks = list(_tasks(options))
    if options.fix or options.diff:
        changed, problems = _fix(options, tasks, from_stdin=from_stdin)
        if options.diff:
            return 1 if changed and not options.exit_zero else 0
    elif from_stdin:
        source = sys.stdin.buffer.read()
        problems = [
            problem
            for path, settings in tasks
            for problem in _files.check_source(source, path, settings.selection_for(path))
        ]
    else:
        problems = _check(tasks, options.jobs, cached=not options.no_cache)
    output_format = options.output_format or next(
        (settings.output_format for _, settings in tasks if settings.output_format), "text"
    )
    # The fixed text of the standard input is on stdout.
    out = sys.stderr if options.fix and from_stdin else sys.stdout
    report = _output.FORMATS[output_format]
    if options.statistics and output_format == "text":
        report = _output.as_statistics
    out.write(report(problems, Paint(out)))
    if any(problem.code == _files.UNREADABLE for problem in problems):
        return 2
    return 1 if problems and not options.exit_zero else 0


def _settings(options: argparse.Namespace, start: str) -> Settings:
    from godefer.lint import _settings  # noqa: PLC0415

    table, root = _settings.find_settings(start)
    return _settings.settings(
        table,
        root,
        select=_listed(options.select),
        ignore=_listed(options.ignore),
        exclude=_listed(options.exclude),
    )


def _tasks(options: argparse.Namespace) -> Iterator[tuple[str, Settings]]:
    """Yield each file to check, once, with the settings of the path that led to it."""
    from godefer.lint import _files  # noqa: PLC0415

    known: dict[str, Settings] = {}
    seen: set[str] = set()
    for path in options.paths:
        start = (
            path
            if os.path.isdir(path)  # noqa: PTH112
            else os.path.dirname(path) or "."  # noqa: PTH120
        )
        if start not in known:
            known[start] = _settings(options, start)
        settings = known[start]
        if options.force_exclude and settings.excludes(path):
            continue
        for file in _files.python_files([path], settings):
            if file not in seen:
                seen.add(file)
                yield file, settings


def _check(tasks: Sequence[tuple[str, Settings]], jobs: int, *, cached: bool) -> list[Problem]:
    """Check the files, in several processes if there are many. The problems are in file order."""
    from godefer.lint import _clean  # noqa: PLC0415

    if len(tasks) < _FEW:
        return [problem for task in tasks for problem in _check_one(task)[0]]
    file = _clean.memory_file() if cached else None
    known = _clean.read_memory(file)
    unknown = [task for task in tasks if _digest(task[0]) not in known]
    count = jobs or min(os.cpu_count() or 1, len(unknown) // _FEW + 1)
    if count == 1:
        found = [_check_one(task) for task in unknown]
    else:
        from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415

        with ProcessPoolExecutor(count) as pool:
            found = list(pool.map(_check_one, unknown, chunksize=_CHUNK))
    _clean.write_memory(file, known, (clean for _, clean in found if clean is not None))
    return [problem for problems, _ in found for problem in problems]


def _digest(path: str) -> bytes | None:
    from pathlib import Path  # noqa: PLC0415

    from godefer.lint import _clean  # noqa: PLC0415

    try:
        return _clean.digest(Path(path).read_bytes())
    except OSError:
        return None


def _check_one(task: tuple[str, Settings]) -> tuple[list[Problem], bytes | None]:
    """Check one file.

    Returns:
        The problems; and the digest of the checked bytes if no rule finds a problem in them, or
        else None.
    """
    import gc  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    from godefer.lint import RULES, _clean, _files  # noqa: PLC0415
    from godefer.lint._settings import Selection  # noqa: PLC0415

    path, settings = task
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        return [_files.unreadable(path, error)], None
    # Trees are large and live briefly: garbage collection would take a quarter of the time.
    enabled = gc.isenabled()
    gc.disable()
    try:
        found = _files.check_source(source, path, Selection())
    finally:
        if enabled:
            gc.enable()
    if not found:
        return [], _clean.digest(source)
    selection = settings.selection_for(path)
    return [p for p in found if p.code in selection or p.code not in RULES], None


def _fix(
    options: argparse.Namespace, tasks: Sequence[tuple[str, Settings]], *, from_stdin: bool
) -> tuple[int, list[Problem]]:
    """Apply the fixes, or show them.

    Returns:
        The number of fixes, and the problems that are left.
    """
    from pathlib import Path  # noqa: PLC0415

    from godefer.lint import _files  # noqa: PLC0415

    total = 0
    left: list[Problem] = []
    for path, settings in tasks:
        selection = settings.selection_for(path)
        try:
            source = sys.stdin.buffer.read() if from_stdin else Path(path).read_bytes()
        except OSError as error:
            left.append(_files.unreadable(path, error))
            continue
        problems = _files.check_source(source, path, selection)
        fixed, count = source, 0
        if any(problem.fix is not None for problem in problems):
            fixed, count = _files.fix_source(source, path, selection, unsafe=options.unsafe_fixes)
            problems = _files.check_source(fixed, path, selection)
        total += count
        left += problems
        if options.diff:
            sys.stdout.write(_difference(source, fixed, path))
        elif from_stdin:
            sys.stdout.buffer.write(fixed)
        elif count:
            Path(path).write_bytes(fixed)
    errors = f"{total} error{'' if total == 1 else 's'}"
    if options.diff:
        sys.stderr.write(f"Would fix {errors}.\n" if total else "No errors would be fixed.\n")
    elif total:
        sys.stderr.write(f"Fixed {errors}.\n")
    return total, left


def _difference(before: bytes, after: bytes, path: str) -> str:
    """Return the change as a unified diff."""
    import difflib  # noqa: PLC0415

    from godefer.lint import _files  # noqa: PLC0415

    if before == after:
        return ""
    old, new = (_files.decoded(source).splitlines(keepends=True) for source in (before, after))
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(old, new, path, path)
    )


def _listed(given: Sequence[str]) -> list[str]:
    return [code.strip() for codes in given for code in codes.split(",") if code.strip()]
