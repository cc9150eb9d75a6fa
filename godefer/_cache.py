"""Keep compiled code on disk, beside the module's ``.pyc`` (section C of the rules).

A file holds the lowered code of a module's functions, with marks in place of the runtime's objects
(`constants`). It is read once, when the first function of the module is decorated. It is written
after the import of the module, or at the end of the program: under another name, then moved into
place.

An entry is valid if its original code equals the function's, with the tables of lines and
exceptions, and its names mean the same. Rejected:

- the time and size of the source: two checkouts that take turns at one path may have the same. They
  decide only whether unused entries are kept;
- a hash of the marshalled code as key: the reference counts of constants change the hash.

A file is trusted like a ``.pyc``: anybody with write access to it can run code. The hash in the
file detects damage, since damaged data can crash `marshal`.
"""

from __future__ import annotations

import _imp
import atexit
import marshal
import os
import stat
import sys
from _frozen_importlib_external import MAGIC_NUMBER, cache_from_source
from _io import FileIO  # a program may replace `open`
from _thread import RLock

from godefer._resolve import resolve_attribute
from godefer._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FunctionType
    from typing import Any

    from godefer._decision import Lowered, Result
    from godefer._resolve import Attributes, ResolvedNames

    # The names with the statements that they mean, and the dotted names that were looked up.
    Sense = tuple[tuple[tuple[str, str], ...], tuple[tuple[tuple[str, ...], str | None], ...]]
    Entry = tuple[CodeType, Sense, Result, Lowered | str]
    Entries = dict[tuple[str, int], list[bytes]]
    Text = tuple[int, int]  # the time and the size of a module's source

# A digest of the compiler's source, so that code from another compiler is not used. A test in
# test_cache.py compares it.
COMPILER = "3582400970b3"
# The key of the hash. It differs for another version of godefer or Python, so a file of that counts
# as damaged.
_VERSION = f"{__version__} {COMPILER}".encode()
_MAGIC = int.from_bytes(MAGIC_NUMBER, "little")
_KEY = int.from_bytes(_imp.source_hash(_MAGIC, _VERSION)[:7], "little")
_LARGEST = 1 << 28  # bytes; no cache file is so large
_PYPY = sys.implementation.name == "pypy"
# By process id: a lock that another thread holds during a fork is never released in the child.
_locks: dict[int, Any] = {}
# Kept here because a program may replace these functions, as it may replace `open`.
_open, _replace, _stat, _unlink, _mkdir = os.open, os.replace, os.stat, os.unlink, os.mkdir


def load(
    fn: FunctionType, resolved: ResolvedNames, result: Result
) -> tuple[Lowered | str, Attributes, str] | None:
    """Return the outcome of compiling *fn* from the file of its module.

    Args:
        fn: The function.
        resolved: Its names (`resolve_names`).
        result: Its named results.

    Returns:
        The lowered code, or the reason why there is none; the dotted names that were looked up,
        with the statements that they mean; and the path of the file. None if the file has no entry
        for the function.
    """
    file = _file_of(fn)
    return None if file is None else file.find(fn.__code__, resolved, result)


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
        attributes: The dotted names that were looked up, with the statements that they mean.
        result: Its named results.
        outcome: The lowered code, or the reason why there is none.
    """
    data = entry_of(fn.__code__, resolved, attributes, result, outcome)
    if data is not None:
        _add(fn, key_of(fn.__code__), data)


def load_template(fn: FunctionType, shape: tuple[object, ...]) -> CodeType | None:
    """Return the template of the wrapper for functions of a *shape*, if the file of *fn* has it."""
    file = _file_of(fn)
    for data in () if file is None else file.entries.get(template_key(shape), ()):
        template: CodeType = marshal.loads(data)  # noqa: S302  # see above
        file.used.add(data)  # type: ignore[union-attr]  # it has entries
        return template
    return None


def store_template(fn: FunctionType, shape: tuple[object, ...], template: CodeType) -> None:
    """Keep the template of a wrapper, to be written later."""
    _add(fn, template_key(shape), marshal.dumps(template))


def template_key(shape: tuple[object, ...]) -> tuple[str, int]:
    """Return the key of the template for functions of a *shape*."""
    return f"@wrapper {shape!r}", 0  # no function has that name


def _add(fn: FunctionType, key: tuple[str, int], data: bytes) -> None:
    """Add an entry to the file of *fn*, and write the files of modules that are imported now."""
    file = _file_of(fn)
    if file is None or sys.dont_write_bytecode:
        return
    with _lock():
        _write_imported(but=file)
        file.add(key, data)
        if not _registered:
            _registered.append(True)
            atexit.register(_write_imported)


def entry_of(
    code: CodeType,
    resolved: ResolvedNames,
    attributes: Attributes,
    result: Result,
    outcome: Lowered | str,
) -> bytes | None:
    """Return an entry, marshalled; None if marshal does not know the class of *result*."""
    entry: Entry = code, (resolved[0], tuple(attributes.items())), result, outcome
    try:
        return marshal.dumps(entry)
    except ValueError:
        return None


class _File:
    """The cache file of a module.

    Attributes:
        path: Its path.
        found: The path that it was read from. It differs if the module is in an archive, or frozen.
        source: The path of the module's source.
        spec: The module's spec; None for a script, or if the module is not imported.
        entries: The entries by the name and the line of the original code. Each is marshalled by
            itself, so that the first function does not wait for the others.
        used: The entries used in this run. If the source was edited, only these are kept.
        text: The time and the size of the source.
        edited: Whether the file has another *text* than the source has now.
        changed: Whether the entries differ from the file.
        written: Whether this process has written the file.
    """

    def __init__(self, path: str, source: str, spec: Any) -> None:
        self.path = self.found = path
        self.source = source
        self.spec = spec
        self.used: set[bytes] = set()
        read, self.entries = _read(path)
        self.text = _text(source)
        if not self.entries and self.text == (0, 0) and spec is not None:
            self._read_packed()
        self.edited = read != self.text
        self.changed = self.written = False

    def _read_packed(self) -> None:
        """Read the file of a module without a source, by its loader if it is in an archive.

        The file is beside the module even with `sys.pycache_prefix`, like a ``.pyc`` without its
        source. The path is not normalized, since zipimport knows only its own paths, with any
        ``..`` in them.
        """
        folder = os.path.join(os.path.dirname(self.spec.origin), "__pycache__")
        self.found = os.path.join(folder, os.path.basename(self.path))
        if os.path.lexists(self.found):
            _, self.entries = _read(self.found)
            return
        try:
            _, self.entries = _parse(self.spec.loader.get_data(self.found))
        except Exception:
            return  # no file, or the archive is damaged: a loader may raise anything (C2)

    def importing(self) -> bool:
        """Return whether the module is still being imported; the main program always is."""
        main = getattr(sys.modules.get("__main__"), "__spec__", None)
        return self.spec is main or bool(getattr(self.spec, "_initializing", False))

    def find(
        self, code: CodeType, resolved: ResolvedNames, result: Result
    ) -> tuple[Lowered | str, Attributes, str] | None:
        """Return the outcome for a function, as `load` does."""
        for data in self.entries.get(key_of(code), ()):
            original, sense, named, outcome = marshal.loads(data)  # noqa: S302  # see above
            if named == result and _same(original, code) and _means(sense, resolved):
                if not isinstance(outcome, str):
                    # The source may have moved since. `import` does the same for a .pyc.
                    lowered: CodeType = outcome[0]
                    _imp._fix_co_filename(lowered, code.co_filename)  # type: ignore[attr-defined]
                self.used.add(data)
                return outcome, dict(sense[1]), self.found
        return None

    def add(self, key: tuple[str, int], data: bytes) -> None:
        """Add an entry. If the source was edited since, the entries used so far are outdated."""
        text = _text(self.source)
        if text != self.text:
            self.text, self.edited = text, True
            self.used.clear()
        entries = self.entries.setdefault(key, [])
        if data not in entries:
            entries.append(data)
        self.used.add(data)
        self.changed = True

    def write(self) -> bool:
        """Write the entries, and return whether they could be written (C1)."""
        self.changed, self.written = False, True
        entries = self.entries
        if self.edited:
            current = {key: [d for d in data if d in self.used] for key, data in entries.items()}
            entries = {key: data for key, data in current.items() if data}
        body = marshal.dumps((self.text, entries))
        data = _head(body) + body
        temporary = f"{self.path}.{os.getpid()}.{id(self)}"
        try:
            mode = _stat(self.source).st_mode & 0o666  # like a .pyc
            _make_folder(os.path.dirname(self.path))
            number = _open(temporary, os.O_EXCL | os.O_CREAT | os.O_WRONLY, mode)
        except OSError:
            return False
        try:
            with FileIO(number, "wb") as file:
                whole = file.write(data) == len(data)
            if whole:
                _replace(temporary, self.path)
        except OSError:
            whole = False
        if not whole:
            _remove(temporary)
        return whole


def _make_folder(path: str) -> None:
    """Make the ``__pycache__`` folder; with `sys.pycache_prefix` also the folders around it."""
    if sys.pycache_prefix is not None:
        os.makedirs(path, exist_ok=True)
    elif not os.path.isdir(path):
        _mkdir(path)


def _remove(path: str) -> None:
    try:
        _unlink(path)
    except OSError:  # the folder is gone
        return


_files: dict[str, _File] = {}  # by path
_places: dict[tuple[str, str | None], _File] = {}  # by source, and `sys.pycache_prefix`
_registered: list[bool] = []


def _file_of(fn: FunctionType) -> _File | None:
    """Return the file of the module of *fn*; None if it has no file, or the cache is off."""
    if os.environ.get("GODEFER_CACHE") == "0":
        return None
    spec = fn.__globals__.get("__spec__")
    source = fn.__globals__.get("__file__") if spec is None else getattr(spec, "origin", None)
    # With -P or -I, others may write to the folder of a script, but not to a frozen program's.
    unsafe = spec is None and sys.flags.safe_path and not hasattr(sys, "frozen")
    if unsafe or not isinstance(source, str) or not source.endswith((".py", ".pyc")):
        return None
    source = source.removesuffix("c")
    if os.path.basename(source) != os.path.basename(fn.__code__.co_filename):
        return None  # code made by exec
    place = source, sys.pycache_prefix
    if place in _places:
        return _places[place]
    file = file_for(source, spec)
    if file is not None and os.path.isabs(source):
        _places[place] = file
    return file


def file_for(source: str, spec: Any = None) -> _File | None:
    """Return the file for the module with this *source*; None if there is no place for it."""
    try:
        source = os.path.abspath(source)
        path = f"{cache_from_source(source).removesuffix('.pyc')}.godefer"
    except (NotImplementedError, OSError, ValueError):  # no cache tag, no folder, or no path
        return None
    with _lock():
        file = _files.get(path)
        if file is None:
            file = _files[path] = _File(path, source, spec)
        return file


def _write_imported(but: _File | None = None) -> None:
    """Write the files of the modules with finished imports, except *but*; without it, all files."""
    with _lock():
        for file in list(_files.values()):
            early = but is not None and (file is but or file.written or file.importing())
            if file.changed and not early:
                file.write()


def _lock() -> Any:
    """Return the lock of this process."""
    process = os.getpid()
    return _locks.get(process) or _locks.setdefault(process, RLock())


def _text(source: str) -> Text:
    """Return the time and the size of a source; zeros if it does not exist."""
    try:
        found = _stat(source)
    except (OSError, ValueError):
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _read(path: str) -> tuple[Text, Entries]:
    """Return the text and the entries in a file; no entries if there is no valid file (C2)."""
    try:
        found = _stat(path)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:  # a fifo would block
            return (0, 0), {}
        with FileIO(path) as file:
            return _parse(file.readall() or b"")
    except (OSError, ValueError):
        return (0, 0), {}


def _parse(data: bytes) -> tuple[Text, Entries]:
    """Return the text and the entries in *data*; no entries if it is damaged or foreign (C2)."""
    # A copy would take as long as the hash, but PyPy's `source_hash` needs one.
    body = data[_HEAD:] if _PYPY else memoryview(data)[_HEAD:]
    if data[:_HEAD] != _head(body):
        return (0, 0), {}
    found: tuple[Text, Entries] = marshal.loads(body)  # noqa: S302  # see above
    return found


def _head(body: bytes | memoryview) -> bytes:
    """Return the beginning of a file: its format, the version of Python, and a hash of *body*."""
    return b"godefer\0" + MAGIC_NUMBER + _imp.source_hash(_KEY, body)


_HEAD = len(_head(b""))


def key_of(code: CodeType) -> tuple[str, int]:
    """Return the key of a function's entries."""
    return code.co_qualname, code.co_firstlineno


def _same(one: CodeType, other: CodeType) -> bool:
    return (
        one == other
        and one.co_linetable == other.co_linetable
        and one.co_exceptiontable == other.co_exceptiontable
        and one.co_freevars == other.co_freevars
        and (not _PYPY or _same_consts(one, other))
    )


def _same_consts(one: CodeType, other: CodeType) -> bool:
    """Return whether the constants have equal types, too: PyPy takes 1 and True for equal."""
    for const, its in zip(one.co_consts, other.co_consts, strict=True):
        if hasattr(const, "co_consts"):
            if not _same_consts(const, its):
                return False
        elif type(const) is not type(its) or repr(const) != repr(its):
            return False
    return True


def _means(sense: Sense, resolved: ResolvedNames) -> bool:
    """Return whether the *resolved* names have the meaning that an entry has for them."""
    statements, attributes = sense
    modules = dict(resolved[1])
    return statements == resolved[0] and all(
        resolve_attribute(modules, path) == found for path, found in attributes
    )
