"""Clients: threads that call the API, each by its own seed, and write down what they were told.

A further action is one function in ACTIONS: it takes the client and makes one call.
"""

import random
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from faults.history import Answer, Call, History, Sent, now_s

ANSWER_S = 20.0  # longest that a client waits: longer than the API's own limits
NOT_STORED = "urn:jobproc:problem:overloaded"  # the one 503 that says so
SWOLLEN_MIB = 64.0
CLOSING = "closing"  # of an answer: the API has said that it leaves
MOST_TRIES = 4  # of one request under a key
UNIQUE_KEYS = 3
MOST_LOOKS = 20  # at an action, until it is done
Action = Callable[["Client"], None]


class Jobs:
    """The jobs that clients were promised, for others to read."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._cancelled: list[str] = []
        self.sent: dict[str, Sent] = {}  #: what each was
        self.waited: dict[int, str] = {}  #: by the client that waits for it

    def add(self, ids: tuple[str, ...], sent: tuple[Sent, ...]) -> None:
        """Remember some."""
        self.sent.update(zip(ids, sent, strict=True))
        self._ids.extend(ids)

    def cancelled(self, job_id: str) -> None:
        """Remember that one is cancelled, or will be."""
        self._cancelled.append(job_id)

    def one(self, chance: random.Random) -> str | None:
        """Return one, of the newest rather than of the oldest; None while there is none."""
        return _newest(self._ids, chance)

    def one_cancelled(self, chance: random.Random) -> str | None:
        """Return one that was cancelled once, or may be yet."""
        return _newest(self._cancelled, chance)


def _newest(ids: list[str], chance: random.Random) -> str | None:
    return ids[-1 - min(int(chance.expovariate(1 / 20)), len(ids) - 1)] if ids else None


#: By its share: a job of each kind, from chance and the number that is its own.
_JOBS: dict[Callable[[random.Random, float], Sent], int] = {
    lambda _chance, tag: Sent("square_sum", (0.5, tag)): 10,
    lambda chance, tag: Sent("stumble", (float(chance.randint(1, 2)), tag)): 10,
    lambda _chance, tag: Sent("fall", (1.0, tag)): 2,
    lambda _chance, tag: Sent("swell", (SWOLLEN_MIB, tag)): 4,
    # Up to a lease: others have it by the time that its frozen worker goes on.
    lambda chance, tag: Sent("await_falter", (1.0, chance.uniform(0.5, 2.0), tag)): 2,
    lambda chance, tag: Sent("await_effect", (chance.choice([0.0, 0.01, 0.1, 0.3]), tag)): 10,
    lambda chance, tag: Sent("effect", (chance.choice([0.0, 0.001, 0.01, 0.03]), tag)): 57,
    lambda _chance, tag: Sent("effect", (0.3, tag)): 5,
}
_KINDS, _SHARES = list(_JOBS), list(_JOBS.values())


class Client:
    """One client. `pause_s`: mean time between two calls."""

    def __init__(self, number: int, url: str, history: History, jobs: Jobs, seed: int, pause_s: float) -> None:
        self.number = number
        self.chance = random.Random(f"{seed}-{number}")
        self.jobs = jobs
        self.history = history
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
        return self.chance.choices(_KINDS, _SHARES)[0](self.chance, tag)

    def linger(self) -> Sent:
        """Make a job that runs until it is cancelled, though not for long."""
        return Sent("linger", (self.chance.uniform(0.2, 1.0), self.job().tag))

    def again(self, job_id: str) -> Sent:
        """Make another input of a job."""
        before = self.jobs.sent[job_id]
        return Sent(before.operation, (*before.data[:-1], self.job().tag))

    def pause(self, seconds: float) -> None:
        """Wait, no longer than this client is there."""
        self._done.wait(seconds)

    def call(self, what: str, path: str, body: Any = None, sent: tuple[Sent, ...] = (), **about: Any) -> Call:
        """Make a call, write down what came of it and return that. `about`: what else a Call says: `ids`, `again`, `key`, `wait_s`."""
        began_s, status, found, said = now_s(), None, {}, Answer.UNKNOWN
        try:
            answer = self._http.request(
                "GET" if what in {"read", "wait", "acted"} else "POST", path, json=body, headers={"Idempotency-Key": about["key"]} if "key" in about else {}
            )
            status, found = answer.status_code, answer.json()
            if "wait_s" in about:
                found[CLOSING] = answer.headers.get("connection") == "close"
            said = _said(status, found)
        except (httpx.HTTPError, ValueError):
            pass
        if said is Answer.OK and sent:
            about["ids"] = tuple(found.get("job_ids") or [found["job_id"]])
        seen = found if said is Answer.OK and (not sent or "result" in found) else {}
        call = Call(what, self.number, began_s, now_s(), said, status, sent, seen=seen, **about)
        self.history.add(call)
        if said is Answer.OK and sent:
            self.jobs.add(call.ids, sent)
        return call


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
    client.call("submit", "/jobs/", body(sent), (sent,))


def submit_and_wait(client: Client) -> None:
    """Submit a job and let the answer wait for its end; where that comes in time it is what a wait is answered."""
    sent, wait_s = client.job(), round(client.chance.uniform(0.2, 3), 2)
    made = client.call("submit", f"/jobs/?wait={wait_s}", body(sent), (sent,), wait_s=wait_s)
    if made.seen:
        client.history.add(replace(made, what="wait", sent=()))


def submit_batch(client: Client) -> None:
    """Submit some in one request: all or none."""
    sent = tuple(client.job() for _ in range(client.chance.randint(2, 30)))
    client.call("batch", "/jobs/batch", [body(one) for one in sent], sent)


def submit_wrong(client: Client) -> None:
    """Submit what must be refused."""
    sent = Sent("no_such_operation", client.job().data)
    client.call("wrong", "/jobs/", body(sent), (sent,))


def look(client: Client) -> None:
    """Read a job; often one that another waits for, so that its end is seen beside the wait."""
    waited = list(client.jobs.waited.values())
    job_id = client.chance.choice(waited) if waited and client.chance.random() < 0.5 else client.jobs.one(client.chance)
    if job_id is not None:
        client.call("read", f"/jobs/{job_id}", ids=(job_id,))


def cancel(client: Client) -> None:
    """Cancel a job: any, or one that runs for so long that it can be."""
    job_id = client.jobs.one(client.chance)
    if client.chance.random() < 0.5:
        sent = client.linger()
        made = client.call("submit", "/jobs/", body(sent), (sent,))
        client.pause(client.chance.uniform(0, 0.5))
        job_id = made.ids[0] if made.answer is Answer.OK else None
    if job_id is not None:
        told = client.call("cancel", f"/jobs/{job_id}/cancel", ids=(job_id,))
        if told.seen.get("status") != "SUCCESS":
            client.jobs.cancelled(job_id)


def retry(client: Client) -> None:
    """Retry a job: any, or one that was cancelled; with its input, or with another one."""
    jobs, chance = client.jobs, client.chance
    job_id = jobs.one_cancelled(chance) if chance.random() < 0.7 else jobs.one(chance)
    if job_id is not None:
        again = client.again(job_id) if chance.random() < 0.5 else None
        client.call("retry", f"/jobs/{job_id}/retry", None if again is None else {"data": list(again.data)}, ids=(job_id,), again=again)


def submit_again(client: Client) -> None:
    """Submit a job under a key, over and over until an answer says what became of it, and sometimes once more."""
    sent, tries = client.job(), 0
    key = f"{client.number}-{sent.tag:.0f}"
    while tries < MOST_TRIES:
        tries += 1
        told = client.call("keyed", "/jobs/", body(sent), (sent,), key=key)
        if told.answer is not Answer.UNKNOWN and client.chance.random() < 0.7:
            break
        client.pause(0.05)


def submit_unique(client: Client) -> None:
    """Submit a job whose unique key others use too."""
    sent = client.job()
    unique = {"key": f"u{client.chance.randrange(UNIQUE_KEYS)}", "while": "both", "on_conflict": "reject"}
    client.call("unique", "/jobs/", body(sent) | {"unique": unique}, (sent,))


def submit_timed(client: Client) -> None:
    """Submit a job that may not begin yet, or has to have ended soon, or both; of any priority."""
    sent, chance = client.job(), client.chance
    asked: dict[str, Any] = {"priority": chance.randrange(10)}
    if chance.random() < 0.7:
        asked["delay"] = round(chance.uniform(0.1, 3.0), 3)
    if chance.random() < 0.5:
        ends = datetime.now(UTC) + timedelta(seconds=asked.get("delay", 0.0) + chance.uniform(0.3, 4.0))
        asked["deadline"] = ends.isoformat()
    client.call("timed", "/jobs/", body(sent) | asked, (sent,))


def wait(client: Client) -> None:
    """Wait for the end of a job: any, or one that begins in a while."""
    job_id = client.jobs.one(client.chance)
    if client.chance.random() < 0.5:
        sent = client.job()
        made = client.call("timed", "/jobs/", body(sent) | {"delay": round(client.chance.uniform(0.4, 1.2), 3)}, (sent,))
        job_id = made.ids[0] if made.answer is Answer.OK else None
    if job_id is not None:
        wait_s = round(client.chance.uniform(0.5, 5), 2)
        client.jobs.waited[client.number] = job_id
        client.call("wait", f"/jobs/{job_id}/result?wait={wait_s}", ids=(job_id,), wait_s=wait_s)
        del client.jobs.waited[client.number]


def act(client: Client) -> None:
    """Submit some under a tag of their own, most of which wait, cancel all of them by it, and sometimes take that back."""
    sent, chance = tuple(client.job() for _ in range(client.chance.randint(5, 30))), client.chance
    tag = f"act-{sent[0].tag:.0f}"
    bodies = [body(one) | {"tags": [tag]} | ({"delay": round(chance.uniform(0.1, 3.0), 3)} if chance.random() < 0.7 else {}) for one in sent]
    made = client.call("batch", "/jobs/batch", bodies, sent)
    if made.answer is not Answer.OK:
        return
    wanted = client.call("act", "/actions", {"action": "cancel", "filter": {"tag": tag}, "rate": chance.choice([20, 200, 2_000])}, ids=made.ids)
    if wanted.answer is not Answer.OK:
        return
    at = f"/actions/{wanted.seen['action_id']}"
    for verb, phase in (("start", "DONE"), ("undo", "UNDONE")):
        client.call(verb, f"{at}/{verb}", ids=made.ids)
        for _ in range(MOST_LOOKS):
            client.pause(0.3)
            if client.call("acted", at, ids=made.ids).seen.get("phase") in {phase, "PREVIEW"}:
                break
        if chance.random() < 0.5:
            return


#: Weight and function of what a client may do.
ACTIONS: dict[str, tuple[int, Action]] = {
    "submit": (12, submit),
    "batch": (2, submit_batch),
    "wrong": (1, submit_wrong),
    "read": (10, look),
    "wait": (4, wait),
    "submit and wait": (3, submit_and_wait),
    "cancel": (2, cancel),
    "retry": (2, retry),
    "keyed": (2, submit_again),
    "unique": (2, submit_unique),
    "timed": (3, submit_timed),
    "act": (1, act),
}
