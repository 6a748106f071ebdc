"""The events of a followed list in the OpenAPI document, and their ids: with one a client goes on with its page."""

import base64
import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import Request

from api.watch.job_stream import LAST_EVENT_ID, MEDIA_TYPE, last_event_id, last_event_id_parameter
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem

ID_BYTES = 16
MAX_JOBS = 200  #: of a page that clients follow; its ids must fit into a header field of 8 KiB, as proxies allow
_EMPTY = "0"  # an event without an id keeps the last one, so the empty page has one
FORM = re.compile(rf"{_EMPTY}|[A-Za-z0-9_-]{{22,{MAX_JOBS * ID_BYTES * 4 // 3 + 1}}}")

_JOB = """{"job_id":"019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10","status":"%s","operation":"square_sum",\
"queue":"default","priority":5,"tags":[],"created_at":"2026-01-12T09:52:36.120Z","due_at":%s,\
"started_at":%s,"finished_at":null,"attempt":%d,"max_attempts":3,"error":null,\
"links":{"self":"/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"}}"""
_EXAMPLE = f"""retry: 1000

event: hello
data: {{"version":"0.1.0","time":"2026-01-12T09:52:37.151042+00:00"}}

event: page
id: AZql1HscfD6dQQuLP2wqEA
data: {{"jobs":[{_JOB % ("PENDING", '"2026-01-12T09:52:36.120Z"', "null", 0)}],"next":null,"scanned":1,\
"estimated_total":1}}

event: newer
data: {{"count":0,"more":false,"job_ids":[]}}

event: jobs
data: {{"jobs":[{_JOB % ("IN_PROGRESS", "null", '"2026-01-12T09:52:38.020Z"', 1)}],"removed":[]}}

event: newer
data: {{"count":1,"more":false,"job_ids":["019aa5d4-83ea-7a11-8f00-52d0b1f6c2a1"]}}

"""
#: The successful response in the OpenAPI document.
RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream: `hello`, with the version and the time of the server, then `page`, which is what GET "
        "/jobs returns. `jobs`: rows of the page that have changed, also if they match no longer, and ids of jobs that "
        "were deleted. `newer`: how many jobs the list has gained before the end of the page, and their ids in its "
        "order; `more`: there may be more than `count`, and `job_ids` is empty. A resumed stream has `jobs` with all "
        "rows of the page instead of `page`. Lines that begin with a colon are heartbeats.",
        "content": {MEDIA_TYPE: {"examples": {"list": {"value": _EXAMPLE}}}},
    },
}
LAST_EVENT_ID_PARAMETER = last_event_id_parameter(
    FORM.pattern,
    "AZql1HscfD6dQQuLP2wqEA",
    "The id of the last event received, which has the jobs of the page: the stream goes on with these. Browsers send "
    "it on a reconnect.",
)


def resumed_jobs(request: Request, limit: int) -> tuple[UUID, ...] | None:
    """Return the jobs in the Last-Event-ID of a request for a page of at most `limit` jobs; None: it has none.

    Raises ProblemError if it is malformed.
    """
    event_id = last_event_id(request, FORM)
    if event_id is None:
        return None
    job_ids = jobs_of_page_id(event_id)
    if job_ids is None or len(job_ids) > limit:
        raise field_problem(INVALID_PARAMETER, [(LAST_EVENT_ID, "the id of an event of this list is expected")], 1)
    return job_ids


def page_id(job_ids: Sequence[UUID]) -> str:
    """Return the id of a page with these jobs, at most MAX_JOBS."""
    raw = b"".join(job_id.bytes for job_id in job_ids)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() or _EMPTY


def jobs_of_page_id(text: str) -> tuple[UUID, ...] | None:
    """Return the jobs in the id of a page; None: it is none."""
    if text == _EMPTY:
        return ()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except ValueError:
        return None
    if not raw or len(raw) % ID_BYTES:
        return None
    job_ids = tuple(UUID(bytes=raw[start : start + ID_BYTES]) for start in range(0, len(raw), ID_BYTES))
    return job_ids if len(set(job_ids)) == len(job_ids) <= MAX_JOBS else None
