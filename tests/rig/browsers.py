"""Browsers of a test, as HTTP clients: they keep cookies, and say who sends a request, as a page of the API does."""

import contextlib
from collections.abc import Iterator

import httpx

from rig.keys import bearer
from rig.system import System

SESSION = "/console/session"
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@contextlib.contextmanager
def browser_of(system: System, **headers: str) -> Iterator[httpx.Client]:
    """Yield a browser without a session, on a page of the API."""
    with httpx.Client(base_url=system.client.base_url, timeout=15, headers={**OWN_PAGE, **headers}) as browser:
        yield browser


@contextlib.contextmanager
def signed_in(system: System, key: str) -> Iterator[httpx.Client]:
    """Yield a browser that has signed in with an API key."""
    with browser_of(system) as browser:
        answer = browser.post(SESSION, headers=bearer(key))
        assert answer.status_code == 201, answer.text
        yield browser


def cookie_of(browser: httpx.Client) -> str:
    """Return the value of a browser's only cookie."""
    (cookie,) = browser.cookies.jar
    return str(cookie.value)
