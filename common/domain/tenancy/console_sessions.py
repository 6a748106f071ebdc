"""Console sessions: browsers that have signed in."""

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from common.domain.tenancy.api_keys import random_text
from common.domain.tenancy.scopes import Scope

SECRET_CHARACTERS = 43  # of 62 different ones: 256 bits
_FORM = re.compile(rf"[0-9A-Za-z]{{{SECRET_CHARACTERS}}}")


class SessionKind(StrEnum):
    """The credential with which a session began."""

    API_KEY = "api_key"
    OPENID = "openid"


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """A session as it is stored, without the digest of its secret."""

    id: UUID
    tenant: int
    subject: str  #: `key:` and the id of its API key, or the subject of a token
    expires_at: datetime
    key_id: str | None = None  #: of its API key, whose scopes it has; None: an OpenID provider has signed in
    scopes: frozenset[Scope] = frozenset()  #: those at the sign-in at an OpenID provider
    name: str | None = None  #: of the person, as the provider calls it

    @property
    def kind(self) -> SessionKind:
        """The credential with which it began."""
        return SessionKind.OPENID if self.key_id is None else SessionKind.API_KEY


def new_secret() -> str:
    """Return the secret of a new session: 256 bits of chance from the operating system. It is never stored."""
    return random_text(SECRET_CHARACTERS)


def session_digest(secret: str) -> bytes | None:
    """Return the stored digest of a secret; None if a text cannot be one. A slow hash would protect nothing more."""
    return hashlib.sha256(secret.encode("ascii")).digest() if _FORM.fullmatch(secret) else None
