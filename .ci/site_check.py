"""Check the built site for .ci/site: `links SITE`, and `browser SITE CHROMIUM`."""

from __future__ import annotations

import base64
import functools
import http.server
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Request

# Chromium's own network services do not belong to the site. As root in a container, Chromium cannot
# use its sandbox.
SWITCHES = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
BASE = "http://site.invalid/"
LAPTOP, PHONE = 1280, 390  # widths of a window, in CSS pixels


class Links(HTMLParser):
    """Collect the anchors of a page, its links, and the resources that it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag's anchor, link, or resource."""
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (
            tag == "link"
            and given.get("rel") not in {"canonical", "next", "prev"}
            and "href" in given
        ):
            self.loads.append(given["href"])
        if tag in {"img", "script", "iframe", "source", "video", "object"}:
            self.loads += [given[name] for name in ("src", "data") if name in given]


def links(site: Path) -> int:
    """Check that each link has a target, and that no page loads a resource from another site.

    Check, too, that no signature shows a private name.
    """
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, count = [], 0
    for path, page in pages.items():
        here = BASE + path.relative_to(site).as_posix().removesuffix("index.html")
        broken += [
            f"{here} loads {target}"
            for target in page.loads
            if urlsplit(urljoin(here, target)).netloc != "site.invalid"
        ]
        for target in (*page.links, *page.loads):
            url = urlsplit(urljoin(here, target))
            if url.netloc != "site.invalid" or url.scheme != "http":
                continue
            count += 1
            found = site / unquote(url.path).lstrip("/")
            found = found / "index.html" if found.is_dir() else found
            if not found.is_file():
                broken.append(f"{here}: {target} is not there")
            elif url.fragment and found in pages and unquote(url.fragment) not in pages[found].ids:
                broken.append(f"{here}: {target} is no place in that page")
    for path in pages:
        for signature in re.findall(
            r'<div class="doc-signature.*?</div>', path.read_text(encoding="utf-8"), re.DOTALL
        ):
            shown = re.sub(r"<[^>]*>", "", signature)
            broken += [
                f"{path.relative_to(site)}: the private name {name} is in a signature"
                for name in re.findall(r"\b_[a-zA-Z]\w*", shown)
            ]
    print(*broken, f"site: {count} links on {len(pages)} pages, {len(broken)} broken", sep="\n")
    return 1 if broken else 0


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files, and log no requests."""

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def browser(site: Path, chromium: str) -> int:
    """Open every page, as wide as a laptop and as a phone; look at the charts; search."""
    # The check of the links needs no browser.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    handler = functools.partial(Quiet, directory=str(site))
    with (
        http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        sync_playwright() as playwright,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/"
        opened = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        try:
            looks = [Look(opened, root, site, scheme) for scheme in ("light", "dark")]
        finally:
            opened.close()
            server.shutdown()
        version = opened.version
    wrong = [line for look in looks for line in look.wrong]
    if looks[0].background == looks[1].background:
        wrong.append(f"light and dark have the same background, {looks[0].background}")
    if not looks[0].charts or looks[0].charts != looks[1].charts:
        wrong.append(f"{looks[0].charts} charts are shown in light, and {looks[1].charts} in dark")
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(
        f"site: {looks[0].pages} pages at {LAPTOP} and {PHONE} pixels, "
        f"{looks[1].charts} charts in light and dark, "
        f"and the search, seen with Chromium {version}: "
        f"{len(wrong)} faults"
    )
    return 1 if wrong else 0


class Look:
    """Open the site in a browser in one colour scheme, and note its faults."""

    def __init__(self, opened: Browser, root: str, site: Path, scheme: str) -> None:
        self.root, self.site, self.scheme = root, site, scheme
        self.width = LAPTOP
        self.wrong: list[str] = []
        self.pages = self.charts = 0
        context = opened.new_context(color_scheme=scheme)
        self.page = page = context.new_page()
        page.on("pageerror", self.note)
        page.on(
            "console", lambda message: self.note(message.text) if message.type == "error" else None
        )
        page.on("requestfailed", self.failed)
        page.on(
            "response",
            lambda answer: (
                self.note(f"{answer.url}: {answer.status}") if answer.status >= 400 else None
            ),
        )
        page.on("request", self.not_from_elsewhere)
        for file in sorted(site.rglob("index.html")):
            # In dark, open only the pages with charts: all other content has the theme's colours.
            if scheme == "light" or '.svg"' in file.read_text(encoding="utf-8"):
                self.look_at(file.parent.relative_to(site).as_posix().removeprefix("."))
        self.resize(LAPTOP)
        page.goto(root)
        self.background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.screenshot(path=str(site / f"screenshot-{scheme}.png"))
        self.search()
        context.close()

    def resize(self, width: int) -> None:
        """Make the window so wide."""
        self.width = width
        self.page.set_viewport_size({"width": width, "height": 900})

    def note(self, what: object) -> None:
        """Note a fault of the page that is open."""
        self.wrong.append(f"{self.page.url} ({self.scheme}, {self.width} pixels): {what}")

    def failed(self, request: Request) -> None:
        """Note a failed request, unless opening the next page aborted it."""
        if request.failure != "net::ERR_ABORTED":
            self.note(f"{request.url}: {request.failure}")

    def not_from_elsewhere(self, request: Request) -> None:
        """Note a request to another site: the site must work offline."""
        if not request.url.startswith((self.root, "data:", "blob:")):
            self.note(f"asks for {request.url}")

    def look_at(self, path: str) -> None:
        """Open a page. Check its heading, its text, its width and its charts."""
        self.pages += 1
        self.resize(LAPTOP)
        self.page.goto(f"{self.root}{path}/" if path else self.root, wait_until="load")
        if not self.page.locator("article h1").first.is_visible():
            self.note("no heading is to be seen")
        if len(self.page.locator("article").inner_text().split()) < 20:
            self.note("no text is to be seen")
        charts = self.page.locator("article img[src$='.svg']").all()
        self.charts += len(charts)
        for width in (LAPTOP, PHONE):
            self.resize(width)
            if not self.fits():
                self.note("is wider than the window")
            for line in self.page.locator("article").evaluate(TOO_LONG):
                self.note(f"this line of code does not fit: {line}")
            for chart in charts:
                self.look_at_chart(chart)

    def fits(self) -> bool:
        """Return whether the page is no wider than the window, perhaps after a moment."""
        for _ in range(20):
            if self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"):
                return True
            self.page.wait_for_timeout(50)
        return False

    def look_at_chart(self, chart: Locator) -> None:
        """Check that a chart is loaded, has the page's background, and stands out from it."""
        name = chart.get_attribute("src") or ""
        chart.scroll_into_view_if_needed()
        if not chart.evaluate("image => image.complete && image.naturalWidth > 0"):
            self.note(f"{name} is not shown")
            return
        seen = chart.screenshot(
            path=str(self.site / f"screenshot-{self.scheme}-{self.width}-{Path(name).stem}.png"),
            style=".md-header, .md-top { display: none }",  # they would cover it
        )
        found = self.page.evaluate(CONTRAST, base64.b64encode(seen).decode())
        if (found["ground"] > 0.5) != (self.scheme == "light"):
            self.note(f"{name} is drawn on a ground of brightness {found['ground']:.2f}")
        if found["drawn"] < 0.01:
            self.note(f"{name}: only {found['drawn']:.2%} of it can be told from its ground")
        if found["ink"] < 0.002:
            self.note(
                f"{name}: only {found['ink']:.2%} of it is dark enough, or bright enough, "
                "for text that is read with ease"
            )

    def search(self) -> None:
        """Check that the search finds a function in the reference, and leads to its name."""
        self.page.locator("input.md-search__input").click()
        self.page.keyboard.type("errdefer", delay=20)
        results = self.page.locator(".md-search-result__link")
        results.first.wait_for(timeout=15000)
        places = [result.get_attribute("href") or "" for result in results.all()]
        if not any(place.endswith("#godefer.errdefer") for place in places):
            self.note(
                f"the search for errdefer does not find its place in the reference, but {places}"
            )
        before = self.page.url
        results.first.click()
        self.page.wait_for_url(lambda url: url != before, timeout=15000)
        if "errdefer" not in self.page.locator("article").inner_text():
            self.note("the search for errdefer leads here, where the word is not")


# Find the longest line of each block of code that is wider than its column. On a phone, output may
# be wider, and scrolls.
TOO_LONG = """article => [...article.querySelectorAll("pre > code")]
    .filter(code => code.scrollWidth > code.clientWidth + 1)
    .filter(code => innerWidth > 1000 || !code.closest(".language-text"))
    .map(code => code.textContent.split("\\n").reduce((a, b) => a.length > b.length ? a : b))"""

# Measure the brightness of the image's first pixel, and the share of pixels that contrast with it
# by at least 3, and by at least 7. WCAG 2 asks for these ratios for graphics and for text.
CONTRAST = """async picture => {
    const image = new Image();
    image.src = "data:image/png;base64," + picture;
    await image.decode();
    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width: image.width, height: image.height});
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const data = pen.getImageData(0, 0, image.width, image.height).data;
    const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const brightness = i => 0.2126 * linear(data[i])
        + 0.7152 * linear(data[i + 1]) + 0.0722 * linear(data[i + 2]);
    const ground = brightness(0);
    let drawn = 0, ink = 0;
    for (let i = 0; i < data.length; i += 4) {
        const [dark, light] = [brightness(i), ground].sort((a, b) => a - b);
        const contrast = (light + 0.05) / (dark + 0.05);
        if (contrast >= 3) drawn++;
        if (contrast >= 7) ink++;
    }
    return {ground, drawn: drawn / (data.length / 4), ink: ink / (data.length / 4)};
}"""


if __name__ == "__main__":
    what, folder, *more = sys.argv[1:]
    sys.exit({"links": links, "browser": browser}[what](Path(folder), *more))
