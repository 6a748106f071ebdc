"""Who goes along with a commit."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from rig.settings import settings_of

from api.submit.group_commit import GroupCommit
from api.telemetry.metrics import ApiMetrics
from common.domain.job import NewJob
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool


class _Commits(GroupCommit):
    """Stores nothing; during the first commit one job comes, and another one has been received by its end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, DatabasePool(settings), lambda *_told: None, ApiMetrics())
        self.sizes: list[int] = []
        self.others: list[asyncio.Task[None]] = []

    async def _insert(self, jobs: Sequence[NewJob]) -> None:
        self.sizes.append(len(jobs))
        if len(self.sizes) == 1:
            self.others.append(asyncio.create_task(self.submit(_job(1))))
            await asyncio.sleep(0)
            self.others.append(asyncio.create_task(self.submit(_job(2))))


def _job(number: int) -> NewJob:
    return NewJob(UUID(int=number), "square_sum", "default", "{}", 3, None, 5)


def test_what_has_been_received_by_the_end_of_a_commit_goes_along_with_the_next_one() -> None:
    async def work() -> list[int]:
        intake = _Commits(settings_of("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0"))
        await intake.submit(_job(0))
        await asyncio.gather(*intake.others)
        return intake.sizes

    assert asyncio.run(work()) == [1, 2]
