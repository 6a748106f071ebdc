"""A tenant whose jobs have limits in the queue that all share, and that pauses its jobs there and resumes them."""

from dataclasses import dataclass
from datetime import datetime

import psycopg2
from rig.system import Database

from faults.api_client import ApiClient
from faults.history import Answer
from faults.jobs import SentJob, request_body

JOBS, JOB_S, KEYS = 8, 0.01, 2
PAUSED_S, DELAY_S = 0.3, 0.3
_POLICY = """
WITH policy AS (
    INSERT INTO queue_policies (queue, tenant, rev, concurrency, key_concurrency) VALUES ('default', %s, 1, 2, 1)
    RETURNING tenant)
INSERT INTO queue_slots (queue, tenant, n) SELECT 'default', tenant, n FROM policy, generate_series(1, 2) n
"""


@dataclass(frozen=True, slots=True)
class PastPause:
    """A pause of a tenant's jobs in the queue, by the clock of the database."""

    tenant: int
    confirmed_at: datetime  #: after its response
    until: datetime  #: before the request that ended it


class Pauses:
    """The pauses of a run. The jobs of its tenant are limited from the start on."""

    def __init__(self, database_url: str, tenant: int) -> None:
        self.tenant = tenant
        self.past: list[PastPause] = []
        self._url = database_url
        self._database = Database(database_url)
        self._database.rows(_POLICY, (tenant,))

    def press(self, client: ApiClient) -> None:
        """Submit jobs of few keys; at times pause the queue for a moment."""
        sent = tuple(SentJob("effect", (JOB_S, client.new_job().tag)) for _ in range(JOBS))
        # Those with a delay become due together, so that several processes claim jobs of one key at once.
        delay = {"delay_seconds": DELAY_S} if client.chance.random() < 0.7 else {}
        bodies = [request_body(job) | delay | {"concurrency_key": f"k{client.chance.randrange(KEYS)}"} for job in sent]
        client.call("batch", "/jobs/batch", bodies, sent)
        if client.chance.random() < 0.5:
            self._pause(client)

    def _pause(self, client: ApiClient) -> None:
        call = client.call("pause_queue", "/queues/default/pause")
        confirmed_at = self._now() if call.answer is Answer.OK else None
        client.pause(PAUSED_S)
        until = self._now()
        if confirmed_at is not None and until is not None:
            self.past.append(PastPause(self.tenant, confirmed_at, until))
        while client.call("resume_queue", "/queues/default/resume").answer is not Answer.OK:
            if client.stopping.is_set():
                return
            client.pause(0.2)

    def end(self) -> None:
        """Let the jobs run whatever the last request came to."""
        Database(self._url).rows("UPDATE queue_policies SET paused_at = NULL")

    def _now(self) -> datetime | None:
        """Return the time of the database; None while it is unavailable."""
        try:
            now: datetime = self._database.value("SELECT clock_timestamp()")
        except psycopg2.Error:
            self._database = Database(self._url)
            return None
        return now
