"""No request holds the event loop of the API for long, at the limits of what is stored and asked for."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from integration.api.support.documented_examples import OPERATIONS
from integration.api.support.loop_monitor import LoopMonitor, monitored_api
from rig.databases import database

from common.domain.bulk_actions import SkipReason
from common.domain.job import new_job_id
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import TenantRequest

MAX_HELD_S = 0.05
BODY_BYTES = 1_048_576
ATTEMPT = """attempts (id, run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type, error_text,
    execution_s, cpu_s, peak_mib)"""
#: A job with every part at its limit; `live` keeps it unfinished.
LARGE_JOB = f"""
INSERT INTO jobs (id, operation, queue, max_attempts, input, tags, metadata, run_at, deadline)
    VALUES (%(id)s, 'square_sum', 'default', 1000, %(input)s, %(tags)s, %(metadata)s, now() + interval '1 d',
    now() + interval '1 d');
INSERT INTO runs (id, run, input) SELECT %(id)s, n, %(input)s FROM generate_series(1, 10) n;
INSERT INTO {ATTEMPT} SELECT %(id)s, 10, n, 1, now() + n * interval '1 s', now() + n * interval '1 s', now(), 'error',
    'ValueError', %(error)s, 0.1, 0.1, 60 FROM generate_series(1, 999) n;
INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, finished_at, status, error_type, error_text)
    SELECT %(id)s, n, 1, 0, n, 1, now(), now(), 'FAILED', 'ValueError', %(error)s FROM generate_series(0, 9) n;
"""
LIVE = """INSERT INTO live (id, claimable_at, rev, attempt, max_attempts, run, queue, progress, progress_text)
    VALUES (%(id)s, now(), 1001, 999, 1000, 10, 'default', 0.5, 'half')"""
FINISHED = """INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, status, result)
    VALUES (%(id)s, 10, 1000, 0, 1001, 1, now(), 'SUCCESS', %(input)s)"""
FAILED = """INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, status, error_type, error_text)
    VALUES (%(id)s, 10, 1000, 0, 1001, 1, now(), 'FAILED', 'ValueError', %(error)s)"""
FAILED_JOBS = """
INSERT INTO jobs (id, operation, queue, max_attempts, tags, metadata)
    SELECT unnest(%(ids)s::uuid[]), repeat('o', 64), 'default', 1, %(tags)s, %(metadata)s;
INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, status, error_type, error_text)
    SELECT unnest(%(ids)s::uuid[]), 0, 1, 0, 1, 1, now(), 'FAILED', 'ValueError', %(error)s;
INSERT INTO tags (id, tag) SELECT i, t FROM unnest(%(ids)s::uuid[]) i, unnest(%(tags)s) t;
"""
OPERATIONS_AND_ACTIONS = """
INSERT INTO operations (
    name, retry_base_s, retry_cap_s, max_attempts, queue, description, input_schema, queues, output_schema)
    SELECT 'operation_' || n, 1, 1, 1, 'default', repeat('d', 500), %(schema)s, '{default}', '{}'
    FROM generate_series(1, 100) n;
INSERT INTO bulk_actions (id, as_of, count, jobs_per_second, count_is_exact, kind, filter, sample, skipped, not_undone)
    SELECT unnest(%(ids)s::uuid[]), now(), 1, 1, true, 'cancel', %(filter)s, %(sample)s, %(skipped)s, %(skipped)s
"""
TENANCY = """
INSERT INTO tenants (name) SELECT 'tenant-' || n FROM generate_series(1, 1000) n;
INSERT INTO api_keys (id, tenant, name, created_by, scopes, digest)
    SELECT lpad(n::text, 12, 'k'), 1, repeat('\U0001f600', 100), 'test', %(scopes)s, sha256(n::text::bytea)
    FROM generate_series(1, 998) n;
INSERT INTO audit_entries (tenant, id, subject, address, request_id, action, thing, details)
    SELECT 1, unnest(%(ids)s::uuid[]), repeat('s', 255), '203.0.113.7', repeat('r', 64), 'bulk_action.start',
    repeat('t', 64), %(filter)s;
"""
BATCHES = """
INSERT INTO batches (
    id, last, place, jobs, numbers, closed_at, ended_at, failed, cancelled, submitted_by, follow_up, is_workflow)
SELECT id, id, id, 1, 1, now(), now(), 0, 0, repeat('s', 255), json_build_object('operation', repeat('o', 64)),
       %(is_workflow)s
FROM unnest(%(ids)s::uuid[]) AS d(id);
"""
SCHEDULES = """
INSERT INTO schedules (id, tenant, name, cron, zone, overlap, catch_up, catch_up_within_s, catch_up_max_runs, jitter_s,
    next_at, due_at, job)
SELECT id, 1, 'schedule-' || n, '*/7 2-4,20 L * 1#2', 'America/Argentina/ComodRivadavia', 'queue', 'all', 3600, 1000, 0,
    now() + interval '1 d', now() + interval '1 d',
    json_build_object('operation', 'square_sum', 'input', %(input)s::json)
FROM unnest(%(ids)s::uuid[]) WITH ORDINALITY AS d(id, n);
INSERT INTO schedule_fires (schedule, at, tenant, outcome, reason)
SELECT (%(ids)s::uuid[])[1], now() - n * interval '1 min', 1, 'refused', repeat('r', 200)
FROM generate_series(1, 201) n;
"""
QUEUES_AND_ENDPOINTS = """
INSERT INTO queue_policies (queue, rev, rate, burst, key_rate, key_burst, changed_by)
SELECT 'queue-' || n, n, 1e6, 1e6, 1e6, 1e6, repeat('s', 255) FROM generate_series(1, 201) n;
INSERT INTO webhook_endpoints (id, max_attempts, url, description, events, created_by, last_failure)
SELECT unnest(%(ids)s::uuid[]), 10, 'https://example.org/' || repeat('u', 2000), repeat('d', 500),
       ARRAY['job.succeeded'], repeat('s', 255), repeat('f', 500);
INSERT INTO feed_pages (last_number, first_number, changes)
SELECT 1000, 1, json_agg(json_build_object('job_id', gen_random_uuid(), 'status', 'PENDING'))
FROM generate_series(1, 1000);
"""
KEY_ID = "kkkkkkkkkkk1"
PAGE = 200
#: As many jobs as a body of the default size has, all but the first and the last in a fan.
FAN: list[dict[str, Any]] = [
    {"operation": "square_sum", "data": [1]},
    *({"operation": "square_sum", "data": [1], "depends_on": ["0"]} for _ in range(9_000)),
    {"operation": "square_sum", "data": [1], "depends_on": [str(n) for n in range(1, 9_001)]},
]
JOB = {"operation": "square_sum"}


def ids(first: int, count: int) -> list[str]:
    """Return job ids of now."""
    return [str(new_job_id(time.time_ns() // 1_000_000, number)) for number in range(first, first + count)]


LIVE_ID, FINISHED_ID, RETRIED_ID, CANCELLED_ID = ids(0, 4)
ACTION_IDS = ids(1_000, PAGE + 1)
ENDPOINT_IDS = ids(6_000, PAGE + 1)
BATCH_IDS, SCHEDULE_IDS, WORKFLOW_IDS = ids(3_000, PAGE + 1), ids(4_000, PAGE + 1), ids(5_000, PAGE + 1)
TIMES = {
    f"{name}_{end}": "2026-01-01T00:00:00+00:00" for name in ("created", "finished") for end in ("after", "before")
}
#: By operation of the OpenAPI document: the requests, without those whose whole body is a submission.
REQUESTS: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "get_job": [("GET", f"/jobs/{job_id}", {}) for job_id in (LIVE_ID, FINISHED_ID)],
    "get_job_input": [("GET", f"/jobs/{LIVE_ID}/input{query}", {}) for query in ("", "?run=0", "?run=3")],
    "get_job_logs": [("GET", f"/jobs/{LIVE_ID}/logs", {})],
    "get_job_status": [("GET", f"/jobs/{LIVE_ID}/status", {})],
    "get_job_result": [("GET", f"/jobs/{FINISHED_ID}/result{query}", {}) for query in ("", "?wait=1")],
    "read_job_results": [("POST", "/jobs/results", {"json": {"job_ids": [FINISHED_ID, *ids(20_000, 999)]}})],
    "stream_job_events": [("GET", f"/jobs/{FINISHED_ID}/events", {})],
    "explain_job": [("GET", f"/jobs/{job_id}/explain", {}) for job_id in (LIVE_ID, FINISHED_ID)],
    "cancel_job": [("POST", f"/jobs/{CANCELLED_ID}/cancel", {})],
    "retry_job": [("POST", f"/jobs/{RETRIED_ID}/retry", {})],
    "list_jobs": [
        ("GET", f"/jobs?limit={PAGE}", {}),
        ("GET", f"/jobs?limit={PAGE}&status=FAILED&sort=-finished&error=%F0%9F%98%80", {}),
        ("GET", f"/jobs?limit={PAGE}&tag=0{'t' * 63}", {}),
        ("GET", f"/jobs?limit={PAGE}&metadata=key={'v' * 290}", {}),
        ("GET", f"/jobs?limit={PAGE}&error_group=0123456789ab", {}),
    ],
    "list_errors": [("GET", f"/errors?limit={PAGE}", {})],
    "stream_job_list": [("GET", f"/jobs/events?limit={PAGE}&sort={sort}", {}) for sort in ("created", "-created")],
    "create_batch": [("POST", "/batches", {"json": {"follow_up": {**JOB, "data": [1] * 10_000}}})],
    "list_batches": [("GET", f"/batches?limit={PAGE}{query}", {}) for query in ("", "&status=OPEN")],
    "get_batch": [("GET", f"/batches/{BATCH_IDS[0]}{query}", {}) for query in ("", "?wait=1")],
    "stream_batch_events": [("GET", f"/batches/{BATCH_IDS[0]}/events", {})],
    "close_batch": [("POST", f"/batches/{BATCH_IDS[1]}/close", {})],
    "cancel_batch": [("POST", f"/batches/{BATCH_IDS[2]}/cancel", {})],
    "list_workflows": [("GET", f"/workflows?limit={PAGE}{query}", {}) for query in ("", "&status=RUNNING")],
    "get_workflow": [("GET", f"/workflows/{WORKFLOW_IDS[0]}{query}", {}) for query in ("", "?wait=1")],
    "list_workflow_jobs": [("GET", f"/workflows/{WORKFLOW_IDS[0]}/jobs?limit={PAGE}", {})],
    **{f"{verb}_workflow": [("POST", f"/workflows/{WORKFLOW_IDS[1]}/{verb}", {})] for verb in ("cancel", "retry")},
    "submit_workflow": [("POST", "/workflows", {"json": {"jobs": FAN}})],
    "preview_bulk_action": [
        ("POST", "/bulk-actions", {"json": {"action": "retry", "filter": {"tag": f"0{'t' * 63}"}}}),
        ("POST", "/bulk-actions", {"json": {"action": "retry", "filter": {"status": [0] * 500_000}}}),
        ("POST", "/bulk-actions", {"json": {"action": "retry", "filter": {"status": ["x"] * 200_000}}}),
    ],
    "list_bulk_actions": [("GET", f"/bulk-actions?limit={PAGE}", {})],
    "get_bulk_action": [("GET", f"/bulk-actions/{ACTION_IDS[0]}", {})],
    "get_bulk_action_outcomes": [("GET", f"/bulk-actions/{ACTION_IDS[0]}/outcomes", {})],
    "start_bulk_action": [("POST", f"/bulk-actions/{ACTION_IDS[0]}/start", {})],
    "stop_bulk_action": [("POST", f"/bulk-actions/{ACTION_IDS[0]}/stop", {})],
    "undo_bulk_action": [("POST", f"/bulk-actions/{ACTION_IDS[0]}/undo", {})],
    "create_schedule": [
        (
            "POST",
            "/schedules",
            {"json": {"name": "s" * 64, "cron": "1 0 29 2 1#5", "job": {**JOB, "data": [1] * 10_000}}},
        )
    ],
    "list_schedules": [("GET", f"/schedules?limit={PAGE}", {})],
    "get_schedule": [("GET", f"/schedules/{SCHEDULE_IDS[0]}", {})],
    "list_schedule_fires": [("GET", f"/schedules/{SCHEDULE_IDS[0]}/fires?limit={PAGE}", {})],
    "change_schedule": [("PATCH", f"/schedules/{SCHEDULE_IDS[1]}", {"json": {"cron": "0 0 29 2 *"}})],
    **{
        f"{verb}_schedule": [("POST", f"/schedules/{SCHEDULE_IDS[1]}/{verb}", {})]
        for verb in ("pause", "resume", "run")
    },
    "delete_schedule": [("DELETE", f"/schedules/{SCHEDULE_IDS[2]}", {})],
    "list_queues": [("GET", f"/queues?limit={PAGE}", {})],
    "get_queue": [("GET", "/queues/queue-1", {})],
    "change_queue": [("PATCH", "/queues/queue-2", {"json": {"concurrency": 10_000}})],
    **{f"{verb}_queue": [("POST", f"/queues/queue-3/{verb}", {})] for verb in ("pause", "resume")},
    "read_events": [("GET", "/events?after=0&limit=1000", {})],
    "create_webhook_endpoint": [("POST", "/webhooks/endpoints", {"json": {"url": "https://example.org/"}})],
    "list_webhook_endpoints": [("GET", f"/webhooks/endpoints?limit={PAGE}", {})],
    "get_webhook_endpoint": [("GET", f"/webhooks/endpoints/{ENDPOINT_IDS[0]}", {})],
    "change_webhook_endpoint": [("PATCH", f"/webhooks/endpoints/{ENDPOINT_IDS[0]}", {"json": {"description": "d"}})],
    "delete_webhook_endpoint": [("DELETE", f"/webhooks/endpoints/{ENDPOINT_IDS[1]}", {})],
    "rotate_webhook_secret": [("POST", f"/webhooks/endpoints/{ENDPOINT_IDS[2]}/rotate", {})],
    "test_webhook_endpoint": [("POST", f"/webhooks/endpoints/{ENDPOINT_IDS[2]}/test", {})],
    "list_webhook_deliveries": [("GET", f"/webhooks/deliveries?limit={PAGE}", {})],
    "redeliver_webhook": [("POST", f"/webhooks/deliveries/{LIVE_ID}/redeliver", {})],
    "create_key": [("POST", "/keys", {"json": {"name": "\U0001f600" * 100, "scopes": list(Scope)}})],
    "list_keys": [("GET", f"/keys?limit={PAGE}", {})],
    "rotate_key": [("POST", f"/keys/{KEY_ID}/rotate", {})],
    "revoke_key": [("POST", f"/keys/{KEY_ID}/revoke", {})],
    "list_audit_entries": [("GET", f"/audit?limit={PAGE}{query}", {}) for query in ("", "&subject=nobody")],
    "create_tenant": [("POST", "/tenants", {"json": {"name": "a" * 63}})],
    "list_tenants": [("GET", f"/tenants?limit={PAGE}", {})],
    "get_tenant": [("GET", "/tenants/tenant-1", {})],
    "change_tenant": [("PATCH", "/tenants/tenant-1", {"json": {"weight": 2}})],
    **{f"{verb}_tenant": [("POST", f"/tenants/tenant-1/{verb}", {})] for verb in TenantRequest},
    "get_usage": [("GET", "/usage", {})],
    "list_operations": [("GET", "/operations", {})],
    "get_queue_stats": [("GET", "/stats", {})],
    "list_workers": [("GET", "/workers", {})],
    "stream_overview": [("GET", "/live", {})],
    "get_console_settings": [("GET", "/console/settings", {})],
    "get_caller": [("GET", "/me", {})],
    "get_sign_in": [("GET", "/console/session", {})],
    "create_console_session": [("POST", "/console/session", {})],
    "end_console_session": [("DELETE", "/console/session", {})],
    "get_liveness": [("GET", "/livez", {})],
    "get_readiness": [("GET", "/readyz", {})],
    "get_diagnostics": [("GET", "/diagnostics", {})],
}
BODIES_OF_SUBMISSIONS = {"submit_job", "validate_job", "submit_batch", "add_batch_jobs"}


def _store(database_url: str) -> None:
    """Store jobs, operations and bulk actions whose every part is at its limit."""
    number = "0.12345678901234567,"
    values: dict[str, Any] = {
        "input": f'{{"data":[{number * (BODY_BYTES // len(number))}1]}}',
        "tags": [f"{n:x}{'t' * 63}" for n in range(16)],
        "metadata": json.dumps({f"{n:03}": [n] for n in range(340)}),
        "error": '"\U0001f600' * 2_000,
        "schema": json.dumps({"properties": {f"field_{n}": {"type": "number"} for n in range(200)}}),
        "filter": json.dumps({"statuses": ["FAILED"], "tag": "t" * 64, "error": "e" * 200, "queue": "q"} | TIMES),
        "sample": json.dumps([{"job_id": LIVE_ID, "status": "FAILED", "operation": "o" * 64} for _ in range(10)]),
        "scopes": list(Scope),
        "skipped": json.dumps(dict.fromkeys(SkipReason, 1)),
    }
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        for job_id in (LIVE_ID, FINISHED_ID, RETRIED_ID, CANCELLED_ID):
            cursor.execute(LARGE_JOB, values | {"id": job_id})
        for job_id in (LIVE_ID, CANCELLED_ID):
            cursor.execute(LIVE, {"id": job_id})
        cursor.execute(FINISHED, values | {"id": FINISHED_ID})
        cursor.execute(FAILED, values | {"id": RETRIED_ID})
        cursor.execute(FAILED_JOBS, values | {"ids": ids(4, PAGE + 1)})
        cursor.execute(OPERATIONS_AND_ACTIONS, values | {"ids": ACTION_IDS})
        for batch_ids, is_workflow in ((BATCH_IDS, False), (WORKFLOW_IDS, True)):
            cursor.execute(BATCHES, values | {"ids": batch_ids, "is_workflow": is_workflow})
        cursor.execute(SCHEDULES, values | {"ids": SCHEDULE_IDS})
        cursor.execute(QUEUES_AND_ENDPOINTS, values | {"ids": ENDPOINT_IDS})
        cursor.execute(TENANCY, values | {"ids": ids(2_000, PAGE + 1)})
    connection.close()


@pytest.fixture(scope="module")
def monitor() -> Iterator[LoopMonitor]:
    """Serve the API, with a monitor of its event loop, on a database at its limits."""
    with database() as url:
        _store(url)
        with monitored_api(url, f"{os.environ['JOBPROC_TESTS_REDIS']}/0") as monitor:
            monitor.client.get("/jobs")  # the first request compiles the routes
            yield monitor


def test_every_operation_of_the_document_is_requested() -> None:
    named = {operation["operationId"] for operation in OPERATIONS.values()}
    assert named - BODIES_OF_SUBMISSIONS == set(REQUESTS)


@pytest.mark.parametrize("operation", REQUESTS)
def test_no_request_holds_the_event_loop(monitor: LoopMonitor, operation: str) -> None:
    for method, path, options in REQUESTS[operation]:
        for encoding in ("gzip", "identity") if method == "GET" else ("identity",):
            response, held_s = monitor.held_s(method, path, headers={"Accept-Encoding": encoding}, **options)
            size = len(response.content)
            print(f"{method} {path[:90]} {encoding}: {response.status_code}, {size} bytes, {held_s * 1000:.1f} ms")
            assert response.status_code < 500, response.text
            assert held_s < MAX_HELD_S, f"{method} {path}"


def test_a_callback_that_computes_for_longer_is_noticed(monitor: LoopMonitor) -> None:
    assert monitor.compute(MAX_HELD_S) > MAX_HELD_S
