"""Examples of the API's responses about webhooks."""

from typing import Any

from api.schemas import EXAMPLE_ID as JOB_ID
from api.views.webhooks.endpoints import EXAMPLE_SECRET, EXAMPLE_URL

_ID = "019aa5d4-7b1c-7e55-b0aa-90c4b7d2e6f1"
_DELIVERY_ID = "019aa5d4-7b1c-7a07-a51e-2f6e0d6c7b18"
_PATH, _DELIVERIES = f"/webhooks/endpoints/{_ID}", "/webhooks/deliveries"
_CREATED_AT = "2026-01-12T09:52:37.151Z"
_NO_FAILURES = {
    "disabled_at": None, "failing_since": None, "open_until": None, "last_success_at": "2026-01-12T10:01:12.003Z",
    "last_failure_at": None, "last_failure": None,
}  # fmt: skip
_SUMMARY = {
    "id": _ID, "url": EXAMPLE_URL, "description": "", "events": ["batch.ended", "job.failed"], "default": False,
    "include_result": False, "max_attempts": 21, "state": "ACTIVE", "disabled": False, "disabled_reason": None,
    "failures": 0, **_NO_FAILURES, "created_at": _CREATED_AT, "created_by": "key:4fGh7KqLw2Zx",
    "changed_at": _CREATED_AT,
    "links": {
        "self": _PATH, "deliveries": f"{_DELIVERIES}?endpoint_id={_ID}", "rotate": f"{_PATH}/rotate",
        "test": f"{_PATH}/test",
    },
}  # fmt: skip
_ENDPOINT = _SUMMARY | {"secrets": [{"created_at": _CREATED_AT, "expires_at": None}]}
_FAILING = _ENDPOINT | {
    "state": "FAILING", "failures": 6, "failing_since": "2026-01-12T10:02:00.120Z",
    "open_until": "2026-01-12T10:04:31.377Z", "last_failure_at": "2026-01-12T10:03:31.377Z",
    "last_failure": "the receiver answered 500",
}  # fmt: skip
_ROTATED = _ENDPOINT | {
    "secrets": [
        {"created_at": "2026-02-01T08:00:00.000Z", "expires_at": None},
        {"created_at": _CREATED_AT, "expires_at": "2026-02-02T08:00:00.000Z"},
    ],
    "secret": EXAMPLE_SECRET,
}
_DELIVERY = {
    "job_id": _DELIVERY_ID, "type": "job.failed", "happened_at": "2026-01-12T10:01:11.870Z",
    "data": {
        "job_id": JOB_ID, "run": 0, "sequence": 2, "status": "FAILED", "operation": "square_sum", "queue": "default",
        "tags": ["nightly"], "metadata": None, "attempt": 1, "submitted_at": _CREATED_AT,
        "error": {"type": "timeout", "text": "the attempt ran longer than its limit of 300 s"},
    },
    "status": "SUCCESS", "created_at": "2026-01-12T10:01:11.902Z", "due_at": None,
    "finished_at": "2026-01-12T10:01:12.010Z", "attempt": 1, "max_attempts": 21, "error": None,
    "links": {
        "self": f"/jobs/{_DELIVERY_ID}", "redeliver": f"{_DELIVERIES}/{_DELIVERY_ID}/redeliver",
        "subject": f"/jobs/{JOB_ID}",
    },
}  # fmt: skip
_ACCEPTED = {"job_id": _DELIVERY_ID, "status": "PENDING"}

RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/webhooks/endpoints"): {
        "201": {"endpoint created": _ENDPOINT | {"last_success_at": None, "secret": EXAMPLE_SECRET}}
    },
    ("get", "/webhooks/endpoints"): {
        "200": {"endpoints": {"endpoints": [_SUMMARY], "next": f"/webhooks/endpoints?limit=1&after={_ID}"}}
    },
    ("get", "/webhooks/endpoints/{endpoint_id}"): {"200": {"endpoint": _ENDPOINT, "failing": _FAILING}},
    ("patch", "/webhooks/endpoints/{endpoint_id}"): {"200": {"endpoint changed": _ENDPOINT | {"events": None}}},
    ("post", "/webhooks/endpoints/{endpoint_id}/rotate"): {"200": {"secret rotated": _ROTATED}},
    ("post", "/webhooks/endpoints/{endpoint_id}/test"): {"202": {"test sent": _ACCEPTED}},
    ("get", "/webhooks/deliveries"): {"200": {"deliveries": {"deliveries": [_DELIVERY], "next": None}}},
    ("post", "/webhooks/deliveries/{delivery_id}/redeliver"): {"202": {"redelivered": _ACCEPTED}},
}
