"""The callers of hostile requests: of two tenants, with all scopes or few; and those that must be refused."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rig.issuer import Issuer, Key, part
from rig.keys import new_key
from rig.system import Database
from rig.tenants import new_tenant

from common.domain.tenancy.api_keys import ApiKeyToken
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import DEFAULT_TENANT

OTHER_TENANT = "hostile"
TOKEN_S = 3_600  # longer than a run
FEW_SCOPES = frozenset({Scope.JOBS_READ, Scope.QUEUES})
KEEPER_SCOPES = frozenset({Scope.KEYS, Scope.AUDIT})
TOKEN_SCOPES = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE})
RIGHTS = frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.JOBS_CANCEL, Scope.JOBS_PAYLOAD, Scope.BULK})


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request: its headers, and what the API must take it for."""

    name: str
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    tenant: int | None = None  #: None: it must be refused
    scopes: frozenset[Scope] = frozenset()
    waits_for_look: bool = False  #: True if the API looks whether its key has just been created

    @property
    def is_known(self) -> bool:
        """True if the API must take it for a tenant's."""
        return self.tenant is not None

    @property
    def may_submit(self) -> bool:
        """True if it may store jobs."""
        return Scope.JOBS_WRITE in self.scopes


class Callers:
    """A source of callers, half of them with every right."""

    def __init__(self, good: list[Caller], bad: list[Callable[[random.Random], Caller]]) -> None:
        """`good` are known to the API; `bad` make one that is not."""
        self._good, self._bad = good, bad

    @classmethod
    def create(cls, database: Database, issuer: Issuer, thief: Key) -> "Callers":
        """Store a second tenant and the keys of both. `thief` has the id of the issuer's key, and is another one."""
        other = new_tenant(database, OTHER_TENANT)
        token = new_key(database, RIGHTS)
        signed = issuer.token(scope=" ".join(TOKEN_SCOPES), exp=int(time.time()) + TOKEN_S)
        good = [
            Caller("owner", _bearer(token), DEFAULT_TENANT, RIGHTS),
            Caller("other tenant", _bearer(new_key(database, RIGHTS, other)), other, RIGHTS),
            Caller("few scopes", _bearer(new_key(database, FEW_SCOPES)), DEFAULT_TENANT, FEW_SCOPES),
            Caller("few scopes, other tenant", _bearer(new_key(database, FEW_SCOPES, other)), other, FEW_SCOPES),
            Caller("keeper of keys", _bearer(new_key(database, KEEPER_SCOPES, other)), other, KEEPER_SCOPES),
            Caller("signed token", _bearer(signed), DEFAULT_TENANT, TOKEN_SCOPES),
        ]
        expired = new_key(database, RIGHTS, expires_at="2026-01-01")
        revoked = new_key(database, RIGHTS, revoked_at="2026-01-01")
        forged = [
            f"{part({'alg': 'none'})}.{part(issuer.claims())}.",
            issuer.token(thief),
            issuer.token(exp=1),
            issuer.token(aud="another"),
            issuer.token(tenant="nobody"),
            issuer.token(tenant=["default", OTHER_TENANT]),
            issuer.token(header={"jku": issuer.url, "kid": "unknown"}),
            f"{part(b'[' * 5_000)}.{part({})}.AAAA",
            f"{part({'alg': 'RS256', 'kid': 'a'})}.{part({'exp': 10**400})}.{'A' * 300}",
            "..", "a.b.c", "eyJ.eyJ.", part(b"\xff") * 3,
        ]  # fmt: skip
        broken = [
            "", "jp_", token[:-1], token + "x", token.swapcase(), token[:16] + "A" * 43, f"jp__{'A' * 43}", expired,
            revoked, "\u00ff", "A" * 9_000, f'"{token}"', f"{token},{token}",
        ]  # fmt: skip
        schemes = ["Basic", "bearer,", "Token", "", "Bearer" * 100]

        def bad(name: str, headers: list[tuple[bytes, bytes]], *, waits: bool = False) -> Caller:
            return Caller(name, headers, waits_for_look=waits)

        return cls(good, [
            lambda _: bad("none", []),
            lambda chance: bad("wrong key", _bearer(chance.choice(broken))),
            lambda chance: bad("forged token", _bearer(chance.choice(forged))),
            lambda chance: bad("wrong scheme", [(b"Authorization", f"{chance.choice(schemes)} {token}".encode())]),
            lambda _: bad("two headers", _bearer(token) * 2),
            lambda _: bad("another header", [(b"X-API-Key", token.encode()), (b"Cookie", b"key=" + token.encode())]),
            lambda chance: bad("unknown key", _bearer(ApiKeyToken.generate().text), waits=True)
            if chance.random() < 0.1 else bad("none", []),
        ])  # fmt: skip

    def next(self, chance: random.Random) -> Caller:
        """Return the next caller."""
        if chance.random() < 0.5:
            return self._good[0]
        if chance.random() < 0.5:
            return chance.choice(self._good[1:])
        return chance.choice(self._bad)(chance)


def _bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", b"Bearer " + token.encode("latin-1"))]
