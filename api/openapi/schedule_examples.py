"""Examples of the API's responses about schedules."""

from typing import Any

from api.schemas import EXAMPLE_ID as JOB_ID

_ID = "019aa5d4-7b1c-7d02-a8f5-52b0c9f1d4e7"
_PATH = f"/schedules/{_ID}"
_CREATED_AT = "2026-01-12T09:52:37.151Z"
_RUNS = [f"2026-01-{day}T01:30:00Z" for day in ("14", "15", "16", "19", "20")]
_FIRE = {
    "at": "2026-01-13T01:30:00Z", "through": None, "fired_at": "2026-01-13T01:30:00.412Z", "outcome": "fired",
    "reason": None, "job_id": JOB_ID,
}  # fmt: skip
_SUMMARY = {
    "id": _ID, "name": "nightly-report", "state": "ACTIVE", "managed": False, "cron": "30 2 * * mon-fri",
    "every_seconds": None, "at": None, "time_zone": "Europe/Berlin", "starts_at": None, "ends_at": None,
    "jitter_seconds": 0.0, "overlap": "skip",
    "catch_up": {"policy": "last", "within_seconds": 3_600.0, "max_runs": 100},
    "paused": False, "job": {"operation": "square_sum", "input": {"data": [1, 2, 3]}, "tags": ["nightly"]},
    "next_at": _RUNS[0], "pending_at": None, "last_job_id": JOB_ID, "created_at": _CREATED_AT,
    "created_by": "key:4fGh7KqLw2Zx", "changed_at": _CREATED_AT,
    "links": {"self": _PATH, **{verb: f"{_PATH}/{verb}" for verb in ("pause", "resume", "run", "fires")}},
}  # fmt: skip
_SCHEDULE = _SUMMARY | {"next_runs": _RUNS, "last_fires": [_FIRE]}
_NEW = _SCHEDULE | {"last_job_id": None, "next_at": "2026-01-13T01:30:00Z", "last_fires": []}

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/schedules"): {"201": {"schedule created": _NEW}},
    ("get", "/schedules"): {
        "200": {"schedules": {"schedules": [_SUMMARY], "next": "/schedules?limit=1&after=nightly-report"}}
    },
    ("get", "/schedules/{schedule_id}"): {"200": {"schedule": _SCHEDULE}},
    ("patch", "/schedules/{schedule_id}"): {"200": {"schedule changed": _SCHEDULE | {"overlap": "queue"}}},
    ("post", "/schedules/{schedule_id}/pause"): {
        "200": {"schedule paused": _SCHEDULE | {"state": "PAUSED", "paused": True, "next_runs": []}}
    },
    ("post", "/schedules/{schedule_id}/resume"): {"200": {"schedule resumed": _SCHEDULE}},
    ("post", "/schedules/{schedule_id}/run"): {"202": {"schedule run": {"job_id": JOB_ID, "status": "PENDING"}}},
    ("get", "/schedules/{schedule_id}/fires"): {
        "200": {"fires": {"fires": [_FIRE], "next": f"{_PATH}/fires?limit=1&before=2026-01-13T01%3A30%3A00%2B00%3A00"}}
    },
}
