"""When a job is looked at for who waits for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from rig.settings import settings_of

from api.telemetry.metrics import ApiMetrics
from api.watch.watchers import EARLY_POLLS_S, Watchers

JOB = UUID("019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10")


class _Database:
    """Knows of one job that it has ended, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def run(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        return await work(self)

    async def fetch(self, _query: str, ids: Sequence[UUID]) -> list[tuple[object, ...]]:
        self.asked += 1
        return [(str(one), 0, 2, "SUCCESS", 1, None, None, "14.0", False) for one in ids]


async def _never() -> dict[str, Any]:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


REQUEST: Any = SimpleNamespace(receive=_never, scope={})


def _waiting(*, sure: bool) -> tuple[Any, _Database]:
    database: Any = _Database()
    waiting: Any = Watchers(settings_of("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0"), database, ApiMetrics())
    waiting._change_listener = SimpleNamespace(keep_alive=lambda: None, publishers_ready=sure, close=lambda: asyncio.sleep(0))
    return waiting, database


def _new(waiting: Watchers) -> AbstractContextManager[Any]:
    return waiting.watch(REQUEST, JOB, on_every_change=False, new=True)


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_job_that_is_being_stored_is_looked_at_once_it_is_told() -> None:
    """To look before would take the database from those who run it."""

    async def work() -> None:
        waiting, database = _waiting(sure=True)
        with _new(waiting) as watcher:
            await _turns()
            before = database.asked
            waiting.notify([str(JOB)])  # by a worker that is quicker than the answer of the commit
            await _turns()
            assert (await waiting.wait_until_finished(REQUEST, JOB, 10, watcher)).result == "14.0"
        assert (before, database.asked) == (0, 1)
        await waiting.close()

    asyncio.run(work())


def test_a_job_that_was_stored_is_looked_at_soon_also_when_nothing_is_told() -> None:
    async def work(*, sure: bool) -> float:
        waiting, database = _waiting(sure=sure)
        began = asyncio.get_running_loop().time()
        with _new(waiting) as watcher:
            assert (await waiting.wait_until_finished(REQUEST, JOB, 10, watcher)).is_finished
        assert database.asked == 1
        await waiting.close()
        return asyncio.get_running_loop().time() - began

    for sure in (False, True):
        assert EARLY_POLLS_S[0] <= asyncio.run(work(sure=sure)) < 5


def test_a_job_that_may_have_ended_is_looked_at_at_once() -> None:
    async def work() -> None:
        waiting, database = _waiting(sure=True)
        assert (await waiting.wait_until_finished(REQUEST, JOB, 10)).is_finished
        assert database.asked == 1
        await waiting.close()

    asyncio.run(work())
