"""The measurements of one Python, and the figures that the report computes from them."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.group import HAND, STACK


class Results:
    """The measurements of all processes of one Python.

    Args:
        processes: The measurements of calls, from each process.
        grown: The measurements of growing costs, from one process.
        started: The measurements of starts, from one process.
    """

    def __init__(
        self, processes: list[dict[str, Any]], grown: dict[str, Any], started: dict[str, Any]
    ) -> None:
        self.python = processes[0]["python"]
        implementation = processes[0]["implementation"]
        self.judged = implementation == "CPython"
        self.name = f"{implementation} {self.python}"
        version = ".".join(self.python.split(".")[:2])
        self.version = version if self.judged else f"{implementation} {version}"
        self.wrong: dict[str, dict[str, str]] = processes[0]["wrong"]
        self.growth = grown["growth"]
        largest = {way: points[-1] for way, points in self.growth["pending"].items()}
        # Bytes for each pending call. It is empty on PyPy.
        self.memory = {way: taken / calls for way, (calls, taken) in largest.items()}
        self._starts = started["starts"]
        self.sizes: dict[str, list[str]] = {
            size: list(ways) for size, ways in self._starts["programs"].items()
        }
        self._groups = [process["groups"] for process in processes]
        self._others = [process["others"] for process in processes]
        self.groups = list(self._groups[0])

    def ways(self, group: str) -> list[str]:
        return list(self._groups[0][group])

    def ratio(self, group: str, way: str, against: str = HAND) -> float | None:
        """Return the median ratio of *way*'s time to that of *against*, round by round."""
        if way not in self._groups[0][group]:
            return None
        return statistics.median(
            one / other
            for process in self._groups
            for one, other in zip(process[group][way], process[group][against], strict=True)
            if one is not None and other is not None
        )

    def least(self, group: str, way: str, step: str, against: str) -> float:
        """Return the median ratio of a step of a floor (`benchmarks.floors`) to *against*."""
        rounds = [process[f"the least: {group}"] for process in self._others]
        return statistics.median(
            one / other
            for ways in rounds
            for one, other in zip(ways[f"{way}: {step}"], ways[against], strict=True)
            if one is not None and other is not None
        )

    def memory_share(self, way: str) -> float | None:
        """Return a pending call's memory divided by ExitStack's; None if it was not measured."""
        return self.memory[way] / self.memory[STACK] if self.memory else None

    def nanoseconds(self, group: str, way: str) -> float:
        return 1e9 * statistics.median(
            t for process in self._groups for t in process[group][way] if t is not None
        )

    def milliseconds(self, group: str, way: str) -> float:
        return 1e3 * statistics.median(t for process in self._others for t in process[group][way])

    def importing(self, what: str) -> float:
        """Return the milliseconds of an import, without the start of the interpreter."""
        rounds = (
            zip(p["importing"][what], p["importing"]["nothing"], strict=True) for p in self._others
        )
        return 1e3 * statistics.median(one - bare for pairs in rounds for one, bare in pairs)

    def start(self, size: str, way: str) -> float:
        """Return the milliseconds of a whole process, which runs a program of that size and way."""
        return 1e3 * statistics.median(self._starts["programs"][size][way])

    def start_beyond(self, size: str, way: str, against: str = HAND) -> float:
        """Return the additional milliseconds compared with *against* in the same round."""
        ways = self._starts["programs"][size]
        pairs = zip(ways[way], ways[against], strict=True)
        return 1e3 * statistics.median(one - other for one, other in pairs)

    def start_ratio(self, size: str, way: str, against: str = HAND) -> float:
        """Return a start's time divided by that of *against* in the same round."""
        ways = self._starts["programs"][size]
        pairs = zip(ways[way], ways[against], strict=True)
        return statistics.median(one / other for one, other in pairs)

    def decoration(self, which: str, cache: str) -> float:
        """Return the milliseconds of one decoration, as a new process measures it."""
        return 1e3 * statistics.median(self._starts["decorating"][f"{which}, {cache}"])

    def nested(self, way: str) -> float:
        """Return the microseconds of a call that defines and decorates another function."""
        return 1e6 * statistics.median(self._starts["nested"][way])
