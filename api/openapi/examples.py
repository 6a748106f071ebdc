"""Examples of the API's responses: one job from its submission to its end. Tests compare each with a real response."""

from typing import Any

from api.openapi import error_examples, queue_examples, schedule_examples, webhook_examples
from api.openapi.batch_examples import RESPONSES as BATCH_RESPONSES
from api.openapi.workflow_examples import RESPONSES as WORKFLOW_RESPONSES
from api.schemas import EXAMPLE_ID as ID
from api.views.tenancy.api_keys import EXAMPLE_KEY, EXAMPLE_KEY_ID
from common.domain.tenancy.tenants import STATE_AFTER

_OTHER_ID = "019aa5d4-7b1c-7d02-a8f5-52b0c9f1d4e7"
_SUBMITTED, _STARTED, _ENDED = "2025-11-21T09:52:37.151Z", "2025-11-21T09:52:37.159Z", "2025-11-21T09:52:37.160Z"
_ERROR = {"type": "timeout", "text": "it ran for more than 30 s"}
_FAILED = {"job_id": ID, "status": "FAILED", "result": None, "error": _ERROR}
_STATE = {"run": 0, "attempt": None, "worker": None, "error": None}
_RATES = {"last_minute": 41.7, "last_5_minutes": 40.2, "last_15_minutes": 12.9}
_PERCENTILES = {"p50": 0.000_02, "p95": 0.000_05, "p99": 0.000_11}
_JOB_PATHS = ("status", "result", "input", "cancel", "retry", "events", "logs", "explain")
_SUMMARY = {
    "job_id": ID, "status": "FAILED", "operation": "square_sum", "queue": "default", "priority": 5, "tags": ["nightly"],
    "created_at": _SUBMITTED, "due_at": None, "started_at": _STARTED, "finished_at": "2025-11-21T09:53:07.160Z",
    "attempt": 3, "max_attempts": 3, "error": _ERROR, "links": {"self": f"/jobs/{ID}"},
}  # fmt: skip
_JOB = {
    "job_id": ID, "status": "SUCCESS", "operation": "square_sum", "version": 1, "queue": "default", "priority": 5,
    "input": {"data": [1, 2, 3]}, "input_removed": False, "input_omitted": False, "tags": ["nightly"],
    "metadata": {"order": 4711}, "submitted_by": "key:4fGh7KqLw2Zx",
    "trace_id": None,
    "created_at": _SUBMITTED, "run_at": None, "due_at": None, "started_at": _STARTED, "finished_at": _ENDED,
    "deadline": None, "run": 0, "attempt": 1, "max_attempts": 3, "timeout_seconds": 300.0,
    "backoff": {"base_seconds": 1.0, "cap_seconds": 60.0}, "keep_seconds": 86_400,
    "unique": {"key": "report-4711", "while": "both"}, "concurrency_key": None, "webhook": None,
    "worker": 7, "cancel_requested": False, "progress": None,
    "result": 14.0, "result_omitted": False, "error": None,
    "attempts": [
        {
            "run": 0, "attempt": 1, "worker": 7, "started_at": _STARTED, "finished_at": _ENDED, "retry_at": None,
            "outcome": "success", "error": None,
            "took": {
                "execution_seconds": 0.000_02, "overhead_seconds": 0.000_98, "cpu_seconds": 0.000_02,
                "peak_memory_mebibytes": 61.5,
            },
        }
    ],
    "runs": [],
    "timeline": [
        {**_STATE, "at": _SUBMITTED, "status": "PENDING"},
        {**_STATE, "at": _STARTED, "status": "IN_PROGRESS", "attempt": 1, "worker": 7},
        {**_STATE, "at": _ENDED, "status": "SUCCESS", "attempt": 1, "worker": 7},
    ],
    "links": {"self": f"/jobs/{ID}", **{name: f"/jobs/{ID}/{name}" for name in _JOB_PATHS}},
}  # fmt: skip
_LINE = {
    "attempt": 1, "line": 1, "at": _STARTED, "level": "info", "logger": "acme.reports", "message": "4,000 rows",
    "exception": None,
}  # fmt: skip
_EXPLANATION = {
    "job_id": ID,
    "status": "SCHEDULED",
    "reasons": [
        {
            "code": "not_due",
            "text": "The job is due at 2025-11-21T10:52:37.151+00:00.",
            "until": "2025-11-21T10:52:37.151Z",
        }
    ],
    "position": None,
    "expected_start": {"earliest": "2025-11-21T10:52:37.151Z", "latest": "2025-11-21T10:52:39.651Z"},
    "waited": {"scheduled_seconds": 12.5, "queued_seconds": 0.0, "paused_seconds": 0.0, "running_seconds": 0.0},
}
_USAGE = {
    "tenant": "default",
    "quotas": {
        "waiting_jobs": {"limit": 100_000, "used": 1_204}, "running_jobs": {"limit": 50, "used": 12},
        "jobs_per_minute": {"limit": 6_000, "used": 350}, "stored_bytes": {"limit": None, "used": 48_211_904},
    },
    "schedules": {"limit": 1_000, "used": 3},
}  # fmt: skip
_CALLER = {
    "subject": f"key:{EXAMPLE_KEY_ID}", "name": "billing", "tenant": "default", "own_tenant": "default",
    "scopes": ["jobs:read", "jobs:write"], "may_submit": True, "session": None, "version": "0.1.0",
}  # fmt: skip
_SESSION = {"kind": "api_key", "expires_at": "2025-11-21T21:52:37.151Z", "idle_seconds": 3_600.0}
_CONSOLE = {
    "environment": {"name": "prod-eu", "colour": "#c0392b"}, "version": "0.1.0",
    "links": {
        "trace": "https://jaeger.example/trace/{trace_id}", "logs": "https://logs.example/search?q={job_id}",
        "grafana": "https://grafana.example/dashboards",
    },
}  # fmt: skip
_WORKER = {
    "worker": 4, "host": "jobproc-worker-7f9c", "pid": 17, "alive": True, "started_at": _SUBMITTED,
    "alive_until": _ENDED, "ended_at": None, "busy_since": None, "queues": ["default"], "operations": ["square_sum"],
    "held_jobs": 1, "claimed_jobs": 1,
    "jobs": [{"job_id": ID, "operation": "square_sum", "attempt": 1, "claimed_at": _SUBMITTED}],
}  # fmt: skip
_KEY = {
    "id": EXAMPLE_KEY_ID, "name": "billing", "tenant": "default", "scopes": ["jobs:read", "jobs:write"],
    "created_at": _SUBMITTED, "created_by": "user:ada", "expires_at": None, "revoked_at": None, "last_used_at": None,
}  # fmt: skip
_NEW_KEY = _KEY | {"key": EXAMPLE_KEY}
_AUDIT_ENTRY = {
    "id": _OTHER_ID, "at": _STARTED, "subject": f"key:{EXAMPLE_KEY_ID}", "address": "203.0.113.7",
    "request_id": "5f0c6a1e9b", "action": "job.cancel", "thing": ID, "details": {},
}  # fmt: skip
_TENANT = {
    "name": "acme", "state": "ACTIVE", "weight": 2.0, "created_at": _SUBMITTED, "changed_at": _SUBMITTED,
    "max_waiting_jobs": 100_000, "max_running_jobs": None, "max_jobs_per_minute": 6_000, "max_stored_bytes": None,
    "max_webhooks": None, "max_schedules": None,
}  # fmt: skip
_OPERATION = {
    "name": "square_sum", "version": 1, "oldest_version": 1, "queue": "default", "queues": ["default"],
    "description": "Sum of the squares of the numbers, correctly rounded.",
    "input_schema": {
        "type": "object", "title": "Numbers", "description": "Input of the operations on a list of numbers.",
        "required": ["data"],
        "properties": {"data": {"type": "array", "title": "Data", "items": {"type": "number"}, "minItems": 1}},
        "additionalProperties": False,
    },
    "output_schema": {"type": "number"},
    "defaults": {
        "max_attempts": 3, "backoff": {"base_seconds": 1.0, "cap_seconds": 300.0}, "timeout_seconds": 300.0
    },
    "seen_at": "2026-01-13T10:00:00.123456Z", "workers_alive": 4,
    "recent": {
        "jobs": 1_204, "execution_seconds": _PERCENTILES, "cpu_seconds": _PERCENTILES,
        "peak_memory_mebibytes": {"p50": 61.5, "p95": 63.0, "p99": 64.25},
    },
}  # fmt: skip
_QUEUE = {
    "queue": "default", "queued": 120, "running": 8, "oldest_due_seconds": 2.5, "workers_alive": 4,
    "accepted_per_second": 42.0, "succeeded_per_second": _RATES,
    "failed_per_second": {"last_minute": 0.0, "last_5_minutes": 0.1, "last_15_minutes": 0.0},
}  # fmt: skip
_SAMPLE = {"job_id": ID, "status": "SCHEDULED", "operation": "square_sum"}
_PREVIEW = {
    "bulk_action_id": _OTHER_ID, "action": "cancel", "phase": "PREVIEW",
    "filter": {
        "status": ["BLOCKED", "IN_PROGRESS", "PENDING", "RETRYING", "SCHEDULED"], "operation": None, "queue": None,
        "tag": "nightly", "batch": None, "id_suffix": None, "created_after": None, "created_before": None,
        "finished_after": None, "finished_before": None, "error": None, "error_group": None, "input": [],
        "metadata": [],
    },
    "priority": None, "jobs_per_second": 200, "as_of": _ENDED, "count": 1_204, "count_is_exact": True,
    "sample": [_SAMPLE], "sample_newest": [_SAMPLE], "sample_random": [_SAMPLE], "would_skip": {},
    "would_skip_is_exact": True, "matched": 0, "done": 0,
    "cancels_requested": 0, "skipped": {}, "undone": 0, "not_undone": {}, "progress": 0.0, "created_at": _ENDED,
    "created_by": None, "started_at": None, "started_by": None, "changed_at": _ENDED, "first": None,
    "stop_reason": None, "error": None,
    "links": {
        "self": f"/bulk-actions/{_OTHER_ID}",
        **{verb: f"/bulk-actions/{_OTHER_ID}/{verb}" for verb in ("outcomes", "start", "stop", "undo")},
    },
}  # fmt: skip
_RUNNING = _PREVIEW | {"phase": "RUNNING", "started_at": _ENDED}
_OUTCOMES = {
    "bulk_action_id": _OTHER_ID, "changed": 602, "counted": 602, "is_complete": True, "states": {"CANCELLED": 602},
    "undoable": 602, "not_undoable": {},
}  # fmt: skip
_HALF_DONE = _RUNNING | {"matched": 602, "done": 602, "progress": 0.5}
_VALID = {
    "operation": "square_sum", "version": 1, "queue": "default", "priority": 5, "max_attempts": 3,
    "timeout_seconds": None, "status": "PENDING",
}  # fmt: skip
_CHECKS = {"database": "answers", "migrations": "at 0004", "clock": "within 5 s of the database's"}
_DIAGNOSTICS = {
    "healthy": True,
    "checks": [
        *({"name": name, "ok": True, "detail": detail, "todo": None} for name, detail in _CHECKS.items()),
        {"name": "connections", "ok": True, "detail": "42 of 97 of PostgreSQL are used", "todo": None},
        {"name": "controller", "ok": True, "detail": "jobproc-controller-6d9f leads", "todo": None},
        {"name": "broker", "ok": True, "detail": "Redis answers in 0.8 ms", "todo": None},
    ],
}  # fmt: skip

#: By method and path, by status, by name. The examples of problems are in api/web/problems.py.
RESPONSES: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("post", "/jobs/"): {
        "202": {"stored": {"job_id": ID, "status": "PENDING"}, "scheduled": {"job_id": ID, "status": "SCHEDULED"}},
        "200": {
            "finished": {"job_id": ID, "status": "SUCCESS", "result": 14.0},
            "failed": _FAILED,
            "repeated request": {"job_id": ID, "status": "SCHEDULED"},
        },
    },
    **BATCH_RESPONSES,
    **WORKFLOW_RESPONSES,
    ("get", "/jobs/"): {
        "200": {
            "page": {
                "jobs": [_SUMMARY],
                "next": "/jobs?status=FAILED&limit=1&cursor=AT2kXq0",
                "scanned": 2,
                "estimated_total": 1_204,
            }
        },
    },
    ("get", "/jobs/{job_id}"): {"200": {"finished": _JOB}},
    ("get", "/jobs/{job_id}/input"): {
        "200": {"finished": {"job_id": ID, "run": 0, "input": {"data": [1, 2, 3]}, "input_removed": False}}
    },
    ("get", "/jobs/{job_id}/status"): {
        "200": {
            "waiting": {"status": "SCHEDULED"},
            "running": {"status": "IN_PROGRESS", "progress": {"fraction": 0.4, "text": "row 4,000 of 10,000"}},
        }
    },
    ("get", "/jobs/{job_id}/result"): {
        "200": {
            "finished": {"job_id": ID, "status": "SUCCESS", "result": 14.0},
            "failed": _FAILED,
            "waiting": {"job_id": ID, "status": "SCHEDULED", "result": None},
        }
    },
    ("post", "/jobs/validate"): {"200": {"valid": _VALID}},
    ("post", "/jobs/results"): {
        "200": {
            "one of two has ended": {
                "ended": [{"job_id": ID, "status": "SUCCESS", "result": 14.0, "attempt": 1, "result_omitted": False}],
                "unfinished": 1,
                "not_found": [],
            }
        }
    },
    ("get", "/jobs/{job_id}/logs"): {"200": {"lines": {"job_id": ID, "run": 0, "lines": [_LINE], "next": None}}},
    ("post", "/jobs/{job_id}/cancel"): {
        "200": {"cancelled": {"job_id": ID, "status": "CANCELLED", "cancel_requested": False}},
        "202": {"running": {"job_id": ID, "status": "IN_PROGRESS", "cancel_requested": True}},
    },
    ("post", "/jobs/{job_id}/retry"): {"202": {"retried": {"job_id": ID, "status": "PENDING", "run": 1}}},
    ("get", "/jobs/{job_id}/explain"): {"200": {"not due": _EXPLANATION}},
    ("post", "/bulk-actions"): {"201": {"preview": _PREVIEW}},
    ("get", "/bulk-actions"): {
        "200": {"bulk actions": {"bulk_actions": [_PREVIEW], "next": "/bulk-actions?limit=1&cursor=AT2kXq0"}}
    },
    ("get", "/bulk-actions/{bulk_action_id}"): {"200": {"progress": _HALF_DONE}},
    ("get", "/bulk-actions/{bulk_action_id}/outcomes"): {"200": {"outcomes": _OUTCOMES}},
    ("post", "/bulk-actions/{bulk_action_id}/start"): {"200": {"started": _RUNNING}},
    ("post", "/bulk-actions/{bulk_action_id}/stop"): {
        "200": {"stopped": _HALF_DONE | {"phase": "STOPPED", "stop_reason": "request"}}
    },
    ("post", "/bulk-actions/{bulk_action_id}/undo"): {
        "200": {"undoing": _HALF_DONE | {"phase": "UNDOING", "progress": 0.0}}
    },
    ("get", "/operations"): {"200": {"operation": {"operations": [_OPERATION]}}},
    ("get", "/stats"): {"200": {"queue": {"queues": [_QUEUE]}}},
    ("get", "/workers"): {"200": {"worker": {"workers": [_WORKER]}}},
    **error_examples.RESPONSES,
    **queue_examples.RESPONSES,
    **schedule_examples.RESPONSES,
    **webhook_examples.RESPONSES,
    ("post", "/keys"): {"201": {"key created": _NEW_KEY}},
    ("get", "/keys"): {"200": {"keys": {"keys": [_KEY], "next": f"/keys?limit=1&after={EXAMPLE_KEY_ID}"}}},
    ("post", "/keys/{key_id}/rotate"): {"201": {"key rotated": _NEW_KEY | {"created_by": f"key:{EXAMPLE_KEY_ID}"}}},
    ("post", "/keys/{key_id}/revoke"): {"200": {"key revoked": _KEY | {"revoked_at": _ENDED}}},
    ("get", "/audit"): {"200": {"entries": {"entries": [_AUDIT_ENTRY], "next": f"/audit?limit=1&cursor={_OTHER_ID}"}}},
    ("post", "/tenants"): {"201": {"tenant created": _TENANT}},
    ("get", "/tenants"): {"200": {"tenants": {"tenants": [_TENANT], "next": "/tenants?limit=1&after=acme"}}},
    ("get", "/tenants/{tenant_name}"): {"200": {"tenant": _TENANT}},
    ("patch", "/tenants/{tenant_name}"): {"200": {"tenant changed": _TENANT | {"changed_at": _ENDED}}},
    **{
        ("post", f"/tenants/{{tenant_name}}/{verb}"): {
            "200": {f"tenant {state.lower()}": _TENANT | {"state": state, "changed_at": _ENDED}}
        }
        for verb, state in STATE_AFTER.items()
    },
    ("get", "/me"): {"200": {"caller": _CALLER}},
    ("get", "/console/session"): {"200": {"key or provider": {"required": True, "ways": ["api_key", "openid"]}}},
    ("post", "/console/session"): {"201": {"signed in": _CALLER | {"session": _SESSION}}},
    ("get", "/console/settings"): {"200": {"console": _CONSOLE}},
    ("get", "/usage"): {"200": {"usage": _USAGE}},
    ("get", "/diagnostics"): {"200": {"installation": _DIAGNOSTICS}},
    ("get", "/livez"): {"200": {"alive": {"alive": True}}},
    ("get", "/readyz"): {
        "200": {
            "ready": {
                "ready": True,
                "checks": [{"name": name, "ok": True, "detail": detail} for name, detail in _CHECKS.items()],
            }
        }
    },
}


def add_examples(document: dict[str, Any]) -> None:
    """Add an example of each successful response to an OpenAPI document."""
    for (method, path), by_status in RESPONSES.items():
        for status, examples in by_status.items():
            content = document["paths"][path][method]["responses"][status]["content"]
            content["application/json"]["examples"] = {name: {"value": value} for name, value in examples.items()}
