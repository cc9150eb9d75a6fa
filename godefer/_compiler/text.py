"""Read the lines of a source file.

`linecache` keeps each file that it has read forever, and imports `re` and `tokenize`. So it is
used only for sources that are not files. This module keeps the last source that it has read: the
next function is often from the same file.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import decode_source
from _io import FileIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The last source and its lines: a single tuple, since other threads may replace it at any time.
_last: list[tuple[Any, list[str]]] = [(None, [])]


def source_lines(filename: str, module_globals: dict[str, Any]) -> list[str]:
    """Return the lines of a source; none if there is no source, or it cannot be decoded.

    Args:
        filename: The ``co_filename`` of a function.
        module_globals: The function's globals. The loader in them (zipimport's, for one) can have
            a source that is in no file.
    """
    linecache = sys.modules.get("linecache")
    made = filename.startswith("<")  # from a prompt, a cell, doctest or exec
    if linecache is not None and (made or _is_given(linecache.cache.get(filename))):
        given: list[str] = linecache.getlines(filename, module_globals)
        return given
    if made:
        return []
    for path in _paths(filename):
        try:
            found = os.stat(path)  # noqa: PTH116  # pathlib is slow to import
        except (OSError, ValueError):
            continue
        file = path, found.st_mtime_ns, found.st_size, found.st_ino
        return _lines_of(file, _read, path)
    spec = module_globals.get("__spec__")
    loader = getattr(spec, "loader", None) or module_globals.get("__loader__")
    name = getattr(spec, "name", None) or module_globals.get("__name__")
    return _lines_of((loader, name), _load, loader, name, filename)


def _is_given(entry: Any) -> bool:
    """Return whether an entry of `linecache` is not from a file: it has no modification time."""
    return entry is not None and (len(entry) == 1 or entry[1] is None)


def _paths(filename: str) -> list[str]:
    """Return the paths where a file may be. A relative one may begin at a folder of `sys.path`."""
    relative = not os.path.isabs(filename)  # noqa: PTH117
    folders = [folder for folder in sys.path if isinstance(folder, str)] if relative else []
    return [filename, *(os.path.join(folder, filename) for folder in folders)]  # noqa: PTH118


def _lines_of(source: Any, read: Any, *arguments: Any) -> list[str]:
    """Return the lines of a source: the kept ones, or those that *read* returns."""
    last = _last[0]
    if last[0] != source:
        last = _last[0] = source, _lines(read(*arguments))
    return last[1]


def _read(path: str) -> str:
    try:
        with FileIO(path) as opened:
            return _decode(opened.readall() or b"")
    except (OSError, SyntaxError, ValueError):  # it cannot be read, or decoded
        return ""


def _load(loader: Any, name: Any, filename: str) -> str:
    """Return the source that the loader of a module has (PEP 302)."""
    try:
        if hasattr(loader, "get_data"):
            return _decode(loader.get_data(filename))
    except Exception:  # noqa: S110  # any loader, and any reason: it may have `get_source`
        pass
    try:
        return str(loader.get_source(name) or "")
    except Exception:  # as above
        return ""


def _decode(data: bytes) -> str:
    """Return the text of a source. Only a file that names its encoding needs `tokenize`."""
    head = data.split(b"\n", 2)[:2]
    if any(b"coding" in line for line in head):
        return decode_source(data)
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([f"{last}\n"] if last else [])]
