"""Reads of console sessions: many requests cause few statements, and each gets its own answer."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import pytest

from api.auth.sessions.known_sessions import MAX_KNOWN, READ_INTERVAL_S, KnownSessions
from common.domain.errors import StoreUnavailable
from common.domain.tenancy.console_sessions import ConsoleSession, new_secret, session_digest
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool


class Rows:
    """A table of sessions, in the place of a connection to it."""

    def __init__(self) -> None:
        self.left_s: dict[bytes, float] = {}
        self.reads: list[int] = []  #: the number of digests of each statement
        self.is_away = False
        self.failures = 0

    async def run(self, query: Callable[[Any], Awaitable[Any]], *_: Any) -> Any:
        await asyncio.sleep(0)
        if self.is_away:
            self.failures += 1
            raise StoreUnavailable
        return await query(self)

    async def fetch(self, _: str, digests: list[bytes], *__: Any) -> list[dict[str, Any]]:
        self.reads.append(len(digests))
        await asyncio.sleep(0.001)
        columns = {"id": UUID(int=1), "tenant": 1, "key_id": "k", "name": None, "scopes": []}
        return [
            {"digest": digest, "subject": digest.hex(), "expires_at": datetime.now(UTC), "left_s": left_s, **columns}
            for digest, left_s in self.left_s.items()
            if digest in digests
        ]


def known_sessions(rows: Rows, **settings: Any) -> KnownSessions:
    return KnownSessions(Settings(**settings), cast("DatabasePool", rows))


def digests(count: int) -> list[bytes]:
    return [session_digest(new_secret()) or b"" for _ in range(count)]


def test_a_flood_of_wrong_cookies_costs_few_statements() -> None:
    rows, (right, *wrong) = Rows(), digests(901)
    rows.left_s[right] = 60

    async def run() -> list[ConsoleSession | None]:
        sessions = known_sessions(rows)
        first = [sessions.find(digest) for digest in wrong[:300]]
        return await asyncio.gather(*first, *(sessions.find(digest) for digest in [right, *wrong[300:]]))

    found = asyncio.run(run())
    assert [session.subject for session in found if session] == [right.hex()]
    assert len(rows.reads) <= 2
    assert sum(rows.reads) == 901


def test_reads_follow_each_other_in_intervals() -> None:
    rows = Rows()

    async def run() -> float:
        sessions, loop = known_sessions(rows), asyncio.get_running_loop()
        began = loop.time()
        for digest in digests(4):
            assert await sessions.find(digest) is None
        return loop.time() - began

    assert asyncio.run(run()) >= 3 * READ_INTERVAL_S
    assert rows.reads == [1] * 4


def test_a_session_is_believed_until_it_is_to_be_read_anew_or_has_ended() -> None:
    rows, (digest, short) = Rows(), digests(2)
    rows.left_s = {digest: 60, short: 0}

    async def run() -> None:
        sessions = known_sessions(rows)
        for _ in range(10):
            assert await sessions.find(digest)
        assert rows.reads == [1]
        assert await sessions.find(short) is None
        del rows.left_s[digest]
        sessions.forget(digest)
        assert await sessions.find(digest) is None

    asyncio.run(run())


def test_in_an_outage_known_sessions_are_believed_for_a_limited_time() -> None:
    rows, (digest, unknown) = Rows(), digests(2)
    rows.left_s[digest] = 60

    async def run() -> None:
        sessions = known_sessions(rows, key_refresh_seconds=0.1, key_outage_seconds=0.3)
        assert await sessions.find(digest)
        rows.is_away = True
        with pytest.raises(StoreUnavailable):
            await sessions.find(unknown)
        with pytest.raises(StoreUnavailable):  # noqa: PT012 - it is believed until then
            async with asyncio.timeout(10):
                while True:
                    assert await sessions.find(digest)
                    await asyncio.sleep(0)
        assert rows.failures >= 1
        await sessions.close()

    asyncio.run(run())


def test_the_number_of_known_sessions_is_bounded() -> None:
    rows = Rows()

    async def run() -> int:
        sessions = known_sessions(rows)
        for _ in range(MAX_KNOWN // 500 + 1):
            some = digests(500)
            rows.left_s = dict.fromkeys(some, 60.0)
            await asyncio.gather(*(sessions.find(digest) for digest in some))
        return len(sessions._known)

    assert asyncio.run(run()) == MAX_KNOWN
