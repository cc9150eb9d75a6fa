"""Test every Python block of README.md and docs/, and every example in a docstring of godefer.

A Python block in a Markdown file is executed. A block marked ``text`` right below it is its
expected output. A block marked ``pycon`` is a session at the prompt, checked line by line. The
blocks of a file share their names. They run in an empty temporary directory, so they can really
write files.

Some pages need more than the tests do, such as a PostgreSQL server or trio. They are skipped where
it is missing, and the reason names it.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import tempfile
from bisect import bisect
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.evaluators.doctest import DocTestEvaluator
from sybil.parsers.abstract.doctest import DocTestStringParser
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer
from sybil.parsers.rest import DocTestParser
from sybil.region import Region
from sybil.sybil import SybilCollection

from tests.systems.postgresql import NotHere, Server

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sybil import Document, Example

OPTIONS = doctest.ELLIPSIS


class MarkdownBlocks:
    """A Sybil parser for the fenced blocks."""

    def __init__(self) -> None:
        self.blocks = RawFencedCodeBlockLexer(re.compile(r"[ {.]*(?P<language>\w*).*\n"))
        self.sessions = DocTestStringParser(DocTestEvaluator(OPTIONS))

    def __call__(self, document: Document) -> Iterator[Region]:
        """Yield a region for each block that is code."""
        code: Region | None = None
        for block in self.blocks(document):
            language, text = block.lexemes["language"], block.lexemes["source"]
            if language == "pycon":
                for line in self.sessions(text, document.path):
                    line.adjust(block, text)
                    yield line
            elif language == "python":
                code = Region(block.start, block.end, (text, None), execute)
                yield code
            elif language in {"py", "python3", "Python"}:
                message = (
                    f"{document.path}: a block marked {language!r} is not run; mark it 'python'"
                )
                raise ValueError(message)
            elif (
                language == "text"
                and code is not None
                and not document.text[code.end : block.start].strip()
            ):
                code.parsed = (code.parsed[0], text)


def execute(example: Example) -> str:
    """Run a block; return the difference to its expected output, or "" if there is none."""
    __tracebackhide__ = True
    code, expected = example.parsed
    # The leading lines make tracebacks, and inspect, point into the Markdown file.
    compiled = compile(
        "\n" * (example.line + code.line_offset) + code, example.path, "exec", dont_inherit=True
    )
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compiled, example.namespace)  # noqa: S102  # the project's own documentation
    if expected is None or doctest.OutputChecker().check_output(expected, out.getvalue(), OPTIONS):
        return ""
    return f"Expected:\n{expected}\nGot:\n{out.getvalue()}"


def enter_empty_directory(namespace: dict[str, Any]) -> None:
    """Begin a document: as a main program, in a directory of its own."""
    namespace["__name__"] = "__main__"
    stack = namespace["__leave__"] = contextlib.ExitStack()
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="godefer-docs-"))
    stack.callback(os.chdir, Path.cwd())
    os.chdir(directory)
    # The pages show the output for a reader without environment variables of godefer.
    stack.callback(
        os.environ.update, {k: os.environ.pop(k) for k in ["GODEFER_OPEN_CODED"] if k in os.environ}
    )


def leave_directory(namespace: dict[str, Any]) -> None:
    """End a document."""
    namespace["__leave__"].close()


class Docstrings(PythonDocStringDocument):
    """The docstrings of a module. Each has its own names, so an example needs its own imports."""

    def examples(self) -> Iterator[Example]:
        """Give the examples the namespace of their docstring."""
        starts = [start for start, _, _ in self.extract_docstrings(self.text)]
        starts.sort()
        namespaces: dict[int, dict[str, Any]] = {}
        for example in super().examples():
            example.namespace = namespaces.setdefault(
                bisect(starts, example.start), {"__name__": "__main__"}
            )
            yield example

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text, path)
        self.pop_evaluator(self.import_document)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """Start a PostgreSQL server for all tests; skip the tests that need it if it is missing."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra 'systems' has it)")
    try:
        server = Server()
    except NotHere as missing:
        pytest.skip(str(missing))
    yield server
    server.close()


@pytest.fixture
def postgresql_by_default(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client without an address find the server; skip if psycopg's pool is not installed."""
    pytest.importorskip(
        "psycopg_pool", reason="psycopg_pool is not installed (the extra 'systems' has it)"
    )
    for name, value in postgresql.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def trio_and_anyio() -> None:
    """Skip if trio or anyio is not installed."""
    for name in ("trio", "anyio"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (the extra 'systems' has it)")


@pytest.fixture
def frameworks() -> None:
    """Skip if one of the frameworks is not installed."""
    for name in ("fastapi", "httpx2", "flask", "click", "tenacity"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (the extra 'frameworks' has it)")


@pytest.fixture
def cluster() -> None:
    """Skip if distributed is not installed."""
    pytest.importorskip(
        "distributed", reason="distributed is not installed (the extra 'cluster' has it)"
    )


# The fixtures of pages with blocks that need more than the extra `test`.
NEEDS = {
    "docs/cookbook/postgresql.md": ["postgresql_by_default"],
    "docs/cookbook/trio-and-anyio.md": ["trio_and_anyio"],
    "docs/cookbook/frameworks.md": ["frameworks"],
    "docs/cookbook/travelling.md": ["cluster"],
}


def pages(fixtures: list[str], patterns: list[str], excludes: list[str]) -> Sybil:
    """Make the pages of *patterns* tests that use *fixtures*."""
    return Sybil(
        [MarkdownBlocks()],
        patterns=patterns,
        excludes=excludes,
        setup=enter_empty_directory,
        teardown=leave_directory,
        fixtures=fixtures,
    )


pytest_collect_file = SybilCollection(
    [
        *(pages(fixtures, [page], []) for page, fixtures in NEEDS.items()),
        pages([], ["README.md", "docs/*.md", "docs/*/*.md"], list(NEEDS)),
        Sybil(
            [DocTestParser(OPTIONS)],
            patterns=["godefer/*.py", "godefer/lint/*.py"],
            document_types={".py": Docstrings},
            setup=enter_empty_directory,
            teardown=leave_directory,
        ),
    ]
).pytest()
