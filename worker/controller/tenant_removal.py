"""The removal of tenants, within a share of each tick. Each step is a transaction, so it continues after a crash."""

import time

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.tenancy import removal
from common.telemetry import logs

log = logs.get("controller")
MAX_ROWS = 500  # deleted in one transaction: about 20 ms
TICK_SHARE = 0.25  # of a tick, at most: rescue waits meanwhile


def run_steps(connection: WorkerConnection, settings: Settings) -> int:
    """Delete rows of tenants that are being removed, and the tenants that have none left. Return how many rows."""
    until, total = time.monotonic() + settings.tick_seconds * TICK_SHARE, 0
    for tenant, name in removal.removing(connection, settings.tenant_removal_delay_seconds):
        while time.monotonic() < until:
            deleted = removal.run_step(connection, tenant, MAX_ROWS)
            if deleted is None:
                log.info("tenant_removed", tenant=name)
                break
            if not deleted:
                break
            total += deleted
    return total
