"""What mkdocs does besides rendering docs/: pages out of the README and the changelog, and the navigation.

No text is written twice. The README is the front page, but for its tutorial, which is a page of its own; links are made to
fit. The navigation takes whatever pages there are, so a new one only has to be put into docs/.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

TUTORIAL = "Tutorial"
HOW_TO = ["checker.md"]
REFERENCE = ["reference.md", "rules.md", "go-runtime.md", "go-cases.md", "changelog.md"]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put each page where its kind is: tutorial, how-to, reference, and explanation for all others."""
    docs = Path(config.docs_dir)
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    how_to = [page for page in pages if page.startswith("cookbook/")] + [page for page in HOW_TO if page in pages]
    reference = [page for page in REFERENCE if page in pages or page == "changelog.md"]
    explanation = [page for page in pages if page not in {*how_to, *reference}]
    config.nav = [
        {"godefer": "index.md"},
        {TUTORIAL: "tutorial.md"},
        {"How to": how_to},
        {"Explanation": sorted(explanation, key=lambda page: (page != "how-it-works.md", page))},
        {"Reference": reference},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    root = Path(config.config_file_path).parent
    front, tutorial = split(root.joinpath("README.md").read_text(encoding="utf-8"))
    changelog = root.joinpath("CHANGELOG.md").read_text(encoding="utf-8")
    for name, text in {"index.md": front, "tutorial.md": tutorial, "changelog.md": changelog}.items():
        files.append(File.generated(config, name, content=text))
    return files


def split(readme: str) -> tuple[str, str]:
    """The README without its section "Tutorial", in whose place a link stands; and that section, its headings raised by one level."""
    found = re.search(rf"^## {TUTORIAL}\n(.*?)(?=^## )", readme, re.DOTALL | re.MULTILINE)
    if found is None:
        msg = f"README.md has no section {TUTORIAL!r}"
        raise PluginError(msg)
    link = f"## {TUTORIAL}\n\n[The tutorial](tutorial.md) goes from files to asyncio, with code that runs.\n\n"
    front = readme[: found.start()] + link + readme[found.end() :]
    raised = re.sub(r"^###(?=#* )", "##", found[1], flags=re.MULTILINE)
    return front, f"# {TUTORIAL}\n{raised}"


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links between the repository's files become links between the site's pages."""
    up = "../" * page.file.src_uri.count("/")
    if page.file.generated_by is not None:
        return markdown.replace("](docs/", "](").replace("](CHANGELOG.md", "](changelog.md")
    outside = re.escape(f"]({up}../")
    markdown = re.sub(rf"{outside}README\.md(?=[#)])", f"]({up}index.md", markdown)
    return re.sub(rf"{outside}CHANGELOG\.md(?=[#)])", f"]({up}changelog.md", markdown)
