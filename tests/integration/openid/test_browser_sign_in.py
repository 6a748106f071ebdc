"""Browsers that sign in at a conforming OpenID provider: there, back, and as whom; forged answers; outage."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
import pytest
from joserfc.jwk import KeySet
from rig.browsers import SESSION, browser_of, cookie_of
from rig.databases import database
from rig.issuer import AUDIENCE
from rig.keys import REQUIRED
from rig.openid_provider import CONSOLE, CONSOLE_SECRET, OpenIdProvider
from rig.openid_provider import new_key as new_signing_key
from rig.system import System, until

START, CALLBACK = f"{SESSION}/start", f"{SESSION}/callback"
SCOPES = "openid jobs:read jobs:write"
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}  # as a browser visits an address from elsewhere


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider()
    yield provider
    provider.close()


def settings(system: System, provider: OpenIdProvider, **others: str) -> dict[str, str]:
    return {
        **REQUIRED,
        "JOBPROC_OIDC_ISSUER": provider.url,
        "JOBPROC_OIDC_AUDIENCES": AUDIENCE,
        "JOBPROC_OIDC_CLIENT_ID": CONSOLE,
        "JOBPROC_OIDC_CLIENT_SECRET": CONSOLE_SECRET,
        "JOBPROC_OIDC_REDIRECT_URL": f"http://127.0.0.1:{system.port}{CALLBACK}",
        "JOBPROC_OIDC_SIGN_IN_SCOPE": SCOPES,
        "JOBPROC_OIDC_JWKS_MIN_INTERVAL_SECONDS": "0.1",
        **others,
    }


@pytest.fixture(scope="module")
def signed(provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API whose browsers sign in at the test's provider."""
    number = 10 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("console"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.api(**settings(system, provider))
        finally:
            print("\n".join(system.show_logs()))
            system.close()


@pytest.fixture
def browser(signed: System) -> Iterator[httpx.Client]:
    with browser_of(signed) as browser:
        yield browser


def back_from_provider(browser: httpx.Client, **query: str) -> str:
    """Begin a sign-in, agree at the provider, and return the URL to which it leads back."""
    start = browser.get(START, params=query, headers=PAGE)
    assert start.status_code == 303, start.text
    answer = httpx.get(start.headers["Location"])
    assert answer.status_code == 302, answer.text
    return str(answer.headers["Location"])


def changed(url: str, **query: str | None) -> str:
    """Return a URL with other parameters; None: without one."""
    parameters = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()} | query
    return f"{CALLBACK}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"


def kind(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def test_a_person_signs_in_and_out(signed: System, browser: httpx.Client) -> None:
    callback = back_from_provider(browser, return_to="/console/jobs?status=FAILED#newest")
    (cookie,) = browser.cookies.jar
    assert cookie.name == "jobproc_sign_in"
    answer = browser.get(callback, headers=PAGE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/jobs?status=FAILED#newest")
    assert answer.headers["Cache-Control"] == "no-store"
    cookies = {cookie.partition("=")[0]: cookie for cookie in answer.headers.get_list("set-cookie")}
    assert cookies["jobproc_session"].endswith("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict")
    assert "Max-Age=0" in cookies["jobproc_sign_in"]
    me = browser.get("/me").json()
    assert (me["subject"], me["name"], me["tenant"]) == ("user:ada", "Ada Lovelace", "default")
    assert (me["scopes"], me["session"]["kind"]) == (["jobs:read", "jobs:write"], "openid")
    submitted = browser.post("/jobs/", json={"operation": "square_sum", "data": [1]})
    assert browser.get(f"/jobs/{submitted.json()['job_id']}").json()["submitted_by"] == "user:ada"
    assert browser.get("/keys").status_code == 403
    secret = cookie_of(browser)
    assert browser.delete(SESSION).status_code == 204
    assert browser.get("/me", headers={"Cookie": f"jobproc_session={secret}"}).status_code == 401
    audited = signed.database.rows("SELECT action, details FROM audit_entries WHERE subject = 'user:ada' ORDER BY id")
    assert audited == [("session.create", {"kind": "openid"}), ("session.end", {})]


def test_the_ways_to_sign_in_have_the_provider(signed: System) -> None:
    assert signed.client.get(SESSION).json() == {"required": True, "ways": ["api_key", "openid"]}


def test_the_request_has_pkce_state_and_nonce_which_are_new_each_time(browser: httpx.Client) -> None:
    seen = set()
    for _ in range(2):
        query = parse_qs(urlsplit(browser.get(START).headers["Location"]).query)
        assert query["code_challenge_method"] == ["S256"]
        assert query["scope"] == [SCOPES]
        seen |= {query[name][0] for name in ("state", "nonce", "code_challenge")}
    assert len(seen) == 6
    assert all(len(value) >= 43 for value in seen)


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/console\\..\\evil",
        "/console//evil.example", "/console/..//evil.example", "/console/%2e%2e/keys", "/console/.%2E/keys",
        "/console/./x", "/consolex", "/jobs", "", "console", " /console", "/console\n", "/console\t/", "/console/é",
        "javascript:alert(1)", "/console@evil.example", "/console.evil.example", "/console/session/start",
        "/console/session", "/console/<script>", "/console/" + "a" * 2_000,
    ],
)  # fmt: skip
def test_a_return_path_leads_nowhere_but_into_the_console(browser: httpx.Client, path: str) -> None:
    answer = browser.get(START, params={"return_to": path})
    assert kind(answer) == (422, "invalid-parameter")
    assert answer.json()["errors"][0]["field"] == "return_to"
    assert "location" not in answer.headers
    assert "evil" not in answer.text


@pytest.mark.parametrize(
    "path",
    ["/console", "/console/", "/console/jobs/x#input", "/console/jobs?tag=a%2Fb&next=//evil", "/console/a%2f%2fb"],
)
def test_a_path_of_the_console_is_kept(signed: System, browser: httpx.Client, path: str) -> None:
    answer = browser.get(back_from_provider(browser, return_to=path))
    assert answer.headers["Location"] == path
    target = urlsplit(urljoin("https://jobs.example/console/session/callback", path))
    assert target.hostname == "jobs.example"


def test_a_return_path_in_a_forged_cookie_is_checked_again(signed: System, browser: httpx.Client) -> None:
    callback = back_from_provider(browser)
    parts = cookie_of(browser).split(".")
    for forged in ("Ly9ldmlsLmV4YW1wbGU=", "L2pvYnM=", "!", ""):  # //evil.example, /jobs
        headers = {"Cookie": f"jobproc_sign_in={'.'.join([*parts[:3], forged])}"}
        answer = httpx.get(callback, headers=headers)
        assert kind(answer) == (400, "sign-in-expired")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": "x" * 43}, (400, "sign-in-expired")),
        ({"state": None}, (400, "sign-in-expired")),
        ({"state": "é"}, (400, "sign-in-expired")),
        ({"code": None}, (403, "sign-in-refused")),
        ({"code": "x"}, (403, "sign-in-refused")),
        ({"code": "x" * 5_000}, (403, "sign-in-refused")),
        ({"error": "access_denied"}, (403, "sign-in-refused")),
        ({"iss": "https://evil.example"}, (403, "sign-in-refused")),
    ],
    ids=str,
)
def test_a_forged_answer_begins_no_session(
    browser: httpx.Client, change: dict[str, str | None], expected: tuple[int, str]
) -> None:
    answer = browser.get(changed(back_from_provider(browser), **change))
    assert kind(answer) == expected
    assert not browser.cookies, "the sign-in has to begin again"
    assert "evil" not in answer.text


def test_the_answer_to_another_browser_begins_no_session(signed: System, browser: httpx.Client) -> None:
    """An attacker sends its own answer, so that the victim works in the attacker's account."""
    with browser_of(signed) as attacker:
        callback = back_from_provider(attacker)
    assert kind(browser.get(callback)) == (400, "sign-in-expired")
    back_from_provider(browser)
    assert kind(browser.get(callback)) == (400, "sign-in-expired")


def test_a_code_is_of_the_sign_in_that_asked_for_it(signed: System, browser: httpx.Client) -> None:
    """A stolen code in an answer with the right state has another verifier."""
    with browser_of(signed) as victim:
        stolen = parse_qs(urlsplit(back_from_provider(victim)).query)["code"][0]
    assert kind(browser.get(changed(back_from_provider(browser), code=stolen))) == (403, "sign-in-refused")


def test_a_code_is_of_use_once(browser: httpx.Client) -> None:
    callback = back_from_provider(browser)
    cookie = f"jobproc_sign_in={cookie_of(browser)}"
    assert browser.get(callback).status_code == 303
    again = httpx.get(callback, headers={"Cookie": cookie})
    assert kind(again) == (403, "sign-in-refused")


def test_an_id_token_of_another_sign_in_is_refused(signed: System, browser: httpx.Client) -> None:
    callback = back_from_provider(browser)
    state, _, verifier, path = cookie_of(browser).split(".")
    headers = {"Cookie": f"jobproc_sign_in={'.'.join([state, 'n' * 43, verifier, path])}"}
    answer = httpx.get(callback, headers=headers)
    assert kind(answer) == (403, "sign-in-refused")
    assert answer.json()["detail"] == "The ID token of the OpenID provider is of another sign-in."


def test_a_browser_is_shown_a_page(browser: httpx.Client) -> None:
    answer = browser.get(f"{CALLBACK}?state=x&code=%3Cscript%3E", headers=PAGE)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "The sign-in has to begin again" in answer.text
    assert "script" not in answer.text
    assert "default-src 'none'; style-src 'sha256-" in answer.headers["Content-Security-Policy"]
    assert '<a href="start">' in answer.text


def test_callbacks_are_limited_as_wrong_keys(signed: System, provider: OpenIdProvider, tmp_path: Path) -> None:
    limited = System(tmp_path, signed.database.url, f"{os.environ['JOBPROC_TESTS_REDIS']}/15")
    try:
        limited.api(**settings(limited, provider, JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="3"))
        statuses = []
        for _ in range(5):
            with browser_of(limited) as browser:
                statuses.append(browser.get(changed(back_from_provider(browser), code="x")).status_code)
        assert (statuses[0], statuses[-1]) == (403, 429)
    finally:
        limited.close()


def test_another_process_finishes_the_sign_in(signed: System, provider: OpenIdProvider, tmp_path: Path) -> None:
    other = System(tmp_path, signed.database.url, signed.env["REDIS_URL"])
    try:
        other.api(**settings(signed, provider))
        with browser_of(signed) as browser, browser_of(other) as elsewhere:
            query = urlsplit(back_from_provider(browser)).query
            elsewhere.cookies = browser.cookies
            assert elsewhere.get(f"{CALLBACK}?{query}").status_code == 303
            assert (
                signed.client.get(
                    "/me", headers={"Cookie": f"jobproc_session={elsewhere.cookies['jobproc_session']}"}
                ).json()["subject"]
                == "user:ada"
            )
    finally:
        other.close()


def test_under_a_prefix_everything_stays_below_it(signed: System, provider: OpenIdProvider, tmp_path: Path) -> None:
    prefixed = System(tmp_path, signed.database.url, signed.env["REDIS_URL"])
    url = f"http://127.0.0.1:{prefixed.port}/teams/jobs{CALLBACK}"
    try:
        prefixed.api(**settings(prefixed, provider, JOBPROC_ROOT_PATH="/teams/jobs", JOBPROC_OIDC_REDIRECT_URL=url))
        with browser_of(prefixed) as browser:
            for path in ("/console/jobs", "/teams/jobs/console/jobs"):
                start = browser.get(f"/teams/jobs{START}", params={"return_to": path})
                callback = httpx.get(start.headers["Location"]).headers["Location"]
                assert callback.startswith(f"{url}?")
                assert browser.get(callback).headers["Location"] == "/teams/jobs/console/jobs"
            assert browser.get("/teams/jobs/me").json()["subject"] == "user:ada"
    finally:
        prefixed.close()


def test_the_provider_may_be_away(signed: System, tmp_path: Path) -> None:
    own = OpenIdProvider()
    system = System(tmp_path, signed.database.url, signed.env["REDIS_URL"])
    try:
        system.api(**settings(system, own))
        with browser_of(system) as browser:
            assert browser.get(back_from_provider(browser)).status_code == 303
            late = back_from_provider(browser)
            own.close()
            until("the outage is noticed", lambda: browser.get(START).status_code == 503)
            page = browser.get(START, headers=PAGE)
            assert page.headers["content-type"].startswith("text/html")
            assert "The OpenID provider is unavailable" in page.text
            answer = browser.get(late)
            assert kind(answer) == (503, "issuer-unavailable")
            assert answer.headers["Retry-After"]
            assert browser.get("/me").json()["subject"] == "user:ada", "a session needs no provider"
        own = OpenIdProvider(own.port, own.keys)
        with browser_of(system) as browser:
            until("it is back", lambda: browser.get(START).status_code == 303)
            assert browser.get(back_from_provider(browser)).status_code == 303
    finally:
        system.close()
        own.close()


def test_a_provider_with_a_key_that_it_does_not_publish_signs_nobody_in(
    signed: System, browser: httpx.Client, provider: OpenIdProvider
) -> None:
    callback, published = back_from_provider(browser), provider.keys
    provider.keys = KeySet([new_signing_key("RS256", "first")])  # another key of the same name
    try:
        assert kind(browser.get(callback)) == (403, "sign-in-refused")
    finally:
        provider.keys = published


def test_a_session_of_the_provider_ends_without_the_provider(
    signed: System, browser: httpx.Client, tmp_path: Path
) -> None:
    """An operator who removes the provider from the settings signs out everybody who came from it."""
    assert browser.get(back_from_provider(browser)).status_code == 303
    without = System(tmp_path, signed.database.url, signed.env["REDIS_URL"], **REQUIRED)
    try:
        without.api()
        headers = {"Cookie": f"jobproc_session={browser.cookies['jobproc_session']}"}
        assert without.client.get("/me", headers=headers).status_code == 401
        for path in (START, CALLBACK):
            assert kind(without.client.get(path)) == (409, "sign-in-off")
    finally:
        without.close()


def test_without_authentication_the_start_leads_to_the_console(system: System) -> None:
    answer = system.api().client.get(START, params={"return_to": "/console/jobs"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/jobs")
    assert "set-cookie" not in answer.headers
    assert system.client.get(START, params={"return_to": "//evil.example"}).status_code == 422
