"""The change feed of a run: all jobs of the queue are followed, and two clients read it through all faults."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
from rig.keys import new_key
from rig.system import Database

from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import DEFAULT_TENANT

QUEUE = "default"
PAUSE_S, CATCH_UP_S = 0.2, 60.0
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class PastChange:
    """A change in the feed."""

    number: int
    job_id: str
    run_number: int
    status: str | None
    attempt: int
    revision: int


def follow(database: Database) -> None:
    """Follow the queue for all tenants."""
    database.rows(
        "INSERT INTO queue_policies (queue, tenant, rev, events) VALUES (%s, %s, 1, true)", (QUEUE, ALL_TENANTS)
    )
    database.rows("SELECT set_followed_queues()")


def past_changes(database: Database) -> Mapping[int, Sequence[PastChange]]:
    """Return the changes of each tenant."""
    found: dict[int, list[PastChange]] = defaultdict(list)
    for tenant, first_number, changes in database.rows(
        "SELECT tenant, first_number, changes FROM feed_pages ORDER BY tenant, last_number"
    ):
        found[tenant] += [_change({"number": number, **change}) for number, change in enumerate(changes, first_number)]
    return found


def _change(change: Mapping[str, object]) -> PastChange:
    names = ("number", "job_id", "run", "status", "attempt", "revision")
    return PastChange(*(change[name] for name in names))  # type: ignore[arg-type]  # of JSON


class Follower:
    """A client of the default tenant that reads the feed in pages of its own size, and goes on after an error."""

    def __init__(self, database: Database, url: str, limit: int) -> None:
        key = new_key(database, tenant=DEFAULT_TENANT, scopes=[Scope.JOBS_READ])
        self._client = httpx.Client(base_url=url, timeout=TIMEOUT_S, headers={"Authorization": f"Bearer {key}"})
        self._limit = limit
        self._after = 0
        self.changes: list[PastChange] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"feed-{limit}")

    def start(self) -> None:
        """Start."""
        self._thread.start()

    def stop(self) -> None:
        """Stop after the page in progress."""
        self._stopping.set()
        self._thread.join(TIMEOUT_S * 3)
        assert not self._thread.is_alive(), "a follower of the feed hangs"

    def catch_up(self) -> Sequence[PastChange]:
        """Read what is left, and return all changes that were read."""
        until_s = time.monotonic() + CATCH_UP_S
        while self._read(0) is not False and time.monotonic() < until_s:
            pass
        self._client.close()
        return self.changes

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE_S):
            self._read(1)

    def _read(self, wait_s: float) -> bool | None:
        """Read a page. Return True if it has changes, False if it has none, None after an error."""
        try:
            answer = self._client.get(
                "/events", params={"after": self._after, "limit": self._limit, "wait": wait_s}
            ).raise_for_status()
            page = answer.json()
        except (httpx.HTTPError, ValueError):
            time.sleep(PAUSE_S)
            return None
        self.changes += [_change(event) for event in page["events"]]
        self._after = page["after"]
        return bool(page["events"])
