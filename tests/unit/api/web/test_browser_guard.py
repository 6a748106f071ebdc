"""The browser guard: the hosts under which the API may be called, and the pages that may change state."""

import socket

import pytest

from api.web.browser_guard import BrowserGuard

PAGE = "https://app.example"
GUARD = BrowserGuard([PAGE], ["jobs.example", "*.svc.example"])


def refused(method: str = "POST", guard: BrowserGuard = GUARD, **headers: str) -> str | None:
    """Return the kind of problem that a request gets, None if it passes."""
    names = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    refusal = guard.refusal(method, {b"host": b"127.0.0.1:8000"} | names)
    return None if refusal is None else refusal.kind.name


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8000",
        "127.0.0.1",
        "10.244.0.7:8000",
        "[::1]:8000",
        "[fd00::7]",
        "[::ffff:10.0.0.1]:8000",
        "localhost",
        "LOCALHOST:8000",
        "api.localhost:8000",
        "jobproc-api:8000",
        "host.docker.internal:8000",
        socket.gethostname(),
        "jobs.example",
        "Jobs.Example:443",
        "jobs.example.:8000",
        "jobproc-api.jobs.svc.example",
        "",
    ],
)
def test_addresses_private_names_and_the_names_of_the_setting_are_allowed(host: str) -> None:
    for method in ("GET", "POST"):
        assert refused(method, host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil-localhost.example",
        "evil.example.",
        "jobs.example.evil.example",
        "evil-jobs.example",
        "svc.example",
        "evil.svc-example",
        "evil.example:8000:8000",
        "127.0.0.1@evil.example",
        "[evil.example]",
        "[::1]evil.example",
        "1.2.3.4.5",
        "évil.example",
        "a" * 300,
        ("a." * 200)[:-1],
    ],
)
def test_a_name_that_a_page_could_have_registered_is_refused(host: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS", "POST"):
        assert refused(method, host=host) == "host-not-allowed"


def test_a_star_allows_every_host() -> None:
    assert refused(guard=BrowserGuard([], ["*"]), host="evil.example:8000") is None


def test_a_client_without_the_headers_of_browsers_may_change_state() -> None:
    assert refused() is None


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
def test_only_pages_of_the_api_and_of_the_listed_origins_may_change_state(method: str) -> None:
    for site in ("same-origin", "none"):
        assert refused(method, sec_fetch_site=site, origin="http://127.0.0.1:8000") is None
    for site in ("same-site", "cross-site"):
        assert refused(method, sec_fetch_site=site, origin=PAGE) is None
        for origin in ("https://evil.example", "null", f"{PAGE}.evil.example", "http://127.0.0.1:8000", ""):
            assert refused(method, sec_fetch_site=site, origin=origin) == "origin-not-allowed"
    for site in ("cross-site", "same-site", "", "Same-Origin", "same-origin, cross-site"):
        assert refused(method, sec_fetch_site=site) == "origin-not-allowed"


def test_without_sec_fetch_site_the_origin_is_compared_with_the_host() -> None:
    """Browsers send it over https and to loopback addresses only. A proxy may have changed the scheme."""
    for host, origin in (("jobs.example", "https://jobs.example"), ("JOBS.example:81", "http://jobs.example:81")):
        assert refused(host=host, origin=origin) is None
    for origin in ("http://jobs.example:82", "http://evil.example", "null", "", "jobs.example"):
        assert refused(host="jobs.example", origin=origin) == "origin-not-allowed"


def test_pages_of_other_origins_may_read_as_far_as_browsers_let_them() -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        assert refused(method, sec_fetch_site="cross-site", origin="https://evil.example") is None


def test_a_star_allows_the_pages_of_every_origin() -> None:
    guard = BrowserGuard(["*"], [])
    assert refused(guard=guard, sec_fetch_site="cross-site", origin="https://any.example") is None
    assert refused(guard=guard, sec_fetch_site="cross-site", origin="null") is None
