"""Answers that somebody forges, steals or repeats, and paths that lead elsewhere: none begins a session."""

import os
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from integration.sign_in.support.answers import (
    CALLBACK,
    PAGE,
    START,
    back_from_provider,
    changed,
    kind,
    settings,
)
from joserfc.jwk import KeySet
from rig.browsers import browser_of, cookie_of
from rig.openid_provider import OpenIdProvider
from rig.openid_provider import new_key as new_signing_key
from rig.system import System


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


def test_a_provider_with_a_key_that_it_does_not_publish_signs_nobody_in(
    signed: System, browser: httpx.Client, provider: OpenIdProvider
) -> None:
    callback, published = back_from_provider(browser), provider.keys
    provider.keys = KeySet([new_signing_key("RS256", "first")])  # another key of the same name
    try:
        assert kind(browser.get(callback)) == (403, "sign-in-refused")
    finally:
        provider.keys = published
