"""For declarations of files, which the migration applies: the tenants that they name, and their audit entries."""

import json
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.errors import StartupError
from common.domain.job import new_job_id
from common.domain.tenancy.audit import AuditAction, AuditEntry

SUBJECT = "file"  #: who creates and changes what a file declares
_TENANTS = text("SELECT name, id FROM tenants WHERE name = ANY (:names) AND state <> 'REMOVING'")
_NOW = text("SELECT clock_timestamp()")
_RECORD = text("""
    INSERT INTO audit_entries (id, tenant, subject, address, request_id, action, thing, details)
    VALUES (:id, :tenant, :subject, :address, :request_id, :action, :thing, CAST(:details AS json))
""")


def tenants(connection: Connection, names: Collection[str], things: str) -> dict[str, int]:
    """Return the numbers of tenants by name. Raises StartupError if the file of `things` names others."""
    found = {row.name: row.id for row in connection.execute(_TENANTS, {"names": list(names)})}
    if missing := sorted(set(names) - found.keys()):
        raise StartupError(f"the file of {things} names tenants that do not exist: {', '.join(missing)}")
    return found


def now(connection: Connection) -> datetime:
    """Return the time of the database."""
    time: datetime = connection.execute(_NOW).scalar_one()
    return time


def record(
    connection: Connection,
    at: datetime,
    action: AuditAction,
    tenant: int,
    thing: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Store an audit entry of a change that a file has made."""
    entry = AuditEntry(new_id(at), tenant, SUBJECT, "", "", action, thing)
    names = ("id", "tenant", "subject", "address", "request_id", "action", "thing")
    values = {name: getattr(entry, name) for name in names}
    connection.execute(_RECORD, {**values, "details": json.dumps(details or {})})


def new_id(at: datetime) -> UUID:
    """Return a new id with a time."""
    return new_job_id(int(at.timestamp() * 1000), secrets.randbits(74))
