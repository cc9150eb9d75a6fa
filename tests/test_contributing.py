"""The commands of CONTRIBUTING.md name only things that exist."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import godefer

pytestmark = pytest.mark.project

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FENCED = re.findall(r"^```sh\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
COMMANDS = [
    *(line for block in FENCED for line in block.splitlines()),
    *re.findall(r"^\| `([^`]+)` \|", TEXT, re.MULTILINE),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_names_in_a_command_exist(command):
    """A module, its options, a test, a page or an extra named by a command exists."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for names in re.findall(r"\.\[(.*?)\]", command):
        assert set(names.split(",")) <= set(extras)
    for module, rest in re.findall(r"-m ((?:tests|benchmarks)\.\w+)(.*)", command):
        found = importlib.util.find_spec(module)
        main = (
            Path(found.origin).with_name("__main__.py")
            if found.submodule_search_locations
            else Path(found.origin)
        )
        for option in re.findall(r"--[\w-]+", rest):
            assert f'"{option}"' in main.read_text(encoding="utf-8")
    for path in re.findall(r"(?:^| )((?:tests|benchmarks|docs)/[\w./-]*)", command):
        assert (ROOT / path).exists()


def test_the_commands_are_found():
    """The page has commands for each kind of test, benchmarks, lint, types, site and package."""
    words = (
        "pytest tests.oracle tests.faults tests.soak benchmarks.report ruff mypy pyright "
        ".ci/site .ci/package .ci/run coverage"
    )
    for word in words.split():
        assert any(word in command for command in COMMANDS), word


def test_the_house_has_every_module():
    """The table of files to edit names each module of the library, and of lint the folder."""
    root = Path(godefer.__file__).parent
    modules = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    modules = {
        "lint/" if name.startswith("lint/") else name
        for name in modules
        if name == "__init__.py" or not name.endswith("__init__.py")
    }
    house = TEXT.partition("\n### Which file to edit\n")[2].partition("\n## ")[0]
    files = re.findall(r"^\|[^|]*\|(.*)\|$", house, re.MULTILINE)[2:]  # below the heading
    assert set(re.findall(r"`([\w./]+)`", "".join(files))) == modules
