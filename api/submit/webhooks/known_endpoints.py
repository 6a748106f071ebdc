"""The endpoints that submissions may name, and the one that those get which name none."""

import asyncio
import time
from typing import NamedTuple
from uuid import UUID

from common.domain.errors import InvalidSubmission
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.webhooks import endpoints
from common.telemetry import logs

log = logs.get("api")
KNOWN_S = 5.0  # for so long a change of the default is not seen
MAX_TENANTS = 10_000  # of whom something is known
LOOK_INTERVAL_S = 1.0  # an unknown id makes the API read again, at most this often


class _Known(NamedTuple):
    ids: frozenset[UUID]
    default: UUID | None
    read_at: float  # monotonic seconds, of the begin of the read


class SubmissionWebhooks:
    """Resolves the webhook of a submission. Without webhooks, as without their key, it reads nothing."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._pool = pool
        self._is_on = bool(settings.webhook_encryption_key)
        self._known: dict[int, _Known] = {}
        self._reading: dict[int, asyncio.Task[_Known]] = {}

    async def default(self, tenant: int) -> UUID | None:
        """Return the endpoint of submissions that name none. None: there is none."""
        if not self._is_on:
            return None
        known = self._known.get(tenant)
        if known is None:
            known = await asyncio.shield(self._read(tenant))
        elif time.monotonic() - known.read_at > KNOWN_S:
            self._read(tenant).add_done_callback(_log_failed_read)
        return known.default

    async def check(self, tenant: int, endpoint_id: UUID, field: str) -> UUID:
        """Return an endpoint that a submission names. Raises InvalidSubmission for `field` if it does not exist."""
        if not self._is_on:
            raise InvalidSubmission(field, "webhooks are off: the operator has set no key for their secrets")
        known = self._known.get(tenant)
        if known is None or (endpoint_id not in known.ids and time.monotonic() - known.read_at > LOOK_INTERVAL_S):
            known = await asyncio.shield(self._read(tenant))
        if endpoint_id not in known.ids:
            raise InvalidSubmission(field, "is not the id of a webhook endpoint of the tenant")
        return endpoint_id

    def forget(self, tenant: int) -> None:
        """Read the endpoints of a tenant anew, because this process has changed one."""
        self._known.pop(tenant, None)

    def _read(self, tenant: int) -> "asyncio.Task[_Known]":
        task = self._reading.get(tenant)
        if task is None or task.done():
            task = self._reading[tenant] = asyncio.create_task(self._load(tenant))
            task.add_done_callback(lambda _: self._reading.pop(tenant, None))
        return task

    async def _load(self, tenant: int) -> _Known:
        logs.request_id.set(b"")  # one request starts the read, but it serves several
        began = time.monotonic()
        ids, default = await self._pool.run_sync(
            lambda connection: endpoints.known(connection, tenant), Lane.INTAKE, None, tenant
        )
        if len(self._known) >= MAX_TENANTS:
            self._known.clear()
        known = self._known[tenant] = _Known(ids, default, began)
        return known


def _log_failed_read(reading: "asyncio.Task[_Known]") -> None:
    if not reading.cancelled() and (error := reading.exception()):
        log.warning("webhooks_refresh_failed", reason=str(error))
