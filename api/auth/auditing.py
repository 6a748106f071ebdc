"""Entries of the audit log, made from requests."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar, cast

import asyncpg
from fastapi import Request
from sqlalchemy import Connection

from api.auth.principal import principal_of
from api.limits.addresses import ClientAddresses
from api.new_ids import new_job_id_now
from common.domain.tenancy.audit import AuditAction, AuditEntry
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.tenancy import audit
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("audit")


def audit_entry(
    request: Request, action: AuditAction, thing: object, details: Mapping[str, object] | None = None
) -> AuditEntry:
    """Return the entry for what the caller of a request does. It is to be stored with the change, and logged after.

    It is in the log of the tenant for which the caller acts. Of an operator the details have the own tenant.
    """
    caller = principal_of(request)
    of_operator = {} if caller.own_tenant is None else {"operator_of": caller.own_tenant}
    addresses = cast("ClientAddresses", request.app.state.services.addresses)
    return AuditEntry(
        id=new_job_id_now(),
        tenant=caller.tenant,
        subject=caller.subject,
        address=addresses.of_request(request.scope),
        request_id=logs.request_id.get().decode("ascii"),
        action=action,
        thing=str(thing),
        details={**(details or {}), **of_operator},
    )


async def change_audited(
    pool: DatabasePool, entry: AuditEntry, change: Callable[[asyncpg.Connection], Awaitable[T]]
) -> T:
    """Run a change and store its entry in one transaction, then log the entry; return what the change returns."""

    async def run(connection: asyncpg.Connection) -> T:
        """Change, then store the entry."""
        async with connection.transaction():
            result = await change(connection)
            await audit.record(connection, entry)
            return result

    result = await pool.run(run, Lane.INTAKE)
    log_entry(entry)
    return result


async def change_audited_sync(
    pool: DatabasePool, entry: AuditEntry, change: Callable[[Connection], tuple[T, bool]]
) -> T:
    """Run a change by sync SQLAlchemy code; return what it returns.

    Its second value is True if it has changed anything: then the entry is stored in the same transaction, and logged.
    """

    def run(connection: Connection) -> tuple[T, bool]:
        """Change, then store the entry."""
        result, has_changed = change(connection)
        if has_changed:
            audit.record_sync(connection, entry)
        return result, has_changed

    result, has_changed = await pool.run_sync(run, Lane.INTAKE, None, entry.tenant)
    if has_changed:
        log_entry(entry)
    return result


def log_entry(entry: AuditEntry) -> None:
    """Log an entry that is stored."""
    log.info(
        "audit",
        action=entry.action,
        thing=entry.thing,
        subject=entry.subject,
        tenant=entry.tenant,
        address=entry.address,
        details=dict(entry.details),
    )
