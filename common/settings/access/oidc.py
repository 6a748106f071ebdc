"""Settings of sign-in with tokens of an OpenID provider (OIDC)."""

import json
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from common.domain.tenancy.scopes import Scope, parsed_scopes
from common.domain.tenancy.tenants import is_tenant_name
from common.server_urls.addresses import is_loopback
from common.settings.field_types import PREFIX, Seconds, SettingsGroup

#: Those of RFC 7518 and 8037 with a public key. HMAC and `none` can never be set.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
DISCOVERY_PATH = "/.well-known/openid-configuration"  # of an issuer


def checked_url(text: str) -> str:
    """Return a URL from which keys may be read. Raises ValueError for another text."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("must be a URL such as https://id.example/realms/acme") from error
    if parts.scheme not in ("http", "https") or not host or not text.isascii() or any(c <= " " for c in text):
        raise ValueError("must be a URL such as https://id.example/realms/acme")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("must begin with https://, unless the host is a loopback address")
    if parts.username is not None or parts.fragment:
        raise ValueError("must have neither a user nor a fragment")
    return text


class OidcSettings(SettingsGroup):
    """The OpenID provider whose tokens the API accepts, and what their claims mean."""

    oidc_issuer: str = Field(
        "",
        description="API: URL of the OpenID provider whose tokens are accepted beside API keys, exactly as in the "
        "claim `iss`, such as `https://id.example/realms/acme`. Empty: API keys alone.",
    )
    oidc_audiences: str = Field(
        "",
        description="API: comma-separated audiences, one of which the claim `aud` of a token must have. Required with "
        "JOBPROC_OIDC_ISSUER.",
    )
    oidc_algorithms: str = Field(
        "RS256,ES256,EdDSA",
        description=f"API: comma-separated algorithms with which tokens may be signed, of {', '.join(ALGORITHMS)}.",
    )
    oidc_leeway_seconds: Annotated[float, Field(ge=0, le=300)] = Field(
        30, description="API: largest difference in seconds between its clock and the provider's."
    )
    oidc_max_token_seconds: Seconds = Field(
        86_400, description="API: longest time in seconds until a token expires; one that lasts longer is refused."
    )
    oidc_jwks_url: str = Field(
        "",
        description="API: URL of the provider's keys (JWKS). Empty: it is read from the provider's discovery document.",
    )
    oidc_jwks_cache_seconds: Seconds = Field(
        600, description="API: interval in seconds at which a process that is called reads the provider's keys anew."
    )
    oidc_jwks_min_interval_seconds: Seconds = Field(
        10,
        description="API: shortest time in seconds between two reads of the provider's keys, because a token names an "
        "unknown one or because a read has failed.",
    )
    oidc_jwks_outage_seconds: Seconds = Field(
        86_400,
        description="API: time in seconds for which the keys that a process knows stay valid while the provider is "
        "away; then requests with tokens get 503.",
    )
    oidc_fetch_timeout_seconds: Annotated[float, Field(ge=0.1, le=60)] = Field(
        5, description="API: longest time in seconds for a document of the provider to arrive."
    )
    oidc_ca_file: str = Field(
        "",
        description="API: file with the certificates (PEM) of the authorities that may certify the provider. "
        "Empty: those of the system.",
    )
    oidc_subject_claim: str = Field(
        "sub", min_length=1, description="API: claim with the subject of a token, such as `sub` or `client_id`."
    )
    oidc_tenant_claim: str = Field(
        "tenant",
        description="API: claim with the tenant of a token: its name, or values of JOBPROC_OIDC_TENANT_MAPPING. Dots "
        "lead into objects. Empty: every token is of JOBPROC_OIDC_DEFAULT_TENANT.",
    )
    oidc_tenant_mapping: str = Field(
        "",
        description='API: names of tenants by values of the claim, as a JSON object such as `{"group-acme": "acme"}`; '
        "a token needs exactly one of the tenants. Empty: the claim has the name.",
    )
    oidc_default_tenant: str = Field(
        "", description="API: name of the tenant of tokens without the claim. Empty: they are refused."
    )
    oidc_scopes_claims: str = Field(
        "scope",
        description="API: comma-separated claims with the scopes of a token, each a text with spaces or a list, such "
        "as `scp,roles` or `realm_access.roles`. Dots lead into objects.",
    )
    oidc_scopes_mapping: str = Field(
        "",
        description="API: scopes by values of the claims, as a JSON object such as "
        '`{"job-operators": ["jobs:read", "bulk"]}`; other values count for nothing. Empty: the values are scopes, '
        "except `admin`, which only a mapping gives.",
    )
    oidc_default_scopes: str = Field(
        "",
        description="API: comma-separated scopes of tokens without any of the claims, never `admin`. Empty: none, so "
        "they may do nothing.",
    )

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _check_url(cls, value: str, info: ValidationInfo) -> str:
        if value and info.field_name == "oidc_issuer" and "?" in value:
            raise ValueError("must have no query")
        return checked_url(value) if value else value

    @field_validator("oidc_algorithms")
    @classmethod
    def _check_algorithms(cls, value: str) -> str:
        algorithms = _items(value)
        if not algorithms or not set(algorithms) <= set(ALGORITHMS):
            raise ValueError(f"must be one or more of {', '.join(ALGORITHMS)}")
        return value

    @field_validator("oidc_default_tenant")
    @classmethod
    def _check_tenant(cls, value: str) -> str:
        if value and not is_tenant_name(value):
            raise ValueError("must be the name of a tenant")
        return value

    @field_validator("oidc_tenant_mapping")
    @classmethod
    def _check_tenant_mapping(cls, value: str) -> str:
        for tenant in json_object(value).values():
            if not isinstance(tenant, str) or not is_tenant_name(tenant):
                raise ValueError("each value must be the name of a tenant")
        return value

    @field_validator("oidc_scopes_mapping")
    @classmethod
    def _check_scopes_mapping(cls, value: str) -> str:
        for scopes in json_object(value).values():
            if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
                raise ValueError("each value must be a list of scopes")
            parsed_scopes(scopes)
        return value

    @field_validator("oidc_default_scopes")
    @classmethod
    def _check_scopes(cls, value: str) -> str:
        if Scope.ADMIN in parsed_scopes(_items(value)):
            raise ValueError("admin cannot be a default; map a value of a claim to it")
        return value

    def oidc_problems(self) -> list[str]:
        """Return what is wrong with these settings together."""
        if not self.oidc_issuer:
            return []
        problems = []
        if not self.audiences:
            problems.append(f"{PREFIX}OIDC_AUDIENCES is required with {PREFIX}OIDC_ISSUER")
        if not self.oidc_tenant_claim and not self.oidc_default_tenant:
            problems.append(f"{PREFIX}OIDC_DEFAULT_TENANT is required where {PREFIX}OIDC_TENANT_CLAIM is empty")
        return problems

    @property
    def audiences(self) -> list[str]:
        """The audiences of `oidc_audiences`."""
        return _items(self.oidc_audiences)

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms of `oidc_algorithms`."""
        return frozenset(_items(self.oidc_algorithms))

    @property
    def scopes_claims(self) -> list[str]:
        """The claims of `oidc_scopes_claims`."""
        return _items(self.oidc_scopes_claims)

    @property
    def tenant_by_value(self) -> dict[str, str]:
        """The mapping of `oidc_tenant_mapping`; empty: the claim has the name."""
        return json_object(self.oidc_tenant_mapping)

    @property
    def scopes_by_value(self) -> dict[str, frozenset[Scope]]:
        """The scopes that each value of the claims gives."""
        if not self.oidc_scopes_mapping:
            return {scope.value: frozenset({scope}) for scope in Scope if scope is not Scope.ADMIN}
        return {value: parsed_scopes(scopes) for value, scopes in json_object(self.oidc_scopes_mapping).items()}

    @property
    def default_scopes(self) -> frozenset[Scope]:
        """The scopes of `oidc_default_scopes`."""
        return parsed_scopes(_items(self.oidc_default_scopes))


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object of a text, an empty one of an empty text. Raises ValueError for another text."""
    try:
        value = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise ValueError(f"must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - Pydantic reports ValueError
    return value
