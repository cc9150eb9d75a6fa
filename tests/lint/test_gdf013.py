"""GDF013: a recovering function may return None, against its annotation."""

import pytest

from tests.lint.snippets import check_names, check_right, check_wrong

CODE = "GDF013"

WRONG = [
    """
from typing import Union, List
class Config: ...
@with_defers
def parse(text: str) -> int:
    defer(lambda: recover())  #!
    return int(text)
@with_defers
async def load(path) -> "dict[str, int]":
    @defer  #!
    def note():
        error = recover(ValueError)
        if error:
            print(error)
    return {}
def handle():
    print(recover())
@with_defers
def config() -> Config:
    errdefer(handle)  #!
    return Config()
@with_defers
def several() -> Union[int, List[str]]:
    defer(handle)  #!
    return 1
@with_defers
def union() -> int | str:
    defer(handle)  #!
    return 1
""",
]

RIGHT = [
    """
from mine import fail_with
@with_defers
def f() -> int:
    defer(lambda: fail_with(recover()))
    return 1
""",
    """
from typing import Any, Optional, Union
from models import User, Result
def handle():
    print(recover())
def reraise():
    raise ValueError from recover()
@with_defers
def a() -> int | None:
    defer(handle)
    return 1
@with_defers
def b() -> Optional[int]:
    defer(handle)
    return 1
@with_defers
def c() -> "Any":
    defer(handle)
@with_defers
def d() -> None:
    defer(handle)
@with_defers(result="n")
def e() -> int:
    n = 0
    defer(handle)
    return n
@with_defers
def g() -> int:
    defer(reraise)
    return 1
@with_defers
def h() -> User:
    defer(handle)
    return User()
@with_defers
def i() -> int:
    okdefer(print)
    defer(lambda: print("x"))
    return 1
@with_defers
def j() -> Union[int, None]:
    defer(handle)
    return 1
@with_defers
def k() -> object:
    defer(handle)
    return 1
""",
]


RIGHT += [
    """
@with_defers
def f(text, an_object_with_a_name) -> int:
    @defer
    def note():
        error = recover()
        an_object_with_a_name.that_is_longer.than_a_line_of_text.and_so_not_quoted.raise_it(error)
    return int(text)
""",
]


@pytest.mark.parametrize("snippet", WRONG)
def test_wrong(snippet):
    """The rule finds each mistake on its line, and no rule finds anything else."""
    check_wrong(CODE, snippet)


@pytest.mark.parametrize("snippet", RIGHT)
def test_right(snippet):
    """No rule fires on correct code that looks like the mistake."""
    check_right(snippet)


@pytest.mark.parametrize("snippet", WRONG)
def test_other_names(snippet):
    """No rule fires on functions of another library that have the names of godefer's."""
    check_names(snippet)
