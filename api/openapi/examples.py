"""What the routes answer, by example: one job, from its submission to its end. Tests ask for each, and compare it with what comes."""

from typing import Any

from api.schemas import EXAMPLE_ID as ID

_OTHER = "019aa5d4-7b1c-7d02-a8f5-52b0c9f1d4e7"
_CAME, _BEGAN, _ENDED = "2025-11-21T09:52:37.151Z", "2025-11-21T09:52:37.159Z", "2025-11-21T09:52:37.160Z"
_ERROR = {"type": "timeout", "text": "it ran for more than 30 s"}
_STATE = {"epoch": 0, "attempt": None, "worker": None, "error": None}
_RATES = {"last_minute": 41.7, "last_5_minutes": 40.2, "last_15_minutes": 12.9}
_PERCENTILES = {"p50": 0.000_02, "p95": 0.000_05, "p99": 0.000_11}
_SUMMARY = {
    "job_id": ID, "status": "FAILED", "operation": "square_sum", "queue": "default", "priority": 5, "tags": ["nightly"], "created_at": _CAME,
    "due_at": None, "started_at": _BEGAN, "finished_at": "2025-11-21T09:53:07.160Z", "attempt": 3, "max_attempts": 3, "error": _ERROR,
    "links": {"self": f"/jobs/{ID}"},
}  # fmt: skip
_JOB = {
    "job_id": ID, "status": "SUCCESS", "operation": "square_sum", "version": 1, "queue": "default", "priority": 5, "input": {"data": [1, 2, 3]},
    "input_removed": False, "tags": ["nightly"], "metadata": {"order": 4711}, "created_at": _CAME, "run_at": None, "due_at": None, "started_at": _BEGAN,
    "finished_at": _ENDED, "deadline": None, "epoch": 0, "attempt": 1, "max_attempts": 3, "timeout_seconds": 300.0, "backoff": {"base": 1.0, "cap": 60.0},
    "keep_seconds": 86_400, "unique": {"key": "report-4711", "while": "both"}, "worker": 7, "cancel_requested": False, "progress": None, "result": 14.0,
    "error": None,
    "attempts": [
        {
            "epoch": 0, "attempt": 1, "worker": 7, "started_at": _BEGAN, "ended_at": _ENDED, "retry_at": None, "outcome": "success", "error": None,
            "took": {"run_seconds": 0.000_02, "overhead_seconds": 0.000_98, "cpu_seconds": 0.000_02, "peak_mebibytes": 61.5},
        }
    ],
    "reruns": [],
    "timeline": [
        {**_STATE, "at": _CAME, "status": "PENDING"},
        {**_STATE, "at": _BEGAN, "status": "IN_PROGRESS", "attempt": 1, "worker": 7},
        {**_STATE, "at": _ENDED, "status": "SUCCESS", "attempt": 1, "worker": 7},
    ],
    "links": {"self": f"/jobs/{ID}", **{name: f"/jobs/{ID}/{name}" for name in ("status", "result", "cancel", "retry", "events", "explain")}},
}  # fmt: skip
_EXPLANATION = {
    "job_id": ID,
    "status": "SCHEDULED",
    "reasons": [{"code": "not_due", "text": "Its time has not come: not before 2025-11-21T10:52:37.151+00:00."}],
    "position": None,
    "expected_start": {"earliest": "2025-11-21T10:52:37.151Z", "latest": "2025-11-21T10:52:39.651Z"},
    "waited": {"scheduled_s": 12.5, "queued_s": 0.0, "paused_s": 0.0, "running_s": 0.0},
}
_OPERATION = {
    "name": "square_sum", "version": 1, "oldest_version": 1, "queue": "default", "description": "Sum of the squares of the numbers, correctly rounded.",
    "input_schema": {
        "type": "object", "title": "Numbers", "description": "Input of the operations on a list of numbers.", "required": ["data"],
        "properties": {"data": {"type": "array", "title": "Data", "items": {"type": "number"}, "minItems": 1}}, "additionalProperties": False,
    },
    "defaults": {"max_attempts": 3, "backoff_base": 1.0, "backoff_cap": 300.0, "timeout": 300.0}, "workers_alive": 4,
    "recent": {"jobs": 1_204, "run_s": _PERCENTILES, "cpu_s": _PERCENTILES, "peak_mib": {"p50": 61.5, "p95": 63.0, "p99": 64.25}},
}  # fmt: skip
_QUEUE = {
    "queue": "default", "queued": 120, "running": 8, "oldest_due_seconds": 2.5, "workers_alive": 4, "accepted_per_second": 42.0,
    "succeeded_per_second": _RATES, "failed_per_second": {"last_minute": 0.0, "last_5_minutes": 0.1, "last_15_minutes": 0.0},
}  # fmt: skip
_ACTION = {
    "action_id": _OTHER, "action": "cancel", "phase": "PREVIEW",
    "filter": {
        "status": ["IN_PROGRESS", "PENDING", "RETRYING", "SCHEDULED"], "operation": None, "queue": None, "tag": "nightly", "created_after": None,
        "created_before": None, "finished_after": None, "finished_before": None, "error": None,
    },
    "priority": None, "rate": 200, "as_of": _ENDED, "count": 1_204, "count_is_exact": True,
    "sample": [{"job_id": ID, "status": "SCHEDULED", "operation": "square_sum"}], "matched": 0, "done": 0, "asked_to_stop": 0, "skipped": {},
    "undone": 0, "not_undone": {}, "progress": 0.0, "created_at": _ENDED, "started_at": None, "changed_at": _ENDED, "error": None,
    "links": {"self": f"/actions/{_OTHER}", **{verb: f"/actions/{_OTHER}/{verb}" for verb in ("start", "stop", "undo")}},
}  # fmt: skip
_BEGUN = _ACTION | {"phase": "RUNNING", "started_at": _ENDED}
_HALF = _BEGUN | {"matched": 602, "done": 602, "progress": 0.5}
_CHECKS = {"database": "answers", "migrations": "at 0004", "clock": "within 5 s of the database's"}

#: By method and path, then by status: each by its name. Problems have theirs in api/web/problems.py.
ANSWERS: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/jobs/"): {
        "202": {"stored": {"job_id": ID, "status": "PENDING"}, "for later": {"job_id": ID, "status": "SCHEDULED"}},
        "200": {"it has ended": {"job_id": ID, "status": "SUCCESS", "result": 14.0}, "the same key": {"job_id": ID, "status": "SCHEDULED"}},
    },
    ("post", "/jobs/batch"): {
        "202": {"stored": {"job_ids": [ID, _OTHER], "status": "PENDING"}},
        "200": {"the same key": {"job_ids": [ID, _OTHER], "status": "PENDING"}},
    },
    ("get", "/jobs/"): {
        "200": {"a page": {"jobs": [_SUMMARY], "next": "/jobs?status=FAILED&limit=1&cursor=AT2kXq0", "scanned": 2, "estimated_total": 1_204}},
    },
    ("get", "/jobs/{job_id}"): {"200": {"it has ended": _JOB}},
    ("get", "/jobs/{job_id}/status"): {
        "200": {"it waits": {"status": "SCHEDULED"}, "it runs": {"status": "IN_PROGRESS", "progress": {"fraction": 0.4, "text": "row 4,000 of 10,000"}}}
    },
    ("get", "/jobs/{job_id}/result"): {
        "200": {"it has ended": {"job_id": ID, "status": "SUCCESS", "result": 14.0}, "it waits": {"job_id": ID, "status": "SCHEDULED", "result": None}}
    },
    ("post", "/jobs/{job_id}/cancel"): {
        "200": {"it waited": {"job_id": ID, "status": "CANCELLED", "cancel_requested": False}},
        "202": {"it runs": {"job_id": ID, "status": "IN_PROGRESS", "cancel_requested": True}},
    },
    ("post", "/jobs/{job_id}/retry"): {"202": {"once more": {"job_id": ID, "status": "PENDING", "epoch": 1}}},
    ("get", "/jobs/{job_id}/explain"): {"200": {"its time has not come": _EXPLANATION}},
    ("post", "/actions"): {"201": {"a preview": _ACTION}},
    ("get", "/actions"): {"200": {"actions": {"actions": [_ACTION], "next": "/actions?limit=1&cursor=AT2kXq0"}}},
    ("get", "/actions/{action_id}"): {"200": {"how far it is": _HALF}},
    ("post", "/actions/{action_id}/start"): {"200": {"it begins": _BEGUN}},
    ("post", "/actions/{action_id}/stop"): {"200": {"it is stopped": _HALF | {"phase": "STOPPED"}}},
    ("post", "/actions/{action_id}/undo"): {"200": {"it is taken back": _HALF | {"phase": "UNDOING", "progress": 0.0}}},
    ("get", "/operations"): {"200": {"one operation": {"operations": [_OPERATION]}}},
    ("get", "/stats"): {"200": {"one queue": {"queues": [_QUEUE]}}},
    ("get", "/livez"): {"200": {"it lives": {"alive": True}}},
    ("get", "/readyz"): {"200": {"it is ready": {"ready": True, "checks": [{"name": name, "ok": True, "detail": detail} for name, detail in _CHECKS.items()]}}},
}


def add_examples(document: dict[str, Any]) -> None:
    """Add an example of each successful response to an OpenAPI document."""
    for (method, path), by_status in ANSWERS.items():
        for status, examples in by_status.items():
            content = document["paths"][path][method]["responses"][status]["content"]
            content["application/json"]["examples"] = {name: {"value": value} for name, value in examples.items()}
