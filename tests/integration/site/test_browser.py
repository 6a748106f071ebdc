"""The documentation site in Chromium: pages open, the search finds, diagrams show, and nothing else is loaded."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from rig.browser import CHROMIUM, LIMIT_MS, MISSING, Visitor, launched
from rig.system import System, until

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason=MISSING), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture
def visitor(browser: Browser, served: System) -> Iterator[Visitor]:
    visitor = Visitor(browser.new_page(), f"http://127.0.0.1:{served.port}/console/docs/")
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
    assert page.url == f"{visitor.base}howto/submit.html"
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
