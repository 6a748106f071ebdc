"""A session in Chromium: pages of the API have it, scripts do not see it, and pages of other origins cannot use it."""

import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from integration.sign_in.support.answers import START, settings
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from rig.browsers import SESSION
from rig.keys import new_key
from rig.openid_provider import OpenIdProvider
from rig.system import System

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the PATH"),
    pytest.mark.timeout(240),
]
LIMIT_MS = 60_000  # on a machine with more processes than cores
JOB = {"operation": "square_sum", "data": [1]}
#: Send a request as a page does, and return its status; 0: the browser lets the page read no response.
FETCH = """async ([url, options]) => {
    try { return (await fetch(url, options)).status } catch { return 0 }
}"""


class OtherOrigin:
    """A server of empty pages, on another port of this machine: for browsers another origin of the same site."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    context.set_default_timeout(LIMIT_MS)
    yield context
    context.close()


@pytest.fixture
def other_origin() -> Iterator[OtherOrigin]:
    server = OtherOrigin()
    yield server
    server.close()


def fetch(page: Page, url: str, method: str = "GET", **options: Any) -> int:
    return int(page.evaluate(FETCH, [url, {"method": method, **options}]))


def signed_in(context: BrowserContext, system: System) -> Page:
    """Sign in with a key on a page of the API."""
    page = context.new_page()
    page.goto(f"{base(system)}/docs")
    headers = {"Authorization": f"Bearer {new_key(system.database)}"}
    assert fetch(page, SESSION, "POST", headers=headers) == 201
    return page


def base(system: System) -> str:
    return f"http://127.0.0.1:{system.port}"


def submit(page: Page, url: str, **options: Any) -> int:
    headers = {"Content-Type": "application/json"}
    return fetch(page, url, "POST", body='{"operation": "square_sum", "data": [1]}', headers=headers, **options)


def test_a_page_of_the_api_acts_with_a_cookie_that_it_cannot_read(signed: System, context: BrowserContext) -> None:
    page = signed_in(context, signed)
    assert page.evaluate("document.cookie") == ""
    assert (fetch(page, "/me"), submit(page, "/jobs/")) == (200, 202)
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/")
    assert fetch(page, SESSION, "DELETE") == 204
    assert not context.cookies()
    assert fetch(page, "/me") == 401


def test_an_event_stream_of_the_api_has_the_session(signed: System, context: BrowserContext) -> None:
    page = signed_in(context, signed)
    job_id = signed.client.post(
        "/jobs/", json=JOB, headers={"Authorization": f"Bearer {new_key(signed.database)}"}
    ).json()["job_id"]
    event = """(url) => new Promise((resolve, reject) => {
        const source = new EventSource(url)
        source.onopen = () => { source.close(); resolve('open') }
        source.onerror = () => { source.close(); reject(new Error('refused')) }
    })"""
    assert page.evaluate(event, f"/jobs/{job_id}/events") == "open"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["same site", "another site"])
def test_a_page_of_another_origin_has_no_use_of_the_session(
    signed: System, context: BrowserContext, other_origin: OtherOrigin, host: str
) -> None:
    signed_in(context, signed)
    before = signed.database.value("SELECT count(*) FROM jobs")
    evil = context.new_page()
    evil.goto(f"http://{host}:{other_origin.port}/")
    with_cookies = {"credentials": "include"}
    assert fetch(evil, f"{base(signed)}/me", **with_cookies) == 0
    assert submit(evil, f"{base(signed)}/jobs/", **with_cookies) == 0
    form = """([url]) => { document.body.innerHTML =
        `<form method="post" enctype="text/plain" action="${url}"><input name='{"operation":"square_sum","a":"'></form>`
        document.forms[0].submit() }"""
    with evil.expect_navigation() as navigation:
        evil.evaluate(form, [f"{base(signed)}/jobs/"])
    assert navigation.value.status == 403
    assert signed.database.value("SELECT count(*) FROM jobs") == before


def test_a_person_comes_back_from_the_provider_signed_in(
    context: BrowserContext, signed: System, provider: OpenIdProvider
) -> None:
    """The provider is at another site; a strict cookie that is set on the way back counts for the pages of the API."""
    signed.end("api")
    signed.api(
        **settings(signed, provider, JOBPROC_OIDC_REDIRECT_URL=f"http://localhost:{signed.port}{START[:-5]}callback")
    )
    page = context.new_page()
    answer = page.goto(f"http://localhost:{signed.port}{START}?return_to=/console/docs")
    assert page.url == f"http://localhost:{signed.port}/console/docs"
    assert answer is not None
    assert answer.status == 404, "no site is built here"
    page.goto(f"http://localhost:{signed.port}/docs")
    assert fetch(page, "/me") == 200
    assert {cookie["name"] for cookie in context.cookies()} == {"jobproc_session"}
