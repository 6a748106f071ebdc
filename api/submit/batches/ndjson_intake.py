"""Stores a body of NDJSON once, all or none: the part that batches and workflows share."""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol
from uuid import UUID

from api.limits.quotas.quotas import Quotas
from api.submit.backpressure import Backpressure
from api.submit.batches.ndjson import NdjsonBody
from api.submit.group_commit import GroupCommit
from api.submit.parsing import SubmissionParser
from api.web.request_body import RequestBodies
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.jobs import keyed_insert
from common.store.jobs.keyed_insert import IdempotencyKey

SPOOLED_BYTES = 1_048_576  # of a body that are kept in memory; a larger one is in a temporary file until its end


class CheckedJobs(Protocol):
    """The jobs of a body whose lines are valid."""

    @property
    def jobs(self) -> int:
        """The number of jobs."""

    @property
    def size(self) -> int:
        """The bytes that they store."""

    @property
    def queues(self) -> Collection[str]:
        """Their queues."""


class NdjsonIntake:
    """Stores bodies of NDJSON whose jobs were checked."""

    def __init__(
        self,
        pool: DatabasePool,
        bodies: RequestBodies,
        parser: SubmissionParser,
        group_commit: GroupCommit,
        limits: tuple[Backpressure, Quotas],
    ) -> None:
        self._settings = bodies.settings
        self._pool = pool
        self._bodies = bodies
        self._parser = parser
        self._group_commit = group_commit
        self._backpressure, self._quotas = limits

    def _keyed(self, key: str | None, body: NdjsonBody) -> IdempotencyKey | None:
        """Return the idempotency key of a request whose body was read to its end."""
        return None if key is None else IdempotencyKey(key, body.digest, self._settings.idempotency_seconds)

    async def _earlier(self, tenant: int, key: IdempotencyKey | None) -> tuple[UUID, UUID] | None:
        """Return the batch of an earlier request with the key, and its first job; None: there was none."""
        if key is None:
            return None
        outcome = await self._pool.run(lambda connection: keyed_insert.replay(connection, tenant, key), Lane.INTAKE)
        return None if outcome is None or outcome.batch is None else (outcome.batch, outcome.ids[0])

    async def _store_once(self, tenant: int, checked: CheckedJobs, insert: Callable[[], Awaitable[bool]]) -> bool:
        """Store jobs within the limits. `insert`: False if another request has the key; this returns it then."""
        await self._backpressure.check(tenant, checked.queues)
        with await self._quotas.admit_counted(tenant, checked.jobs, checked.size) as admission:
            if await insert():
                return True
            admission.keep([])
        return False
