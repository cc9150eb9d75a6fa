"""What mkdocs does besides rendering docs/: pages out of the README and its companions, and the navigation.

No text is written twice. The README is the front page, but for its tutorial, which is a page of its own; links are made to
fit. The navigation takes whatever pages there are, so a new one only has to be put into docs/.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from markdown.extensions.toc import slugify
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TUTORIAL = "Tutorial"
COOKBOOK = [
    "files",
    "clean-ups",
    "locks-and-threads",
    "sqlite",
    "postgresql",
    "processes-and-sockets",
]  # first, and then all others
HOW_TO = [
    "exitstack.md",
    "checker.md",
    "shipping.md",
]  # after the cookbook, whose pages are those of its folder
REFERENCE = ["reference.md", "rules.md", "go-cases.md"]
EXPLANATION = [
    "how-it-works.md",
    "go-runtime.md",
    "comparison.md",
    "benchmarks.md",
]  # first, and then all others
PROJECT = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put each page where its kind is: tutorial, how-to, reference, and explanation for all others."""
    docs = Path(config.docs_dir)
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    cookbook = [page for page in pages if page.startswith("cookbook/")]
    first = [f"cookbook/{name}.md" for name in COOKBOOK if f"cookbook/{name}.md" in pages]
    how_to = [*first, *(page for page in cookbook if page not in first), *HOW_TO]
    others = [page for page in pages if page not in {*how_to, *REFERENCE, *EXPLANATION}]
    config.nav = [
        {"Overview": "index.md"},
        {TUTORIAL: "tutorial.md"},
        {"How-to": how_to},
        {"Explanation": [*EXPLANATION, *others]},
        {"Reference": REFERENCE},
        {"Project": list(PROJECT)},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    root = Path(config.config_file_path).parent
    front, tutorial = split(root.joinpath("README.md").read_text(encoding="utf-8"))
    texts = {
        page: root.joinpath(name).read_text(encoding="utf-8") for page, name in PROJECT.items()
    }
    for name, text in {"index.md": front, "tutorial.md": tutorial, **texts}.items():
        files.append(File.generated(config, name, content=text))
    in_tutorial.update(
        slugify(heading, "-") for heading in re.findall(r"^#+ (.*)$", tutorial, re.MULTILINE)
    )
    return files


in_tutorial: set[str] = set()  # the README's headings that are on the tutorial's page


def split(readme: str) -> tuple[str, str]:
    """The README without its section "Tutorial", in whose place a link stands; and that section, its headings raised by one level."""
    found = re.search(rf"^## {TUTORIAL}\n(.*?)(?=^## )", readme, re.DOTALL | re.MULTILINE)
    if found is None:
        msg = f"README.md has no section {TUTORIAL!r}"
        raise PluginError(msg)
    # Its first example stays, so that the front page shows what all this is.
    example = re.search(
        r"^```python\n.*?^```\n(\n```text\n.*?^```\n)?", found[1], re.DOTALL | re.MULTILINE
    )
    if example is None:
        msg = f"the section {TUTORIAL!r} of README.md has no code"
        raise PluginError(msg)
    link = "[The tutorial](tutorial.md) goes on from here, to databases, recovering and asyncio, with code that runs."
    front = (
        f"{readme[: found.start()]}## {TUTORIAL}\n\n{example[0]}\n{link}\n\n{readme[found.end() :]}"
    )
    raised = re.sub(r"^###(?=#* )", "##", found[1], flags=re.MULTILINE)
    return front, f"# {TUTORIAL}\n{raised}"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Links between the repository's files become links between the site's pages."""
    # The tests are no pages: they are shown where the repository is, or named if it has no address.
    shown = rf"[\1]({config.repo_url}/blob/main/\2)" if config.repo_url else r"`\1`"
    markdown = re.sub(r"\[([^][]+)\]\((?:\.\./)+(tests/[^()]+)\)", shown, markdown)
    up = "../" * page.file.src_uri.count("/")
    if page.file.generated_by is not None:
        to_root, markdown = "", markdown.replace("](docs/", "](")
    else:
        to_root = f"{up}../"
    for name, target in {
        "README.md": "index.md",
        **{name: page for page, name in PROJECT.items()},
    }.items():
        pattern = rf"\]\({re.escape(to_root + name)}(?:#([\w-]+))?(?=\))"
        markdown = re.sub(
            pattern, lambda found, target=target: _link(up, target, found[1]), markdown
        )
    return markdown


def _link(up: str, target: str, place: str | None) -> str:
    if target == "index.md" and place in in_tutorial:
        target = "tutorial.md"
    return f"]({up}{target}" + (f"#{place}" if place else "")
