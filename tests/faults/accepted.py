"""The jobs and bulk actions of a tenant that the API accepted, shared by all its clients."""

import random

from faults.jobs import SentJob

_NEWEST_MEAN = 20  # mean distance of a random job from the newest one


class AcceptedJobs:
    """The jobs of a tenant that the API accepted, for all its clients to read, cancel and retry."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._cancelled: list[str] = []
        self.sent: dict[str, SentJob] = {}  #: by job id
        self.waited: dict[int, str] = {}  #: job id by the number of the client that waits for it
        self.bulk_actions: list[str] = []  #: ids

    def add(self, job_ids: tuple[str, ...], sent: tuple[SentJob, ...]) -> None:
        """Remember accepted jobs."""
        self.sent.update(zip(job_ids, sent, strict=True))
        self._ids.extend(job_ids)

    def add_cancelled(self, job_id: str) -> None:
        """Remember that a job is cancelled, or will be."""
        self._cancelled.append(job_id)

    def random_id(self, chance: random.Random) -> str | None:
        """Return a job id, more likely a new one than an old one; None while there is none."""
        return _random_newest(self._ids, chance)

    def random_cancelled_id(self, chance: random.Random) -> str | None:
        """Return the id of a job with a cancel request, like `random_id`."""
        return _random_newest(self._cancelled, chance)


def _random_newest(job_ids: list[str], chance: random.Random) -> str | None:
    if not job_ids:
        return None
    return job_ids[-1 - min(int(chance.expovariate(1 / _NEWEST_MEAN)), len(job_ids) - 1)]
