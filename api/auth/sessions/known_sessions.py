"""The console sessions that an API process knows, each read anew every few seconds while it is used.

Each process notices within seconds that a session was ended elsewhere. The sessions that requests ask for meanwhile are
read by one statement, so a flood of wrong cookies costs twenty statements a second.
"""

import asyncio
import time
from typing import NamedTuple

import asyncpg

from common.domain.errors import StoreUnavailable
from common.domain.tenancy.console_sessions import ConsoleSession
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.tenancy import console_sessions
from common.store.tenancy.console_sessions import FoundSession, SessionLimits
from common.telemetry import logs

MAX_KNOWN = 10_000  # sessions of one process; the one that was read first makes room
READ_INTERVAL_S = 0.05  # between two statements
PAUSE_S = 1.0  # after a failed read, in which known sessions are believed without another one
MAX_READ = 1_000  # sessions of one statement; more requests get 503


class _Known(NamedTuple):
    session: ConsoleSession
    read_at: float  #: time.monotonic() before the read
    ends_at: float  #: and when it ends unless somebody uses it


class KnownSessions:
    """Finds sessions."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._pool = pool
        self._refresh_s = settings.key_refresh_seconds
        self._outage_s = settings.key_outage_seconds
        self.limits = SessionLimits(
            settings.session_idle_seconds, settings.session_max_seconds, settings.max_sessions_per_caller
        )
        self._known: dict[bytes, _Known] = {}  # by digest
        self._read_at = float("-inf")  # time.monotonic() of the last read
        self._failed_at = float("-inf")  # and of the last one that has failed
        self._reading: asyncio.Task[None] | None = None
        self._next: tuple[set[bytes], asyncio.Task[None]] | None = None

    async def find(self, digest: bytes) -> ConsoleSession | None:
        """Return the session of a digest, as it was a few seconds ago at most; None: it has ended, or never was.

        While the database is away a known session stays valid for JOBPROC_KEY_OUTAGE_SECONDS; then, and if it is not
        known, this raises StoreUnavailable.
        """
        now, known = time.monotonic(), self._known.get(digest)
        if known is None or (now - known.read_at >= self._refresh_s and now - self._failed_at >= PAUSE_S):
            try:
                await self._read(digest)
            except StoreUnavailable:
                self._failed_at = time.monotonic()
                if known is None:
                    raise
            else:
                known = self._known.get(digest)
        if known is not None and now - known.read_at > self._outage_s:
            raise StoreUnavailable
        return None if known is None or now >= known.ends_at else known.session

    def forget(self, digest: bytes) -> None:
        """Read a session anew before it is believed again, because it was ended."""
        self._known.pop(digest, None)

    async def _read(self, digest: bytes) -> None:
        """Read a session, with those that other requests ask for. Raises StoreUnavailable."""
        if self._next is None:
            digests: set[bytes] = set()
            self._next = digests, asyncio.create_task(self._read_all(digests, self._reading))
        digests, task = self._next
        if len(digests) >= MAX_READ and digest not in digests:
            raise StoreUnavailable
        digests.add(digest)
        await asyncio.shield(task)

    async def _read_all(self, digests: set[bytes], before: "asyncio.Task[None] | None") -> None:
        logs.request_id.set(b"")  # one request starts the read, but it serves all
        if before is not None:
            await asyncio.wait([before])
        if (pause_s := self._read_at + READ_INTERVAL_S - time.monotonic()) > 0:
            await asyncio.sleep(pause_s)
        self._reading, self._next = asyncio.current_task(), None
        self._read_at = began = time.monotonic()

        async def read(connection: asyncpg.Connection) -> dict[bytes, FoundSession]:
            return await console_sessions.find(connection, list(digests), self.limits)

        found = await self._pool.run(read, Lane.BY_ID)
        for digest in digests:
            self._known.pop(digest, None)  # the newest come last
            if digest in found and found[digest].left_s > 0:
                session, left_s = found[digest]
                self._known[digest] = _Known(session, began, began + left_s)
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    async def close(self) -> None:
        """End the reads in progress."""
        tasks = [task for task in (self._reading, self._next[1] if self._next else None) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
