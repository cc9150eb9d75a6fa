"""Run programs in both languages, and compare.

The Go compiler works in a temporary directory, with a build cache there. It neither reads nor
writes the user's files: no settings, no modules, no network, no other toolchain.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from tests.oracle import as_go, as_python
from tests.oracle.model import all_functions, defers

PROJECT = Path(__file__).parents[2]
WAYS = ("open-coded", "runtime")
ASYNC = "async"
VERSIONS = ("", ASYNC)  # of a program in Python: with functions, with coroutine functions
HOW_TO_INSTALL = "the Go compiler is not installed: pip install -e '.[oracle]'"


def go():
    """Return the compiler's executable in this environment, or None."""
    found = importlib.util.find_spec("go")
    if found is None or found.origin is None:
        return None
    executable = Path(found.origin).with_name("bin") / ("go.exe" if os.name == "nt" else "go")
    return executable if executable.exists() else None


class Difference:
    """A program that behaves differently in Python."""

    def __init__(self, name, version, way, go_log, python_log):
        self.name = name
        self.version = version
        self.way = way
        self.go_log = go_log
        self.python_log = python_log

    def __str__(self):
        """Return both logs side by side, from a few lines before the first difference."""
        logs = list(zip_longest(self.go_log, self.python_log, fillvalue="-"))
        first = next(i for i, (left, right) in enumerate(logs) if left != right)
        shown = logs[max(0, first - 10) : first + 10]
        width = max(len(left) for left, _ in shown)
        lines = [
            f"{left:{width}}  {' ' if left == right else '!'}  {right}" for left, right in shown
        ]
        way = f"coroutine functions, {self.way}" if self.version else f"functions, {self.way}"
        return "\n".join([f"program {self.name[1:]}, {way}", f"{'Go':{width + 5}}Python", *lines])


class Runner:
    """Run programs below a directory, which keeps the compiler's cache between the batches.

    Args:
        directory: A temporary directory.
        python: A function that writes a program in Python.
        coroutines: Run one program of so many with coroutine functions, too.
    """

    def __init__(self, directory, *, python=as_python.source, coroutines=1):
        self.directory = Path(directory)
        self.python = python
        self.coroutines = coroutines
        self.runs = 0  # each version and way of a program counts as one run
        self.functions = dict.fromkeys(WAYS, 0)

    def differences(self, programs, only=None):
        """Return the differences between Go and Python of each program, by name.

        *only* is one version and one way, if the others need not run.
        """
        versions, ways = (VERSIONS, WAYS) if only is None else ([each] for each in only)
        with (
            tempfile.TemporaryDirectory(prefix="batch", dir=self.directory) as directory,
            ThreadPoolExecutor() as threads,
        ):
            batch = Path(directory)
            in_go = threads.submit(self._in_go, programs, batch / "go")
            in_python = {
                way: threads.submit(self._in_python, programs, batch, way, versions) for way in ways
            }
            logs = in_go.result()
            python_logs = {way: future.result() for way, future in in_python.items()}
        found = []
        for way in ways:
            for (name, version), log in python_logs[way].items():
                self.runs += 1
                if log != logs[name]:
                    found.append(Difference(name, version, way, logs[name], log))
        return found

    # --- Go

    def _in_go(self, programs, directory):
        directory.mkdir()
        for name, text in as_go.directory(programs).items():
            (directory / name).write_text(text, encoding="utf-8")
        executable = directory / "programs.exe"
        built = subprocess.run(
            [go(), "build", "-ldflags=-s -w", "-o", executable, "."],
            cwd=directory,
            env=self._go_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
        )
        if built.returncode:
            raise RuntimeError(f"the Go compiler refused {directory}:\n{built.stdout[:4000]}")
        with open(directory / "log", "w+", encoding="utf-8") as log:
            ran = subprocess.run([executable], stderr=log, check=False)
            log.seek(0)
            text = log.read()
        if ran.returncode:
            raise RuntimeError(f"the Go program in {directory} failed:\n{text[-4000:]}")
        logs = {}
        for part in text.split("program ")[1:]:
            name, *lines = part.splitlines()
            logs[name] = lines
        return logs

    def _go_environment(self):
        home = self.directory / "home"
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_CACHE_HOME": str(home / "cache"),
            "TMPDIR": str(self.directory),
            "GOROOT": str(go().parents[1]),
            "GOPATH": str(home / "go"),
            "GOCACHE": str(self.directory / "cache"),
            "GOENV": "off",
            "GOFLAGS": "",
            "GOPROXY": "off",
            "GOTELEMETRY": "off",
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            "CGO_ENABLED": "0",
        }

    # --- Python

    def _in_python(self, programs, directory, way, versions):
        directory = directory / way
        directory.mkdir()
        files = {}
        for i, (name, program) in enumerate(programs.items()):
            for version in versions:
                if version == ASYNC and i % self.coroutines:
                    continue
                file = directory / f"{name}{version}.py"
                file.write_text(
                    self.python(program, asynchronous=version == ASYNC), encoding="utf-8"
                )
                files[str(file)] = name, version
        logs = {}
        for file, log, ways, _ in work(list(files), way):
            name, _ = files[file]
            logs[files[file]] = [*log, *self._wrong_ways(programs[name], ways, way)]
        return logs

    def _wrong_ways(self, program, ways, wanted):
        """Return a line for each decorated function that was not run in its intended way."""
        for function in all_functions(program):
            if f"f{function.number}" not in ways or not (function.results or defers(function)):
                continue
            way, reason = ways[f"f{function.number}"]
            self.functions[way] += 1
            # Named results are open-coded in each way (R3).
            if way != wanted and not function.results:
                yield f"f{function.number} is run {way}: {reason}"


def work(files, way, *options):
    """Run files in Python; yield the report of each."""
    environment = {**os.environ, "GODEFER_OPEN_CODED": "0"}
    if way == "open-coded":
        del environment["GODEFER_OPEN_CODED"]
    command = [sys.executable, "-B", "-W", "error", "-m", "tests.oracle.worker", *options]
    while files:
        # A batch may be longer than a command line.
        chunk, files = files[:400], files[400:]
        while chunk:
            ran = subprocess.run(
                [*command, *chunk],
                cwd=PROJECT,
                env=environment,
                capture_output=True,
                check=False,
                text=True,
            )
            done = [json.loads(line) for line in ran.stdout.splitlines()]
            yield from done
            chunk = chunk[len(done) :]
            if chunk:  # the process died in the next file
                yield (
                    chunk[0],
                    [f"the process ended with {ran.returncode}", *ran.stderr.splitlines()[-3:]],
                    {},
                    [],
                )
                chunk = chunk[1:]
