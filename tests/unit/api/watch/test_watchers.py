"""Watchers: when a job with waiting clients is polled."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from rig.settings import settings_from

from api.auth.principal import ANYONE, SCOPE_KEY
from api.telemetry.metrics import ApiMetrics
from api.watch.watchers import EARLY_POLLS_S, Watchers
from common.store.connection.lanes import Lane

JOB = UUID("019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10")


class _Database:
    """Answers that every job has succeeded, and counts the statements."""

    def __init__(self) -> None:
        self.statements = 0

    async def run(self, work: Callable[[Any], Awaitable[Any]], _lane: Lane) -> Any:
        return await work(self)

    async def fetch(
        self, _query: str, _tenants: Sequence[int], of: Sequence[int], ids: Sequence[UUID]
    ) -> list[tuple[object, ...]]:
        self.statements += 1
        return [
            (tenant, str(job_id), 0, 2, "SUCCESS", 1, None, None, "14.0", False)
            for tenant, job_id in zip(of, ids, strict=True)
        ]


async def _never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("the event is never set")


REQUEST: Any = SimpleNamespace(receive=_never, scope={SCOPE_KEY: ANYONE})


def _watchers(*, publishers_ready: bool) -> tuple[Any, _Database]:
    database: Any = _Database()
    watchers: Any = Watchers(
        settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0"), database, ApiMetrics()
    )
    watchers._change_listener = SimpleNamespace(
        keep_alive=lambda: None, publishers_ready=publishers_ready, close=lambda: asyncio.sleep(0)
    )
    return watchers, database


def _watch_new_job(watchers: Watchers) -> AbstractContextManager[Any]:
    return watchers.watch(REQUEST, JOB, on_every_change=False, unstored=True)


async def _run_ready_tasks() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_job_that_is_being_stored_is_polled_only_after_a_notification() -> None:
    """An earlier poll would take database time from the workers that run the job."""

    async def work() -> None:
        watchers, database = _watchers(publishers_ready=True)
        with _watch_new_job(watchers) as watcher:
            await _run_ready_tasks()
            statements_before = database.statements
            watchers.notify([str(JOB)])  # from a worker that finished the job before the commit was answered
            await _run_ready_tasks()
            assert (await watchers.wait_until_finished(REQUEST, JOB, 10, watcher)).result == "14.0"
        assert (statements_before, database.statements) == (0, 1)
        await watchers.close()

    asyncio.run(work())


def test_a_stored_job_is_polled_soon_without_a_notification() -> None:
    async def work(*, publishers_ready: bool) -> float:
        watchers, database = _watchers(publishers_ready=publishers_ready)
        began = asyncio.get_running_loop().time()
        with _watch_new_job(watchers) as watcher:
            assert (await watchers.wait_until_finished(REQUEST, JOB, 10, watcher)).is_finished
        assert database.statements == 1
        await watchers.close()
        return asyncio.get_running_loop().time() - began

    for publishers_ready in (False, True):
        assert EARLY_POLLS_S[0] <= asyncio.run(work(publishers_ready=publishers_ready)) < 5


def test_an_existing_job_is_polled_immediately() -> None:
    async def work() -> None:
        watchers, database = _watchers(publishers_ready=True)
        assert (await watchers.wait_until_finished(REQUEST, JOB, 10)).is_finished
        assert database.statements == 1
        await watchers.close()

    asyncio.run(work())
