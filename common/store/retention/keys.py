"""Keys that are over. An idempotency key outlives a job that is removed before: the request must not run a second time."""

from sqlalchemy import Connection, text

from common.domain.job import first_job_id
from common.store.schema.partitions import database_unix_ms

MAX_KEYS = 10_000  # of each, in one transaction
SETTLED_MS = 60_000  # by then whoever took a key has stored its job, or given up

_IDEMPOTENCY = text("""
    DELETE FROM keys WHERE (tenant, key) IN (
        SELECT tenant, key FROM keys WHERE until < clock_timestamp() ORDER BY until LIMIT :most FOR UPDATE SKIP LOCKED)
""")
# Not of new jobs: their row may be here while they are not yet to be seen.
_UNIQUE = text("""
    DELETE FROM uniq WHERE id < :before AND (tenant, key) IN (
        SELECT u.tenant, u.key FROM uniq u WHERE u.id < :before AND NOT EXISTS (SELECT FROM live l WHERE l.id = u.id)
        LIMIT :most FOR UPDATE SKIP LOCKED)
""")


def delete_expired(connection: Connection) -> int:
    """Delete idempotency keys whose time is over and unique keys whose job has ended, a bounded number; returns how many. The caller commits."""
    idempotency = connection.execute(_IDEMPOTENCY, {"most": MAX_KEYS}).rowcount
    before = first_job_id(database_unix_ms(connection) - SETTLED_MS)
    return int(idempotency + connection.execute(_UNIQUE, {"most": MAX_KEYS, "before": before}).rowcount)
