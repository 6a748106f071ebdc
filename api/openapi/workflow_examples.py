"""Examples of the API's responses about workflows."""

from typing import Any

_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b00000000"
_JOB_IDS = [f"019aa5d4-7b1c-7c3e-9d41-0b8b0000000{number}" for number in (1, 2, 3)]
_CREATED, _STARTED, _ENDED = "2025-11-21T09:52:37.151Z", "2025-11-21T09:52:37.204Z", "2025-11-21T09:58:11.420Z"
_SUMMARY: dict[str, Any] = {
    "workflow_id": _ID, "status": "RUNNING", "jobs": 3, "created_at": _CREATED, "ended_at": None,
    "cancelled_at": None, "submitted_by": None, "follow_up": None,
    "links": {
        "self": f"/workflows/{_ID}", "jobs": f"/workflows/{_ID}/jobs", "cancel": f"/workflows/{_ID}/cancel",
        "retry": f"/workflows/{_ID}/retry", "events": f"/batches/{_ID}/events",
    },
}  # fmt: skip
_NONE = {
    "SCHEDULED": 0, "BLOCKED": 0, "PENDING": 0, "IN_PROGRESS": 0, "RETRYING": 0, "SUCCESS": 0, "FAILED": 0,
    "CANCELLED": 0,
}  # fmt: skip
_EDGES = [{"parent": "square_sum", "child": "cube_sum", "count": 2}]


def _operations(squares: dict[str, int], cubes: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"operation": "square_sum", "jobs": 2, "states": _NONE | squares},
        {"operation": "cube_sum", "jobs": 1, "states": _NONE | cubes},
    ]


_RUNNING = _SUMMARY | {
    "counts": {"unfinished": 3, "failed": 0, "cancelled": 0, "succeeded": 0}, "counted_at": _STARTED, "progress": 0.0,
    "graph": {"operations": _operations({"PENDING": 2}, {"BLOCKED": 1}), "edges": _EDGES},
}  # fmt: skip
_SUCCEEDED = _RUNNING | {
    "status": "SUCCEEDED", "ended_at": _ENDED, "counted_at": _ENDED, "progress": 1.0,
    "counts": {"unfinished": 0, "failed": 0, "cancelled": 0, "succeeded": 3},
    "graph": {"operations": _operations({"SUCCESS": 2}, {"SUCCESS": 1}), "edges": _EDGES},
}  # fmt: skip
_ACCEPTED = {"workflow_id": _ID, "status": "RUNNING", "jobs": 3, "job_ids": _JOB_IDS}
_NODE: dict[str, Any] = {
    "job_id": _JOB_IDS[2], "name": "total", "operation": "cube_sum", "status": "BLOCKED", "on_parent_failure": "fail",
    "parents": 2, "attempt": 0, "started_at": None, "finished_at": None, "error_type": None,
    "depends_on": ["left", "right"], "links": {"self": f"/jobs/{_JOB_IDS[2]}"},
}  # fmt: skip
_FIRST_NODE = _NODE | {
    "job_id": _JOB_IDS[0], "name": "left", "operation": "square_sum", "status": "SCHEDULED", "on_parent_failure": None,
    "parents": 0, "depends_on": [], "links": {"self": f"/jobs/{_JOB_IDS[0]}"},
}  # fmt: skip

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/workflows"): {"202": {"workflow stored": _ACCEPTED}, "200": {"workflow repeated": _ACCEPTED}},
    ("get", "/workflows"): {
        "200": {"workflows": {"workflows": [_SUMMARY], "next": "/workflows?limit=1&cursor=AT2kXq0"}},
    },
    ("get", "/workflows/{workflow_id}"): {
        "200": {"workflow in progress": _RUNNING, "workflow at rest": _SUCCEEDED},
    },
    ("get", "/workflows/{workflow_id}/jobs"): {
        "200": {
            "jobs of a workflow": {
                "jobs": [_FIRST_NODE, _NODE],
                "next": f"/workflows/{_ID}/jobs?limit=2&cursor=AT2kXq0",
            }
        },
    },
    ("post", "/workflows/{workflow_id}/cancel"): {"200": {"workflow cancelled": _RUNNING | {"cancelled_at": _STARTED}}},
    ("post", "/workflows/{workflow_id}/retry"): {"200": {"workflow retried": _RUNNING}},
}
