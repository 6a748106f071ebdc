"""Numbers changes of followed queues that no client has read, and deletes old ones."""

import time

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.feed import numbering, retention

MAX_TENANTS = 1_000  # in one tick
MAX_DELETED = 200  # pages of a tenant in one transaction
MAX_DELETIONS = 100  # transactions in one run
TICK_SHARE = 0.25  # of a tick, at most: rescue waits meanwhile


class FeedPages:
    """The pages of the change feeds. A tick that has no time for all changes leaves them to the next one."""

    def __init__(self, settings: Settings) -> None:
        self._share_s = TICK_SHARE * settings.tick_seconds
        self._hours = settings.feed_hours
        self._max_changes = settings.feed_max_changes

    def number(self, connection: WorkerConnection) -> int:
        """Number changes of all tenants in turn; return how many."""
        until, numbered = time.monotonic() + self._share_s, 0
        tenants = numbering.tenants(connection, MAX_TENANTS)
        while tenants and time.monotonic() < until:
            counts = {tenant: numbering.number_of_controller(connection, tenant) for tenant in tenants}
            numbered += sum(counts.values())
            tenants = [tenant for tenant, count in counts.items() if count]
        return numbered

    def delete_old(self, connection: WorkerConnection) -> None:
        """Delete changes that are old or too many."""
        for _ in range(MAX_DELETIONS):
            if not retention.delete_old(connection, self._hours, self._max_changes, MAX_DELETED):
                break
