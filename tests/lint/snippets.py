"""Check wrong and right snippets.

In a wrong snippet `#!` ends each line that has a problem.
"""

import ast
import re

from godefer.lint import check_source

IMPORTS = """\
import asyncio, functools, logging, os, sqlite3, sys, threading, time
from pathlib import Path
from godefer import *
"""
NAMES = """\
from other import defer, recover, with_defers, ausing, defer_scope
import other as godefer  # not this library's names, whatever they are called
"""


def findings(source):
    """Return the line and the rule of each problem."""
    return [(problem.line, problem.code) for problem in check_source(source)]


def check_wrong(code, snippet):
    """Assert that the rule finds a problem on each marked line, and that there is no other."""
    source = IMPORTS + snippet
    marked = [(n, code) for n, line in enumerate(source.splitlines(), 1) if line.endswith("#!")]
    assert marked
    assert findings(source) == marked


def check_right(snippet):
    """Assert that a snippet compiles and has no problem."""
    compile(snippet, "snippet", "exec", dont_inherit=True)
    assert findings(IMPORTS + snippet) == []


def check_names(snippet):
    """Assert that a snippet has no problem if its names come from another library."""
    snippet = re.sub(r"\bgodefer\b", "other", snippet)
    source = IMPORTS.replace("from godefer import *", NAMES) + snippet
    ast.parse(source)
    assert findings(source + "\nimport godefer.lint as unrelated\n") == []
