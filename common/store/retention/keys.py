"""Retention of keys. An idempotency key outlives a job that is deleted earlier, so its request cannot run again."""

from sqlalchemy import Connection, text

from common.domain.job import first_job_id
from common.store.schema.partitions import database_unix_ms

MAX_KEYS = 10_000  # of each kind in one transaction
SETTLED_MS = 60_000  # within this time the submission that took a key has stored its job or failed

_IDEMPOTENCY = text("""
    DELETE FROM idempotency_keys WHERE (tenant, key) IN (
        SELECT tenant, key FROM idempotency_keys WHERE until < clock_timestamp()
        ORDER BY until LIMIT :most FOR UPDATE SKIP LOCKED)
""")
# Keys of new jobs are left: the key may be visible before the job is.
_UNIQUE = text("""
    DELETE FROM unique_keys WHERE id < :before AND (tenant, key) IN (
        SELECT u.tenant, u.key FROM unique_keys u
        WHERE u.id < :before AND NOT EXISTS (SELECT FROM live l WHERE l.id = u.id)
        LIMIT :most FOR UPDATE SKIP LOCKED)
""")


def delete_expired(connection: Connection) -> int:
    """Delete expired idempotency keys and unique keys of ended jobs, a bounded number. The caller commits.

    Return the number of deleted keys.
    """
    idempotency = connection.execute(_IDEMPOTENCY, {"most": MAX_KEYS}).rowcount
    before = first_job_id(database_unix_ms(connection) - SETTLED_MS)
    return int(idempotency + connection.execute(_UNIQUE, {"most": MAX_KEYS, "before": before}).rowcount)
