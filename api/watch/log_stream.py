"""The log of a job as a stream of server-sent events: a line each, and `end` when the job has ended.

A stream reads the database each second. So fewer clients may follow logs than may wait for jobs.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from fastapi import Request
from starlette.types import Send

from api.watch.job_stream import HEARTBEAT, LAST_EVENT_ID, MEDIA_TYPE, JobStream, last_event_id_parameter, send_text
from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.domain.errors import JobNotFound, StoreUnavailable
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.jobs import job_logs
from common.store.jobs.job_logs import POSITION_PATTERN, LogPage, LogPosition
from common.telemetry.metrics import LOGS

STORE_MARGIN_S = 1.0  # beyond the interval in which workers store lines: a late line is then in no stream
_EXAMPLE = """retry: 1000

event: line
id: 0.1.1
data: {"attempt":1,"exception":null,"line":1,"at":"2025-11-21T09:52:37.159Z","level":"info","logger":"acme",\
"message":"4,000 rows"}

event: end
data: {"status":"SUCCESS"}

"""
#: The responses of a stream in the OpenAPI document, beside those of a page.
CONTENT: dict[str, Any] = {MEDIA_TYPE: {"examples": {"follow": {"value": _EXAMPLE}}}}
LAST_EVENT_ID_PARAMETER = last_event_id_parameter(
    POSITION_PATTERN, "0.1.17", "With `follow`: the id of the last event received; the stream resumes after it."
)


async def read_page(
    pool: DatabasePool, settings: Settings, tenant: int, job_id: UUID, after: LogPosition, attempt: int | None
) -> LogPage:
    """Read the next lines of a run; `attempt` None: of all attempts. Raises JobNotFound or StoreUnavailable."""
    delay_s = settings.job_log_interval_milliseconds / 1000 + STORE_MARGIN_S
    page = await pool.run(
        lambda connection: job_logs.page(connection, tenant, job_id, after, attempt, delay_s),
        Lane.BY_ID,
    )
    if page is None:
        raise JobNotFound
    return page


def check_run(page: LogPage) -> None:
    """Raise ProblemError if the job has no such run."""
    if page.run > page.newest_run:
        text = f"the number of a run, 0 to {page.newest_run}, is expected"
        raise field_problem(INVALID_PARAMETER, [("run", text)], 1)


@dataclass(frozen=True, slots=True)
class JobLog:
    """The log that a client follows."""

    tenant: int  #: that of the client
    job_id: UUID
    start: LogPosition  #: the stream begins behind it
    attempt: int | None  #: None: all attempts of the run


class LogStream(JobStream[LogPage]):
    """Streams the lines of a job's log."""

    waits_for = LOGS

    def __init__(
        self, request: Request, log: JobLog, pool: DatabasePool, watchers: Watchers, settings: Settings
    ) -> None:
        super().__init__(request, log.job_id, watchers, settings)
        self._tenant = log.tenant
        self._position = log.start
        self._attempt = log.attempt
        self._pool = pool

    async def _first(self, _watcher: Watcher, /) -> LogPage | None:
        """Return the first page. Raises JobNotFound, ProblemError or StoreUnavailable."""
        page = await self._read()
        check_run(page)
        is_resumed = bool(self._request.headers.get(LAST_EVENT_ID))
        has_all = is_resumed and page.is_complete and not page.lines_after(self._position)
        return None if has_all else page

    async def _read(self) -> LogPage:
        return await read_page(self._pool, self._settings, self._tenant, self._job_id, self._position, self._attempt)

    async def _send_events(self, watcher: Watcher, page: LogPage, send: Send, /) -> bool:
        loop = asyncio.get_running_loop()
        sent_at_s, end_s = loop.time(), loop.time() + self._settings.event_stream_max_seconds
        while True:
            if await self._send_lines(page, send):
                sent_at_s = loop.time()
            if not page.has_more:
                if page.is_complete or self._watchers.is_draining or loop.time() >= end_s:
                    return True
                if not await watcher.pause(self._settings.wait_poll_seconds):
                    return False
                watcher.woken = False
                if loop.time() - sent_at_s >= self._settings.event_heartbeat_seconds:
                    await send_text(send, HEARTBEAT)
                    sent_at_s = loop.time()
            try:
                page = await self._read()
            except (StoreUnavailable, JobNotFound):
                return True  # the client resumes

    async def _send_lines(self, page: LogPage, send: Send) -> bool:
        """Send the lines of a page, and the end of the job if no page follows. Return False if there is nothing new."""
        lines = page.lines_after(self._position)
        text = "".join(_event(page.run, line) for line in lines)
        self._position = page.position_behind(lines, self._position)
        if page.is_complete and not page.has_more:
            text += f'event: end\ndata: {{"status":"{page.status}"}}\n\n'
        if text:
            await send_text(send, text)
        return bool(text)


def _event(run: int, line: Mapping[str, Any]) -> str:
    position = LogPosition(run, line["attempt"], line["line"])
    return f"event: line\nid: {position.text}\ndata: {orjson.dumps(line).decode()}\n\n"
