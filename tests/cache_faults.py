"""python -m tests.cache_faults: damage cache files, and kill processes while they write.

The tests do the same with fewer faults. After each fault a real program starts. It must give its
usual output, report nothing, and leave a complete cache file (C2, C3).
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import godefer
from godefer import _cache

PARENT = str(Path(godefer.__file__).resolve().parent.parent)

# WORD is replaced by a word that the functions use, so that two texts give different output.
MODULE = """\
import godefer
from godefer import defer, with_defers

@with_defers
def inline(events):
    defer(events.append, "exits")
    events.append("WORD")

@with_defers
def listed(events):
    for i in range(len("WORD")):
        godefer.defer(events.append, i)

@with_defers(result="found")
def named(events):
    defer(events.append, "exits")
    found = "WORD"

@with_defers
def as_a_value(events):
    later = defer
    later(events.append, "WORD")

@with_defers
def generator(events):
    assert events == [], "WORD"
    defer(events.append, "closed")
    yield "WORD"

def outer():
    @with_defers
    def inner(events):
        @defer
        def nested():
            events.append("WORD")
    return inner
"""
MAIN = """\
import sys
import module
from godefer import explain
fns = (
    module.inline,
    module.listed,
    module.named,
    module.as_a_value,
    module.generator,
    module.outer(),
)
for fn in fns:
    events = []
    value = fn(events)
    print(fn.__name__, list(value) if fn is module.generator else value, events, explain(fn).way)
"""
WARM = "import module, sys\nmodule.outer()\nprint('godefer._compiler' in sys.modules)\n"
STORM = """\
import module
from godefer import _cache
module.outer()
(file,) = _cache._files.values()
print("ready", flush=True)
while True:
    file.write()
"""


def expected(word):
    """Return the program's output if its functions are right."""
    return (
        f"inline None ['{word}', 'exits'] open-coded\n"
        f"listed None {list(reversed(range(len(word))))} open-coded\n"
        f"named {word} ['exits'] open-coded\n"
        f"as_a_value None ['{word}'] runtime\n"
        f"generator ['{word}'] ['closed'] open-coded\n"
        f"inner None ['{word}'] open-coded\n"
    )


ENTRIES = 7  # one for each function, and the template of a wrapper


class Project:
    """Make a folder with a module, and programs that use it."""

    def __init__(self, folder, word="body"):
        self.folder = folder
        self.word = word
        folder.mkdir(exist_ok=True)
        for name, text in (("main", MAIN), ("warm", WARM), ("storm", STORM)):
            (folder / f"{name}.py").write_text(text)
        self.edit(word)

    @property
    def pycache(self):
        return self.folder / "__pycache__"

    @property
    def file(self):
        return self.pycache / f"module.{sys.implementation.cache_tag}.godefer"

    def edit(self, word):
        self.word = word
        (self.folder / "module.py").write_text(MODULE.replace("WORD", word))

    def start(self, program="main.py", *options, before=(), **more):
        """Start a program; *before* is a command to run it under."""
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GODEFER"))}
        return subprocess.Popen(
            [*before, sys.executable, "-S", *options, program],
            cwd=self.folder,
            env={**env, "PYTHONPATH": PARENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def wrong(self, *options, **more):
        """Run the program; return its fault, or an empty string."""
        process = self.start("main.py", *options, **more)
        out, err = process.communicate(timeout=120)
        if (process.returncode, out, err) != (0, expected(self.word), ""):
            return f"exit status {process.returncode}\n{out}{err}"
        return ""

    def is_warm(self, **more):
        """Run a program; return whether it ran without the compiler."""
        out, err = self.start("warm.py", **more).communicate(timeout=120)
        return (out, err) == ("False\n", "")

    def is_whole(self):
        """Return whether the cache file exists and has an entry for each function."""
        return self.file.is_file() and len(_cache._parse(self.file.read_bytes())[1]) == ENTRIES

    def left_over(self):
        """Return the temporary files that a process has left beside the cache file."""
        return list(self.pycache.glob("*.godefer.*"))

    def problems(self, fault):
        """Run the program; yield its fault, or that of the files that it leaves."""
        wrong = self.wrong()
        if wrong:
            yield f"{fault}: {wrong}"
        elif not self.is_whole():
            yield f"{fault}: the file is not whole again"
        elif self.left_over():
            yield f"{fault}: something is left: {self.left_over()}"


def _flip(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _cut(data, rng):
    return data[: rng.randrange(len(data))]


def _cut_at_the_beginning(data, rng):
    return data[rng.randrange(1, len(data)) :]


def _insert(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.randrange(1, 9)) + data[at:]


def _blank(data, rng):
    at, n = rng.randrange(len(data)), rng.randrange(1, 512)
    return data[:at] + bytes(len(data[at : at + n])) + data[at + n :]


def _twice(data, rng):
    return data + data[: rng.randrange(1, len(data))]


def _noise(data, rng):
    return data[:20] + rng.randbytes(len(data) - 20)


DAMAGES = [_flip, _cut, _cut_at_the_beginning, _insert, _blank, _twice, _noise]


def damaged(folder, count, seed):
    """Damage the file at random, run the program after each damage, and return the faults."""
    project = Project(folder)
    wrong = list(project.problems("at first"))
    whole = project.file.read_bytes()
    rng = random.Random(seed)
    for n in range(count):
        damage = DAMAGES[n % len(DAMAGES)]
        data = damage(whole, rng)
        if data != whole:  # a part that was blank stays the same
            project.file.write_bytes(data)
            wrong += project.problems(f"{damage.__name__}, number {n}")
    return wrong


def killed(folder, count, seed):
    """Kill processes that only write, at random moments.

    Return the faults, and the number of processes that died while they wrote. If that is 0 after
    *count* kills, go on until a process has died while it wrote.
    """
    project = Project(folder)
    wrong = list(project.problems("at first"))
    rng = random.Random(seed)
    writing = 0
    for n in range(20 * count):
        if n >= count and writing:
            break
        process = project.start("storm.py")
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(rng.uniform(0, 0.02))
        process.kill()
        process.communicate()
        if not project.is_whole():
            wrong.append(f"kill {n}: the file is not whole")
        left = project.left_over()
        writing += bool(left)
        for path in left:
            path.unlink()
        if n % 10 == 0:
            wrong += project.problems(f"after kill {n}")
    return wrong, writing


def killed_starts(folder, count, seed):
    """Kill programs that start with an empty cache, at random moments; return the faults."""
    project = Project(folder)
    wrong = list(project.problems("at first"))
    rng = random.Random(seed)
    for n in range(count):
        project.file.unlink()
        began = time.monotonic()
        project.start().communicate()
        longest = 1.1 * (time.monotonic() - began)
        project.file.unlink()
        process = project.start()
        time.sleep(rng.uniform(0, longest))
        process.kill()
        process.communicate()
        for path in project.left_over():
            path.unlink()
        wrong += project.problems(f"killed start {n}")
    return wrong


def writers(folder, processes, starts):
    """Start many programs of two trees that share one cache folder; return the faults.

    A program that finds the file of the other tree replaces it.
    """
    shared = folder / "shared"
    shared.mkdir()
    trees = [Project(folder / "a", "body"), Project(folder / "b", "rest")]
    for age, tree in enumerate(trees):
        tree.pycache.symlink_to(shared)
        # The times differ, so that no tree uses the .pyc of the other.
        os.utime(tree.folder / "module.py", (10**9 + age, 10**9 + age))
    wrong = []

    def work(tree):
        for n in range(starts):
            problem = tree.wrong()
            if problem:
                wrong.append(f"{tree.word}, start {n}: {problem}")

    threads = [threading.Thread(target=work, args=(trees[n % 2],)) for n in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not trees[0].is_whole():
        wrong.append("the file that is left is not whole")
    if trees[0].left_over():
        wrong.append(f"something is left: {trees[0].left_over()}")
    for tree in trees:
        wrong += tree.problems("in the end")
        if not tree.is_warm():
            wrong.append(f"{tree.word}: what it has written is not used")
    return wrong


class NotAllowedError(Exception):
    """Raised where this process may not mount a file system."""


@contextlib.contextmanager
def mounted(folder, *options):
    """Mount something at *folder*, and unmount it at the end."""
    try:
        done = subprocess.run(
            ["mount", *options, str(folder)], capture_output=True, text=True, check=False
        )
    except OSError as e:
        raise NotAllowedError(str(e)) from None
    if done.returncode:
        raise NotAllowedError(done.stderr.strip())
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.cache_faults", description=__doc__.partition(": ")[2]
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--damages", type=int, default=200)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--killed-starts", type=int, default=50)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--starts", type=int, default=100, help="of each process")
    options = parser.parse_args(arguments)
    print(f"seed {options.seed}", flush=True)
    failed = False

    def report(title, wrong, began):
        nonlocal failed
        failed |= bool(wrong)
        seconds = time.monotonic() - began
        print(f"{title}: {len(wrong)} wrong, {seconds:.0f} s", *wrong, sep="\n", flush=True)

    with tempfile.TemporaryDirectory(prefix="godefer-") as name:
        folder = Path(name)
        began = time.monotonic()
        wrong = damaged(folder / "damaged", options.damages, options.seed)
        report(f"{options.damages} damages", wrong, began)
        began = time.monotonic()
        wrong, writing = killed(folder / "killed", options.kills, options.seed)
        report(f"{options.kills} kills, {writing} with a file half-written", wrong, began)
        began = time.monotonic()
        wrong = killed_starts(folder / "starts", options.killed_starts, options.seed)
        report(f"{options.killed_starts} killed starts", wrong, began)
        began = time.monotonic()
        (folder / "writers").mkdir()
        wrong = writers(folder / "writers", options.processes, options.starts)
        report(f"{options.processes} processes of {options.starts} starts", wrong, began)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
