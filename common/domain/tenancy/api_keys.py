"""API keys: their form, and what is stored of them."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from common.domain.tenancy.scopes import Scope

PREFIX = "jp_"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_CHARACTERS = 12
SECRET_CHARACTERS = 43  # of 62 different ones: 256 bits
_FORM = re.compile(f"{PREFIX}([0-9A-Za-z]{{{ID_CHARACTERS}}})_([0-9A-Za-z]{{{SECRET_CHARACTERS}}})")


@dataclass(frozen=True, slots=True)
class ApiKeyToken:
    """The text with which a client authenticates: `jp_`, the public id of the key, `_`, its secret."""

    id: str
    secret: str

    @classmethod
    def generate(cls) -> "ApiKeyToken":
        """Return a new token with 256 bits of chance from the operating system."""
        return cls(random_text(ID_CHARACTERS), random_text(SECRET_CHARACTERS))

    @classmethod
    def parse(cls, text: str) -> "ApiKeyToken | None":
        """Return the token that a text is, None if it is none."""
        form = _FORM.fullmatch(text)
        return None if form is None else cls(form[1], form[2])

    @property
    def text(self) -> str:
        """The whole token. It is shown once and never stored."""
        return f"{PREFIX}{self.id}_{self.secret}"

    @property
    def digest(self) -> bytes:
        """The stored digest of the secret. It has 256 bits, so a slow hash would protect nothing more."""
        return digest_of(self.secret)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it is stored."""

    id: str
    tenant: int
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    created_at: datetime
    expires_at: datetime | None = None  #: None: never
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None  #: within a minute; None: not yet
    created_by: str = ""  #: the subject that created it


def digest_of(secret: str) -> bytes:
    """Return the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def random_text(characters: int) -> str:
    """Return letters and digits by chance from the operating system."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))
