"""The documentation site in Chromium: pages open, the search finds, diagrams show, and nothing else is loaded."""

import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright
from rig.system import System, until

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
    pytest.mark.timeout(240),
]
LIMIT_MS = 60_000  # on a machine with more processes than cores


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A page of the browser, and what it has requested and complained about."""

    def __init__(self, browser: Browser, system: System) -> None:
        self.base = f"http://127.0.0.1:{system.port}"
        self.page: Page = browser.new_page()
        self.page.set_default_timeout(LIMIT_MS)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self._on_failure)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_failure(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # of the page that was left
            self.complaints.append(f"{request.failure}: {request.url}")

    def open(self, path: str) -> Page:
        response = self.page.goto(f"{self.base}/console/docs/{path}", wait_until="networkidle", timeout=LIMIT_MS)
        assert response is not None
        assert response.status == 200
        return self.page

    def other_origins(self) -> set[str]:
        found = {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in self.requested if url.startswith("http")}
        return found - {self.base}


@pytest.fixture
def visitor(browser: Browser, served: System) -> Iterator[Visitor]:
    visitor = Visitor(browser, served)
    yield visitor
    visitor.page.close()
    assert visitor.requested
    assert visitor.other_origins() == set()
    assert visitor.complaints == []


def test_pages_open_and_lead_to_each_other(visitor: Visitor) -> None:
    page = visitor.open("")
    expect(page.locator("h1")).to_contain_text("Documentation")
    page.locator("article a", has_text="Submit").first.click()
    expect(page.locator("h1")).to_contain_text("Submit")
    assert page.url == f"{visitor.base}/console/docs/howto/submit.html"
    for path in ("reference/api.html", "decisions/index.html", "operate/runbooks/index.html", "project/security.html"):
        expect(visitor.open(path).locator("h1")).not_to_be_empty()


def test_the_search_finds_a_page(visitor: Visitor) -> None:
    """Its list of results is in a closed shadow root, which a test sees by the page that Enter opens."""
    page = visitor.open("benchmarks.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("pgbouncer")

    def open_first_result() -> bool:
        page.keyboard.press("Enter")
        page.wait_for_timeout(200)  # Playwright learns of the new URL while it waits
        return "/howto/pgbouncer.html" in page.url

    until("the first result is open", open_first_result, limit_s=60)
    expect(page.locator("h1")).to_contain_text("PgBouncer")
    assert any("/workers/search." in url for url in visitor.requested)


@pytest.mark.parametrize("path", ["reference/states.html", "project/architecture.html"])
def test_a_diagram_shows(visitor: Visitor, path: str) -> None:
    page = visitor.open(path)
    diagram = page.locator("div.mermaid").first  # the SVG is in its closed shadow root
    expect(diagram).to_be_visible(timeout=LIMIT_MS)
    box = diagram.bounding_box()
    assert box is not None
    assert box["height"] > 100
    assert any(url.endswith("/mermaid.tiny.js") for url in visitor.requested)
