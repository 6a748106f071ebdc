"""GET /jobs/{job_id}/logs: its parameters, and its pages."""

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from api.schemas import JOB_ID
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from common.store.jobs.job_logs import MAX_ATTEMPT, LogPage, LogPosition

MAX_RUN = 32_767
DEFAULT_LINES = 200


class JobLogQuery(BaseModel):
    """The parameters of GET /jobs/{job_id}/logs."""

    run: Annotated[int, Field(ge=0, le=MAX_RUN)] | None = Field(
        None, description="The number of a run; 0 is the first. Default: the newest one.", examples=[0]
    )
    attempt: Annotated[int, Field(ge=1, le=MAX_ATTEMPT)] | None = Field(
        None, description="The number of an attempt of the run. Default: all attempts.", examples=[1]
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] = Field(
        DEFAULT_LINES, description="The largest number of lines on a page. Default: 200.", examples=[100]
    )
    cursor: Annotated[str, Field(min_length=1, max_length=30)] | None = Field(
        None, description="The position of the page, from `next` of the previous page. Keep the other parameters."
    )
    follow: bool = Field(
        False,
        description="True: the response is a stream of the lines as server-sent events, until the job has ended.",
        examples=[False, True],
    )

    def start(self, last_event_id: str | None) -> LogPosition:
        """Return the position to begin behind. Raises ProblemError for an invalid cursor, or for one of another run."""
        text = last_event_id or self.cursor
        if text is None:
            return LogPosition(self.run)
        position = LogPosition.parse(text)
        if position is None or self.run not in (None, position.run):
            name = "Last-Event-ID" if last_event_id else "cursor"
            raise field_problem(INVALID_PARAMETER, [(name, "the position of a line of the same run is expected")], 1)
        return position


class LogLineView(BaseModel):
    """A line that an operation has logged or printed."""

    attempt: int
    line: int = Field(
        description="The number of the line in its attempt, from 1. A gap: lines before the last JOBPROC_JOB_LOG_BYTES "
        "bytes of the attempt are deleted."
    )
    at: datetime
    level: Literal["debug", "info", "warning", "error", "critical"]
    logger: str = Field(
        description="The name of the logger; `stdout` or `stderr`: the line was printed; `jobproc`: the line is about "
        "lines that were dropped."
    )
    message: str
    exception: str | None = Field(description="The traceback that was logged with the line.")


class JobLogView(BaseModel):
    """A page of the lines that the attempts of a run of a job have logged, in their order."""

    job_id: UUID = JOB_ID
    run: int = Field(description="The number of the run; 0 is the first.")
    lines: list[LogLineView]
    next: str | None = Field(
        description="The URL of the next page; null: these are the last lines so far.",
        examples=["/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/logs?cursor=0.1.200"],
    )


def response_body(job_id: UUID, root: str, query: JobLogQuery, after: LogPosition, page: LogPage) -> bytes:
    """Return a JobLogView."""
    found = page.lines_after(after)
    lines = found[: query.limit]
    next_url = None
    if page.has_more or len(found) > len(lines):
        filters = {name: value for name in ("run", "attempt", "limit") if (value := getattr(query, name)) is not None}
        cursor = page.position_behind(lines, after).text
        next_url = f"{root}/jobs/{job_id}/logs?{urlencode({**filters, 'cursor': cursor})}"
    return orjson.dumps({"job_id": job_id, "run": page.run, "lines": lines, "next": next_url})
