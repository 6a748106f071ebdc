"""A conforming OpenID provider: Authlib's grants over HTTP, with JWT access tokens (RFC 9068) and keys that rotate.

One person, ada, who agrees to everything that a client asks for.
"""

# ruff: noqa: ARG002 - the signatures are those of Authlib

import os
import threading
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from flask import Flask, Response, jsonify
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey
from werkzeug.serving import make_server

from rig.issuer import AUDIENCE, DISCOVERY, JWKS

ROBOT, ROBOT_SECRET, APP = "robot", "robot-secret", "app"
REDIRECT = "http://127.0.0.1/callback"
_SCOPES = {"openid", "jobs:read", "jobs:write", "keys", "admin"}
_TENANTS = {ROBOT: "acme", APP: "default"}


class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """A client: `robot` with a secret, or the public `app` of people."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.client_metadata = {"id_token_signed_response_alg": "RS256"}

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return REDIRECT

    def get_allowed_scope(self, scope):
        return " ".join(name for name in (scope or "").split() if name in _SCOPES)

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == REDIRECT

    def check_client_secret(self, client_secret):
        return self.client_id == ROBOT and client_secret == ROBOT_SECRET

    def check_endpoint_auth_method(self, method, endpoint):
        return method == ("client_secret_basic" if self.client_id == ROBOT else "none")

    def check_response_type(self, response_type):
        return self.client_id == APP and response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type == ("client_credentials" if self.client_id == ROBOT else "authorization_code")


class Ada:
    """The person."""

    def get_user_id(self):
        return "ada"


class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib has no types
    """An authorization code, until it is used."""

    def __init__(self, request: Any) -> None:
        self.client_id, self.user = request.client.client_id, request.user
        self.scope = request.payload.scope
        self.code_challenge = request.payload.data.get("code_challenge")
        self.code_challenge_method = request.payload.data.get("code_challenge_method")

    def get_redirect_uri(self):
        return REDIRECT

    def get_scope(self):
        return self.scope

    def get_nonce(self):
        return None

    def get_auth_time(self):
        return None

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class OpenIdProvider:
    """The provider at `url`, until it is closed. `keys` may be changed: the first one signs."""

    def __init__(self, port: int = 0, keys: KeySet | None = None) -> None:
        os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
        self.keys = keys or KeySet([new_key("RS256", "first")])
        app = Flask("provider")
        self._server = make_server("127.0.0.1", port, app, threaded=True)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._codes: dict[str, Code] = {}
        server = AuthorizationServer(app, {name: Client(name) for name in _TENANTS}.get, lambda *_: None)
        server.register_token_generator("default", self._tokens())
        server.register_grant(grants.ClientCredentialsGrant)
        server.register_grant(self._code_grant(), [CodeChallenge(required=True), self._open_id()])
        app.add_url_rule("/token", view_func=server.create_token_response, methods=["POST"], endpoint="token")
        app.add_url_rule("/authorize", view_func=lambda: _authorize(server), endpoint="authorize")
        app.add_url_rule(JWKS, view_func=lambda: jsonify(self.keys.as_dict(private=False)), endpoint="jwks")
        app.add_url_rule(DISCOVERY, view_func=lambda: jsonify(self._metadata()), endpoint="discovery")
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

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
            def alg(self):
                return provider.keys.keys[0].alg

            @alg.setter
            def alg(self, value):
                pass  # that of the constructor

            def get_jwks(self):
                return KeySet([provider.keys.keys[0]])

            def get_audiences(self, client, user, scope):
                return [AUDIENCE, client.client_id]

            def get_extra_claims(self, client, grant_type, user, scope):
                return {"tenant": _TENANTS[client.client_id]}

        return Tokens(self.url, expires_generator=lambda *_: 300)

    def _code_grant(self) -> type[grants.AuthorizationCodeGrant]:
        codes = self._codes

        class CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
            TOKEN_ENDPOINT_AUTH_METHODS = ("none",)

            def save_authorization_code(self, code, request):
                codes[code] = Code(request)

            def query_authorization_code(self, code, client):
                found = codes.get(code)
                return found if found is not None and found.client_id == client.client_id else None

            def delete_authorization_code(self, authorization_code):
                for code in [code for code, value in codes.items() if value is authorization_code]:
                    del codes[code]

            def authenticate_user(self, authorization_code):
                return authorization_code.user

        return CodeGrant

    def _open_id(self) -> OpenIDCode:
        provider = self

        class OpenId(OpenIDCode):  # type: ignore[misc]  # Authlib has no types
            def resolve_client_private_key(self, client):
                return KeySet([key for key in provider.keys.keys if key.alg == "RS256"])

            def get_client_claims(self, client):
                return {"iss": provider.url}

            def exists_nonce(self, nonce, request):
                return False

            def generate_user_info(self, user, scope):
                return UserInfo(sub="ada")

        return OpenId()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _authorize(server: AuthorizationServer) -> Response:
    return server.create_authorization_response(grant_user=Ada(), grant=server.get_consent_grant(end_user=Ada()))


def new_key(algorithm: str, key_id: str) -> Any:
    """Return a key that signs by an algorithm."""
    parameters = {"alg": algorithm, "use": "sig", "kid": key_id}
    match algorithm:
        case "EdDSA":
            return OKPKey.generate_key("Ed25519", parameters)
        case "ES256":
            return ECKey.generate_key("P-256", parameters)
        case _:
            return RSAKey.generate_key(2_048, parameters)
