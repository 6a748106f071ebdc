"""The console in Chromium: a running system with jobs, a page that must neither complain nor break its policy."""

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from rig.browser import CHROMIUM, MISSING, Visitor, launched
from rig.lasting_systems import lasting_system
from rig.project_files import ROOT
from rig.system import System

REDIS_NUMBER = 48  # first database number in the session's Redis; other tests use lower ones
PICTURES = ROOT / ".local" / "console-pictures"
WIDE = {"width": 1360, "height": 860}
AXE = "() => axe.run(document, {resultTypes: ['violations']})"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(240))
            if CHROMIUM is None and "browser" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API, a worker of two processes and a controller for all tests of a file."""
    with lasting_system(tmp_path_factory.mktemp("system"), worker_id, REDIS_NUMBER) as system:
        yield system.all(JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.05")


class ConsoleVisitor(Visitor):
    """A page of the console. What it complains about fails the test, but for what the test has allowed."""

    def __init__(self, context: BrowserContext, system: System, prefix: str = "") -> None:
        super().__init__(context.new_page(), f"http://127.0.0.1:{system.port}{prefix}/console")
        self.context = context
        self.system = system
        self._allowed: list[str] = []
        expect.set_options(timeout=15_000)

    def open(self, path: str = "") -> Page:
        """Open a page, and wait until it has what it shows."""
        response = self.page.goto(f"{self.base}{path}")
        assert response is not None
        assert response.status == 200
        expect(self.page.locator("h1").first).to_be_visible()
        expect(self.page.locator("[aria-busy]")).to_have_count(0)
        return self.page

    def allow(self, pattern: str) -> None:
        """Let the page complain of this: a refused request is an error in the browser's log."""
        self._allowed.append(pattern)

    def follow_each_second(self) -> None:
        """Read anew each second."""
        self.page.get_by_label("Seconds between two reads").select_option("1")

    def picture(self, name: str) -> None:
        """Store a picture of the page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")

    def findings(self) -> list[str]:
        """Return what axe finds on the page: the rule, and the elements."""
        self.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text())
        result = self.page.evaluate(AXE)
        return [
            f"{violation['id']}: {[node['html'][:160] for node in violation['nodes'][:3]]}"
            for violation in result["violations"]
        ]

    def check(self) -> None:
        """Fail if the page has complained, or has loaded anything from elsewhere."""
        found = [text for text in self.complaints if not any(re.search(pattern, text) for pattern in self._allowed)]
        assert found == []
        assert self.other_origins() == set()


@pytest.fixture
def visit(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., ConsoleVisitor]]:
    """Return a factory of pages of a system's console. Each is checked at the end of the test."""
    visitors: list[ConsoleVisitor] = []

    def make(system: System, prefix: str = "", **options: object) -> ConsoleVisitor:
        context = browser.new_context(**{"viewport": WIDE, "reduced_motion": "reduce", **options})  # type: ignore[arg-type]  # options of Playwright
        visitors.append(ConsoleVisitor(context, system, prefix))
        return visitors[-1]

    yield make
    failed = getattr(request.node, "failed", False)
    for number, visitor in enumerate(visitors):
        if failed:
            visitor.picture(f"failed-{request.node.name}-{number}".replace("/", "_"))
        visitor.context.close()
    if not failed:
        for visitor in visitors:
            visitor.check()


@pytest.fixture
def console(visit: Callable[..., ConsoleVisitor], shared: System) -> ConsoleVisitor:
    """Return a page of the shared system's console."""
    return visit(shared)
