"""The operationIds of the OpenAPI document: generated clients name their methods after them."""

import re
from typing import Any

import pytest
from rig.system import System

OPERATION_IDS = {
    ("post", "/jobs/", "submit_job"),
    ("get", "/jobs/", "list_jobs"),
    ("get", "/errors", "list_errors"),
    ("post", "/jobs/batch", "submit_batch"),
    ("post", "/jobs/results", "read_job_results"),
    ("post", "/jobs/validate", "validate_job"),
    ("get", "/jobs/events", "stream_job_list"),
    ("get", "/jobs/{job_id}", "get_job"),
    ("get", "/jobs/{job_id}/input", "get_job_input"),
    ("get", "/jobs/{job_id}/logs", "get_job_logs"),
    ("get", "/jobs/{job_id}/status", "get_job_status"),
    ("get", "/jobs/{job_id}/result", "get_job_result"),
    ("get", "/jobs/{job_id}/events", "stream_job_events"),
    ("get", "/jobs/{job_id}/explain", "explain_job"),
    ("post", "/jobs/{job_id}/cancel", "cancel_job"),
    ("post", "/jobs/{job_id}/retry", "retry_job"),
    ("post", "/batches", "create_batch"),
    ("get", "/batches", "list_batches"),
    ("get", "/batches/{batch_id}", "get_batch"),
    ("get", "/batches/{batch_id}/events", "stream_batch_events"),
    ("post", "/batches/{batch_id}/jobs", "add_batch_jobs"),
    ("post", "/batches/{batch_id}/close", "close_batch"),
    ("post", "/batches/{batch_id}/cancel", "cancel_batch"),
    ("post", "/workflows", "submit_workflow"),
    ("get", "/workflows", "list_workflows"),
    ("get", "/workflows/{workflow_id}", "get_workflow"),
    ("get", "/workflows/{workflow_id}/jobs", "list_workflow_jobs"),
    ("post", "/workflows/{workflow_id}/cancel", "cancel_workflow"),
    ("post", "/workflows/{workflow_id}/retry", "retry_workflow"),
    ("post", "/bulk-actions", "preview_bulk_action"),
    ("get", "/bulk-actions", "list_bulk_actions"),
    ("get", "/bulk-actions/{bulk_action_id}", "get_bulk_action"),
    ("get", "/bulk-actions/{bulk_action_id}/outcomes", "get_bulk_action_outcomes"),
    ("post", "/bulk-actions/{bulk_action_id}/start", "start_bulk_action"),
    ("post", "/bulk-actions/{bulk_action_id}/stop", "stop_bulk_action"),
    ("post", "/bulk-actions/{bulk_action_id}/undo", "undo_bulk_action"),
    ("get", "/events", "read_events"),
    ("get", "/queues", "list_queues"),
    ("get", "/queues/{queue_name}", "get_queue"),
    ("patch", "/queues/{queue_name}", "change_queue"),
    ("post", "/queues/{queue_name}/pause", "pause_queue"),
    ("post", "/queues/{queue_name}/resume", "resume_queue"),
    ("get", "/schedules", "list_schedules"),
    ("post", "/schedules", "create_schedule"),
    ("get", "/schedules/{schedule_id}", "get_schedule"),
    ("patch", "/schedules/{schedule_id}", "change_schedule"),
    ("delete", "/schedules/{schedule_id}", "delete_schedule"),
    ("post", "/schedules/{schedule_id}/pause", "pause_schedule"),
    ("post", "/schedules/{schedule_id}/resume", "resume_schedule"),
    ("post", "/schedules/{schedule_id}/run", "run_schedule"),
    ("get", "/schedules/{schedule_id}/fires", "list_schedule_fires"),
    ("get", "/webhooks/endpoints", "list_webhook_endpoints"),
    ("post", "/webhooks/endpoints", "create_webhook_endpoint"),
    ("get", "/webhooks/endpoints/{endpoint_id}", "get_webhook_endpoint"),
    ("patch", "/webhooks/endpoints/{endpoint_id}", "change_webhook_endpoint"),
    ("delete", "/webhooks/endpoints/{endpoint_id}", "delete_webhook_endpoint"),
    ("post", "/webhooks/endpoints/{endpoint_id}/rotate", "rotate_webhook_secret"),
    ("post", "/webhooks/endpoints/{endpoint_id}/test", "test_webhook_endpoint"),
    ("get", "/webhooks/deliveries", "list_webhook_deliveries"),
    ("post", "/webhooks/deliveries/{delivery_id}/redeliver", "redeliver_webhook"),
    ("get", "/keys", "list_keys"),
    ("post", "/keys", "create_key"),
    ("post", "/keys/{key_id}/rotate", "rotate_key"),
    ("post", "/keys/{key_id}/revoke", "revoke_key"),
    ("get", "/audit", "list_audit_entries"),
    ("get", "/tenants", "list_tenants"),
    ("post", "/tenants", "create_tenant"),
    ("get", "/tenants/{tenant_name}", "get_tenant"),
    ("patch", "/tenants/{tenant_name}", "change_tenant"),
    ("post", "/tenants/{tenant_name}/suspend", "suspend_tenant"),
    ("post", "/tenants/{tenant_name}/resume", "resume_tenant"),
    ("post", "/tenants/{tenant_name}/drain", "drain_tenant"),
    ("post", "/tenants/{tenant_name}/remove", "remove_tenant"),
    ("get", "/usage", "get_usage"),
    ("get", "/operations", "list_operations"),
    ("get", "/stats", "get_queue_stats"),
    ("get", "/workers", "list_workers"),
    ("get", "/live", "stream_overview"),
    ("get", "/me", "get_caller"),
    ("get", "/console/session", "get_sign_in"),
    ("post", "/console/session", "create_console_session"),
    ("delete", "/console/session", "end_console_session"),
    ("get", "/console/settings", "get_console_settings"),
    ("get", "/livez", "get_liveness"),
    ("get", "/readyz", "get_readiness"),
    ("get", "/diagnostics", "get_diagnostics"),
}


@pytest.fixture
def document(read_only_system: System) -> dict[str, Any]:
    """Return the OpenAPI document that the API serves."""
    return dict(read_only_system.client.get("/openapi.json").json())


def test_the_operation_ids_are_exactly_these(document: dict[str, Any]) -> None:
    assert {
        (method, path, operation["operationId"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
    } == OPERATION_IDS


def test_each_operation_id_is_unique_and_in_snake_case(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids)) == len(OPERATION_IDS)
    assert [name for name in ids if not re.fullmatch("[a-z]+(_[a-z]+)*", name)] == []


def test_no_schema_has_a_name_made_of_its_module(document: dict[str, Any]) -> None:
    """FastAPI puts the module and "__" before the name of a schema if two models have the same name."""
    assert [name for name in document["components"]["schemas"] if "__" in name] == []
