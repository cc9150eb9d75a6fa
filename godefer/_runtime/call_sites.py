"""Check that the code of a frame calls a statement itself (D3).

A function compiled by Cython or mypyc has no frame. If it calls `defer`, the frame that seems to
call `defer` is that of a Python function, and that function is calling the compiled one. The
instruction under way shows the difference. It is a call, and the instructions before it have put
its callee on the stack. They must load a name, with or without attributes, that leads to a
statement or may do so. It may do so if an attribute is computed, or an object can hold a statement.

Each call in a body is checked once, when it first defers. After that the record knows it.

A body may also pass a statement to code without a frame, as in ``list(map(defer, calls))``. Then
any call in that body may be the one that calls it.

The check walks over the instructions. It knows only the names of jumps, loads and calls, since
`opcode.stack_effect` tells how many values each instruction leaves. Rejected:

- to compare the number of arguments, which can be equal by chance;
- to use the columns of the call (`co_positions`), which ``-X no_debug_ranges`` removes.
"""

from __future__ import annotations

import sys
from _weakref import ref
from types import (
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType
    from typing import Any

    Known = set[int | tuple[int, int]]

_OPTIMIZED = 0x1  # inspect.CO_OPTIMIZED: the variables are not in a namespace
_CPYTHON = sys.implementation.name == "cpython"
_STATEMENTS = frozenset({"defer", "errdefer", "okdefer", "using", "ausing"})


def calls_statement(
    frame: FrameType, statement: FrameType, body: FrameType, known: Known | None
) -> bool:
    """Return whether the code of *frame* calls *statement* itself.

    Args:
        frame: The frame that seems to have called it.
        statement: The frame of the statement.
        body: The frame of the function: *frame*, or for a comprehension the frame around it.
        known: The instructions of that function that are known to call a statement.
    """
    code, pc = frame.f_code, frame.f_lasti
    # The id is safe: the code of a comprehension lives as long as the code of its function.
    key = pc if frame is body else (id(code), pc)
    if known is not None and key in known:
        return True
    names = _Names(frame, statement)
    if not _CPYTHON:  # other instructions, so only look whether any name may lead to a statement
        return any(names.may_lead((name,)) for name in (*code.co_names, *names.variables))
    try:
        instructions = _instructions_of(code)
    except ImportError:  # `opcode`, while the interpreter is shutting down
        return True
    called = instructions.callee(pc)
    if called is not None and names.may_mean(called):
        if known is not None and names.lasting(called, closure=frame is body):
            known.add(key)
        return True
    return any(names.means(path) for path in instructions.values())


class _Names:
    """The meaning of names in a frame."""

    def __init__(self, frame: FrameType, statement: FrameType) -> None:
        self._frame = frame
        self._globals = statement.f_globals
        self._variables: dict[str, Any] | None = None

    @property
    def variables(self) -> dict[str, Any]:
        """The local and closure variables."""
        if self._variables is None:
            found = self._frame.f_locals
            code = self._frame.f_code
            if sys.version_info >= (3, 13) and code.co_flags & _OPTIMIZED:
                self._variables = found  # no copy
                return found
            self._variables = dict(found)
            # The frame would keep its copy of all locals (D9). But if the program may have asked
            # for that copy itself, it must stay as it is.
            if code.co_flags & _OPTIMIZED and not _FRAME_READERS & {*code.co_names}:
                found.clear()
        return self._variables

    def lasting(self, path: tuple[str, ...], *, closure: bool) -> bool:
        """Return whether *path* begins with a global or, if *closure*, a closure variable."""
        code = self._frame.f_code
        own = (*code.co_varnames, *code.co_cellvars, *(() if closure else code.co_freevars))
        return path[0] not in own

    def may_mean(self, path: tuple[str, ...]) -> bool:
        """Return whether *path* leads to a statement, or may do so."""
        value = self._value(path)
        return value is _UNKNOWN or self._is_statement(value)

    def means(self, path: tuple[str, ...]) -> bool:
        """Return whether *path* certainly leads to a statement, or to godefer."""
        value = self._value(path)
        return value is not _UNKNOWN and self._is_statement(value)

    def may_lead(self, path: tuple[str, ...]) -> bool:
        """Return whether *path* leads to a statement, or to a module, which may hold one."""
        return self.means(path) or type(self._value(path)) is ModuleType

    def _value(self, path: tuple[str, ...]) -> object:
        """Return the object that *path* leads to, or `_UNKNOWN`."""
        first, *attributes = path
        if not first:  # an attribute of the result of an expression
            return _UNKNOWN if attributes[-1] in _STATEMENTS else None
        frame = self._frame
        code = frame.f_code
        own = {*code.co_varnames, *code.co_cellvars, *code.co_freevars}
        value: object = _UNKNOWN
        if first in own or not code.co_flags & _OPTIMIZED:
            value = self.variables.get(first, _UNKNOWN)
        for names in (frame.f_globals, frame.f_builtins):
            if value is _UNKNOWN and first not in own:
                value = names.get(first, _UNKNOWN)
        for name in attributes:
            if value is not _UNKNOWN:
                value = _attribute(value, name)
        return value

    def _is_statement(self, value: Any) -> bool:
        """Return whether *value* is a statement or godefer, or an object that may hold one."""
        functools: Any = sys.modules.get("functools")
        while True:
            kind = type(value)
            if kind in {MethodType, classmethod, staticmethod}:
                value = value.__func__
            elif functools is not None and issubclass(kind, functools.partial):
                value = functools.partial.func.__get__(value)
            elif functools is not None and kind is functools._lru_cache_wrapper:
                value = value.__wrapped__
            else:
                break
        if kind is FunctionType:
            return value.__globals__ is self._globals and value.__name__ in _STATEMENTS
        if kind is ModuleType:
            return bool(value.__name__ == "godefer")
        return kind.__name__ in _PROXIES or kind.__module__.partition(".")[0] == "wrapt"


_UNKNOWN = object()
_FRAME_READERS = frozenset({"locals", "vars", "dir", "eval", "exec"})
_PROXIES = frozenset({"weakproxy", "weakcallableproxy"})


def _attribute(thing: object, name: str) -> object:
    """Return an attribute as it is stored, without running any code, or `_UNKNOWN`."""
    if type(thing) is ModuleType:
        return thing.__dict__.get(name, _UNKNOWN)
    owner = thing if isinstance(thing, type) else type(thing)
    places = [base.__dict__ for base in type.__dict__["__mro__"].__get__(owner)]
    own = next((p["__dict__"] for p in places if "__dict__" in p), None)
    if type(own) is GetSetDescriptorType and thing is not owner:
        places.insert(0, own.__get__(thing))
    for names in places:
        if name in names:
            found = names[name]
            if type(found) is MemberDescriptorType and thing is not owner:  # of `__slots__`
                try:
                    return found.__get__(thing)
                except AttributeError:
                    return _UNKNOWN
            if isinstance(found, (classmethod, staticmethod)):
                return found.__func__
            made = hasattr(type(found), "__get__") and not callable(found)  # as by a property
            return _UNKNOWN if made else found
    return _UNKNOWN


_cache: dict[int, tuple[ref[CodeType], _Instructions]] = {}


def _instructions_of(code: CodeType) -> _Instructions:
    """Return the instructions of *code*, from the cache if it has them."""
    found = _cache.get(id(code))
    if found is None or found[0]() is not code:
        # A method of `dict.pop` has no code in Python, like that of `_decorate._Known`.
        gone = MethodType(_cache.pop, id(code))
        found = _cache[id(code)] = ref(code, gone), _Instructions(code)
    return found[1]


class _Instructions:
    """The instructions of some code, without the interpreter's caches between them."""

    def __init__(self, code: CodeType) -> None:
        import opcode  # noqa: PLC0415  # only the runtime way needs it

        self._effect = opcode.stack_effect
        self._names = code.co_names
        # Not the method itself: it would keep the code alive.
        own = {*code.co_varnames, *code.co_cellvars}
        variable: Any = code._varname_from_oparg  # type: ignore[attr-defined]
        self._variables = [variable(i) for i in range(len(own) + len(code.co_freevars))]
        self._offsets: list[int] = []
        self._ops: list[tuple[str, int, int]] = []  # name, opcode, argument
        self._jumps: dict[int, list[int]] = {}  # from a target to the jumps to it
        raw, opname, jumps = code.co_code, opcode.opname, {*opcode.hasjrel}
        targets = []
        extended, begin = 0, -1
        for i in range(0, len(raw), 2):
            name = opname[raw[i]]
            if name == "CACHE":
                continue
            if begin < 0:
                begin = i
            argument = extended << 8 | raw[i + 1]
            if name == "EXTENDED_ARG":
                extended = argument
                continue
            if raw[i] in jumps:
                targets.append((len(self._ops), argument))
            second = max(name.rfind("LOAD_FAST"), name.rfind("STORE_FAST"))
            if second > 0:  # two instructions in one, since 3.13
                parts = [(name[: second - 1], argument >> 4), (name[second:], argument & 15)]
                self._offsets.append(begin)
                self._ops += [(part, opcode.opmap[part], variable) for part, variable in parts]
            else:
                self._ops.append((name, raw[i], argument))
            self._offsets.append(begin)
            extended, begin = 0, -1
        at: dict[int, int] = {}
        for index, offset in enumerate(self._offsets):
            at.setdefault(offset, index)
        for index, argument in targets:  # counted in words, from the next instruction
            after = self._offsets[index + 1] if index + 1 < len(self._offsets) else len(raw)
            backward = "BACKWARD" in self._ops[index][0]
            target = at.get(after - 2 * argument if backward else after + 2 * argument, -1)
            self._jumps.setdefault(target, []).append(index)
        self._callees: dict[int, tuple[str, ...] | None] = {}
        self._values: list[tuple[str, ...]] | None = None

    def callee(self, pc: int) -> tuple[str, ...] | None:
        """Return the name of the callee at *pc*, in parts; None if the callee is not a name.

        The offset may be in the caches behind the instruction.
        """
        if pc not in self._callees:
            span = self._callee(self._index(pc))
            self._callees[pc] = None if span is None else self._path(*span)
        return self._callees[pc]

    def _index(self, pc: int) -> int:
        """Return the index of the instruction at *pc*."""
        index = len(self._offsets) - 1
        while index > 0 and self._offsets[index] > pc:
            index -= 1
        return index

    def values(self) -> list[tuple[str, ...]]:
        """Return the names, in parts, that the code loads, except for those that it calls."""
        if self._values is None:
            spans = [span for index in range(len(self._ops)) if (span := self._callee(index))]
            callees = {index for span in spans for index in range(*span)}
            found: dict[tuple[str, ...], None] = {}
            path: tuple[str, ...] = ()
            for index in range(len(self._ops)):
                loaded, attribute = self._loaded(index), self._attribute(index)
                if attribute and index not in callees:
                    path = (*(path or ("",)), attribute)
                    continue
                found[path] = None
                path = (loaded,) if loaded and index not in callees else ()
            found.pop((), None)
            self._values = list(found)
        return self._values

    def _loaded(self, index: int) -> str:
        """Return the variable that an instruction loads, or an empty string."""
        name, _, argument = self._ops[index]
        if name == "LOAD_GLOBAL":  # the last bit is not part of the index
            return self._names[argument >> 1]
        if name == "LOAD_NAME":
            return self._names[argument]
        if name.startswith(("LOAD_FAST", "LOAD_DEREF")):
            return self._variables[argument]  # type: ignore[no-any-return]
        return ""

    def _attribute(self, index: int) -> str:
        name, _, argument = self._ops[index]
        if name == "LOAD_METHOD" or (name == "LOAD_ATTR" and sys.version_info < (3, 12)):
            return self._names[argument]
        return self._names[argument >> 1] if name == "LOAD_ATTR" else ""

    def _path(self, start: int, end: int) -> tuple[str, ...]:
        return tuple(
            name for i in range(start, end) if (name := self._loaded(i) or self._attribute(i))
        )

    def _left(self, index: int, *, jump: bool = False) -> int:
        """Return by how many values an instruction makes the stack grow."""
        _, op, argument = self._ops[index]
        try:
            return self._effect(op, argument, jump=jump)
        except ValueError:  # it has no argument
            return self._effect(op, None, jump=jump)

    def _callee(self, index: int) -> tuple[int, int] | None:
        """Return the range of the instructions that load the callee of a call.

        None if the instruction is no call, or its callee is not a name, with or without attributes.
        """
        name, _, argument = self._ops[index]
        if not name.startswith("CALL") or "INTRINSIC" in name:
            return None
        heights = self._walk_back(index)
        if heights is None:
            return None
        start = min(heights)
        end, width = self._end_of_name(start, index)
        # A callee takes two places on the stack: with a NULL, or with the object of a method. A
        # decorator takes one place: the decorated function is in the other.
        widths = {1, 2} if name == "CALL" and argument == 0 else {2}
        if width not in widths or not self._path(start, end):
            return None
        if any(at >= end and self._takes(at, height, width) for at, height in heights.items()):
            return None  # the name is only a part of an expression
        for target in range(start + 1, index + 1):
            if any(source < start for source in self._jumps.get(target, ())):
                return None  # ``(a if b else c)(…)``
        return start, end

    def _walk_back(self, index: int) -> dict[int, int] | None:
        """Return the instructions that put the operands of a call on the stack.

        Each has the height of the stack before it, where zero is the height below all operands.
        The first instruction loads the callee, or pushes the NULL before it.
        """
        height = 1 - self._left(index)  # a call leaves one value in place of its operands
        at, heights = index, {}
        while height > 0:
            before, jump = at - 1, False
            if before >= 0 and self._ops[before][0].startswith(_NEVER_GOES_ON):
                before, jump = min(self._jumps.get(at, [-1])), True
            if before < 0 or before >= at:
                return None
            height -= self._left(before, jump=jump)
            at = before
            heights[at] = height
        return heights if height == 0 else None

    def _end_of_name(self, start: int, index: int) -> tuple[int, int]:
        """Return where the name that begins at *start* ends, and the height of the stack there."""
        end, height = start, 0
        while end < index:
            loads, attribute = self._loaded(end), self._attribute(end)
            if not (loads or attribute or self._ops[end][0] == "PUSH_NULL"):
                break
            if self._path(start, end) and not attribute and (loads or height > 1):
                break  # the first argument
            height += self._left(end)
            end += 1
        return end, height

    def _takes(self, index: int, height: int, width: int) -> bool:
        """Return whether an instruction takes one of the lowest *width* values off the stack."""
        name = self._ops[index][0]
        after = height + self._left(index)
        if name == "LOAD_SUPER_ATTR":  # it replaces three
            return height - 3 < width
        return after < width or (after == width and not name.startswith(_ONLY_TAKES))


_NEVER_GOES_ON = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_ABSOLUTE", "RETURN_", "RAISE_", "RERAISE")
# These put nothing in place of their operands, or have no operands.
_ONLY_TAKES = ("POP_", "JUMP_", "STORE_", "PRECALL", "KW_NAMES", "NOP", "END_", "CLEANUP_THROW")
