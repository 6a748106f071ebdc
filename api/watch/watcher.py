"""A waiting client, and the job that it waits for, if it waits for one."""

import asyncio

from fastapi import Request

from common.store.jobs.reads import JobSnapshot


class WaitingClient:
    """A client that waits: a task that sleeps until it is woken, the time is up, or the client leaves."""

    __slots__ = ("_limit", "_request", "woken")

    def __init__(self, request: Request) -> None:
        """`request`: that of the client, whose body was read."""
        self._request = request
        self._limit: asyncio.Timeout | None = None
        self.woken = False

    def wake(self) -> None:
        """End the current pause of the client, or its next one."""
        self.woken = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    async def pause(self, seconds: float) -> bool:
        """Sleep until the client is woken or the time is up. Return False if the client has disconnected."""
        try:
            # One task and one timer a client: the task waits for the disconnect, and waking moves the timeout to now.
            async with asyncio.timeout(seconds) as self._limit:
                if self.woken:
                    return True
                while (await self._request.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        finally:
            self._limit = None
        return False


class WatchedJob:
    """A job that clients of a tenant wait for, and its newest snapshot; none if it is the job of another tenant."""

    __slots__ = ("id", "is_missing", "next_poll_s", "polls", "snapshot", "snapshot_at_s", "tenant", "watchers")

    def __init__(self, tenant: int, job_id: str) -> None:
        self.tenant = tenant
        self.id = job_id
        self.watchers: set[Watcher] = set()
        self.next_poll_s = 0.0  #: when the next poll is due
        self.polls = 0  #: polls since the newest client began to wait
        self.snapshot: JobSnapshot | None = None
        self.snapshot_at_s = 0.0
        self.is_missing = False  #: the last poll found no such job


class Watcher(WaitingClient):
    """A client that waits for a job."""

    __slots__ = (
        "has_failed",
        "has_polled",
        "job",
        "last_revision",
        "on_every_change",
        "since_poll",
    )

    def __init__(self, request: Request, job: WatchedJob, since_poll: int, *, on_every_change: bool) -> None:
        """Watch a job; only polls numbered above `since_poll` count.

        With `on_every_change` the first poll and every change wake the client, else only the end of the job.
        """
        super().__init__(request)
        self.job = job
        self.since_poll = since_poll
        self.on_every_change = on_every_change
        self.last_revision: tuple[int, int, str] | None = None  #: run, revision and status that last woke the client
        self.has_polled = False  #: a poll has succeeded since the client began to wait
        self.has_failed = False  #: a poll failed before any succeeded

    def poll_failed(self) -> None:
        """Take note of a failed poll. It wakes a client that has no snapshot yet."""
        if not self.has_polled:
            self.has_failed = True
            self.wake()

    def update(self, snapshot: JobSnapshot | None) -> bool:
        """Take the newest snapshot of the job (None: no such job) and wake the client if it waits for this.

        Return True if the client waits for the end of the job and this woke it.
        """
        self.has_polled = True
        revision = (0, 0, "") if snapshot is None else (snapshot.run, snapshot.rev, snapshot.status)
        due = revision != self.last_revision if self.on_every_change else snapshot is None or snapshot.is_finished
        if not due or self.woken:
            return False
        self.last_revision = revision
        self.wake()
        return not self.on_every_change and snapshot is not None
