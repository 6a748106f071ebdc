"""Submissions that share a group commit."""

import asyncio
import dataclasses
import sys
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any
from uuid import UUID

import pytest
from rig.settings import settings_from

from api.submit.group_commit import GroupCommit, bytes_of
from api.telemetry.metrics import ApiMetrics
from common.domain.errors import JobprocError, Overloaded, StoreUnavailable
from common.domain.job import NewJob, Options
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.jobs.keyed_insert import InsertOutcome


class _RecordedCommits(GroupCommit):
    """Stores nothing. During the first commit one job is buffered, and another is received by its end."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, DatabasePool(settings), lambda _queue, _jobs: None, ApiMetrics())
        self.sizes: list[int] = []
        self.later_submissions: list[asyncio.Task[None]] = []

    async def _insert(self, jobs: Sequence[NewJob], _tenants: Collection[int]) -> None:
        self.sizes.append(len(jobs))
        if len(self.sizes) == 1:
            self.later_submissions.append(asyncio.create_task(self.submit(_job(1), 1)))
            await asyncio.sleep(0)
            self.later_submissions.append(asyncio.create_task(self.submit(_job(2), 1)))


def _job(number: int) -> NewJob:
    return NewJob(UUID(int=number), "square_sum", "default", "{}", 3, None, 5)


def test_submissions_received_by_the_end_of_a_commit_join_the_next_one() -> None:
    async def commit_sizes() -> list[int]:
        group_commit = _RecordedCommits(settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0"))
        await group_commit.submit(_job(0), 1)
        await asyncio.gather(*group_commit.later_submissions)
        return group_commit.sizes

    assert asyncio.run(commit_sizes()) == [1, 2]


# --- limits of bytes

INPUT_BYTES = 1_000


class _StalledCommits(GroupCommit):
    """Stores nothing; every commit waits for `resume`, and fails if `fails` is set."""

    def __init__(self, **settings: str) -> None:
        values = settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0", **settings)
        super().__init__(values, DatabasePool(values), lambda _queue, _jobs: None, ApiMetrics())
        self.resume = asyncio.Event()
        self.fails = False
        self.sizes: list[int] = []

    async def _insert(self, jobs: Sequence[NewJob], _tenants: Collection[int]) -> None:
        self.sizes.append(len(jobs))
        await self._stall()

    async def _retry_until_timeout(self, _store: object) -> Any:
        await self._stall()
        return InsertOutcome([], [])

    async def _stall(self) -> None:
        await self.resume.wait()
        if self.fails:
            raise StoreUnavailable


def _large_job(number: int, characters: int = INPUT_BYTES) -> NewJob:
    job = _job(number)
    return dataclasses.replace(job, input="x" * (characters - sys.getsizeof("")))


async def _submit(work: Awaitable[None]) -> str:
    try:
        await work
    except JobprocError as error:
        return type(error).__name__
    return "stored"


def _submit_while_stalled(
    count: int, *, fails: bool = False, submit: Callable[[_StalledCommits, NewJob], Awaitable[None]], **settings: str
) -> tuple[list[str], list[int]]:
    """Submit large jobs while no commit ends, then let them end. Return the outcomes, and the jobs of each commit."""

    async def submitted() -> tuple[list[str], list[int]]:
        group_commit = _StalledCommits(**settings)
        group_commit.fails = fails
        tasks = [asyncio.create_task(_submit(submit(group_commit, _large_job(number)))) for number in range(count)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        group_commit.resume.set()
        outcomes = await asyncio.gather(*tasks)
        group_commit.fails = False
        for number in range(2):  # all bytes are free again
            await group_commit.submit(_large_job(number), 1)
        assert group_commit._waiting_bytes == 0
        return outcomes, group_commit.sizes[:-2]

    return asyncio.run(submitted())


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "submit",
    [lambda commits, job: commits.submit(job, 1), lambda commits, job: commits.submit_once([job], None, 1)],
    ids=["single", "batch"],
)
def test_submissions_beyond_the_limit_of_bytes_are_refused(
    submit: Callable[[_StalledCommits, NewJob], Awaitable[None]], *, fails: bool
) -> None:
    outcomes, _ = _submit_while_stalled(8, fails=fails, submit=submit, JOBPROC_MAX_BUFFERED_BYTES=str(5 * INPUT_BYTES))
    assert outcomes == [StoreUnavailable.__name__ if fails else "stored"] * 5 + [Overloaded.__name__] * 3


def test_a_group_commit_has_a_limit_of_bytes_and_a_larger_job_is_committed_alone() -> None:
    async def sizes() -> list[int]:
        group_commit = _StalledCommits(JOBPROC_GROUP_COMMIT_MAX_BYTES=str(3 * INPUT_BYTES))
        jobs = [_large_job(number) for number in range(5)]
        jobs += [_large_job(5, 10 * INPUT_BYTES), _large_job(6), _large_job(7)]
        tasks = [asyncio.create_task(group_commit.submit(job, 1)) for job in jobs]
        await asyncio.sleep(0)
        group_commit.resume.set()
        await asyncio.gather(*tasks)
        return group_commit.sizes

    assert asyncio.run(sizes()) == [3, 2, 1, 2]


def test_a_submission_above_the_limit_of_bytes_is_accepted_alone() -> None:
    outcomes, _ = _submit_while_stalled(
        2, submit=lambda commits, job: commits.submit(job, 1), JOBPROC_MAX_BUFFERED_BYTES="10"
    )
    assert outcomes == ["stored", Overloaded.__name__]


def test_the_bytes_of_a_submission_are_those_of_its_texts_in_memory() -> None:
    job = _job(1)
    for text, size in (("x" * 1_000, 1_000), ("\u20ac" * 1_000, 2_000), ("\U0001f600" * 1_000, 4_000)):
        assert size < bytes_of(dataclasses.replace(job, input=text)) < size + 100
        with_metadata = dataclasses.replace(job, options=Options(metadata=text))
        assert size < bytes_of(with_metadata) < size + 200
