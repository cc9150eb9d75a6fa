"""Measure recall and precision of the checker on the snippets of tests/lint/corpus.

    python -m tests.lint.measure [--misses] [DIRECTORY]

Each rule has a file of snippets in the corpus, and two more files have mixed ones. A snippet begins
with a line ``=== wrong: mistake`` or ``=== right: purpose``, and `#!` ends a line with a mistake. A
mistake is found if there is any problem on its line. A problem on another line is a false alarm.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

from godefer.lint import RULES, check_source

CORPUS = Path(__file__).parent / "corpus"
IMPORTS = """\
import asyncio, atexit, contextlib, datetime, functools, json, logging, os, shutil, signal, socket
import sqlite3, subprocess, sys, tempfile, threading, time, typing, urllib.request
import click, fastapi, flask, typeguard
from functools import partial
from pathlib import Path
import godefer
from godefer import ausing, defer, defer_scope, errdefer, okdefer, panic, recover, using
from godefer import with_defers
"""


class Snippet(NamedTuple):
    rule: str
    kind: str
    title: str
    source: str

    def marked(self):
        """Return the lines with mistakes."""
        lines = (IMPORTS + self.source).splitlines()
        return {number for number, line in enumerate(lines, 1) if line.endswith("#!")}

    def reported(self):
        """Return the line and the rule of each problem."""
        return {(problem.line, problem.code) for problem in check_source(IMPORTS + self.source)}


class Score(NamedTuple):
    """The numbers of a rule: mistakes, found mistakes, right snippets and false alarms."""

    mistakes: int
    found: int
    right: int
    false: int

    @property
    def recall(self):
        return self.found / self.mistakes if self.mistakes else 1.0

    def __add__(self, other):
        return Score(*(a + b for a, b in zip(self, other, strict=True)))


def snippets(directory=CORPUS):
    """Yield the snippets of the corpus."""
    for path in sorted(directory.glob("*.txt")):
        for part in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            head, _, source = part.partition("\n")
            kind, _, title = head.partition(": ")
            yield Snippet(path.stem.upper(), kind, title, source)


def score(snippet):
    """Return the numbers of one snippet."""
    marked = snippet.marked()
    reported = {line for line, _ in snippet.reported()}
    return Score(
        len(marked), len(marked & reported), int(snippet.kind == "right"), len(reported - marked)
    )


def main():
    """Print the numbers of each rule, and of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.lint.measure", description=__doc__)
    parser.add_argument("directory", nargs="?", type=Path, default=CORPUS)
    parser.add_argument("--misses", action="store_true", help="print what is missed or wrong")
    options = parser.parse_args()
    by_rule = {}
    wrong = right = 0
    for snippet in snippets(options.directory):
        wrong += snippet.kind == "wrong"
        right += snippet.kind == "right"
        one = score(snippet)
        by_rule[snippet.rule] = by_rule.get(snippet.rule, Score(0, 0, 0, 0)) + one
        if options.misses and (one.found < one.mistakes or one.false):
            lines = (IMPORTS + snippet.source).splitlines()
            reported = snippet.reported()
            for line in sorted(snippet.marked() - {number for number, _ in reported}):
                print(f"{snippet.rule} {snippet.title}: missed {lines[line - 1].strip()}")
            for line, code in sorted(reported):
                if line not in snippet.marked():
                    print(f"{snippet.rule} {snippet.title}: {code} {lines[line - 1].strip()}")
    total = Score(0, 0, 0, 0)
    print(f"{'rule':<16} {'mistakes':>8} {'found':>6} {'recall':>7} {'right':>6} {'false':>6}")
    for rule, one in sorted(by_rule.items()):
        total += one
        print(
            f"{rule:<16} {one.mistakes:>8} {one.found:>6} {one.recall:>7.2f} "
            f"{one.right:>6} {one.false:>6}"
        )
    precision = total.found / (total.found + total.false) if total.found else 0.0
    print(f"\n{wrong} wrong and {right} right snippets, {len(RULES)} rules")
    print(f"recall {total.recall:.3f}, precision {precision:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
