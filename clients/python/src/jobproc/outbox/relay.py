"""The relay: takes rows of the outbox, and sends each to the API as one submission.

A row is taken for the time of a lease, and the row's id is the idempotency key of its submission. So a relay may die at
any moment: another one sends the row again and gets the job that is there already. Many relays may run beside each
other.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from jobproc.outbox.database import OutboxDatabase, Row, connector
from jobproc.outbox.sending import Accepted, HttpSender, Later, Refused, Result, Sender
from jobproc.outbox.settings import RelaySettings

log = logging.getLogger("jobproc.outbox")
DELETE_INTERVAL_S = 60.0
_NOT_SENT = Later("the API did not take an earlier row", is_certain=True)
_UNSURE = (
    "it is unknown if an earlier submission of this row was stored, and the API may have forgotten its idempotency key:"
    " look for the job; if there is none, set refused_at and unsure_since to NULL and due_at to 0"
)


@dataclass(slots=True)
class Counts:
    """The rows that a relay has handled."""

    accepted: int = 0
    refused: int = 0
    postponed: int = 0


@dataclass(slots=True)
class _Turn:
    """The submission of the rows that one transaction has taken."""

    ends_at: float  #: no row is sent later: its lease is about to end
    paused: threading.Event = field(default_factory=threading.Event)  #: set by the first row that no other would pass
    retry_after_s: float = 0.0


class Relay:
    """Sends rows until it is stopped: `run` in this thread, or `start` in another one."""

    def __init__(
        self,
        database: str | Callable[[], Any],
        make_sender: Callable[[], Sender],
        settings: RelaySettings | None = None,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`database`: its URL, or a function that opens a connection. `make_sender`: called for each connection."""
        self.settings = settings or RelaySettings()
        connect = connector(database) if isinstance(database, str) else database
        self._database = OutboxDatabase(connect, self.settings.table)
        self._senders = [make_sender() for _ in range(self.settings.connections)]
        self._clock = clock
        self._chance = chance
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._deleted_at = float("-inf")
        self.counts = Counts()

    @classmethod
    def to_api(
        cls,
        database: str | Callable[[], Any],
        api_url: str,
        api_key: str = "",
        settings: RelaySettings | None = None,
        *,
        ca_file: str = "",
    ) -> "Relay":
        """Return a relay that submits to an API. Raises ValueError for URLs that cannot work."""
        settings = settings or RelaySettings()
        return cls(database, lambda: HttpSender(api_url, api_key, settings.timeout_seconds, ca_file), settings)

    def start(self) -> "Relay":
        """Run in a thread of this process, which ends with the process."""
        self._thread = threading.Thread(target=self.run, name="jobproc-outbox-relay", daemon=True)
        self._thread.start()
        return self

    def stop(self, limit_s: float = 30.0) -> None:
        """Stop, and wait for the thread: rows that it has taken are sent or given back."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(limit_s)

    def run(self, until_empty: bool = False) -> Counts:
        """Send rows until `stop`, or until no row is due. Errors of the database are logged and the work tried again.

        `until_empty`: return when no row is due, and raise errors of the database.
        """
        with ThreadPoolExecutor(self.settings.connections, "jobproc-outbox") as pool:
            while not self._stop.is_set():
                try:
                    taken, pause_s = self.turn(pool)
                except Exception as error:
                    self._database.close()
                    if until_empty:
                        raise
                    self._failures += 1
                    pause_s = self._backoff_s(self._failures)
                    log.warning("the database of the outbox failed, next try in %.1f s: %r", pause_s, error)
                else:
                    if until_empty and not taken:
                        break
                    if not pause_s and taken < self.settings.batch:
                        pause_s = 0.0 if until_empty else self.settings.poll_seconds
                self._stop.wait(pause_s)
        self._database.close()
        for sender in self._senders:
            sender.close()
        return self.counts

    def turn(self, pool: ThreadPoolExecutor) -> tuple[int, float]:
        """Take rows once and send them. Return how many, and the wait in seconds that the API asked for."""
        settings, now = self.settings, self._clock()
        if now - self._deleted_at >= DELETE_INTERVAL_S:
            deleted = self._database.delete_sent(now - settings.keep_seconds, settings.delete_batch)
            if deleted < settings.delete_batch:
                self._deleted_at = now
        rows = self._database.take(now, settings.batch, settings.lease_seconds)
        if not rows:
            return 0, 0.0
        turn = _Turn(now + settings.lease_seconds - settings.timeout_seconds)
        lanes = [rows[lane :: settings.connections] for lane in range(settings.connections)]
        sent = pool.map(self._send_lane, self._senders, lanes, [turn] * len(lanes))
        results = [pair for lane in sent for pair in lane]
        self._failures = self._failures + 1 if turn.paused.is_set() else 0
        pause_s = max(turn.retry_after_s, self._backoff_s(self._failures)) if self._failures else 0.0
        now = self._clock()
        self._database.settle([(row, result, now + self._due_in_s(row, result)) for row, result in results], now)
        self._count(results, pause_s)
        return len(rows), min(pause_s, settings.max_backoff_seconds)

    def _send_lane(self, sender: Sender, rows: Sequence[Row], turn: _Turn) -> list[tuple[Row, Result]]:
        """Send rows over one connection, one after the other."""
        results: list[tuple[Row, Result]] = []
        for row in rows:
            result: Result = _NOT_SENT
            now = self._clock()
            if row.unsure_since is not None and now - row.unsure_since > self.settings.unsure_seconds:
                result = Refused(_UNSURE)
            elif not turn.paused.is_set() and now < turn.ends_at and not self._stop.is_set():
                result = sender.send(row.id, row.body)
                if isinstance(result, Later) and result.pauses_all:
                    turn.retry_after_s = max(turn.retry_after_s, result.retry_after_s or 0.0)
                    turn.paused.set()
                if isinstance(result, Refused) and row.unsure_since is not None:
                    result = Refused(f"after a submission of unknown outcome: {result.problem}")
            results.append((row, result))
        return results

    def _due_in_s(self, row: Row, result: Result) -> float:
        """Return the wait before a row is sent again, beside that of the relay: none if it is not to blame."""
        if not isinstance(result, Later) or (result.is_certain and result.pauses_all):
            return 0.0
        return self._backoff_s(row.attempts)

    def _backoff_s(self, failures: int) -> float:
        """Return half to all of the exponential backoff after some failures."""
        longest = self.settings.backoff_seconds * 2.0 ** min(failures - 1, 30)
        return min(longest, self.settings.max_backoff_seconds) * (0.5 + self._chance() / 2)

    def _count(self, results: Sequence[tuple[Row, Result]], pause_s: float) -> None:
        for row, result in results:
            match result:
                case Accepted():
                    self.counts.accepted += 1
                case Refused():
                    self.counts.refused += 1
                    log.error("the API refused row %s of the outbox: %s", row.id, result.problem)
                case Later():
                    self.counts.postponed += 1
        reasons = [result.reason for _, result in results if isinstance(result, Later) and result is not _NOT_SENT]
        if reasons:
            log.warning("%d rows wait, next try in %.1f s: %s", len(reasons), pause_s, reasons[0])
