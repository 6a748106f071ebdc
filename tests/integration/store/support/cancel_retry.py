"""Cancel and manual retry as the API requests them, with an entry of the audit log for each."""

import secrets
import time
from uuid import UUID

import asyncpg

from common.domain.job import new_job_id
from common.domain.states import State
from common.domain.tenancy.audit import AuditAction, AuditEntry
from common.store.jobs import cancel_retry
from common.store.jobs.cancel_retry import ManualRetry


def an_entry(action: AuditAction, thing: UUID | str, tenant: int = 1) -> AuditEntry:
    """Return the entry of a request about a thing."""
    entry_id = new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
    return AuditEntry(entry_id, tenant, "key:test", "127.0.0.1", "test", action, str(thing))


async def cancelled(connection: asyncpg.Connection, job_id: str) -> State | None:
    """Cancel a job; return the state in which that leaves it."""
    entry = an_entry(AuditAction.JOB_CANCEL, job_id)
    cancel = await cancel_retry.cancel_job(connection, 1, UUID(job_id), entry)
    return None if cancel is None else cancel.state


async def retried(connection: asyncpg.Connection, job_id: str, new_input: str | None) -> ManualRetry | None:
    """Retry a job."""
    return await cancel_retry.retry_job(connection, 1, UUID(job_id), new_input, an_entry(AuditAction.JOB_RETRY, job_id))
