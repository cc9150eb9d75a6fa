"""python -m tests.soak: threads and tasks call decorated functions; memory must stay flat.

The calls exit in every way (`tests/jobs.py`). At the end it prints the number of calls and the
course of the process's resident memory. The status is 1 if the memory grew, if a deferred call was
lost, or if the pool of the runtime way is above its bound. A minute here makes as many calls as a
service with a thousand calls a second makes in more than an hour.
"""

import argparse
import asyncio
import os
import resource
import sys
import threading
import time
from dataclasses import dataclass
from statistics import fmean, linear_regression

from godefer import explain, with_defers
from godefer._runtime import record
from tests import jobs

WAYS = ["open-coded", "runtime"]
TASKS = 50  # at once, in one event loop
INTERVAL = 0.1  # seconds between two looks at the memory
# This part of the time does not count: caches, stacks and the allocator's arenas fill up.
WARM_UP = 0.3
SAMPLES = 10  # the least number of samples after the warm-up
GROWTH = 1.0  # MiB that do not count as growth: the allocator's own changes


def main(arguments=None):
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__.partition(": ")[2].partition(".")[0]
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="how long, each way (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=3, help="besides that of the tasks (default: %(default)s)"
    )
    parser.add_argument(
        "--way",
        choices=[*WAYS, "both"],
        default="both",
        help="how it is run (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    failed = False
    for way in WAYS if options.way == "both" else [options.way]:
        report = soak(way, options.seconds, options.threads)
        print(report, flush=True)
        for problem in report.problems():
            print(f"FAILED: {problem}", flush=True)
            failed = True
    return 1 if failed else 0


def soak(way, seconds, threads):
    """Let threads, and tasks in one thread, call decorated functions; return a Report."""
    before = os.environ.get("GODEFER_OPEN_CODED")
    os.environ["GODEFER_OPEN_CODED"] = "1" if way == "open-coded" else "0"
    try:
        workers = [ThreadWorker(way) for _ in range(threads)] + [TaskWorker(way)]
        began = time.monotonic()
        for worker in workers:
            worker.start()
        memory = []
        counted = 0
        while (
            now := time.monotonic() - began
        ) < seconds or counted < SAMPLES:  # on a busy machine this thread may get few turns
            memory.append((now, rss()))
            counted += now >= WARM_UP * seconds
            time.sleep(INTERVAL)
        for worker in workers:
            worker.stop.set()
        for worker in workers:
            worker.join()
    finally:
        if before is None:
            del os.environ["GODEFER_OPEN_CODED"]
        else:
            os.environ["GODEFER_OPEN_CODED"] = before
    return Report(
        way=way,
        seconds=seconds,
        calls=sum(worker.calls for worker in workers),
        wrong=[name for worker in workers for name in worker.wrong],
        memory=memory,
        pool=max(len(record.pool), *(worker.pool for worker in workers)),
    )


class Worker(threading.Thread):
    """A thread that calls jobs until it is told to stop, and notes the failed ones."""

    def __init__(self, make_jobs, way):
        super().__init__()
        self.jobs = make_jobs(made_to_run(way))
        self.stop = threading.Event()
        self.calls = 0
        self.wrong = []
        self.pool = 0  # the greatest number of nodes seen in the pool

    def note(self, job, result):
        """Note the result or exception of a job."""
        self.calls += 1
        if result is not True:
            self.wrong.append(job.__name__ if result is False else f"{job.__name__} ({result!r})")


class ThreadWorker(Worker):
    def __init__(self, way):
        super().__init__(jobs.threaded, way)

    def run(self):
        while not self.stop.is_set():
            for job in self.jobs:
                try:
                    result = job()
                except BaseException as e:
                    result = repr(e)
                self.note(job, result)
            self.pool = max(self.pool, len(record.pool))


class TaskWorker(Worker):
    def __init__(self, way):
        super().__init__(jobs.asynchronous, way)

    def run(self):
        asyncio.run(self.work())

    async def work(self):
        while not self.stop.is_set():
            batch = self.jobs * (TASKS // len(self.jobs))
            results = await asyncio.gather(*(job() for job in batch), return_exceptions=True)
            for job, result in zip(batch, results, strict=True):
                self.note(job, result)
            self.pool = max(self.pool, len(record.pool))


@dataclass
class Report:
    """The figures of a soak."""

    way: str
    seconds: float
    calls: int
    wrong: list[str]  # the jobs with lost, repeated or mixed-up deferred calls
    memory: list[tuple[float, float]]  # seconds since the start, MiB
    pool: int

    def counted(self):
        """Return the samples after the warm-up."""
        return [sample for sample in self.memory if sample[0] >= WARM_UP * self.seconds]

    def slope(self):
        """Return the growth in MiB a second."""
        return linear_regression(*zip(*self.counted(), strict=True)).slope

    def growth(self):
        """Return the MiB of growth from the first to the last tenth of the counted time."""
        sizes = [size for _, size in self.counted()]
        tenth = max(1, len(sizes) // 10)
        return fmean(sizes[-tenth:]) - fmean(sizes[:tenth])

    def problems(self):
        found = []
        if self.calls == 0:
            found.append("no call was made")
        if self.wrong:
            found.append(
                f"deferred calls were lost or wrong in {len(self.wrong)} calls: "
                f"{', '.join(sorted(set(self.wrong)))}"
            )
        if self.growth() > GROWTH:
            found.append(f"the memory grew by {self.growth():.2f} MiB")
        if self.pool > record.POOL_SIZE:
            found.append(
                f"the pool has {self.pool} nodes, more than its bound of {record.POOL_SIZE}"
            )
        return found

    def __str__(self):
        sizes = [size for _, size in self.memory]
        middle = self.counted()[len(self.counted()) // 2][1]
        version = ".".join(map(str, sys.version_info[:3]))
        return (
            f"Python {version}, {self.way}: {self.calls:,} calls in {self.seconds:.1f} s,"
            f" those of an hour at {self.calls / 3600:,.0f} a second; {len(self.wrong)} wrong\n"
            f"RSS: {sizes[0]:.2f} MiB at the start, {self.counted()[0][1]:.2f} warm, "
            f"{middle:.2f} in the middle,"
            f" {sizes[-1]:.2f} at the end; {self.slope() * 1024:+.2f} KiB a second, "
            f"{self.growth():+.2f} MiB in all\n"
            f"pool: {self.pool} nodes of at most {record.POOL_SIZE}"
        )


def made_to_run(way):
    """Return a `with_defers` that raises if a function does not run the intended way."""

    asked = set()  # `explain` is slow, so it is called once for each code object

    def decorate(fn):
        decorated = with_defers(fn)
        if fn.__code__ not in asked:
            asked.add(fn.__code__)
            if (found := explain(decorated)).way != way:
                raise RuntimeError(f"meant to be run {way}: {found}")
        return decorated

    return decorate


def rss():
    """Return the resident memory of this process in MiB, or its peak where only that is known."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize() / 2**20
    except FileNotFoundError:
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


if __name__ == "__main__":
    sys.exit(main())
