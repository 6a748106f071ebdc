"""Jobs with a webhook, and their deliveries."""

from dataclasses import replace
from uuid import UUID, uuid4

from integration.store.support.storage import Claimer, Storage, results

from common.domain.job import ClaimedJob, Options
from common.store.webhooks import settle
from common.store.webhooks.deliveries import JOB_DELIVERY_ID

_CREATE = "INSERT INTO webhook_endpoints (id, max_attempts, url) VALUES (%s, 21, 'https://receiver.example/')"
_ENDS = f"""
SELECT o.id::text, o.run, (SELECT count(*) FROM jobs d WHERE d.id = {JOB_DELIVERY_ID})
FROM outcomes o JOIN jobs j ON j.id = o.id WHERE j.webhook IS NOT NULL ORDER BY 1, 2
"""


class Webhooks:
    """An endpoint, and jobs that have it."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.endpoint = uuid4()
        storage.rows(_CREATE, (str(self.endpoint),))

    def submit(self, count: int = 1, webhook: UUID | None = None) -> list[str]:
        """Store jobs with the webhook, or another one; return their ids."""
        options = Options(webhook=webhook or self.endpoint)
        return self.storage.store([replace(job, options=options) for job in self.storage.new(count)])

    def claim(self, claimer: Claimer, limit: int = 100) -> list[ClaimedJob]:
        jobs = claimer.claim(limit)
        assert all(job.has_webhook for job in jobs)
        return jobs

    def settle(self, claimer: Claimer, jobs: list[ClaimedJob]) -> set[str]:
        """Settle jobs as a worker process does."""
        return settle.settle(claimer.connection, claimer.id, results(jobs))

    def told(self) -> list[int]:
        """Return the number of deliveries of each end."""
        return [row[2] for row in self.storage.rows(_ENDS)]

    def deliveries(self) -> int:
        return int(self.storage.value("SELECT count(*) FROM jobs WHERE operation = 'jobproc.webhook'"))

    def types(self) -> list[str]:
        """Return the types of all stored events."""
        rows = self.storage.rows(
            "SELECT input #>> '{event,type}' FROM jobs WHERE operation = 'jobproc.webhook' ORDER BY 1"
        )
        return [row[0] for row in rows]
