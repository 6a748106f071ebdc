"""Console sessions: a browser signs in with an API key, has its scopes, and is refused after its end everywhere."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig.browsers import SESSION, browser_of, cookie_of, signed_in
from rig.keys import REQUIRED, bearer, new_key
from rig.system import System, until
from rig.tenants import new_tenant

from api.auth.access import TENANT_HEADER
from api.auth.directory import REVOKED_WITHIN_S
from common.domain.tenancy.scopes import Scope

JOB = {"operation": "square_sum", "data": [1]}


@pytest.fixture
def key(secured: System) -> str:
    return new_key(secured.database, [Scope.JOBS_READ, Scope.JOBS_WRITE], name="laptop")


@pytest.fixture
def browser(secured: System, key: str) -> Iterator[httpx.Client]:
    with signed_in(secured, key) as browser:
        yield browser


@pytest.fixture
def other(secured: System, tmp_path: Path) -> Iterator[System]:
    """Run another API process on the same database, which reads keys and sessions as seldom as by default."""
    other = System(tmp_path, secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    other.env["JOBPROC_KEY_REFRESH_SECONDS"] = "2"
    try:
        yield other.api()
    finally:
        other.close()


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def entries(system: System, action: str) -> list[tuple[Any, ...]]:
    return system.database.rows("SELECT subject, tenant, details FROM audit_entries WHERE action = %s", [action])


def moved(browser: httpx.Client, system: System) -> httpx.Client:
    """Return the same browser at another process, as behind a load balancer."""
    return httpx.Client(base_url=system.client.base_url, timeout=15, headers=browser.headers, cookies=browser.cookies)


def test_a_browser_signs_in_and_has_the_scopes_of_the_key(secured: System, key: str) -> None:
    with browser_of(secured) as browser:
        answer = browser.post(SESSION, headers=bearer(key))
        assert answer.status_code == 201
        assert answer.headers["Cache-Control"] == "no-store"
        name, _, attributes = answer.headers["Set-Cookie"].partition("=")
        assert name == "jobproc_session", "over plain http to a loopback address it cannot be Secure"
        assert attributes.partition("; ")[2] == "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"
        seen = browser.get("/me")
        assert seen.json() == answer.json()
        assert seen.headers["Cache-Control"] == "private, no-cache"
        caller = seen.json()
        assert (caller["subject"], caller["name"]) == (f"key:{key.split('_')[1]}", "laptop")
        assert (caller["session"]["kind"], caller["session"]["idle_seconds"]) == ("api_key", 3_600)
        assert browser.get("/jobs/").status_code == 200
        submitted = browser.post("/jobs/", json=JOB)
        assert submitted.status_code == 202
        assert problem(browser.get("/keys")) == (403, "scope-missing")
    stored = secured.database.value("SELECT submitted_by FROM jobs WHERE id = %s", [submitted.json()["job_id"]])
    assert stored == caller["subject"]


def test_the_cookie_has_nothing_of_the_key_and_the_database_nothing_of_the_cookie(
    secured: System, key: str, browser: httpx.Client
) -> None:
    secret = cookie_of(browser)
    assert not set(key.split("_")) & set(secret.split("_"))
    assert len(secret) == 43
    row = secured.database.value("SELECT s::text FROM console_sessions s ORDER BY created_at DESC LIMIT 1")
    assert secret not in row
    assert secret not in secured.log("api")
    assert secured.client.get("/jobs/", headers=bearer(secret)).status_code == 401, "a session is no key"


def test_sign_in_and_sign_out_are_audited(secured: System, key: str) -> None:
    subject = f"key:{key.split('_')[1]}"
    with signed_in(secured, key) as browser:
        assert (subject, 1, {"kind": "api_key"}) in entries(secured, "session.create")
        assert browser.delete(SESSION).status_code == 204
    assert (subject, 1, {}) in entries(secured, "session.end")


def test_a_browser_that_has_signed_out_is_refused_by_every_process(
    secured: System, browser: httpx.Client, other: System
) -> None:
    before = httpx.Cookies(browser.cookies)
    with moved(browser, other) as elsewhere:
        assert elsewhere.get("/jobs/").status_code == 200, "known at once, though it began elsewhere"
        assert browser.delete(SESSION).status_code == 204
        assert not browser.cookies
        browser.cookies = before
        assert problem(browser.get("/jobs/")) == (401, "unauthenticated")
        until("it is refused", lambda: elsewhere.get("/jobs/").status_code == 401, REVOKED_WITHIN_S, 0.1)
        assert elsewhere.get("/jobs/").json()["detail"] == "The session has ended; sign in again."


def test_a_session_ends_with_its_key(secured: System, browser: httpx.Client, key: str, other: System) -> None:
    with moved(browser, other) as elsewhere:
        assert elsewhere.get("/jobs/").status_code == 200
        owner = bearer(new_key(secured.database))
        secured.client.post(f"/keys/{key.split('_')[1]}/revoke", headers=owner).raise_for_status()
        assert problem(browser.get("/jobs/")) == (401, "unauthenticated")
        until("it is refused", lambda: elsewhere.get("/jobs/").status_code == 401, REVOKED_WITHIN_S, 0.1)


def test_a_restart_signs_nobody_out(secured: System, browser: httpx.Client) -> None:
    secured.end("api")
    secured.api(**REQUIRED)
    with moved(browser, secured) as again:
        assert again.get("/me").json()["session"]["kind"] == "api_key"


def test_a_session_does_not_outlive_its_key(secured: System) -> None:
    expires_at = secured.database.value("SELECT date_trunc('second', now() + interval '1 h')")
    with signed_in(secured, new_key(secured.database, expires_at=expires_at)) as browser:
        seen = browser.get("/me").json()["session"]["expires_at"]
    assert seen == expires_at.strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("column", "seconds"), [("expires_at", 1), ("used_at", -3_599)], ids=["its longest time", "its idle time"]
)
def test_a_session_ends_after(secured: System, browser: httpx.Client, column: str, seconds: int) -> None:
    session = secured.database.value("SELECT id FROM console_sessions ORDER BY created_at DESC LIMIT 1")
    secured.database.rows(
        f"UPDATE console_sessions SET {column} = clock_timestamp() + %s * interval '1 s' WHERE id = %s",
        (seconds, session),
    )
    if column == "used_at":  # a request is a use
        assert browser.get("/jobs/").status_code == 200
        is_used = "SELECT used_at > now() - interval '1 min' FROM console_sessions WHERE id = %s"
        until("its use is stored", lambda: browser.get("/jobs/") and secured.database.value(is_used, [session]))
        secured.database.rows(
            "UPDATE console_sessions SET used_at = clock_timestamp() - interval '1 h' WHERE id = %s", [session]
        )
    until("it is refused", lambda: browser.get("/jobs/").status_code == 401)
    with signed_in(secured, new_key(secured.database)):
        count = secured.database.value("SELECT count(*) FROM console_sessions WHERE id = %s", [session])
    assert count == 0, "the next sign-in of anybody deletes it"


def test_a_caller_has_a_largest_number_of_sessions(secured: System, key: str, tmp_path: Path) -> None:
    few = System(tmp_path, secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    try:
        few.api(JOBPROC_MAX_SESSIONS_PER_CALLER="2")
        with signed_in(few, key) as oldest, signed_in(few, key) as second, signed_in(few, key) as third:
            until("the oldest one has ended", lambda: oldest.get("/jobs/").status_code == 401)
            assert (second.get("/jobs/").status_code, third.get("/jobs/").status_code) == (200, 200)
    finally:
        few.close()


def test_a_session_begins_with_a_valid_key_alone(secured: System, browser: httpx.Client) -> None:
    with browser_of(secured) as stranger:
        assert problem(stranger.post(SESSION)) == (401, "unauthenticated")
        assert problem(stranger.post(SESSION, headers=bearer(f"jp_{'A' * 12}_{'B' * 43}"))) == (401, "unauthenticated")
        assert not stranger.cookies
    assert problem(browser.post(SESSION)) == (403, "session-needs-key"), "a session cannot prolong itself"


@pytest.mark.parametrize("cookie", ["", "x", "A" * 43, "A" * 42 + "!", "é" * 43, "A" * 5_000])
def test_a_wrong_cookie_is_no_session(secured: System, cookie: str) -> None:
    headers = [(b"Cookie", f"jobproc_session={cookie}".encode()), (b"Sec-Fetch-Site", b"same-origin")]
    assert problem(secured.client.get("/jobs/", headers=headers)) == (401, "unauthenticated")


def test_two_cookies_are_no_session(secured: System, browser: httpx.Client) -> None:
    secret = cookie_of(browser)
    for headers in (
        [(b"Cookie", f"jobproc_session={secret}; jobproc_session={secret}".encode())],
        [(b"Cookie", f"jobproc_session={secret}".encode())] * 2,
    ):
        assert secured.client.get("/jobs/", headers=headers).status_code == 401


def test_an_authorization_header_hides_the_cookie(secured: System, browser: httpx.Client) -> None:
    """A wrong key is refused, and a right one acts with its own scopes."""
    assert browser.get("/jobs/", headers=bearer(f"jp_{'A' * 12}_{'B' * 43}")).status_code == 401
    with_key = browser.get("/me", headers=bearer(new_key(secured.database, [Scope.AUDIT]))).json()
    assert (with_key["scopes"], with_key["session"]) == (["audit"], None)
    assert browser.delete(SESSION, headers=bearer(new_key(secured.database))).status_code == 204


def test_failed_sign_ins_are_limited_as_wrong_keys(secured: System, tmp_path: Path) -> None:
    limited = System(tmp_path, secured.database.url, f"{os.environ['JOBPROC_TESTS_REDIS']}/15", **REQUIRED)
    try:
        limited.api(JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE="3")
        key = new_key(secured.database)
        assert limited.client.get("/jobs/", headers=bearer(key)).status_code == 200
        wrong = bearer(f"jp_{'A' * 12}_{'B' * 43}")
        statuses = [limited.client.post(SESSION, headers=wrong).status_code for _ in range(5)]
        assert (statuses[0], statuses[-1]) == (401, 429)
        headers = {"Cookie": f"jobproc_session={'A' * 43}"}
        assert problem(limited.client.get("/jobs/", headers=headers)) == (429, "rate-limited")
        with signed_in(limited, key) as browser:
            assert browser.get("/jobs/").status_code == 200, "right credentials are let in all the same"
    finally:
        limited.close()


def test_a_session_is_of_the_tenant_of_its_key(secured: System) -> None:
    tenant = new_tenant(secured.database, "of-a-session")
    scopes = set(Scope) - {Scope.ADMIN}
    job_id = secured.client.post("/jobs/", json=JOB, headers=bearer(new_key(secured.database))).json()["job_id"]
    with signed_in(secured, new_key(secured.database, scopes, tenant)) as browser:
        assert browser.get(f"/jobs/{job_id}").status_code == 404
        assert browser.get("/me").json()["tenant"] == "of-a-session"
        assert browser.get("/jobs/", headers={TENANT_HEADER: "default"}).status_code == 403
        secured.database.rows("UPDATE tenants SET state = 'SUSPENDED' WHERE id = %s", [tenant])
        until("it is refused", lambda: browser.get("/me").status_code == 403)
        assert problem(browser.get("/me")) == (403, "tenant-suspended")


def test_an_operator_signs_in_for_the_own_tenant_and_acts_for_others(secured: System) -> None:
    new_tenant(secured.database, "operated")
    with browser_of(secured) as browser:
        headers = {**bearer(new_key(secured.database, [Scope.ADMIN])), TENANT_HEADER: "operated"}
        assert browser.post(SESSION, headers=headers).json()["tenant"] == "default"
        assert browser.get("/me", headers={TENANT_HEADER: "operated"}).json()["tenant"] == "operated"


def test_the_sessions_of_a_removed_tenant_are_deleted(secured: System) -> None:
    tenant = new_tenant(secured.database, "removed-with-sessions")
    with signed_in(secured, new_key(secured.database, [Scope.JOBS_READ], tenant)):
        owner = bearer(new_key(secured.database))
        secured.client.post("/tenants/removed-with-sessions/remove", headers=owner).raise_for_status()
        secured.database.rows("UPDATE tenants SET changed_at = now() - interval '1 h' WHERE id = %s", [tenant])
        count = "SELECT count(*) FROM console_sessions WHERE tenant = %s"
        until("they are deleted", lambda: secured.database.value(count, [tenant]) == 0)


def test_the_ways_to_sign_in_are_public(secured: System) -> None:
    assert secured.client.get(SESSION).json() == {"required": True, "ways": ["api_key"]}


def test_nobody_needs_to_sign_in_without_authentication(system: System) -> None:
    system.api()
    with browser_of(system) as browser:
        assert browser.get(SESSION).json() == {"required": False, "ways": []}
        for method in ("POST", "DELETE"):
            assert browser.request(method, SESSION).status_code == 204
        assert not browser.cookies
        caller = browser.get("/me").json()
    assert (caller["subject"], caller["session"], caller["name"]) == (None, None, None)


def test_the_operator_may_switch_sign_in_off(secured: System, browser: httpx.Client, key: str, tmp_path: Path) -> None:
    without = System(tmp_path, secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    try:
        without.api(JOBPROC_CONSOLE_SIGN_IN="false")
        with moved(browser, without) as elsewhere:
            assert elsewhere.get("/jobs/").status_code == 401
            assert problem(elsewhere.post(SESSION, headers=bearer(key))) == (409, "sign-in-off")
        assert without.client.get(SESSION).json() == {"required": True, "ways": []}
    finally:
        without.close()
