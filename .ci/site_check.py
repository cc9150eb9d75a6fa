"""What .ci/site asks of the built site: `links SITE`, and `browser SITE CHROMIUM`."""

from __future__ import annotations

import functools
import http.server
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Chromium's own network services are none of the site's; in a container, as root, it has no sandbox.
SWITCHES = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage""".split()
BASE = "http://site.invalid/"


class Links(HTMLParser):
    """The places that a page has, those that it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what the tag has."""
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag == "link" and given.get("rel") not in {"canonical", "next", "prev"} and "href" in given:
            self.loads.append(given["href"])
        if tag in {"img", "script", "iframe", "source", "video", "object"}:
            self.loads += [given[name] for name in ("src", "data") if name in given]


def links(site: Path) -> int:
    """Every link inside of the site leads to a page and a place in it, and no page loads anything from elsewhere."""
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    broken, count = [], 0
    for path, page in pages.items():
        here = BASE + path.relative_to(site).as_posix().removesuffix("index.html")
        broken += [f"{here} loads {target}" for target in page.loads if urlsplit(urljoin(here, target)).netloc != "site.invalid"]
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
    print(*broken, f"site: {count} links on {len(pages)} pages, {len(broken)} broken", sep="\n")
    return 1 if broken else 0


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def browser(site: Path, chromium: str) -> int:
    """Open every page in both colour schemes; search; look at the charts."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  # the links are checked without it

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}/"
        opened = playwright.chromium.launch(executable_path=chromium, args=SWITCHES)
        try:
            wrong = _look(opened, root, site)
        finally:
            opened.close()
            server.shutdown()
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


def _look(opened: Browser, root: str, site: Path) -> list[str]:
    wrong: list[str] = []
    colours = {}
    paths = [p.parent.relative_to(site).as_posix().removeprefix(".") for p in site.rglob("index.html")]
    charts = 0
    for scheme in ("light", "dark"):
        context = opened.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
        page.on("requestfailed", lambda request: wrong.append(f"{page.url}: {request.url}: {request.failure}"))
        page.on("response", lambda r: wrong.append(f"{page.url}: {r.url}: {r.status}") if r.status >= 400 else None)
        page.on("request", lambda r: None if r.url.startswith((root, "data:", "blob:")) else wrong.append(f"{page.url} asks for {r.url}"))
        for path in sorted(paths):
            page.goto(f"{root}{path}/" if path else root, wait_until="load")
            if not page.locator("article h1").first.is_visible():
                wrong.append(f"{page.url}: no heading is to be seen")
            for chart in page.locator("article img[src$='.svg']").all():
                charts += 1
                wrong += _chart(page, chart, scheme)
        page.goto(root)
        colours[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.screenshot(path=str(site / f"screenshot-{scheme}.png"))
        wrong += _search(page)
        context.close()
    if colours["light"] == colours["dark"]:
        wrong.append(f"light and dark have the same background, {colours['light']}")
    print(f"site: {len(paths)} pages and {charts // 2} charts in light and dark, and the search, looked at with Chromium {opened.version}")
    return wrong


def _chart(page: Page, chart, scheme: str) -> list[str]:  # noqa: ANN001  # a Locator
    """A chart is loaded, has a size, and is drawn in a colour that can be told from the background."""
    name = chart.get_attribute("src")
    chart.scroll_into_view_if_needed()
    if not chart.evaluate("image => image.complete && image.naturalWidth > 0"):
        return [f"{page.url}: {name} is not shown in {scheme}"]
    # The brightness of what is drawn, from the pixels of the image itself on a transparent ground.
    drawn = chart.evaluate("""image => {
        const canvas = Object.assign(document.createElement("canvas"), {width: 400, height: 400});
        const pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0, 400, 400);
        const data = pen.getImageData(0, 0, 400, 400).data;
        let light = 0, dark = 0;
        for (let i = 0; i < data.length; i += 4) {
            if (data[i + 3] < 200) continue;
            const brightness = (data[i] + data[i + 1] + data[i + 2]) / 3;
            if (brightness > 170) light++;
            if (brightness < 85) dark++;
        }
        return {light, dark};
    }""")
    if drawn["dark" if scheme == "light" else "light"] < 50:
        return [f"{page.url}: {name} has nothing to be seen in {scheme}: {drawn}"]
    return []


def _search(page: Page) -> list[str]:
    """The search finds a word, and leads to its page."""
    page.locator("input.md-search__input").click()
    page.keyboard.type("errdefer", delay=20)
    result = page.locator(".md-search-result__link").first
    result.wait_for(timeout=15000)
    found = page.locator(".md-search-result__link").count()
    result.click()
    page.wait_for_url("**/*h=errdefer*", timeout=15000)
    if "errdefer" not in page.locator("article").inner_text():
        return [f"the search leads to {page.url}, which does not have the word ({found} results)"]
    return []


if __name__ == "__main__":
    what, folder, *more = sys.argv[1:]
    sys.exit({"links": links, "browser": browser}[what](Path(folder), *more))
