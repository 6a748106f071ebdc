"""An API with two tenants that is attacked, and the table of attacks.

The attacker has a key of its own tenant with every scope but `admin`. The victim has a job that has ended, one that
waits, a bulk action, a key, a unique key and an idempotency key.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from rig.keys import client_of, new_key
from rig.system import System
from rig.tenants import TenantClient

from common.domain.tenancy.scopes import Scope

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
LATER = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600}
#: Each attack by its name: a function that fails if the attack succeeds.
ATTACKS: dict[str, Callable[["Scene"], None]] = {}


@dataclass
class Scene:
    """The system under attack, its victim and its attacker."""

    system: System
    victim: TenantClient
    attacker: TenantClient
    ended: str  #: a job of the victim that has ended
    waiting: str  #: a job of the victim that waits
    bulk_action: str  #: a bulk action of the victim that waits for its start
    key_id: str  #: of a key of the victim
    token: str  #: the attacker's key

    def key(self, *scopes: Scope, **columns: object) -> str:
        """Return a key of the victim's tenant with these scopes."""
        return new_key(self.system.database, scopes or tuple(Scope), self.victim.tenant, **columns)

    def get(self, path: str = "/jobs/", **headers: str) -> httpx.Response:
        """Send a request with these headers, and no others that authenticate."""
        return self.system.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def raw(self, head: bytes) -> bytes:
        """Send bytes; return the beginning of the answer."""
        with socket.create_connection(("127.0.0.1", self.system.port), 5) as connection:
            connection.settimeout(5)
            connection.sendall(head)
            return connection.recv(2_000)


def attack(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
    """Add an attack to the table."""
    assert function.__name__ not in ATTACKS
    ATTACKS[function.__name__] = function
    return function


def refused(answer: httpx.Response, *statuses: int) -> None:
    """Check the status of an answer, and that it is a problem."""
    assert answer.status_code in (statuses or (401,)), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def as_unknown(scene: Scene, method: str, path: str, stolen: str, body: object = None) -> None:
    """Check that an id of the victim is answered as an unknown one."""
    answers = [scene.attacker.client.request(method, path.format(key), json=body) for key in (stolen, UNKNOWN)]
    assert answers[0].status_code == 404, answers[0].text
    assert answers[0].content == answers[1].content


def with_scopes(scene: Scene, *scopes: Scope) -> httpx.Client:
    """Return a client of the victim's tenant with these scopes alone."""
    return client_of(scene.system, scene.key(*scopes))
