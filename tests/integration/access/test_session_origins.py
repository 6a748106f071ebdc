"""Requests with a session cookie: pages of the API alone may send them, whatever browsers and proxies do."""

from collections.abc import Iterator, Mapping

import httpx
import pytest
from rig.browsers import SESSION, browser_of, cookie_of, signed_in
from rig.keys import REQUIRED, bearer, new_key
from rig.system import System

JOB = {"operation": "square_sum", "data": [1]}
SECURE = "__Host-jobproc_session"


@pytest.fixture(scope="module")
def secret(secured: System) -> str:
    """Return the cookie of a session with every scope."""
    with signed_in(secured, new_key(secured.database)) as browser:
        return cookie_of(browser)


@pytest.fixture(scope="module")
def page(secured: System) -> Iterator[httpx.Client]:
    """Return a client that says nothing about itself."""
    with httpx.Client(base_url=secured.client.base_url, timeout=15) as client:
        yield client


def kind(answer: httpx.Response) -> str:
    return str(answer.json()["type"]).rpartition(":")[2]


def own(system: System) -> str:
    return str(system.client.base_url).rstrip("/")


@pytest.mark.parametrize(
    ("headers", "unsafe", "safe"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "OWN"}, True, True),
        ({"Origin": "OWN"}, True, True),  # plain http, or an old browser
        ({"Sec-Fetch-Site": "none"}, False, True),  # the address bar
        ({}, False, True),  # plain http; no browser sends an unsafe method like that
        ({"Sec-Fetch-Site": "same-site"}, False, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "OWN"}, False, False),
        ({"Sec-Fetch-Site": "cross-site"}, False, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False, False),
        ({"Sec-Fetch-Site": "same-origin, same-origin"}, False, False),
        ({"Sec-Fetch-Site": ""}, False, False),
        ({"Origin": "http://127.0.0.1:1"}, False, False),
        ({"Origin": "null"}, False, False),
        ({"Origin": "https://evil.example"}, False, False),
    ],
)
def test_a_page_of_the_api_alone_acts_with_a_session(
    secured: System, page: httpx.Client, secret: str, headers: Mapping[str, str], unsafe: bool, safe: bool
) -> None:
    sent = {name: own(secured) if value == "OWN" else value for name, value in headers.items()}
    sent["Cookie"] = f"jobproc_session={secret}"
    refusals = ("session-not-same-origin", "origin-not-allowed")
    for method, path, allowed in (("POST", "/jobs/", unsafe), ("DELETE", "/schedules/x", unsafe), ("GET", "/me", safe)):
        answer = page.request(method, path, json=JOB if method == "POST" else None, headers=sent)
        assert (answer.status_code == 403) is not allowed, (method, answer.text)
        assert allowed or kind(answer) in refusals


@pytest.mark.parametrize("site", ["same-site", "cross-site"])
def test_a_page_whose_origin_is_allowed_has_no_use_of_a_session(
    secured: System, secret: str, site: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """CORS lets pages of listed origins send keys, never cookies."""
    allowing = System(tmp_path_factory.mktemp("cors"), secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    try:
        for origins in ("https://app.example", "*"):
            allowing.api(JOBPROC_CORS_ORIGINS=origins)
            headers = {"Origin": "https://app.example", "Sec-Fetch-Site": site, "Cookie": f"jobproc_session={secret}"}
            for method, path in (("POST", "/jobs/"), ("GET", "/me"), ("POST", SESSION)):
                answer = allowing.client.request(method, path, headers=headers)
                assert (answer.status_code, kind(answer)) == (403, "session-not-same-origin")
                assert "access-control-allow-credentials" not in answer.headers
            key = bearer(new_key(secured.database))
            begun = allowing.client.post(SESSION, headers={**headers, **key, "Cookie": ""})
            assert (begun.status_code, kind(begun)) == (403, "session-not-same-origin"), "nor can it begin one"
            assert "set-cookie" not in begun.headers
            preflight = allowing.client.options(
                "/jobs/", headers={"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
            )
            assert preflight.status_code == 200
            assert "access-control-allow-credentials" not in preflight.headers
            allowing.end("api")
    finally:
        allowing.close()


def test_over_https_the_cookie_is_secure_and_of_this_host_alone(secured: System) -> None:
    for origin in ("https://jobs.example", None):
        with browser_of(secured, Host="jobproc", **({"Origin": origin} if origin else {})) as browser:
            answer = browser.post(SESSION, headers=bearer(new_key(secured.database)))
            assert answer.status_code == 201
            name, _, rest = answer.headers["Set-Cookie"].partition("=")
            secret, _, attributes = rest.partition("; ")
            assert name == SECURE
            assert attributes == "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
            for cookie, status in ((f"{SECURE}={secret}", 200), (f"jobproc_session={secret}", 401)):
                assert browser.get("/me", headers={"Cookie": cookie}).status_code == status, cookie
    with browser_of(secured) as browser:  # a proxy that sends its own address as Host
        answer = browser.post(SESSION, headers={**bearer(new_key(secured.database)), "Origin": "https://jobs.example"})
        assert answer.headers["Set-Cookie"].startswith(f"{SECURE}=")


def test_a_sign_in_over_plain_http_is_refused_unless_the_operator_allows_it(
    secured: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lan = {"Origin": "http://jobproc:8000", "Host": "jobproc:8000"}
    key = bearer(new_key(secured.database))
    with httpx.Client(base_url=secured.client.base_url, headers=lan) as browser:
        answer = browser.post(SESSION, headers=key)
        assert (answer.status_code, kind(answer)) == (403, "session-needs-https")
        assert "set-cookie" not in answer.headers
    allowing = System(tmp_path_factory.mktemp("http"), secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    try:
        allowing.api(JOBPROC_INSECURE_SESSION_COOKIE="true")
        with httpx.Client(base_url=allowing.client.base_url, headers=lan) as browser:
            cookie = browser.post(SESSION, headers=key).headers["Set-Cookie"].partition(";")[0]
            assert cookie.startswith("jobproc_session=")
            assert browser.post("/jobs/", json=JOB, headers={"Cookie": cookie}).status_code == 202
    finally:
        allowing.close()


def test_a_path_prefix_is_part_of_the_name(secured: System, tmp_path_factory: pytest.TempPathFactory) -> None:
    """So that two installations on one host sign each other's browsers neither in nor out."""
    folder = tmp_path_factory.mktemp("prefix")
    prefixed = System(folder, secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    try:
        prefixed.api(JOBPROC_ROOT_PATH="/teams/jobs")
        with browser_of(prefixed) as browser:
            answer = browser.post(f"/teams/jobs{SESSION}", headers=bearer(new_key(secured.database)))
            assert answer.headers["Set-Cookie"].startswith("jobproc_session!teams!jobs=")
            assert browser.get("/teams/jobs/me").json()["session"]["kind"] == "api_key"
            assert browser.delete(f"/teams/jobs{SESSION}").status_code == 204
            assert browser.get("/teams/jobs/me").status_code == 401
    finally:
        prefixed.close()
