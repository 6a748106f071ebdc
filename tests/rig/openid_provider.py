"""A conforming OpenID provider: Authlib's grants over HTTP, with JWT access tokens (RFC 9068) and keys that rotate.

One person, ada, who agrees to everything that a client asks for.
"""

# ruff: noqa: ARG002 - the signatures are those of Authlib

import argparse
import os
import re
import threading
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify
from joserfc.jwk import ECKey, KeyParameters, KeySet, OKPKey, RSAKey
from werkzeug.serving import make_server

from rig.issuer import AUDIENCE, DISCOVERY, JWKS

ROBOT, ROBOT_SECRET, APP = "robot", "robot-secret", "app"
CONSOLE, CONSOLE_SECRET = "console", "console: secret/+"
REDIRECT = "http://127.0.0.1/callback"
_SCOPES = {"openid", "jobs:read", "jobs:write", "keys", "admin"}
_TENANTS = {ROBOT: "acme", APP: "default", CONSOLE: "default"}
_SECRETS = {ROBOT: ROBOT_SECRET, CONSOLE: CONSOLE_SECRET}
_CALLBACK = re.compile(r"https?://[^/?#]+/([a-z/]+/)?console/session/callback")


class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client: `robot` and `console` with a secret, or the public `app` of people."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.client_metadata = {"id_token_signed_response_alg": "RS256"}

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str:
        return REDIRECT

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(name for name in (scope or "").split() if name in _SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == REDIRECT or (self.client_id == CONSOLE and bool(_CALLBACK.fullmatch(redirect_uri)))

    def check_client_secret(self, client_secret: str) -> bool:
        return _SECRETS.get(self.client_id) == client_secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if self.client_id in _SECRETS else "none")

    def check_response_type(self, response_type: str) -> bool:
        return self.client_id != ROBOT and response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == ("client_credentials" if self.client_id == ROBOT else "authorization_code")


class Ada:
    """The person."""

    def get_user_id(self) -> str:
        return "ada"


class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib has no types
    """An authorization code, until it is used."""

    def __init__(self, request: Any) -> None:
        self.client_id: str = request.client.client_id
        self.user: Ada = request.user
        self.scope: str = request.payload.scope
        self.redirect_uri: str = request.payload.redirect_uri or REDIRECT
        self.nonce: str | None = request.payload.data.get("nonce")
        self.code_challenge = request.payload.data.get("code_challenge")
        self.code_challenge_method = request.payload.data.get("code_challenge_method")

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> None:
        return None

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class OpenIdProvider:
    """The provider at `url`, until it is closed. `keys` may be changed: the first one signs."""

    def __init__(
        self, port: int = 0, keys: KeySet | None = None, *, url: str = "", tls: tuple[str, str] | None = None
    ) -> None:
        """`url`: under which others reach it; empty: it is reached on this machine alone. `tls`: certificate, key."""
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
        self.keys = keys or KeySet([new_key("RS256", "first")])
        app = Flask("provider")
        host = "0.0.0.0" if url else "127.0.0.1"  # noqa: S104 - a pod is reached by its address
        self._server = make_server(host, port, app, threaded=True, ssl_context=tls)
        self.port = self._server.server_port
        self.url = url or f"http://127.0.0.1:{self.port}"
        self.key_reads = 0
        self._codes: dict[str, Code] = {}
        server = AuthorizationServer(app, {name: Client(name) for name in _TENANTS}.get, lambda *_: None)
        server.register_token_generator("default", self._tokens())
        server.register_grant(grants.ClientCredentialsGrant)
        server.register_grant(self._code_grant(), [CodeChallenge(required=True), self._open_id()])
        app.add_url_rule("/token", view_func=server.create_token_response, methods=["POST"], endpoint="token")
        app.add_url_rule("/authorize", view_func=lambda: _authorize(server), endpoint="authorize")
        app.add_url_rule(JWKS, view_func=self._published_keys, endpoint="jwks")
        app.add_url_rule(DISCOVERY, view_func=lambda: jsonify(self._metadata()), endpoint="discovery")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def _published_keys(self) -> Response:
        self.key_reads += 1
        return jsonify(self.keys.as_dict(private=False))

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url, "jwks_uri": self.url + JWKS, "token_endpoint": f"{self.url}/token",
            "authorization_endpoint": f"{self.url}/authorize", "response_types_supported": ["code"],
            "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        }  # fmt: skip

    def _tokens(self) -> JWTBearerTokenGenerator:
        provider = self

        class Tokens(JWTBearerTokenGenerator):  # type: ignore[misc]  # Authlib has no types
            @property
            def alg(self) -> str | None:
                return provider.keys.keys[0].alg

            @alg.setter
            def alg(self, value: str) -> None:
                pass  # that of the constructor

            def get_jwks(self) -> KeySet:
                return KeySet([provider.keys.keys[0]])

            def get_audiences(self, client: Client, user: Ada | None, scope: str) -> list[str]:
                return [AUDIENCE, client.client_id]

            def get_extra_claims(self, client: Client, grant_type: str, user: Ada | None, scope: str) -> dict[str, str]:
                return {"tenant": _TENANTS[client.client_id]}

        return Tokens(self.url, expires_generator=lambda *_: 300)

    def _code_grant(self) -> type[grants.AuthorizationCodeGrant]:
        codes = self._codes

        class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "none")

            def save_authorization_code(self, code: str, request: Any) -> None:
                codes[code] = Code(request)

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                found = codes.get(code)
                return found if found is not None and found.client_id == client.client_id else None

            def delete_authorization_code(self, authorization_code: Code) -> None:
                for code in [code for code, value in codes.items() if value is authorization_code]:
                    del codes[code]

            def authenticate_user(self, authorization_code: Code) -> Ada:
                return authorization_code.user

        return CodeGrant

    def _open_id(self) -> OpenIDCode:
        provider = self

        class OpenId(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
            def resolve_client_private_key(self, client: Client) -> KeySet:
                return KeySet([key for key in provider.keys.keys if key.alg == "RS256"])

            def get_client_claims(self, client: Client) -> dict[str, str]:
                return {"iss": provider.url}

            def exists_nonce(self, nonce: str, request: Any) -> bool:
                return False

            def generate_user_info(self, user: Ada, scope: str) -> UserInfo:
                return UserInfo(sub="ada", name="Ada Lovelace")

        return OpenId()

    def wait(self) -> None:
        """Wait until it is closed."""
        self._thread.join()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _authorize(server: AuthorizationServer) -> Response:
    grant = server.get_consent_grant(end_user=Ada())
    response: Response = server.create_authorization_response(grant_user=Ada(), grant=grant)
    return response


def new_key(algorithm: str, key_id: str) -> Any:
    """Return a key that signs by an algorithm."""
    parameters: KeyParameters = {"alg": algorithm, "use": "sig", "kid": key_id}
    match algorithm:
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", parameters)
        case "ES256":
            return ECKey.generate_key("P-256", parameters)
        case _:
            return RSAKey.generate_key(2_048, parameters)


def main() -> None:
    """Run the provider that the arguments describe."""
    parser = argparse.ArgumentParser(prog="python -m rig.openid_provider", description=__doc__, allow_abbrev=False)
    parser.add_argument("url", help="URL of the provider; it listens on the port of it")
    parser.add_argument("certificate", help="file with the certificate")
    parser.add_argument("key", help="file with the key of the certificate")
    asked = parser.parse_args()
    OpenIdProvider(urlsplit(asked.url).port or 443, url=asked.url, tls=(asked.certificate, asked.key)).wait()


if __name__ == "__main__":
    main()
