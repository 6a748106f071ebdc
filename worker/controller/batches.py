"""Ends batches: of which no job is unfinished and that are closed, with their follow-ups. Each in its transaction."""

import secrets
import time

import psycopg2

from common.domain.job import new_job_id
from common.settings import Settings
from common.store.batches import ends
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.telemetry import logs

log = logs.get("controller")
MAX_LOOKED_AT = 500  # in one statement
MAX_CLOSED = 1_000  # late ones in one tick
MAX_DELETED = 10_000  # in one transaction
TICK_SHARE = 0.25  # of a tick, at most: rescue waits meanwhile


class Batches:
    """The batches that may have unfinished jobs. If a tick has no time for all, the next one goes on behind them."""

    def __init__(self, settings: Settings) -> None:
        self._share_s = TICK_SHARE * settings.tick_seconds
        self._open_s = settings.batch_open_seconds
        self._keep_days = max(
            settings.retention_days, settings.retention_failed_days, settings.retention_cancelled_days
        )
        self._after = ends.NO_BATCH

    def run(self, connection: WorkerConnection) -> int:
        """Move the places of batches, and end those that can be. Returns how many were ended."""
        until, ended = time.monotonic() + self._share_s, 0
        for batch in ends.close_late(connection, self._open_s, MAX_CLOSED):
            log.info("batch_closed_late", batch_id=batch)
        is_complete = False
        while not is_complete and time.monotonic() < until:
            finished, moved, last = ends.look(connection, self._after, MAX_LOOKED_AT)
            if moved:
                ends.move_places(connection, moved)
            for batch in finished:
                ended += self._end(connection, batch)
            is_complete, self._after = last is None, last or ends.NO_BATCH
        return ended

    def delete_ended(self, connection: WorkerConnection) -> None:
        """Delete batches that ended as long ago as the oldest jobs that are kept."""
        ends.delete_ended(connection, self._keep_days, MAX_DELETED)

    def _end(self, connection: WorkerConnection, batch: str) -> bool:
        """End a batch. What PostgreSQL refuses is logged and tried again: it holds up no other batch."""
        follow_up_id = new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
        try:
            end = ends.end(connection, batch, str(follow_up_id))
        except DatabaseUnavailable:
            raise
        except psycopg2.Error:
            log.exception("batch_end_failed", batch_id=batch)
            return False
        if end is not None:
            log.info("batch_ended", batch_id=batch, follow_up=end.follow_up)
        return end is not None
