"""Views of responses: access. Made by `make generate`."""

from __future__ import annotations

from typing import Any, Literal

from jobproc.client.views.view import View

AuditAction = Literal[
    "job.cancel",
    "job.retry",
    "batch.close",
    "batch.cancel",
    "workflow.cancel",
    "workflow.retry",
    "bulk_action.start",
    "bulk_action.stop",
    "bulk_action.undo",
    "key.create",
    "key.rotate",
    "key.revoke",
    "session.create",
    "session.end",
    "schedule.create",
    "schedule.change",
    "schedule.delete",
    "schedule.pause",
    "schedule.resume",
    "schedule.run",
    "queue.pause",
    "queue.resume",
    "queue.change",
    "webhook.create",
    "webhook.change",
    "webhook.delete",
    "webhook.rotate",
    "webhook.test",
    "webhook.redeliver",
    "tenant.create",
    "tenant.change",
    "tenant.suspend",
    "tenant.resume",
    "tenant.drain",
    "tenant.remove",
]
Quota = Literal["waiting_jobs", "running_jobs", "jobs_per_minute", "stored_bytes"]
Scope = Literal[
    "jobs:read",
    "jobs:write",
    "jobs:cancel",
    "jobs:payload",
    "bulk",
    "queues",
    "schedules",
    "webhooks",
    "keys",
    "audit",
    "admin",
]
SessionKind = Literal["api_key", "openid"]
TenantState = Literal["ACTIVE", "SUSPENDED", "DRAINING", "REMOVING"]


class ApiKeyList(View):
    """A page of API keys, oldest first."""

    next: str | None


class ApiKeyView(View):
    """An API key, without its secret."""

    id: str
    name: str
    tenant: str
    scopes: list[Scope]
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class AuditEntryView(View):
    """An entry of the audit log."""

    id: str
    at: str
    subject: str
    address: str
    request_id: str
    action: AuditAction
    thing: str
    details: dict[str, Any]


class AuditPage(View):
    """A page of the audit log, newest first."""

    entries: list[AuditEntryView]
    next: str | None


class CallerView(View):
    """The caller of a request, and what it may do."""

    subject: str | None
    name: str | None
    tenant: str
    own_tenant: str
    scopes: list[Scope]
    may_submit: bool
    session: SessionView | None
    version: str


class ConsoleSettingsView(View):
    """The settings of a console: the name of the installation, and its links to other systems."""

    environment: EnvironmentView
    links: LinkTemplatesView
    version: str


class EnvironmentView(View):
    """The name by which people know this installation."""

    name: str | None
    colour: str | None


class LinkTemplatesView(View):
    """URLs of other systems, with places in braces."""

    trace: str | None
    logs: str | None
    grafana: str | None


class NewApiKeyView(View):
    """A new API key with its secret, which no later response has."""

    id: str
    name: str
    tenant: str
    scopes: list[Scope]
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    key: str


class QuotaView(View):
    """One quota of a tenant, and what it uses of it."""

    limit: int | None
    used: int | None


class SessionView(View):
    """The console session of a browser."""

    kind: SessionKind
    expires_at: str
    idle_seconds: float


class TenantList(View):
    """A page of tenants, by name."""

    tenants: list[TenantView]
    next: str | None


class TenantUsageView(View):
    """The quotas of the caller's tenant, and what it uses of them."""

    tenant: str
    quotas: dict[str, QuotaView]
    schedules: QuotaView


class TenantView(View):
    """A tenant."""

    name: str
    state: TenantState
    weight: float
    created_at: str
    changed_at: str
    max_waiting_jobs: int | None
    max_running_jobs: int | None
    max_jobs_per_minute: int | None
    max_stored_bytes: int | None
    max_webhooks: int | None
    max_schedules: int | None
