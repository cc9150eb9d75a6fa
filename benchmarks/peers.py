"""Other installed libraries from PyPI with a `defer` (``pip install -e '.[peers]'``).

Three of them are in folders of their own, below `build` (`.ci/peers` installs them there):

- py-defer has the same module name as python-defer.
- deferpy installs its tests as a package that would hide godefer's tests.
- pygolang does not build on CPython 3.11 and later. Its version 0.0.2 is pure Python, and runs on
  3.11.

If a library gives a wrong answer in a group, the report says so and shows no time.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.group import WrongError, untraced

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.group import Deferring, Group, Make, Run

PEERS = ("go-defer", "py-defer", "deferpy", "aiotools", "pygolang", "python-defer")
_BUILD = Path(__file__).parent.parent / "build"


def of(group: Group) -> tuple[dict[str, Make], dict[str, str]]:
    """Return the peers that run *group* correctly, and the wrong results of the others."""
    right: dict[str, Make] = {}
    wrong: dict[str, str] = {}
    if group.peers:
        for name, adapt in _INSTALLED.items():
            make = adapt(group)
            if make is None:
                continue
            with untraced(), warnings.catch_warnings():
                # A coroutine that a peer never awaits is in the report, so no warning is needed.
                warnings.simplefilter("ignore", RuntimeWarning)
                try:
                    group.check(make)
                except WrongError as e:
                    wrong[name] = str(e)
                except Exception as e:  # caught inside, since its frames may hold that coroutine
                    wrong[name] = f"raises {type(e).__name__}: {e}"
                else:
                    right[name] = make
    return right, wrong


def _plain(with_defers: Any, defer: Any) -> Callable[[Group], Make]:
    def adapt(group: Group) -> Make:
        return lambda deferred: group.deferring(with_defers, defer, deferred)

    return adapt


def _go_defer(module: Any) -> Callable[[Group], Make]:
    return _plain(module.with_defer, module.defer)


def _py_defer(module: Any) -> Callable[[Group], Make]:
    return _plain(module.with_defer, module.defer)


def _python_defer(module: Any) -> Callable[[Group], Make]:
    return _plain(lambda fn: fn, module.defer)


def _deferpy(module: Any) -> Callable[[Group], Make]:
    """Put deferpy's `defer`, an attribute of the decorated function, into the closure."""

    def adapt(group: Group) -> Make:
        def make(deferred: Any) -> Run:
            run: Any = group.deferring(module.defer(), None, deferred)
            cells = dict(zip(run.func.__code__.co_freevars, run.func.__closure__, strict=True))
            cells["defer"].cell_contents = run.defer
            return run

        return make

    return adapt


def _aiotools(module: Any) -> Callable[[Group], Make | None]:
    def adapt(group: Group) -> Make | None:
        if group.aiotools is None:
            return None
        deferring: Deferring = group.aiotools
        decorator = module.adefer if group.name == "a coroutine" else module.defer
        return lambda deferred: deferring(decorator, None, deferred)

    return adapt


def _pygolang(module: Any) -> Callable[[Group], Make | None]:
    """Pass pygolang's `defer` as a parameter, as aiotools' is. It takes no arguments, either."""

    def decorator(fn: Any) -> Run:
        return partial(module.func(fn), module.defer)

    def adapt(group: Group) -> Make | None:
        deferring = group.aiotools
        return None if deferring is None else lambda deferred: deferring(decorator, None, deferred)

    return adapt


def _module(name: str) -> Any:
    try:
        with untraced():  # importing python-defer starts its tracing
            return importlib.import_module(name)
    # The module or its requirements are not installed for this Python. All Pythons share `build`.
    except ModuleNotFoundError:
        return None


def _module_in_build(directory: str, name: str) -> Any:
    """Return the module *name* from a directory in `build`, and remove it from `sys.modules`.

    Another library may have a module of the same name.
    """
    with patch.object(sys, "path", [str(_BUILD / directory), *sys.path]), patch.dict(sys.modules):
        sys.modules.pop(name, None)
        return _module(name) if (_BUILD / directory).is_dir() else None


def _golang() -> Any:
    if sys.version_info >= (3, 12):  # pygolang needs a module that Python no longer has
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return _module_in_build("pygolang", "golang")


_INSTALLED: dict[str, Callable[[Group], Make | None]] = {
    name: adapter(module)
    for name, adapter, module in (
        ("go-defer", _go_defer, _module("go_defer")),
        ("py-defer", _py_defer, _module_in_build("py-defer", "defer")),
        ("deferpy", _deferpy, _module_in_build("deferpy", "deferpy")),
        ("aiotools", _aiotools, _module("aiotools")),
        ("pygolang", _pygolang, _golang()),
        ("python-defer", _python_defer, _module("defer.sugarfree")),
    )
    if module is not None
}
