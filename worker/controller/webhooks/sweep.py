"""The deliveries of ends that no settle has told of, within a share of each tick."""

import time
from collections.abc import Callable

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.webhooks import sweep
from common.store.webhooks.sweep import SnapshotTime

TICK_SHARE = 0.5  # of a tick, at most
MAX_ENDS = 500  # read in one statement
MAX_SECRETS = 1_000  # deleted in one transaction


class WebhookSweep:
    """Finds unsuccessful ends of jobs with a webhook.

    What happened since the last tick is read at once, for speed. What lies before a time is read once more when every
    transaction that ran then has ended, and then the place moves there: so none is missed.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._settings = settings
        self._clock = clock
        self._read_to: dict[int, str] = {}  # by tenant: the time up to which was read for speed
        self._mark: SnapshotTime | None = None  # places move there, when its transactions have ended

    def run(self, connection: WorkerConnection) -> int:
        """Store deliveries for at most a share of a tick. Returns how many."""
        until, stored = self._clock() + TICK_SHARE * self._settings.tick_seconds, 0
        places = sweep.places(connection)
        if not places:
            self._mark = None
            return 0
        now = sweep.snapshot_time(connection)
        if self._mark is None:
            self._mark = now
        is_sure = self._mark.transaction <= now.oldest_transaction
        is_complete = True
        for tenant, place in places.items():
            if is_sure:
                sure_to, count, has_ended = self._read(connection, (tenant, place, self._mark.at), until)
                stored += count
                is_complete = is_complete and has_ended
                sweep.move(connection, tenant, sure_to)
            begin = sweep.later_of(place, self._read_to.get(tenant, place))
            read_to, count, _ = self._read(connection, (tenant, begin, "infinity"), until)
            self._read_to[tenant] = sweep.later_of(begin, now.at) if read_to == "infinity" else read_to
            stored += count
        if is_sure and is_complete:
            self._mark = now
        return stored

    def delete_old(self, connection: WorkerConnection) -> int:
        """Delete secrets that have expired, and places of tenants without endpoints."""
        return sweep.delete_old(connection, MAX_SECRETS)

    def _read(self, connection: WorkerConnection, span: tuple[int, str, str], until: float) -> tuple[str, int, bool]:
        """Read a tenant's ends after a time up to another, until the time is up.

        Returns how far it came, how many deliveries it has stored, and True if it came to the end.
        """
        tenant, place, end = span
        stored = 0
        while True:
            page = sweep.store(connection, tenant, place, end, MAX_ENDS)
            stored += page.stored
            if page.read < MAX_ENDS or page.last is None:
                return end, stored, True
            if page.last == place:  # so many ends at one microsecond that no page gets past it
                return place, stored, False
            place = page.last
            if self._clock() >= until:
                return place, stored, False
