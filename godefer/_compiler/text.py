"""Read the lines of a source file, and leave nothing of it in the process.

`linecache` keeps each file for good, and imports `re` and `tokenize`. So it is only asked for what
a shell or a notebook has put into it.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import decode_source
from _io import FileIO

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_last: list[Any] = [None, []]  # the last file, and its lines


def source_lines(filename: str, module_globals: dict[str, Any]) -> list[str]:
    """Return the lines of a source; none if there is no source, or it cannot be decoded.

    Args:
        filename: The ``co_filename`` of a function.
        module_globals: The function's globals. The loader in them (zipimport's, for one) can have
            a source that is in no file.
    """
    linecache = sys.modules.get("linecache")
    if linecache is not None and _is_given(linecache.cache.get(filename)):
        given: list[str] = linecache.getlines(filename, module_globals)
        return given
    if filename.startswith("<"):  # made by exec, or at a prompt
        return []
    for path in _paths(filename):
        try:
            found = os.stat(path)  # noqa: PTH116  # pathlib is slow to import
            file = path, found.st_mtime_ns, found.st_size, found.st_ino
            if _last[0] != file:
                with FileIO(path) as opened:
                    _last[:] = file, _lines(_decode(opened.readall() or b""))
        except (OSError, SyntaxError, ValueError):
            continue
        lines: list[str] = _last[1]
        return lines
    return _loaded(module_globals)


def _is_given(entry: Any) -> bool:
    """Return whether an entry of `linecache` is not about a file: it has no time."""
    return entry is not None and (len(entry) == 1 or entry[1] is None)


def _paths(filename: str) -> list[str]:
    """Return where a file may be: code that was compiled by a relative path is on `sys.path`."""
    relative = not os.path.isabs(filename)  # noqa: PTH117
    folders = [folder for folder in sys.path if isinstance(folder, str)] if relative else []
    return [filename, *(os.path.join(folder, filename) for folder in folders)]  # noqa: PTH118


def _loaded(module_globals: dict[str, Any]) -> list[str]:
    """Return the lines that the loader of a module has (PEP 302)."""
    spec = module_globals.get("__spec__")
    loader = getattr(spec, "loader", None) or module_globals.get("__loader__")
    get_source = getattr(loader, "get_source", None)
    if get_source is None:
        return []
    name = getattr(spec, "name", None) or module_globals.get("__name__")
    file = loader, name
    if _last[0] != file:
        try:
            text = get_source(name)
        except (ImportError, OSError):
            return []
        _last[:] = file, _lines(text or "")
    lines: list[str] = _last[1]
    return lines


def _decode(data: bytes) -> str:
    """Return the text of a source. Only a file that names its encoding needs `tokenize`."""
    head = data.split(b"\n", 2)[:2]
    if any(b"coding" in line for line in head):
        return decode_source(data)
    return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> list[str]:
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([f"{last}\n"] if last else [])]
