"""The API keys of a run: each tenant's clients use its newest one, while keys are rotated and revoked."""

import math
from contextlib import suppress
from dataclasses import dataclass

import psycopg2
from rig.keys import new_key
from rig.system import Database
from rig.tenants import CLIENT_SCOPES

from faults.history import now_s

_REVOKE = """
UPDATE api_keys SET revoked_at = clock_timestamp(), changed_in = pg_current_xact_id()::text::bigint
WHERE id = %s AND revoked_at IS NULL
"""


@dataclass(slots=True)
class KeyLife:
    """When an API key was valid; times are of the harness's clock."""

    tenant: int
    valid_until_s: float = math.inf  #: until then it was valid for certain
    ended_s: float = math.inf  #: from then on it had ended for certain
    expires_after_s: float = (
        math.inf
    )  #: when it got the time of its end, which wrong clocks move; infinite: it has none


def key_id(token: str) -> str:
    """Return the public id of a key."""
    return token.split("_")[1]


class KeyRing:
    """The API keys of one tenant. One thread changes them; clients of any thread read `current`."""

    def __init__(self, tenant: int, database_url: str) -> None:
        """Store the first key."""
        self.lives: dict[str, KeyLife] = {}  #: by key id
        self.ended: list[str] = []  #: tokens of keys that have ended, or end soon
        self._tenant = tenant
        self._database = Database(database_url)
        self.current = new_key(self._database, CLIENT_SCOPES, tenant)  #: the token that clients use
        self.lives[key_id(self.current)] = KeyLife(tenant)

    def adopt(self, token: str) -> str:
        """Let clients use another key from now on; returns the previous one."""
        previous, self.current = self.current, token
        self.lives[key_id(token)] = KeyLife(self._tenant)
        self.ended.append(previous)
        return previous

    def replace(self) -> str | None:
        """Store another key, as the command line does, and let clients use it. Returns the previous one.

        None: PostgreSQL is unavailable.
        """
        with suppress(psycopg2.Error):
            return self.adopt(new_key(self._database, CLIENT_SCOPES, self._tenant))
        return None

    def revoke(self, token: str) -> None:
        """Revoke a key, as the command line does in another process than the API's."""
        life = self.lives[key_id(token)]
        life.valid_until_s = min(life.valid_until_s, now_s())
        with suppress(psycopg2.Error):
            self._database.rows(_REVOKE, (key_id(token),))
            life.ended_s = now_s()

    def close(self) -> None:
        """Close the connection."""
        self._database.close()
