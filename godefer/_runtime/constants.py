"""The runtime's objects that lowered code uses, and the marks that name them in the cache.

Lowered code has these objects among its constants. They cannot be written to a file. So the code
in the cache has marks in their place: strings such as ``"@drop"``.
"""

from __future__ import annotations

import sys
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    MethodType,
)

from godefer._runtime.context_managers import aenter, enter
from godefer._runtime.exceptions import raise_again
from godefer._runtime.exits import (
    arun_remaining,
    exit_going_on,
    let_go,
    list_record,
    none,
    noop,
    note_callee,
    raised,
    run_remaining,
)
from godefer._runtime.recovery import recoveries, take
from godefer._runtime.results import awaited, awaits, drop
from godefer._runtime.unwind import adeferreturn, agopanic, unwind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any

    from godefer._decision import Decision

OBJECTS: dict[str, Any] = {
    "@BaseException": BaseException,
    "@GeneratorExit": GeneratorExit,
    "@adeferreturn": adeferreturn,
    "@aenter": aenter,
    "@agopanic": agopanic,
    "@arun_remaining": arun_remaining,
    "@async_generator": AsyncGeneratorType,
    "@awaited": awaited,
    "@awaits": awaits,
    "@coroutine": CoroutineType,
    "@dict": dict,
    "@drop": drop,
    "@enter": enter,
    "@exception": sys.exception,
    "@exit_going_on": exit_going_on,
    "@function": FunctionType,
    "@generator": GeneratorType,
    "@getframe": sys._getframe,
    "@hasattr": hasattr,
    "@let_go": let_go,
    "@list_record": list_record,
    "@method": MethodType,
    "@none": none,
    "@noop": noop,
    "@note_callee": note_callee,
    "@raise_again": raise_again,
    "@raised": raised,
    "@recoveries": recoveries,
    "@run_remaining": run_remaining,
    "@take": take,
    "@type": type,
    "@unwind": unwind,
}


def fill(code: CodeType, decision: Decision) -> CodeType:
    """Return lowered code with objects in place of marks, and *decision* as its last constant."""
    consts = (
        OBJECTS.get(const, const) if type(const) is str else const for const in code.co_consts
    )
    return code.replace(co_consts=(*consts, decision))
