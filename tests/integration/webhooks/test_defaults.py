"""Endpoints that jobs get without a request that names them: of a schedule, and the default of a tenant."""

from collections.abc import Callable
from typing import Any

from integration.webhooks.conftest import settings_for
from rig.keys import REQUIRED, client_of, new_key
from rig.system import System, until
from rig.tenants import tenant_client
from rig.webhook_receiver import WebhookReceiver

Create = Callable[..., dict[str, Any]]
#: All schedules have an instant that is due.
DUE = "UPDATE schedules SET next_at = d.at, due_at = d.at FROM (SELECT date_trunc('second', now()) AS at) d"
JOB = {"operation": "square_sum", "data": [1]}


def test_a_schedule_tells_the_endpoint_that_its_job_names_else_the_default(
    webhooks: System, receiver: WebhookReceiver, create: Create
) -> None:
    named = create(receiver.url("/named"))
    create(receiver.url("/default"), default=True)
    for name, job in (
        ("named", JOB | {"webhook": {"endpoint_id": named["id"]}}),
        ("default", JOB),
        ("none", JOB | {"webhook": None}),
    ):
        body = {"name": name, "cron": "@yearly", "job": job}
        webhooks.client.post("/schedules", json=body).raise_for_status()
    webhooks.database.rows(DUE)
    until("two events", lambda: len(receiver.events()) == 2)
    until(
        "all three have ended",
        lambda: (
            webhooks.database.value(
                "SELECT count(*) FROM outcomes o JOIN jobs j USING (id) WHERE j.operation = 'square_sum'"
            )
            == 3
        ),
    )
    webhooks.wait_all()
    told = {request.path: request.event["data"]["job_id"] for request in receiver.received}
    ids = {found["name"]: found["id"] for found in webhooks.client.get("/schedules").json()["schedules"]}
    for name in ("named", "default"):
        [fire] = webhooks.client.get(f"/schedules/{ids[name]}/fires").json()["fires"]
        assert told[f"/{name}"] == fire["job_id"]
    assert len(receiver.received) == 2


def test_operators_give_the_jobs_of_a_tenant_an_endpoint(system: System, receiver: WebhookReceiver) -> None:
    system.env.update(settings_for(receiver))
    system.api(**REQUIRED).worker(queues="default,webhooks").controller()
    operators = client_of(system, new_key(system.database))
    with operators, tenant_client(system, "acme") as tenant:
        body = {"url": receiver.url(), "default": True}
        answer = operators.post("/webhooks/endpoints", json=body, headers={"Jobproc-Tenant": "acme"})
        assert answer.status_code == 201, answer.text
        job_id = tenant.submit()
        [event] = until("the event", receiver.events)
        assert event["data"]["job_id"] == job_id
        assert operators.post("/jobs/?wait=10", json=JOB).json()["status"] == "SUCCESS"
    system.wait_all()
    assert len(receiver.received) == 1
