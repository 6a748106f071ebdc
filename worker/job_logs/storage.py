"""The storage of job logs: a thread of the worker's parent, which stores what its processes have logged.

The thread and its connection begin with the first line. While the database is unavailable lines stay in their rings,
and what finds no room there is dropped: no operation ever waits.
"""

import threading
from collections.abc import Iterable, Sequence
from itertools import groupby

import psycopg2

from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.jobs import job_logs
from common.store.jobs.job_logs import LogChunk
from common.telemetry import logs
from common.telemetry.job_log_metrics import REFUSED
from worker.job_logs.line_ring import NUMBER_BYTES, LineRing, RingEntry
from worker.shared_memory.metrics import SlotMetrics

log = logs.get("worker")
MAX_CHUNK_BYTES = 8_192
CHUNKS = 8  # of a log at least: the oldest one is deleted as a whole
STOP_TIMEOUT_S = 5.0


class JobLogStorage:
    """Stores the lines of all processes of a worker."""

    def __init__(self, settings: Settings, rings: Sequence[LineRing], metrics: SlotMetrics) -> None:
        self._settings = settings
        self._rings = rings
        self._metrics = metrics
        self._connection: WorkerConnection | None = None
        self._is_stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def tick(self) -> None:
        """Start the thread once there is a line."""
        if self._thread is None and not all(ring.is_empty for ring in self._rings):
            self._thread = threading.Thread(target=self._run, name="job-logs", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Store the last lines, and end. Waits for five seconds at most."""
        self.tick()
        self._is_stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        pause_s, is_last = self._settings.job_log_interval_milliseconds / 1000, False
        while not is_last:
            is_last = self._is_stopping.is_set()
            try:
                for ring in self._rings:
                    self._store(ring)
            except DatabaseUnavailable as error:
                log.warning("database_unavailable", reason=str(error).strip(), connection="job-logs")
                self._close()
                self._is_stopping.wait(self._settings.reconnect_max_delay_seconds)
            except Exception:
                log.exception("job_logs_failed")
                self._close()
            self._is_stopping.wait(pause_s)
        self._close()

    def _store(self, ring: LineRing) -> None:
        if ring.is_empty:
            return
        position, entries = ring.read()
        try:
            if self._connection is None:
                self._connection = WorkerConnection(self._settings, "job-logs", by_index=True)
            limit = self._settings.job_log_bytes
            job_logs.store(self._connection, list(chunks(entries, limit)), limit - limit // CHUNKS)
        except DatabaseUnavailable:
            raise
        except psycopg2.Error as error:
            log.warning("job_logs_refused", reason=str(error).strip(), lines=len(entries))
            self._metrics.count_log_line_dropped(REFUSED, len(entries))
        ring.free(position)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def chunks(entries: Iterable[RingEntry], limit_bytes: int) -> Iterable[LogChunk]:
    """Yield the last `limit_bytes` of each attempt in chunks, an eighth of that or less each, but a line at least."""
    ordered = sorted(entries, key=_attempt)  # stable: the lines of an attempt stay in their order
    most = min(MAX_CHUNK_BYTES, limit_bytes // CHUNKS)
    for _, group in groupby(ordered, _attempt):
        lines = list(group)
        oldest = lines[-1].total_bytes - limit_bytes
        chunk: list[RingEntry] = []
        for line in lines:
            if line.total_bytes <= oldest:
                continue
            if chunk and line.total_bytes - chunk[0].total_bytes + len(chunk[0].text) + NUMBER_BYTES > most:
                yield _chunk(chunk)
                chunk = []
            chunk.append(line)
        yield _chunk(chunk)


def _attempt(entry: RingEntry) -> tuple[str, int, int]:
    return entry.job_id, entry.run, entry.attempt


def _chunk(entries: Sequence[RingEntry]) -> LogChunk:
    last = entries[-1]
    lines = b",".join(b'{"line":%d,%b' % (entry.number, entry.text[1:]) for entry in entries)
    return LogChunk(last.job_id, last.run, last.attempt, last.number, last.total_bytes, f"[{lines.decode()}]")
