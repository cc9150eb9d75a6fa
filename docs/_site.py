"""Add pages for the README and its companions to the site, and make the navigation.

No text is written twice: README.md is the front page, and links between the repository's files
become links between the site's pages. The navigation takes all pages that exist, so a new one
only has to be put into docs/.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

COOKBOOK = [
    "clean-ups",
    "errors",
    "files",
    "locks-and-threads",
    "sqlite",
    "postgresql",
    "processes-and-sockets",
    "cancellation",
    "trio-and-anyio",
]  # first, and then all others
START = ["index.md", "tutorial.md", "faq.md"]
HOW_TO = ["types.md", "exitstack.md", "shipping.md"]
CHECKER = ["checker.md"]  # first, and then its pages of rules
REFERENCE = [
    "reference.md",
    "rules.md",
    "limits.md",
    "costs.md",
    "benchmarks.md",
]
EXPLANATION = [
    "comparison.md",
    "how-it-works.md",
    "lowered-code.md",
    "runtime.md",
    "go-runtime.md",
]  # first, and then all others
TESTS = ["go-cases.md", "exitstack-tests.md"]
GENERATED = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put each page into its section; a page that no list names is an explanation."""
    docs = Path(config.docs_dir)
    pages = sorted(
        path.relative_to(docs).as_posix() for path in docs.rglob("*.md")
    )
    cookbook = [page for page in pages if page.startswith("cookbook/")]
    first = [
        f"cookbook/{name}.md"
        for name in COOKBOOK
        if f"cookbook/{name}.md" in pages
    ]
    recipes = [*first, *(page for page in cookbook if page not in first)]
    rules = [page for page in pages if page.startswith("checker/")]
    checker = [*CHECKER, *rules]
    named = {
        *recipes,
        *START,
        *HOW_TO,
        *checker,
        *REFERENCE,
        *EXPLANATION,
        *TESTS,
    }
    config.nav = [
        {"Start": START},
        {"Cookbook": recipes},
        {"How-to": HOW_TO},
        {"Checker": checker},
        {"Reference": REFERENCE},
        {
            "Explanation": [
                *EXPLANATION,
                *(page for page in pages if page not in named),
            ]
        },
        {
            "Project": [
                *(page for page in GENERATED if page != "index.md"),
                *TESTS,
            ]
        },
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    root = Path(config.config_file_path).parent
    for name, source in GENERATED.items():
        text = root.joinpath(source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, **_: object
) -> str:
    """Turn links between the repository's files into links between the site's pages."""
    # The tests are no pages: they are shown where the repository is, or named if it has no address.
    shown = (
        rf"[\1]({config.repo_url}/blob/main/\2)"
        if config.repo_url
        else r"`\1`"
    )
    markdown = re.sub(
        r"\[([^][]+)\]\((?:\.\./)+(tests/[^()]+)\)", shown, markdown
    )
    up = "../" * page.file.src_uri.count("/")
    if page.file.generated_by is not None:
        to_root, markdown = "", markdown.replace("](docs/", "](")
    else:
        to_root = f"{up}../"
    for target, name in GENERATED.items():
        markdown = re.sub(
            rf"\]\({re.escape(to_root + name)}(?=[#)])",
            f"]({up}{target}",
            markdown,
        )
    return markdown


def on_page_content(html: str, **_: object) -> str:
    """Tell where a line of code and a cell of a table may be broken."""
    html = re.sub(
        r'<span (id="__span-[^"]+")>((?:<span class="[^"]*">)*)( *)',
        lambda line: (
            f'<span {line[1]} style="--indent: {len(line[3])}ch">'
            f"{line[2]}{line[3]}"
        ),
        html,
    )
    return re.sub(
        r"<t[dh]\b[^>]*>.*?</t[dh]>", _breakable, html, flags=re.DOTALL
    )


def _breakable(cell: re.Match[str]) -> str:
    """Keep a number and its unit together, and let names be broken at their parts."""
    text = re.sub(r"(?<=\d) (?=(?:ns|µs|ms|s)\b)", "\u00a0", cell[0])
    return re.sub(
        r"<code>[^<]*</code>",
        lambda code: re.sub(r"(?<=\w)([_./:])(?=\w)", r"\1<wbr>", code[0]),
        text,
    )
