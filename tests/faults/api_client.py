"""A client's HTTP calls, each recorded in the history, and the accepted jobs that all clients share."""

import random
import threading
from typing import Any

import httpx

from faults.history import Answer, Call, History, now_s
from faults.jobs import SentJob, random_job

CLIENT_TIMEOUT_S = 20.0  # longer than the API's own limits
NOT_STORED = "urn:jobproc:problem:overloaded"  # the one 503 that promises that nothing was stored
CLOSING = "closing"  # added to a response: the API closes the connection, because it shuts down
READS = frozenset({"read", "wait", "read_bulk_action"})  # actions that are a GET
_NEWEST_MEAN = 20  # mean distance of a random job from the newest one


class AcceptedJobs:
    """The jobs that the API accepted, for all clients to read, cancel and retry."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._cancelled: list[str] = []
        self.sent: dict[str, SentJob] = {}  #: by job id
        self.waited: dict[int, str] = {}  #: job id by the number of the client that waits for it

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


class ApiClient:
    """The HTTP client of one thread, its source of randomness and its numbering of jobs."""

    def __init__(self, number: int, url: str, history: History, jobs: AcceptedJobs, chance: random.Random) -> None:
        self.number = number
        self.chance = chance
        self.jobs = jobs
        self.history = history
        self.stopping = threading.Event()
        self._sent_jobs = 0
        self._http = httpx.Client(base_url=url, timeout=CLIENT_TIMEOUT_S)

    def new_job(self) -> SentJob:
        """Make a job with a number that no other job has."""
        self._sent_jobs += 1
        return random_job(self.chance, float(self.number * 1_000_000 + self._sent_jobs))

    def new_lingering_job(self) -> SentJob:
        """Make a job that runs until it is cancelled, for a second at most."""
        return SentJob("linger", (self.chance.uniform(0.2, 1.0), self.new_job().tag))

    def new_input(self, job_id: str) -> SentJob:
        """Make another input for a job."""
        previous = self.jobs.sent[job_id]
        return SentJob(previous.operation, (*previous.data[:-1], self.new_job().tag))

    def pause(self, seconds: float) -> None:
        """Wait; return early when the client is stopped."""
        self.stopping.wait(seconds)

    def call(self, action: str, path: str, body: Any = None, sent: tuple[SentJob, ...] = (), **details: Any) -> Call:
        """Make a call, record and return it. `details`: further fields of `Call`.

        These are `job_ids`, `retry_input`, `idempotency_key` and `wait_s`.
        """
        began_s, status, content, answer = now_s(), None, {}, Answer.UNKNOWN
        try:
            response = self._http.request(
                "GET" if action in READS else "POST",
                path,
                json=body,
                headers={"Idempotency-Key": details["idempotency_key"]} if "idempotency_key" in details else {},
            )
            status, content = response.status_code, response.json()
            if "wait_s" in details:
                content[CLOSING] = response.headers.get("connection") == "close"
            answer = _answer(status, content)
        except (httpx.HTTPError, ValueError):
            pass
        accepted = answer is Answer.OK and bool(sent)
        if accepted:
            details["job_ids"] = tuple(content.get("job_ids") or [content["job_id"]])
        shown = content if answer is Answer.OK and (not sent or "result" in content) else {}
        call = Call(action, self.number, began_s, now_s(), answer, status, sent, response=shown, **details)
        self.history.add(call)
        if accepted:
            self.jobs.add(call.job_ids, sent)
        return call

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _answer(status: int, content: dict[str, Any]) -> Answer:
    if status < 300:
        return Answer.OK
    if status < 500 or content.get("type") == NOT_STORED:
        return Answer.REFUSED
    return Answer.UNKNOWN
