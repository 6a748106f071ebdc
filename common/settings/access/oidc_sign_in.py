"""Settings of the sign-in of browsers at the OpenID provider (authorization code with PKCE)."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from common.settings.access.oidc import checked_url, json_object
from common.settings.field_types import PREFIX, Secret, SettingsGroup

CALLBACK_PATH = "/console/session/callback"
#: Parameters of the request for sign-in that the API sets itself.
OWN_PARAMETERS = frozenset({
    "response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce", "code_challenge",
    "code_challenge_method", "request", "request_uri",
})  # fmt: skip


class OidcSignInSettings(SettingsGroup):
    """The API as a client of the OpenID provider."""

    oidc_client_id: str = Field(
        "",
        description="API: id of the client by which browsers sign in at the OpenID provider of JOBPROC_OIDC_ISSUER. "
        "Empty: they sign in with API keys alone.",
    )
    oidc_client_secret: Secret = Field(
        "", description="API: secret of that client. Empty: it is a public client, which has PKCE alone."
    )
    oidc_redirect_url: str = Field(
        "",
        description="API: URL at which browsers reach the API after the sign-in, as it is registered at the provider: "
        f"`https://jobs.example{CALLBACK_PATH}`. Required with JOBPROC_OIDC_CLIENT_ID.",
    )
    oidc_sign_in_scope: str = Field(
        "openid",
        description="API: scopes that a sign-in asks the provider for, with spaces, such as `openid profile "
        "jobs:read`; one of them is `openid`.",
    )
    oidc_sign_in_parameters: str = Field(
        "",
        description="API: further parameters of the request for sign-in, as a JSON object such as "
        '`{"audience": "https://jobproc.example/"}`.',
    )
    oidc_sign_in_seconds: Annotated[float, Field(ge=10, le=3_600)] = Field(
        600, description="API: longest time in seconds from the start of a sign-in to its return from the provider."
    )

    @field_validator("oidc_redirect_url")
    @classmethod
    def _check_redirect_url(cls, value: str) -> str:
        if not value:
            return value
        checked_url(value)
        if "?" in value or not urlsplit(value).path.endswith(CALLBACK_PATH):
            raise ValueError(f"must end with {CALLBACK_PATH}")
        return value

    @field_validator("oidc_sign_in_scope")
    @classmethod
    def _check_scope(cls, value: str) -> str:
        if "openid" not in value.split(" "):
            raise ValueError("must have openid")
        return value

    @field_validator("oidc_sign_in_parameters")
    @classmethod
    def _check_parameters(cls, value: str) -> str:
        parameters = json_object(value)
        if not all(isinstance(text, str) for text in parameters.values()):
            raise ValueError("each value must be a text")
        if own := sorted(OWN_PARAMETERS & parameters.keys()):
            raise ValueError(f"the API sets {', '.join(own)} itself")
        return value

    def oidc_sign_in_problems(self, issuer: str) -> list[str]:
        """Return what is wrong with these settings together. `issuer`: JOBPROC_OIDC_ISSUER."""
        if not self.oidc_client_id:
            return []
        problems = []
        if not issuer:
            problems.append(f"{PREFIX}OIDC_CLIENT_ID needs {PREFIX}OIDC_ISSUER")
        if not self.oidc_redirect_url:
            problems.append(f"{PREFIX}OIDC_REDIRECT_URL is required with {PREFIX}OIDC_CLIENT_ID")
        return problems

    @property
    def sign_in_parameters(self) -> dict[str, str]:
        """The parameters of `oidc_sign_in_parameters`."""
        return json_object(self.oidc_sign_in_parameters)
