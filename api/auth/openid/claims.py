"""The claims of a token, as far as they say who calls, for which tenant, and what it may do."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from api.auth.access import InvalidToken
from common.domain.tenancy.scopes import Scope
from common.settings import Settings

SUBJECT_PREFIX = "user:"
MAX_SUBJECT_CHARACTERS = 255
MAX_SCOPES = 1_000  # values in the claims of one token
_TIMES = ("exp", "nbf", "iat")
_LATEST = 253_402_300_800  # the year 10000 in Unix seconds

Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller that a token names."""

    subject: str
    tenant_name: str
    scopes: frozenset[Scope]


def check_types(claims: Claims) -> None:
    """Raise InvalidToken if a claim has another type than the standard says: the library would convert some."""
    for name in _TIMES:
        value = claims.get(name, 0)
        if type(value) not in (int, float) or not 0 <= value < _LATEST:  # NaN is neither
            raise InvalidToken(f"The claim {name} of the token must be a number of seconds.")
    if "cnf" in claims:
        raise InvalidToken("The token is bound to a key (claim cnf), which the API does not check.")


class ClaimReader:
    """Reads the caller from the claims of a verified token, as the settings say."""

    def __init__(self, settings: Settings) -> None:
        self._subject_claim = settings.oidc_subject_claim
        self._tenant_claim = settings.oidc_tenant_claim
        self._tenants = settings.tenant_by_value
        self._default_tenant = settings.oidc_default_tenant
        self._scopes_claims = settings.scopes_claims
        self._scopes = settings.scopes_by_value
        self._default_scopes = settings.default_scopes

    def caller(self, claims: Claims) -> Caller:
        """Return the caller. Raises InvalidToken."""
        subject = find(claims, self._subject_claim)
        if not isinstance(subject, str) or not _is_name(subject):
            raise InvalidToken("The token has no subject, or one that is no printable text of up to 250 characters.")
        return Caller(SUBJECT_PREFIX + subject, self._tenant(claims), self._granted(claims))

    def _tenant(self, claims: Claims) -> str:
        value = find(claims, self._tenant_claim) if self._tenant_claim else None
        if value is None:
            if not self._default_tenant:
                raise InvalidToken("The token has no tenant.")
            return self._default_tenant
        if not self._tenants:
            if not isinstance(value, str):
                raise InvalidToken("The tenant of the token must be a text.")
            return value
        values = [value] if isinstance(value, str) else value
        if not _is_texts(values):
            raise InvalidToken("The tenant of the token must be a text or a list of texts.")
        found = {self._tenants[text] for text in values if text in self._tenants}
        if len(found) != 1:
            raise InvalidToken("The token belongs to no tenant, or to more than one.")
        return found.pop()

    def _granted(self, claims: Claims) -> frozenset[Scope]:
        values = [value for name in self._scopes_claims if (value := find(claims, name)) is not None]
        if not values:
            return self._default_scopes
        return frozenset(scope for value in values for text in _texts(value) for scope in self._scopes.get(text, ()))


def find(claims: Claims, name: str) -> Any:
    """Return a claim by its name, or else by its path, in which dots lead into objects; None: there is none."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _texts(value: Any) -> Iterable[str]:
    texts = value.split(" ") if isinstance(value, str) else value
    if not _is_texts(texts):
        raise InvalidToken("The scopes of the token must be a text with spaces, or a list of texts.")
    return texts


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_SCOPES and all(isinstance(item, str) for item in value)


def _is_name(subject: str) -> bool:
    return 0 < len(subject) <= MAX_SUBJECT_CHARACTERS - len(SUBJECT_PREFIX) and subject.isprintable()
