"""Rate limits of several processes that count in one Redis, by a clock of the test."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable

import pytest
from rig.settings import settings_from

from api.limits.rates.rate_limit import PARTS, RateLimit, Refusal
from api.limits.rates.shared_windows import PAUSE_S, RedisAway, SharedWindows
from common.settings.access.rate_limits import WithoutRedis
from tools.servers import Redis

LIMIT = 200


class Clock:
    """Monotonic seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """The rate limit of one API process."""

    def __init__(self, redis_url: str, clock: Clock, without_redis: WithoutRedis = WithoutRedis.SHARE) -> None:
        settings = settings_from("postgresql://nobody@127.0.0.1/none", redis_url)
        self.windows = SharedWindows(settings, clock)
        self.limit = RateLimit("tenant", LIMIT, self.windows, without_redis, clock)

    async def admitted(self, events: int, subject: str = "1") -> int:
        """Return how many of so many events are admitted."""
        return sum([await self.limit.take(subject) is None for _ in range(events)])


def run(*processes: Process, test: Callable[[], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        try:
            await test()
        finally:
            for process in processes:
                await process.windows.close()

    asyncio.run(all_of_it())


async def seen(*processes: Process) -> None:
    """Let each process know of the others."""
    for process in (*processes, *processes):
        process.windows._registered_at = float("-inf")
        await process.windows.read("tenant", "another", LIMIT)


def test_processes_admit_the_limit_together_and_no_more(own_redis: Redis) -> None:
    clock = Clock()
    processes = [Process(own_redis.url, clock) for _ in range(3)]

    async def test() -> None:
        await seen(*processes)
        counts = [await process.admitted(LIMIT) for process in processes]
        assert sum(counts) == LIMIT
        assert await processes[0].admitted(1, "2") == 1, "another subject has its own"

    run(*processes, test=test)


def test_events_spread_over_processes_lose_no_more_than_a_part(own_redis: Redis) -> None:
    clock = Clock()
    processes = [Process(own_redis.url, clock) for _ in range(4)]

    async def test() -> None:
        await seen(*processes)
        admitted = 0
        for _ in range(LIMIT):
            for process in processes:
                admitted += await process.admitted(1)
        assert LIMIT - LIMIT // PARTS <= admitted <= LIMIT

    run(*processes, test=test)


def test_most_events_cost_no_round_trip(own_redis: Redis) -> None:
    clock = Clock()
    process = Process(own_redis.url, clock)

    def commands() -> int:
        return int(own_redis.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])

    async def test() -> None:
        await seen(process)
        before = commands()
        assert await process.admitted(LIMIT) == LIMIT
        assert commands() - before <= 2 * PARTS + 3, "three: the scripts are loaded once"
        assert await process.admitted(1_000) == 0
        assert commands() - before <= 2 * PARTS + 6, "refusals ask once, and again after a while"

    run(process, test=test)


def test_a_refusal_says_when(own_redis: Redis) -> None:
    process = Process(own_redis.url, Clock())

    async def test() -> None:
        await process.admitted(LIMIT)
        refusal = await process.limit.take("1")
        assert refusal is not None
        assert refusal.limit == LIMIT
        assert 50 < refusal.wait_s <= 60
        assert await process.limit.take("1", LIMIT + 1) == Refusal(LIMIT, float("inf"))

    run(process, test=test)


def test_a_batch_is_admitted_as_a_whole_or_not(own_redis: Redis) -> None:
    process = Process(own_redis.url, Clock())

    async def test() -> None:
        assert await process.limit.take("1", LIMIT - 10) is None
        assert await process.limit.take("1", 11) is not None
        assert await process.limit.take("1", 10) is None
        assert await process.limit.take("1") is not None

    run(process, test=test)


def test_while_redis_is_away_each_process_admits_its_share(own_redis: Redis) -> None:
    clock = Clock()
    processes = [Process(own_redis.url, clock) for _ in range(4)]

    async def test() -> None:
        await seen(*processes)
        assert {process.windows.processes for process in processes} == {4}
        own_redis.stop(signal.SIGKILL)
        counts = [await process.admitted(LIMIT) for process in processes]
        assert counts == [LIMIT // 4] * 4
        clock.now += 6
        assert [await process.admitted(LIMIT) for process in processes] == [LIMIT // 40] * 4
        own_redis.start()
        clock.now += PAUSE_S + 0.1
        await seen(*processes)
        assert sum([await process.admitted(LIMIT) for process in processes]) == LIMIT

    run(*processes, test=test)


def test_while_redis_is_away_a_setting_refuses(own_redis: Redis) -> None:
    clock = Clock()
    process = Process(own_redis.url, clock, WithoutRedis.REFUSE)

    async def test() -> None:
        assert await process.admitted(1) == 1
        own_redis.stop(signal.SIGKILL)
        assert await process.admitted(LIMIT) == LIMIT // PARTS - 1, "what it has taken before"
        refusal = await process.limit.take("1")
        assert refusal is not None
        assert refusal.redis_is_away

    run(process, test=test)


def test_nobody_waits_for_a_redis_that_hangs_but_once_a_second(own_redis: Redis) -> None:

    clock = Clock()
    process = Process(own_redis.url, clock)

    async def test() -> None:
        await seen(process)
        assert own_redis.process is not None
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            results = await asyncio.gather(*(process.limit.take(str(number)) for number in range(100)))
            assert results == [None] * 100
            with pytest.raises(RedisAway):
                await process.windows.read("tenant", "1", LIMIT)
            assert time.monotonic() - began < 4, "eight at a time, each of them would wait for six seconds"
        finally:
            os.kill(own_redis.process.pid, signal.SIGCONT)

    run(process, test=test)


def test_subjects_that_nobody_uses_are_forgotten_and_those_in_use_are_not(
    own_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.limits.rates.rate_limit.MAX_SUBJECTS", 50)
    process = Process(own_redis.url, Clock())

    async def test() -> None:
        admitted = 0
        for number in range(LIMIT + 50):
            admitted += await process.admitted(1, "in use")
            await process.admitted(1, f"once {number}")
        assert admitted == LIMIT
        assert len(process.limit._allowances) + len(process.limit._earlier) <= 100

    run(process, test=test)
