"""Keys and sessions while the database is away: those that a process knows are valid, others are not called wrong."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from rig.browsers import SESSION, browser_of, signed_in
from rig.databases import database
from rig.keys import REQUIRED, bearer, new_key
from rig.proxy import Proxy
from rig.system import System, until

from common.domain.tenancy.api_keys import ApiKeyToken

STORE_UNAVAILABLE = "urn:jobproc:problem:store-unavailable"


@pytest.fixture
def proxied(tmp_path: Path, redis_url: str) -> Iterator[tuple[System, Proxy]]:
    """Run an API that reaches PostgreSQL through a proxy."""
    with database() as url, Proxy(urlsplit(url).port or 5432) as proxy:
        system = System(tmp_path, url, redis_url)
        system.env["DATABASE_URL"] = url.replace(f":{proxy.target}/", f":{proxy.port}/")
        try:
            yield system.api(**REQUIRED), proxy
        finally:
            print("\n".join(system.show_logs()))
            system.close()


def test_a_key_that_cannot_be_looked_up_is_not_called_wrong(proxied: tuple[System, Proxy]) -> None:
    system, proxy = proxied
    known = bearer(new_key(system.database))
    assert system.client.get("/tenants", headers=known).status_code == 200
    proxy.refuse()
    new, wrong = bearer(new_key(system.database)), bearer(ApiKeyToken.generate().text)
    for headers in (new, wrong):
        answer = system.client.get("/tenants/default", headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (503, STORE_UNAVAILABLE)
    answer = system.client.post("/jobs/", headers=known, json={"operation": "noop", "data": ["x"]})
    assert answer.status_code == 422, "the known key is let in, and its body is read"
    proxy.heal()
    until("the new key is known", lambda: system.client.get("/tenants", headers=new).status_code == 200, 10)
    assert system.client.get("/tenants", headers=wrong).status_code == 401


def test_a_session_that_cannot_be_looked_up_is_not_called_ended(proxied: tuple[System, Proxy]) -> None:
    system, proxy = proxied
    with signed_in(system, new_key(system.database)) as browser, browser_of(system) as stranger:
        assert browser.get("/me").status_code == 200
        proxy.refuse()
        stranger.cookies.set("jobproc_session", "A" * 43, domain="127.0.0.1")
        answer = stranger.get("/me")
        assert (answer.status_code, answer.json()["type"]) == (503, STORE_UNAVAILABLE)
        # Longer than JOBPROC_KEY_REFRESH_SECONDS: the session is believed without a read.
        until("a read has failed", lambda: browser.get("/me") and system.events("api", "database_unavailable"))
        assert browser.get("/me").status_code == 200
        assert browser.delete(SESSION).status_code == 503, "it cannot be ended now"
        proxy.heal()
        until("the stranger is refused", lambda: stranger.get("/me").status_code == 401, 10)
        until("the browser signs out", lambda: browser.delete(SESSION).status_code == 204, 10)
