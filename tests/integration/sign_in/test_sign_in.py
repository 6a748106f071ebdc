"""Browsers that sign in at a conforming OpenID provider: there, back, as whom; prefixes, replicas, outage."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
from integration.sign_in.support.answers import (
    CALLBACK,
    PAGE,
    SCOPES,
    START,
    back_from_provider,
    kind,
    settings,
)
from rig.browsers import SESSION, browser_of, cookie_of
from rig.keys import REQUIRED, bearer
from rig.openid_provider import OpenIdProvider
from rig.sign_in import robot_token
from rig.system import System, until
from rig.tenants import new_tenant


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
    assert audited[-2:] == [("session.create", {"kind": "openid"}), ("session.end", {})]


def test_a_token_begins_no_session_that_would_outlive_it(
    signed: System, browser: httpx.Client, provider: OpenIdProvider
) -> None:
    new_tenant(signed.database, "acme")
    with httpx.Client(base_url=provider.url) as client:
        token = robot_token(client, "jobs:read")
    until("the tenant is known", lambda: browser.get("/jobs/", headers=bearer(token)).status_code == 200)
    assert kind(browser.post(SESSION, headers=bearer(token))) == (403, "session-needs-key")


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
        with browser_of(system) as browser, browser_of(system) as visitor:
            assert browser.get(back_from_provider(browser)).status_code == 303
            late = back_from_provider(browser)
            own.close()
            until("the outage is noticed", lambda: visitor.get(START).status_code == 503)
            page = visitor.get(START, headers=PAGE)
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
