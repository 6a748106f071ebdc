"""A client's HTTP calls for a tenant, each recorded in the history."""

import random
import threading
from typing import Any

import httpx
from rig.keys import bearer

from faults.history import Answer, Call, History, now_s
from faults.jobs import SentJob, random_job
from faults.keys import key_id
from faults.tenants import TenantOfRun, Tenants

CLIENT_TIMEOUT_S = 20.0  # longer than the API's own limits
NOT_STORED = "urn:jobproc:problem:overloaded"  # the one 503 that promises that nothing was stored
CLOSING = "closing"  # added to a response: the API closes the connection, because it shuts down
READS = frozenset({"read", "wait", "read_bulk_action", "list"})  # actions that are a GET


class ApiClient:
    """The HTTP client of one thread, its source of randomness and its numbering of jobs."""

    def __init__(
        self, number: int, url: str, history: History, tenants: Tenants, tenant: TenantOfRun, chance: random.Random
    ) -> None:
        """Act for `tenant`, one of `tenants`."""
        self.number = number
        self.chance = chance
        self.tenant = tenant
        self.others = list(tenants.others(tenant))
        self.jobs = tenant.jobs
        self.secret = ""  #: the API key that the last call has created
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

    def call(
        self,
        action: str,
        path: str,
        body: Any = None,
        sent: tuple[SentJob, ...] = (),
        *,
        method: str | None = None,
        token: str | None = None,
        **details: Any,
    ) -> Call:
        """Make a call, record and return it. `token`: another API key than the newest of the tenant.

        `details`: further fields of `Call`. These are `job_ids`, `retry_input`, `idempotency_key` and `wait_s`.
        """
        token = token or self.tenant.keys.current
        headers = bearer(token)
        if "idempotency_key" in details:
            headers["Idempotency-Key"] = details["idempotency_key"]
        began_s, status, content, answer = now_s(), None, {}, Answer.UNKNOWN
        try:
            method = method or ("GET" if action in READS else "POST")
            response = self._http.request(method, path, json=body, headers=headers)
            status, content = response.status_code, response.json()
            self.secret = content.pop("key", "")
            if "wait_s" in details:
                content[CLOSING] = response.headers.get("connection") == "close"
            answer = _answer(status, content)
        except (httpx.HTTPError, ValueError):
            pass
        accepted = answer is Answer.OK and bool(sent)
        if accepted:
            details["job_ids"] = tuple(content.get("job_ids") or [content["job_id"]])
        shown = content if answer is Answer.OK and (not sent or "result" in content) else {}
        details |= {"tenant": self.tenant.number, "key": key_id(token), "problem": content.get("type", "")}
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
