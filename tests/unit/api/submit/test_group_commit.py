"""Submissions that share a group commit."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from rig.settings import settings_from

from api.submit.group_commit import GroupCommit
from api.telemetry.metrics import ApiMetrics
from common.domain.job import NewJob
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool


class _RecordedCommits(GroupCommit):
    """Stores nothing. During the first commit one job is buffered, and another is received by its end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, DatabasePool(settings), lambda _queue, _jobs: None, ApiMetrics())
        self.sizes: list[int] = []
        self.later_submissions: list[asyncio.Task[None]] = []

    async def _insert(self, jobs: Sequence[NewJob]) -> None:
        self.sizes.append(len(jobs))
        if len(self.sizes) == 1:
            self.later_submissions.append(asyncio.create_task(self.submit(_job(1))))
            await asyncio.sleep(0)
            self.later_submissions.append(asyncio.create_task(self.submit(_job(2))))


def _job(number: int) -> NewJob:
    return NewJob(UUID(int=number), "square_sum", "default", "{}", 3, None, 5)


def test_submissions_received_by_the_end_of_a_commit_join_the_next_one() -> None:
    async def commit_sizes() -> list[int]:
        group_commit = _RecordedCommits(settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0"))
        await group_commit.submit(_job(0))
        await asyncio.gather(*group_commit.later_submissions)
        return group_commit.sizes

    assert asyncio.run(commit_sizes()) == [1, 2]
