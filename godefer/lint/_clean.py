"""The memory of clean sources: the digests of sources without findings.

It makes the next check of a large tree fast. A source is recognized by its bytes, in any file. Each
state of the checker, and each version of Python, has a memory of its own; the newest are kept.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST = 200_000  # digests, 6.4 MB
_LENGTH = 32
MOST_FILES = 8  # memories that are kept, with those of other checkers and Pythons
_NAME = re.compile(r"check-[0-9a-f]{16}\Z")


def digest(source: bytes) -> bytes:
    """Return the digest of a source."""
    return hashlib.sha256(source).digest()


def memory_file() -> Path | None:
    """Return the file of the memory; None if GODEFER_CACHE=0 turns it off."""
    if os.environ.get("GODEFER_CACHE") == "0":
        return None
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        base = Path(home) if home else Path.home() / ".cache"
    except RuntimeError:  # the user has no home
        return None
    state = hashlib.sha256(repr((sys.version, sys.platform)).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        state.update(file.read_bytes())
    return base / "godefer" / f"check-{state.hexdigest()[:16]}"


def read_memory(file: Path | None) -> set[bytes]:
    """Return the digests in *file*; none if it cannot be read, or its length is wrong."""
    if file is None:
        return set()
    try:
        content = file.read_bytes()
    except OSError:
        return set()
    if len(content) % _LENGTH:
        return set()
    return {content[start : start + _LENGTH] for start in range(0, len(content), _LENGTH)}


def write_memory(file: Path | None, known: set[bytes], new: Iterable[bytes]) -> None:
    """Add digests to *file*; do nothing if its directory cannot be written."""
    added = set(new) - known
    if file is None or not added:
        return
    everything = known | added if len(known) + len(added) <= _MOST else added
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent)
    except OSError:
        return
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(b"".join(sorted(everything)))
        Path(name).replace(file)
    except OSError:
        Path(name).unlink(missing_ok=True)
        return
    _remove_old(file)


def _remove_old(newest: Path) -> None:
    """Remove all but the newest memories beside *newest*, which was just written."""
    try:
        others = [
            file
            for file in newest.parent.iterdir()
            if _NAME.match(file.name) and file != newest and file.is_file()
        ]
        others.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        for file in others[MOST_FILES - 1 :]:
            file.unlink(missing_ok=True)
    except OSError:
        # Another process removes them, too, or the user may not. The next write tries again.
        return
