"""Clients: threads that call the API, each by its own seed, and write down what they were told.

A further action is one function in ACTIONS: it takes the client and makes one call.
"""

import random
import threading
from collections.abc import Callable
from typing import Any

import httpx

from faults.history import Answer, Call, History, Sent, now_s

ANSWER_S = 20.0  # longest that a client waits: longer than the API's own limits
NOT_STORED = "urn:jobproc:problem:overloaded"  # the one 503 that says so
SWOLLEN_MIB = 64.0
CLOSING = "closing"  # of an answer: the API has said that it leaves
Action = Callable[["Client"], None]


class Jobs:
    """The jobs that clients were promised, for others to read."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def add(self, ids: tuple[str, ...]) -> None:
        """Remember some."""
        self._ids.extend(ids)

    def one(self, chance: random.Random) -> str | None:
        """Return one, of the newest rather than of the oldest; None while there is none."""
        return self._ids[-1 - min(int(chance.expovariate(1 / 20)), len(self._ids) - 1)] if self._ids else None


class Client:
    """One client. `pause_s`: mean time between two calls."""

    def __init__(self, number: int, url: str, history: History, jobs: Jobs, seed: int, pause_s: float) -> None:
        self.number = number
        self.chance = random.Random(f"{seed}-{number}")
        self.jobs = jobs
        self._history = history
        self._sent = 0
        self._pause_s = pause_s
        self._done = threading.Event()
        self._http = httpx.Client(base_url=url, timeout=ANSWER_S)
        self._thread = threading.Thread(target=self._run, name=f"client-{number}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the call under way."""
        self._done.set()
        self._thread.join(ANSWER_S * 2)
        assert not self._thread.is_alive(), "a client hangs"
        self._http.close()

    def _run(self) -> None:
        names = [name for name, (weight, _) in ACTIONS.items() for _ in range(weight)]
        while not self._done.wait(self.chance.expovariate(1 / self._pause_s)):
            ACTIONS[self.chance.choice(names)][1](self)

    def job(self) -> Sent:
        """Make a job that no other is like."""
        self._sent += 1
        tag = float(self.number * 1_000_000 + self._sent)
        kind = self.chance.random()
        if kind < 0.1:
            return Sent("square_sum", (0.5, tag))
        if kind < 0.2:
            return Sent("stumble", (float(self.chance.randint(1, 2)), tag))
        if kind < 0.22:
            return Sent("fall", (1.0, tag))
        if kind < 0.23:
            return Sent("swell", (SWOLLEN_MIB, tag))
        return Sent("effect", (0.3 if kind > 0.95 else self.chance.choice([0.0, 0.001, 0.01, 0.03]), tag))

    def call(  # noqa: PLR0913, PLR0917 - all of a call
        self, what: str, method: str, path: str, body: Any = None, sent: tuple[Sent, ...] = (), ids: tuple[str, ...] = (), wait_s: float = 0.0
    ) -> None:
        """Make a call and write down what came of it."""
        began_s, status, found, said = now_s(), None, {}, Answer.UNKNOWN
        try:
            answer = self._http.request(method, path, json=body)
            status, found = answer.status_code, answer.json()
            if wait_s:
                found[CLOSING] = answer.headers.get("connection") == "close"
            said = _said(status, found)
        except (httpx.HTTPError, ValueError):
            pass
        if said is Answer.OK and sent:
            ids = tuple(found.get("job_ids") or [found["job_id"]])
        seen = found if said is Answer.OK and not sent else {}
        self._history.add(Call(what, self.number, began_s, now_s(), said, status, sent, ids, seen, wait_s))
        if said is Answer.OK and sent:
            self.jobs.add(ids)


def _said(status: int, found: dict[str, Any]) -> Answer:
    if status < 300:
        return Answer.OK
    if status < 500 or found.get("type") == NOT_STORED:
        return Answer.REFUSED
    return Answer.UNKNOWN


def body(sent: Sent) -> dict[str, Any]:
    """Return a job as it is sent."""
    return {"operation": sent.operation, "data": list(sent.data)}


def submit(client: Client) -> None:
    """Submit a job."""
    sent = client.job()
    client.call("submit", "POST", "/jobs/", body(sent), (sent,))


def submit_batch(client: Client) -> None:
    """Submit some in one request: all or none."""
    sent = tuple(client.job() for _ in range(client.chance.randint(2, 30)))
    client.call("batch", "POST", "/jobs/batch", [body(one) for one in sent], sent)


def submit_wrong(client: Client) -> None:
    """Submit what must be refused."""
    sent = Sent("no_such_operation", client.job().data)
    client.call("wrong", "POST", "/jobs/", body(sent), (sent,))


def look(client: Client) -> None:
    """Read a job."""
    if job_id := client.jobs.one(client.chance):
        client.call("read", "GET", f"/jobs/{job_id}", ids=(job_id,))


def wait(client: Client) -> None:
    """Wait for the end of a job."""
    if job_id := client.jobs.one(client.chance):
        wait_s = round(client.chance.uniform(0.5, 5), 2)
        client.call("wait", "GET", f"/jobs/{job_id}/result?wait={wait_s}", ids=(job_id,), wait_s=wait_s)


#: Weight and function of what a client may do.
ACTIONS: dict[str, tuple[int, Action]] = {
    "submit": (12, submit),
    "batch": (2, submit_batch),
    "wrong": (1, submit_wrong),
    "read": (10, look),
    "wait": (4, wait),
}
