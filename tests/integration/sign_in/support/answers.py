"""Browsers on their way to the OpenID provider and back."""

from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from rig.browsers import SESSION
from rig.issuer import AUDIENCE
from rig.keys import REQUIRED
from rig.openid_provider import CONSOLE, CONSOLE_SECRET, OpenIdProvider
from rig.system import System

START, CALLBACK = f"{SESSION}/start", f"{SESSION}/callback"
SCOPES = "openid jobs:read jobs:write"
PAGE = {"Accept": "text/html", "Sec-Fetch-Site": "cross-site"}  # as a browser visits an address from elsewhere


def settings(system: System, provider: OpenIdProvider, **others: str) -> dict[str, str]:
    """Return the settings of an API whose browsers sign in at a provider."""
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
    """Return the status and the kind of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]
