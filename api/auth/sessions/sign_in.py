"""A sign-in at the OpenID provider while it is in progress."""

import hashlib
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from api.auth.principal import Principal
from api.auth.sessions.return_path import checked_return_path

_RANDOM_BYTES = 32


class SignIn(NamedTuple):
    """A sign-in in progress. Its browser keeps it in a cookie, so any process may go on with it."""

    state: str
    nonce: str
    verifier: str
    return_path: str

    @classmethod
    def new(cls, return_path: str) -> "SignIn":
        """Return a new one, which will lead to a path of the console."""
        state, nonce, verifier = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        return cls(state, nonce, verifier, return_path)

    @classmethod
    def parse(cls, text: str) -> "SignIn | None":
        """Return the sign-in that a cookie has; None: it has none."""
        try:
            state, nonce, verifier, path = text.split(".")
            return_path = checked_return_path(urlsafe_b64decode(path.encode("ascii")).decode("ascii"), root="")
            return cls(state, nonce, verifier, return_path)
        except ValueError:  # of base64 and Unicode too
            return None

    @property
    def text(self) -> str:
        """The value of its cookie."""
        return ".".join([self.state, self.nonce, self.verifier, urlsafe_b64encode(self.return_path.encode()).decode()])

    @property
    def challenge(self) -> str:
        """The code challenge of PKCE (RFC 7636), by S256."""
        return urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()


class PersonSignIn(Protocol):
    """Sends browsers to the OpenID provider, and finds out who has signed in there."""

    is_secure: bool  #: browsers come back by https

    async def url(self, sign_in: SignIn) -> str:
        """Return the URL at which a browser signs in. Raises ProblemError if the provider is away."""

    def check_answer(self, answer: Mapping[str, str]) -> str:
        """Return the code in the query with which a browser comes back. Raises ProblemError if it was refused."""

    async def caller(self, sign_in: SignIn, code: str) -> Principal:
        """Return who has signed in. Raises ProblemError."""

    async def close(self) -> None:
        """End what is in progress."""
