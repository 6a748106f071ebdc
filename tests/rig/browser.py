"""Debian's Chromium, driven by Playwright: pages, what they have requested, and what they have complained about."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

CHROMIUM = shutil.which("chromium")
MISSING = "there is no chromium on the PATH"
LIMIT_MS = 60_000  # on a machine with more processes than cores
_REPORT_VIOLATIONS = """document.addEventListener("securitypolicyviolation",
  (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`))"""


@contextmanager
def launched() -> Iterator[Browser]:
    """Start the browser, and close it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visitor:
    """A page of the browser, and what it has requested and complained about."""

    def __init__(self, page: Page, base: str) -> None:
        self.base = base
        self.page = page
        self.page.set_default_timeout(LIMIT_MS)
        self.requested: list[str] = []
        self.complaints: list[str] = []
        self.page.add_init_script(_REPORT_VIOLATIONS)
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
        """Open a path, which must be there, and wait until nothing is loaded any more."""
        response = self.page.goto(f"{self.base}{path}", wait_until="networkidle", timeout=LIMIT_MS)
        assert response is not None
        assert response.status == 200
        return self.page

    def other_origins(self) -> set[str]:
        """Return the origins but that of the API from which something was requested."""
        found = {"{0.scheme}://{0.netloc}".format(urlsplit(url)) for url in self.requested if url.startswith("http")}
        return found - {"{0.scheme}://{0.netloc}".format(urlsplit(self.base))}
