"""Examples of the API's responses about batches."""

from typing import Any

from api.schemas import EXAMPLE_ID as JOB_ID

_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b00000000"
_FIRST_JOB_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b00000001"
_CREATED, _CLOSED, _ENDED = "2025-11-21T09:52:37.151Z", "2025-11-21T09:53:02.004Z", "2025-11-21T09:58:11.420Z"
_SUMMARY: dict[str, Any] = {
    "batch_id": _ID, "status": "OPEN", "jobs": 0, "created_at": _CREATED, "closed_at": None, "ended_at": None,
    "cancelled_at": None, "submitted_by": None, "webhook": None,
    "follow_up": {"operation": "square_sum", "job_id": None},
    "links": {
        "self": f"/batches/{_ID}", "jobs": f"/jobs?batch={_ID}", "add": f"/batches/{_ID}/jobs",
        "close": f"/batches/{_ID}/close", "cancel": f"/batches/{_ID}/cancel",
        "events": f"/batches/{_ID}/events",
    },
}  # fmt: skip
_EMPTY = {"unfinished": 0, "failed": 0, "cancelled": 0, "succeeded": 0}
_OPEN = _SUMMARY | {"counts": _EMPTY, "counted_at": _CREATED, "progress": 1.0}
_HALF_DONE = _OPEN | {
    "status": "CLOSED", "jobs": 10_000, "closed_at": _CLOSED, "progress": 0.88,
    "counts": {"unfinished": 1_200, "failed": 10, "cancelled": 0, "succeeded": 8_790}, "counted_at": _CLOSED,
}  # fmt: skip
_DONE = _HALF_DONE | {
    "status": "ENDED", "ended_at": _ENDED, "counted_at": _ENDED, "progress": 1.0,
    "counts": {"unfinished": 0, "failed": 12, "cancelled": 0, "succeeded": 9_988},
    "follow_up": {"operation": "square_sum", "job_id": JOB_ID},
}  # fmt: skip
ACCEPTED = {"job_ids": [_FIRST_JOB_ID], "status": "PENDING", "batch_id": _ID}
_NDJSON = {
    "job_ids": [], "status": "PENDING", "batch_id": _ID, "jobs": 2,
    "ranges": [{"first_line": 1, "last_line": 3, "first_job_id": _FIRST_JOB_ID}],
    "refused": [{"line": 2, "type": "urn:jobproc:problem:invalid-body", "detail": "2.data: Field required"}],
    "complete": True,
}  # fmt: skip

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/jobs/batch"): {
        "202": {"stored": ACCEPTED},
        "200": {"repeated request": ACCEPTED},
    },
    ("post", "/batches"): {"201": {"batch created": _OPEN}},
    ("get", "/batches"): {
        "200": {"batches": {"batches": [_SUMMARY], "next": "/batches?limit=1&cursor=AT2kXq0"}},
    },
    ("get", "/batches/{batch_id}"): {"200": {"batch in progress": _HALF_DONE, "batch ended": _DONE}},
    ("post", "/batches/{batch_id}/jobs"): {
        "202": {"stored": ACCEPTED, "lines stored": _NDJSON},
        "200": {"repeated request": ACCEPTED},
    },
    ("post", "/batches/{batch_id}/close"): {"200": {"batch closed": _HALF_DONE}},
    ("post", "/batches/{batch_id}/cancel"): {"200": {"batch cancelled": _HALF_DONE | {"cancelled_at": _CLOSED}}},
}
