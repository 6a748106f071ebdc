"""Sign-in at the OpenID provider of the tests: as a client with a secret, and as a person."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx

from rig.openid_provider import APP, REDIRECT, ROBOT, ROBOT_SECRET


def robot_token(provider: httpx.Client, scope: str = "jobs:read jobs:write") -> str:
    """Sign in by client credentials."""
    form = {"grant_type": "client_credentials", "scope": scope}
    answer = provider.post("/token", auth=(ROBOT, ROBOT_SECRET), data=form)
    return str(answer.raise_for_status().json()["access_token"])


def person_tokens(provider: httpx.Client, scope: str) -> dict[str, str]:
    """Sign in as a person, by an authorization code with PKCE; a wrong verifier is refused."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    question = {
        "response_type": "code", "client_id": APP, "redirect_uri": REDIRECT, "scope": scope, "state": "s",
        "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    answer = provider.get("/authorize", params=question)
    code = parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0]
    form = {"grant_type": "authorization_code", "client_id": APP, "redirect_uri": REDIRECT, "code": code}
    refused = provider.post("/token", data={**form, "code_verifier": "x" * 43})
    assert refused.status_code == 400, refused.text
    return dict(provider.post("/token", data={**form, "code_verifier": verifier}).raise_for_status().json())
