"""Jobs of workflows that wait for those that a thread has settled: it asks for them after its commits.

A job with a thousand parents is not looked at a thousand times: a look that finds a parent alive remembers it. Later
ones ask only if that one still lives. Its settle asks too, after its own commit, so none is forgotten.
"""

from collections.abc import Callable, Iterable, Sequence

import psycopg2

from common.domain.decisions import Decision, Fail
from common.domain.job import CHILDREN, ClaimedJob
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.dependencies import resolve
from common.store.workers.results import Results
from common.telemetry import logs

log = logs.get("worker")
Decisions = Sequence[tuple[ClaimedJob, Decision]]
MAX_WATCHED = 10_000  # joins; above it all are forgotten, which costs each one look


class WaitingJobs:
    """The jobs that are to be asked for, and those that may run now."""

    def __init__(self) -> None:
        self._joins: set[str] = set()  # to be asked for
        self._failed: set[str] = set()  # ended jobs without success that have heirs
        self._watched: dict[str, str] = {}  # by join: a parent that lived at the last look
        self._unblocked: dict[str, int] = {}  # jobs that may run, by queue, for which no doorbell was rung

    def settled(self, results: Results, decisions: Decisions) -> None:
        """Remember who is to be asked for, once these are committed."""
        for joins in {links.joins for links in results.links.values()}:
            if joins:
                self._joins.update(joins.split(","))
        self._failed.update(job.id for job, decision in decisions if _has_heirs(job, decision))
        self._count(results.unblocked.items())

    def ask(self, connection: WorkerConnection, queue: str = "") -> bool:
        """Let those run of which all parents have ended. Return True if one of them is in `queue`.

        Raises DatabaseUnavailable; then they are asked for with the next call.
        """
        if not self._joins and not self._failed:
            return False
        before = self._unblocked.get(queue, 0)
        try:
            self._ask(connection)
        except DatabaseUnavailable:
            raise
        except psycopg2.Error:
            log.exception("waiting_jobs_not_asked", jobs=len(self._joins))  # the controller asks for them
        self._joins, self._failed = set(), set()
        return self._unblocked.get(queue, 0) > before

    def _ask(self, connection: WorkerConnection) -> None:
        watched = {join: self._watched[join] for join in self._joins if join in self._watched}
        wanted = self._joins - watched.keys()
        if watched:
            wanted |= set(resolve.gone(connection, watched))
        if self._failed:
            wanted |= set(resolve.heirs(connection, self._failed))
        if not wanted:
            return
        resolved = resolve.resolve(connection, sorted(wanted))
        for join in wanted:
            self._watched.pop(join, None)
        if len(self._watched) > MAX_WATCHED:
            self._watched.clear()
        self._watched.update(resolved.watched)
        self._count(resolved.unblocked.items())

    def ring(self, ring: Callable[[str], object], claimed_queue: str = "", claimed: int = 0) -> None:
        """Ring for the queues with jobs that may run now.

        `claimed`: so many were claimed of `claimed_queue` since, which are not rung for.
        """
        if not self._unblocked:
            return
        for queue, count in self._unblocked.items():
            if queue != claimed_queue or count > claimed:
                ring(queue)
        self._unblocked = {}

    def _count(self, unblocked: Iterable[tuple[str, int]]) -> None:
        for queue, count in unblocked:
            self._unblocked[queue] = self._unblocked.get(queue, 0) + count


def _has_heirs(job: ClaimedJob, decision: Decision) -> bool:
    links = job.links
    return links is not None and isinstance(decision, Fail) and (CHILDREN in links.flags or bool(links.joins))
