"""Every Python block of README.md and docs/, and every example in a docstring of godefer, is a test.

A Python block in a Markdown file is executed; a block marked ``text`` right below it is what it must have printed, and
a block marked ``pycon`` is a session at the prompt, checked line by line. The blocks of a file share their names, as they do for its
reader, and run in an empty temporary directory, so what they do to files is done for real.

A page that needs more than the tests do (a PostgreSQL server, trio) is skipped, with a line that says what is missing, where that is not.
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
    """Run a block; the result is what is wrong with its output."""
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
    # Documentation shows what its reader would see who has set nothing.
    stack.callback(
        os.environ.update, {k: os.environ.pop(k) for k in ["GODEFER_OPEN_CODED"] if k in os.environ}
    )


def leave_directory(namespace: dict[str, Any]) -> None:
    """End a document."""
    namespace["__leave__"].close()


class Docstrings(PythonDocStringDocument):
    """The docstrings of a module. Each has names of its own: an example imports what it needs, as its reader would."""

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
    """Start a PostgreSQL server for all tests; skip what needs it where it is not installed."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (the extra 'systems' has it)")
    try:
        server = Server()
    except NotHere as missing:
        pytest.skip(str(missing))
    yield server
    server.close()


@pytest.fixture
def postgresql_by_default(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a client that is told nothing find the server; skip where psycopg's pool is not installed."""
    pytest.importorskip(
        "psycopg_pool", reason="psycopg_pool is not installed (the extra 'systems' has it)"
    )
    for name, value in postgresql.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def trio_and_anyio() -> None:
    """Skip where they are not installed."""
    for name in ("trio", "anyio"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (the extra 'systems' has it)")


@pytest.fixture
def frameworks() -> None:
    """Skip where one of them is not installed."""
    for name in ("fastapi", "httpx2", "flask", "click", "tenacity"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (the extra 'frameworks' has it)")


@pytest.fixture
def cluster() -> None:
    """Skip where it is not installed."""
    pytest.importorskip(
        "distributed", reason="distributed is not installed (the extra 'cluster' has it)"
    )


# What the blocks of a page need beyond the extra `test`.
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
