"""The problems that each route of the OpenAPI document has."""

#: The problems of each route, by kind, without those that every route has.
BODY = {
    "malformed-json",
    "body-timeout",
    "body-too-large",
    "unsupported-media-type",
    "invalid-body",
    "unknown-operation",
    "store-unavailable",
    "overloaded",
}
BODY |= {"unique-conflict", "idempotency-key-reused", "invalid-idempotency-key", "queue-late"}
BODY |= {"quota-exceeded", "quota-too-small", "tenant-draining"}
READ = {"job-not-found", "invalid-parameter", "store-unavailable"}
BATCH = {"batch-not-found", "invalid-parameter", "store-unavailable"}
WORKFLOW = {"workflow-not-found", "invalid-parameter", "store-unavailable"}
ACTION = {"bulk-action-not-found", "invalid-parameter", "store-unavailable"}
EXPENSIVE = {"store-unavailable", "too-many-reads", "read-timeout"}
TENANT = {"tenant-not-found", "invalid-parameter", "store-unavailable"}
SCHEDULE = {"schedule-not-found", "invalid-parameter", "store-unavailable"}
QUEUE = {"queue-not-found", "invalid-parameter"} | EXPENSIVE
ENDPOINT = {"webhook-endpoint-not-found", "invalid-parameter", "store-unavailable"}
JSON_BODY = {"malformed-json", "body-timeout", "body-too-large", "unsupported-media-type", "invalid-body", "overloaded"}
DEFINITION = JSON_BODY | {"unknown-operation", "schedule-exists", "store-unavailable"}
ROUTES = {
    ("post", "/jobs/"): BODY | {"too-many-waiting", "invalid-parameter", "job-not-found"},
    ("post", "/jobs/batch"): BODY | {"invalid-parameter"},
    ("post", "/batches"): JSON_BODY
    | {"unknown-operation", "tenant-draining", "store-unavailable", "quota-exceeded", "quota-too-small"},
    ("get", "/batches"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/batches/{batch_id}"): BATCH | {"too-many-waiting"},
    ("get", "/batches/{batch_id}/events"): BATCH | {"too-many-waiting"},
    ("post", "/batches/{batch_id}/jobs"): BATCH | BODY | {"batch-closed", "batch-full"},
    ("post", "/batches/{batch_id}/close"): BATCH | {"unsupported-media-type"},
    ("post", "/batches/{batch_id}/cancel"): BATCH | {"unsupported-media-type"},
    ("post", "/workflows"): BODY - {"unique-conflict"},
    ("get", "/workflows"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/workflows/{workflow_id}"): WORKFLOW | EXPENSIVE | {"too-many-waiting"},
    ("get", "/workflows/{workflow_id}/jobs"): WORKFLOW | EXPENSIVE,
    ("post", "/workflows/{workflow_id}/cancel"): WORKFLOW | EXPENSIVE | {"unsupported-media-type"},
    ("post", "/workflows/{workflow_id}/retry"): WORKFLOW
    | EXPENSIVE
    | {"unsupported-media-type", "workflow-running", "tenant-draining"},
    ("get", "/jobs/"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/errors"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/jobs/events"): {"invalid-parameter", "too-many-waiting"} | EXPENSIVE,
    ("get", "/jobs/{job_id}"): READ,
    ("get", "/jobs/{job_id}/status"): READ,
    ("get", "/jobs/{job_id}/input"): READ,
    ("get", "/jobs/{job_id}/result"): READ | {"too-many-waiting"},
    ("post", "/jobs/validate"): JSON_BODY | {"unknown-operation", "tenant-draining", "store-unavailable"},
    ("post", "/jobs/results"): JSON_BODY | {"store-unavailable"},
    ("get", "/jobs/{job_id}/events"): READ | {"too-many-waiting"},
    ("get", "/jobs/{job_id}/logs"): READ | {"too-many-waiting"},
    ("post", "/jobs/{job_id}/cancel"): READ | {"unsupported-media-type"},
    ("post", "/jobs/{job_id}/retry"): READ
    | {"not-retryable", "input-removed"}
    | BODY - {"queue-late", "idempotency-key-reused", "invalid-idempotency-key"},
    ("get", "/jobs/{job_id}/explain"): READ | EXPENSIVE,
    ("post", "/bulk-actions"): JSON_BODY | {"too-many-previews", "tenant-draining"} | EXPENSIVE,
    ("get", "/bulk-actions"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/bulk-actions/{bulk_action_id}"): ACTION,
    ("get", "/bulk-actions/{bulk_action_id}/outcomes"): ACTION | EXPENSIVE,
    ("post", "/bulk-actions/{bulk_action_id}/start"): ACTION
    | {"wrong-phase", "count-not-confirmed", "quota-exceeded", "quota-too-small", "tenant-draining"}
    | JSON_BODY,
    ("post", "/bulk-actions/{bulk_action_id}/stop"): ACTION | {"wrong-phase", "unsupported-media-type"},
    ("post", "/bulk-actions/{bulk_action_id}/undo"): ACTION | {"wrong-phase", "unsupported-media-type"},
    ("get", "/queues"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/queues/{queue_name}"): QUEUE,
    ("patch", "/queues/{queue_name}"): QUEUE
    | JSON_BODY
    | {
        "queue-managed",
        "precondition-failed",
        "queue-change-unconfirmed",
        "feed-not-switched",
        "too-many-followed-queues",
    },
    ("post", "/queues/{queue_name}/pause"): QUEUE | {"unsupported-media-type", "queue-change-unconfirmed"},
    ("post", "/queues/{queue_name}/resume"): QUEUE | {"unsupported-media-type"},
    ("get", "/events"): {"invalid-parameter", "feed-expired", "too-many-waiting", "store-unavailable"},
    ("get", "/schedules"): {"invalid-parameter"} | EXPENSIVE,
    ("post", "/schedules"): DEFINITION | {"too-many-schedules", "tenant-draining"},
    ("get", "/schedules/{schedule_id}"): SCHEDULE,
    ("patch", "/schedules/{schedule_id}"): SCHEDULE | DEFINITION | {"schedule-managed", "precondition-failed"},
    ("delete", "/schedules/{schedule_id}"): SCHEDULE
    | {"unsupported-media-type", "schedule-managed", "precondition-failed"},
    **{
        ("post", f"/schedules/{{schedule_id}}/{verb}"): SCHEDULE | {"unsupported-media-type", "schedule-managed"}
        for verb in ("pause", "resume")
    },
    ("post", "/schedules/{schedule_id}/run"): SCHEDULE
    | {"unsupported-media-type", "unknown-operation", "queue-late"}
    | {"quota-exceeded", "quota-too-small", "tenant-draining"},
    ("get", "/schedules/{schedule_id}/fires"): SCHEDULE,
    ("get", "/webhooks/endpoints"): {"invalid-parameter"} | EXPENSIVE,
    ("post", "/webhooks/endpoints"): JSON_BODY | {"webhooks-off", "too-many-webhook-endpoints", "store-unavailable"},
    ("get", "/webhooks/endpoints/{endpoint_id}"): ENDPOINT,
    ("patch", "/webhooks/endpoints/{endpoint_id}"): ENDPOINT | JSON_BODY | {"precondition-failed"},
    ("delete", "/webhooks/endpoints/{endpoint_id}"): ENDPOINT | {"unsupported-media-type", "precondition-failed"},
    ("post", "/webhooks/endpoints/{endpoint_id}/rotate"): ENDPOINT | JSON_BODY | {"webhooks-off"},
    ("post", "/webhooks/endpoints/{endpoint_id}/test"): ENDPOINT
    | {"unsupported-media-type", "webhook-endpoint-disabled", "tenant-draining"},
    ("get", "/webhooks/deliveries"): {"invalid-parameter"} | EXPENSIVE,
    ("post", "/webhooks/deliveries/{delivery_id}/redeliver"): {
        "webhook-delivery-not-found",
        "invalid-parameter",
        "unsupported-media-type",
        "store-unavailable",
        "tenant-draining",
    },
    ("get", "/keys"): {"invalid-parameter", "store-unavailable"},
    ("post", "/keys"): JSON_BODY | {"too-many-keys", "store-unavailable"},
    ("post", "/keys/{key_id}/rotate"): JSON_BODY
    | {"key-not-found", "invalid-parameter", "too-many-keys", "store-unavailable"},
    ("post", "/keys/{key_id}/revoke"): {
        "key-not-found",
        "invalid-parameter",
        "unsupported-media-type",
        "store-unavailable",
    },
    ("get", "/audit"): {"invalid-parameter"} | EXPENSIVE,
    ("get", "/usage"): {"store-unavailable"},
    ("get", "/tenants"): {"invalid-parameter", "store-unavailable"},
    ("post", "/tenants"): JSON_BODY | {"tenant-exists", "too-many-tenants", "store-unavailable"},
    ("get", "/tenants/{tenant_name}"): TENANT,
    ("patch", "/tenants/{tenant_name}"): TENANT | JSON_BODY | {"tenant-removing"},
    **{
        ("post", f"/tenants/{{tenant_name}}/{verb}"): TENANT | {"unsupported-media-type"} | refusals
        for verb, refusals in {
            "suspend": {"tenant-removing", "default-tenant"},
            "resume": {"tenant-removing"},
            "drain": {"tenant-removing"},
            "remove": {"default-tenant"},
        }.items()
    },
    ("get", "/operations"): EXPENSIVE,
    ("get", "/stats"): EXPENSIVE,
    ("get", "/workers"): EXPENSIVE,
    ("get", "/live"): {"too-many-waiting"} | EXPENSIVE,
    ("get", "/me"): set(),
    ("get", "/console/session"): set(),
    ("post", "/console/session"): {
        *("session-needs-key", "session-needs-https", "session-not-same-origin", "sign-in-off"),
        *("unsupported-media-type", "store-unavailable"),
    },
    ("delete", "/console/session"): {"session-not-same-origin", "unsupported-media-type", "store-unavailable"},
    ("get", "/console/settings"): set(),
    ("get", "/livez"): set(),
    ("get", "/readyz"): {"not-ready"},
    ("get", "/diagnostics"): set(),
}
