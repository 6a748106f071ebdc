"""The load of a run: random clients of three tenants, a flood, a quiet tenant, and keys that change."""

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from faults import feed, schedules
from faults.api_client import ApiClient
from faults.clients import Client
from faults.environment import FaultEnvironment
from faults.feed import Follower, PastChange
from faults.flood import be_quiet, flood
from faults.history import History
from faults.key_keeper import KeyKeeper
from faults.keys import KeyLife
from faults.limited import PastPause, Pauses
from faults.tenants import TenantOfRun, Tenants

FLOOD_PAUSE_S, QUIET_PAUSE_S = 2.0, 0.1  # mean times between two floods, and between two jobs of the quiet tenant
LIMITED_PAUSE_S = 0.5
FLOODING, QUIET, KEEPING, LIMITED = 100, 200, 300, 400  # numbers of clients


class Load(AbstractContextManager["Load"]):
    """The clients of a run, and the keeper of their keys."""

    def __init__(
        self, environment: FaultEnvironment, history: History, seed: int, clients: int, pause_s: float
    ) -> None:
        """Store the tenants and their keys. `clients`: random ones; `pause_s`: mean time between two calls of one."""
        self._database = environment.database
        schedules.create(self._database)
        feed.follow(self._database)
        self._tenants = tenants = Tenants.create(environment.database, environment.postgres_url)

        def client(number: int, tenant: TenantOfRun) -> ApiClient:
            chance = random.Random(f"{seed}-{number}")
            return ApiClient(number, environment.url, history, tenants, tenant, chance)

        self._pauses = Pauses(environment.postgres_url, tenants.limited.number)
        keeping = [client(KEEPING + tenant.number, tenant) for tenant in tenants.all]
        self._followers = [Follower(self._database, environment.url, limit) for limit in (20, 1_000)]
        self._threads: list[Client | KeyKeeper | Follower] = [
            *(Client(client(number, tenants.of_client(number)), pause_s) for number in range(1, clients + 1)),
            Client(client(FLOODING, tenants.flooding), FLOOD_PAUSE_S, flood),
            Client(client(LIMITED, tenants.limited), LIMITED_PAUSE_S, self._pauses.press),
            Client(client(QUIET, tenants.quiet), QUIET_PAUSE_S, be_quiet),
            KeyKeeper(keeping, random.Random(f"{seed}-keys")),
            *self._followers,
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the load during the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            for thread in self._threads:
                thread.stop()
            schedules.pause(self._database)
            self._pauses.end()

    @property
    def pauses(self) -> list[PastPause]:
        """The pauses of the limited tenant."""
        return self._pauses.past

    def feed_readers(self) -> list[Sequence[PastChange]]:
        """Return what each follower of the feed has read."""
        return [follower.catch_up() for follower in self._followers]

    def keys(self) -> dict[str, KeyLife]:
        """Return the lives of all keys, by their ids."""
        return {key_id: life for tenant in self._tenants.all for key_id, life in tenant.keys.lives.items()}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tenants.close()
