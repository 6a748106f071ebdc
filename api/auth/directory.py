"""The API keys and tenants that a process keeps in memory, so that no request asks the database who its caller is."""

import asyncio
import contextlib
import math
import time
from datetime import UTC, datetime
from typing import NamedTuple

import asyncpg

from api.auth.principal import Principal
from common.domain.errors import StoreUnavailable
from common.domain.tenancy.api_keys import ApiKey
from common.domain.tenancy.tenants import Tenant
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.tenancy import api_keys, tenants
from common.telemetry import logs

log = logs.get("api")
REVOKED_WITHIN_S = 5.0  # older keys are not believed, unless the database is away
LOOK_INTERVAL_S = 1.0  # between two reads because of keys that are unknown, or after a failed read
STORE_USES_INTERVAL_S = 60.0
MAX_WAITING_FOR_LOOK = 1_000  # requests with unknown keys that wait for the next read


class KnownKey(NamedTuple):
    """A key that requests are compared with."""

    digest: bytes
    principal: Principal
    expires_at: float  #: Unix seconds


class Directory:
    """The API keys by id and the tenants, read anew every few seconds while requests come."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._pool = pool
        self._refresh_s = settings.key_refresh_seconds
        self._outage_s = settings.key_outage_seconds
        self.keys: dict[str, KnownKey] = {}
        self.tenants: dict[int, Tenant] = {}
        self.tenants_by_name: dict[str, Tenant] = {}
        self._read_to: int | None = None  # the transaction from which the next read goes on
        self._read_at = float("-inf")  # time.monotonic() before the last successful read
        self._tried_at = float("-inf")  # and before the last one
        self._reading: asyncio.Task[None] | None = None
        self._waiting = 0
        self._used: dict[str, float] = {}  # by key: Unix seconds of the last use that is not stored yet
        self._uses_stored_at = time.monotonic()

    def note_use(self, key_id: str, unix_s: float) -> None:
        """Remember that a key was used; that is stored once a minute for all keys."""
        self._used[key_id] = unix_s

    @property
    def is_fresh(self) -> bool:
        """True if no read is due, so that a request need not wait or start one."""
        return time.monotonic() - self._read_at < self._refresh_s

    async def refresh(self) -> None:
        """Start a read that is due, and wait for it if what is known is too old to be believed.

        Raises StoreUnavailable if the database has been away for too long.
        """
        now = time.monotonic()
        age_s = now - self._read_at
        if age_s < self._refresh_s:
            return
        if now - self._tried_at >= min(LOOK_INTERVAL_S, self._refresh_s):
            self._start()
        if age_s >= REVOKED_WITHIN_S - LOOK_INTERVAL_S and self._reading is not None:
            await asyncio.shield(self._reading)
        if time.monotonic() - self._read_at > self._outage_s:
            raise StoreUnavailable

    async def look_for(self, key_id: str) -> KnownKey | None:
        """Return an unknown key after the next read: it may have been created a moment ago. None: it does not exist.

        All unknown keys together cause one read a second. Raises StoreUnavailable if the read fails.
        """
        await self._look()
        return self.keys.get(key_id)

    async def _look(self) -> None:
        """Wait for a read that begins after this call. Raises StoreUnavailable if it fails, or if too many wait."""
        asked_at = time.monotonic()
        if self._waiting >= MAX_WAITING_FOR_LOOK:
            raise StoreUnavailable
        self._waiting += 1
        try:
            if self._reading is not None:  # it may have passed the key already
                await asyncio.shield(self._reading)
            pause_s = self._tried_at + LOOK_INTERVAL_S - time.monotonic()
            if self._read_at < asked_at and pause_s > 0:
                await asyncio.sleep(pause_s)
            if self._read_at < asked_at:
                self._start()
                if self._reading is not None:
                    await asyncio.shield(self._reading)
        finally:
            self._waiting -= 1
        if self._read_at < asked_at:
            raise StoreUnavailable

    def learn(self, key: ApiKey) -> None:
        """Know a key that this process has created or changed, at once."""
        tenant = self.tenants.get(key.tenant)
        if tenant is not None:
            principal = Principal(key.tenant, tenant.name, key.scopes, f"key:{key.id}", name=key.name)
            self.keys[key.id] = KnownKey(key.digest, principal, _end(key))

    def learn_tenant(self, tenant: Tenant) -> None:
        """Know a tenant that this process has created or changed, at once."""
        self.tenants[tenant.id] = tenant
        self.tenants_by_name[tenant.name] = tenant

    async def tenant_named(self, name: str) -> Tenant | None:
        """Return a tenant; an unknown one after the next read. None: it does not exist. Raises StoreUnavailable."""
        if not self.is_fresh:
            await self.refresh()
        if name not in self.tenants_by_name:
            await self._look()
        return self.tenants_by_name.get(name)

    def _start(self) -> None:
        if self._reading is None or self._reading.done():
            self._tried_at = time.monotonic()
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        logs.request_id.set(b"")  # one request starts the read, but it serves all
        began = time.monotonic()

        async def read(connection: asyncpg.Connection) -> tuple[list[ApiKey], int, list[Tenant]]:
            keys, read_to = await api_keys.changed(connection, self._read_to)
            if used:
                await api_keys.record_uses(connection, used)
            return keys, read_to, await tenants.read_all(connection)

        used = self._take_uses() if began - self._uses_stored_at >= STORE_USES_INTERVAL_S else []
        try:
            keys, read_to, all_tenants = await self._pool.run(read, Lane.BY_ID)
        except (StoreUnavailable, asyncpg.PostgresError) as error:  # such as a schema that is not there yet
            log.warning("keys_unread", reason=f"{type(error).__name__}: {error}")
            return
        self.tenants = {tenant.id: tenant for tenant in all_tenants}
        self.tenants_by_name = {tenant.name: tenant for tenant in all_tenants}
        for key in keys:
            self.learn(key)
        for key_id in [key_id for key_id, known in self.keys.items() if known.principal.tenant not in self.tenants]:
            del self.keys[key_id]  # of a tenant that was removed
        self._read_to, self._read_at = read_to, began

    def _take_uses(self) -> list[tuple[str, datetime]]:
        """Return the uses that are not stored yet. Those that a failed write loses are followed by later ones."""
        used, self._used, self._uses_stored_at = self._used, {}, time.monotonic()
        return [(key_id, datetime.fromtimestamp(unix_s, UTC)) for key_id, unix_s in used.items()]

    async def close(self) -> None:
        """End a read in progress, and store the last uses of keys."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if used := self._take_uses():
            with contextlib.suppress(StoreUnavailable):
                await self._pool.run(lambda connection: api_keys.record_uses(connection, used), Lane.BY_ID)


def _end(key: ApiKey) -> float:
    """Return when a key ends, in Unix seconds. A revoked one has ended, whatever this machine's clock says."""
    if key.revoked_at is not None:
        return 0.0
    return math.inf if key.expires_at is None else key.expires_at.timestamp()
