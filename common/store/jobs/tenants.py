"""What a claim has to know of the tenants: whether there are several, who is suspended, whose weight is not 1."""

import time

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs.lines import READ_TENANTS

READ_INTERVAL_S = 1.0
MAX_TENANTS = 10_000  # that are suspended, or have a weight of their own


class Tenants:
    """The tenants as one worker process knows them: at most a second old at each claim."""

    def __init__(self) -> None:
        self.several = False  #: False: all jobs are the only tenant's
        self.suspended: frozenset[int] = frozenset()  #: their jobs are not claimed
        self.weights: dict[int, float] = {}  #: of the tenants whose weight is not 1
        self._read_at = float("-inf")

    def refresh(self, connection: WorkerConnection) -> None:
        """Read them again if that was a second ago."""
        now = time.monotonic()
        if now - self._read_at < READ_INTERVAL_S:
            return
        rows = connection.run(READ_TENANTS, (MAX_TENANTS,))
        self._read_at = now
        self.several = rows[0][0]
        rows = [row for row in rows if row[1] is not None]
        self.suspended = frozenset(tenant for _, tenant, _, is_suspended in rows if is_suspended)
        self.weights.clear()  # the shares of all queues hold this dictionary
        self.weights.update((tenant, weight) for _, tenant, weight, _ in rows)

    def may_run(self, tenant: int) -> bool:
        """Return False if no job of a tenant may be claimed now, although its jobs stay in their lines."""
        return tenant not in self.suspended
