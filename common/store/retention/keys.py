"""Retention of keys, of submissions and of callers.

An idempotency key outlives a job that is deleted earlier, so its request cannot run again.
"""

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

# The first key would be created again with the next migration, not revoked.
_API_KEYS = text("""
    DELETE FROM api_keys
    WHERE least(revoked_at, expires_at) < clock_timestamp() - :days * interval '1 day' AND created_by <> 'migration'
""")


def delete_ended_api_keys(connection: Connection, days: int) -> int:
    """Delete the API keys that have ended so many days ago. The caller commits. Return the number of deleted keys."""
    return int(connection.execute(_API_KEYS, {"days": days}).rowcount)


def delete_expired(connection: Connection) -> int:
    """Delete expired idempotency keys and unique keys of ended jobs, a bounded number. The caller commits.

    Return the number of deleted keys.
    """
    idempotency = connection.execute(_IDEMPOTENCY, {"most": MAX_KEYS}).rowcount
    before = first_job_id(database_unix_ms(connection) - SETTLED_MS)
    return int(idempotency + connection.execute(_UNIQUE, {"most": MAX_KEYS, "before": before}).rowcount)
