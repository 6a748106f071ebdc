"""Examples of the API's responses about queues."""

from typing import Any

_PATH = "/queues/reports"
_POLICY = {
    "paused": False, "paused_at": None, "concurrency": 4,
    "rate": {"per_second": 50.0, "burst": 10.0}, "key_concurrency": 1, "key_rate": None,
    "events": True,
    "managed": False, "changed_at": "2026-01-12T09:52:37.151Z", "changed_by": "key:4fGh7KqLw2Zx",
}  # fmt: skip
_SUMMARY = {
    "name": "reports", "paused": False, "policy": None, "operators_policy": None,
    "links": {"self": _PATH, "pause": f"{_PATH}/pause", "resume": f"{_PATH}/resume"},
}  # fmt: skip
_QUEUE = _SUMMARY | {"queued": 20, "running": 4}
_PAUSED = _QUEUE | {"paused": True, "policy": _POLICY | {"paused": True, "paused_at": "2026-01-12T09:52:37.151Z"}}

_CHANGE = {
    "number": 17, "job_id": "019aa5d4-7b1c-7c3e-9d41-0b8b00000001", "queue": "default", "operation": "square_sum",
    "tags": [], "status": "PENDING", "run": 0, "attempt": 0, "revision": 0, "due_at": None, "parked": False,
    "at": "2026-01-12T09:52:37.151042Z",
}  # fmt: skip

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("get", "/events"): {"200": {"changes": {"events": [_CHANGE], "after": 17, "next": "/events?after=17&limit=1"}}},
    ("get", "/queues"): {"200": {"queues": {"queues": [_SUMMARY], "next": "/queues?limit=1&after=reports"}}},
    ("get", "/queues/{queue_name}"): {"200": {"queue": _QUEUE}},
    ("patch", "/queues/{queue_name}"): {"200": {"queue changed": _QUEUE | {"policy": _POLICY}}},
    ("post", "/queues/{queue_name}/pause"): {"200": {"queue paused": _PAUSED}},
    ("post", "/queues/{queue_name}/resume"): {"200": {"queue resumed": _QUEUE | {"policy": _POLICY}}},
}
