"""Compiled code on disk, beside the module's ``.pyc`` (section C of the rules).

A file holds the lowered code of a module's functions, with marks in place of the runtime's objects
(`constants`). It is read once, when the first function of the module is decorated. It is written
when the import, or the program, is over: whole, under another name, then moved into place.

An entry counts only if its original code equals the function's, line and exception tables
included, and its names mean the same. So nothing depends on times or sizes, which two checkouts
that take turns at one path may share. Rejected: a key by hash of the marshalled code, since the
reference counts of its constants change that.

A file is trusted as a ``.pyc`` is: whoever can write it can run code. The hash in it is against
damage, for damaged data can crash `marshal`.
"""

from __future__ import annotations

import _imp
import atexit
import marshal
import os
import stat
import sys
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source

from godefer._resolve import resolve_attribute
from godefer._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._decision import Lowered, Result
    from godefer._resolve import ResolvedNames

    # The names that are statements, those that are modules, and the attributes that were looked up.
    Sense = tuple[
        tuple[tuple[str, str], ...],
        tuple[str, ...],
        tuple[tuple[tuple[str, ...], str | None], ...],
    ]
    Attributes = dict[tuple[str, ...], str | None]
    Entry = tuple[CodeType, Sense, Result, Lowered | str]
    Entries = dict[tuple[str, int], list[bytes]]

_VERSION = __version__.encode()
_KEY = int.from_bytes(MAGIC_NUMBER, "little")


def load(
    fn: FunctionType, resolved: ResolvedNames, result: Result
) -> tuple[Lowered | str, str] | None:
    """Return the outcome of compiling *fn* that its module's file has.

    Args:
        fn: The function.
        resolved: Its names (`resolve_names`).
        result: Its named results.

    Returns:
        The lowered code, or the reason why there is none, and the path of the file; None if the
        file does not have the function.
    """
    file = _file_of(fn)
    if file is None:
        return None
    code = fn.__code__
    for data in file.entries.get(_key(code), ()):
        original, sense, named, outcome = marshal.loads(data)  # noqa: S302  # see above
        if named == result and _same(original, code) and _means(sense, resolved):
            if not isinstance(outcome, str):
                # The tree may have moved since; `import` does the same for a .pyc.
                _imp._fix_co_filename(outcome[0], code.co_filename)  # type: ignore[attr-defined]
            file.used.add(data)
            return outcome, file.path
    return None


def store(
    fn: FunctionType,
    resolved: ResolvedNames,
    attributes: Attributes,
    result: Result,
    outcome: Lowered | str,
) -> None:
    """Keep the outcome of compiling *fn*, to be written later.

    Args:
        fn: The function.
        resolved: Its names (`resolve_names`).
        attributes: The dotted names that were looked up, with the statements that they are.
        result: Its named results.
        outcome: The lowered code, or the reason why there is none.
    """
    file = _file_of(fn)
    if file is None or sys.dont_write_bytecode:
        return
    _write_imported(but=file)
    sense = resolved[0], tuple(name for name, _ in resolved[1]), tuple(attributes.items())
    entry: Entry = fn.__code__, sense, result, outcome
    data, key = marshal.dumps(entry), _key(fn.__code__)
    # An entry that was not used is another checkout's, or an older text's.
    kept = [other for other in file.entries.get(key, ()) if other in file.used]
    file.entries[key] = [*kept, data]
    file.used.add(data)
    file.changed = True
    if not _registered:
        _registered.append(True)
        atexit.register(_write_imported)


class _File:
    """The cache file of a module.

    Attributes:
        path: Its path.
        spec: The module's, which tells whether it is still being imported; None for a script.
        entries: The entries by the name and the line of the original code. Each is marshalled by
            itself, so that the first function does not wait for the others.
        used: The entries of this run.
        changed: Whether they differ from the file.
    """

    def __init__(self, path: str, spec: Any) -> None:
        self.path = path
        self.spec = spec
        self.changed = False
        self.used: set[bytes] = set()
        self.entries = _read(path)

    def write(self) -> None:
        """Write the entries; in silence if they cannot be written (C1)."""
        self.changed = False
        body = marshal.dumps(self.entries)
        temporary = f"{self.path}.{os.getpid()}.{id(self)}"
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            with open(temporary, "xb") as file:
                file.write(_head(body) + body)
            os.replace(temporary, self.path)
        except OSError:
            _remove(temporary)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:  # there is none, or the folder cannot be written
        return


_files: dict[str, _File] = {}  # by path
_registered: list[bool] = []


def _file_of(fn: FunctionType) -> _File | None:
    """Return the file of the module of *fn*; None if it can have none, or the cache is off."""
    if os.environ.get("GODEFER_CACHE") == "0":
        return None
    spec = fn.__globals__.get("__spec__")
    source = fn.__globals__.get("__file__") if spec is None else spec.origin
    if not isinstance(source, str) or not source.endswith((".py", ".pyc")):
        return None
    source = source.removesuffix("c")
    try:
        cached = cache_from_source(source)
    except NotImplementedError:  # this Python has no cache tag
        return None
    path = f"{cached.removesuffix('.pyc')}.godefer"
    if path not in _files:
        _files[path] = _File(path, spec)
    return _files[path]


def _write_imported(but: _File | None = None) -> None:
    """Write the files of the modules whose import is over; at the end of the program, of all."""
    for file in list(_files.values()):
        importing = but is not None and getattr(file.spec, "_initializing", file.spec is None)
        if file.changed and file is not but and not importing:
            file.write()


def _read(path: str) -> Entries:
    """Return the entries in a file; none if there is no file, or it does not count (C2)."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # to open a fifo would block
            return {}
        with open(path, "rb") as file:
            return _parse(file.read())
    except OSError:
        return {}


def _parse(data: bytes) -> Entries:
    """Return the entries in *data*; none if it is damaged, or of another version."""
    head = len(_head(b""))
    if data[:head] != _head(data[head:]):
        return {}
    entries: Entries = marshal.loads(data[head:])  # noqa: S302  # see above
    return entries


def _head(body: bytes) -> bytes:
    """Return the beginning of a file: what it is, and a hash of *body*."""
    return b"godefer\0" + MAGIC_NUMBER + _imp.source_hash(_KEY, _VERSION + body)


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _same(one: CodeType, other: CodeType) -> bool:
    return (
        one == other
        and one.co_linetable == other.co_linetable
        and one.co_exceptiontable == other.co_exceptiontable
        and one.co_freevars == other.co_freevars
    )


def _means(sense: Sense, resolved: ResolvedNames) -> bool:
    """Return whether the *resolved* names are those of an entry."""
    statements, modules, attributes = sense
    named = dict(resolved[1])
    return (
        statements == resolved[0]
        and modules == tuple(named)
        and all(resolve_attribute(named, path) == found for path, found in attributes)
    )
