"""Requests that make the API send each documented example of a response."""

import re
import uuid
from collections.abc import Callable
from typing import Any

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.endless_streams import ENDLESS, beginning
from integration.api.support.made_resources import MadeResources
from rig.system import System, until

JOB = {"data": [1, 2, 3], "operation": "square_sum"}
LATER, BAD_COUNT = JOB | {"delay_seconds": 1_000}, {"count": "x"}
UNUSED_ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


def path_of(path: str, value: str) -> str:
    """Return a path whose parameter, if it has one, is `value`."""
    return re.sub(r"\{\w+\}", value, path)


class ExampleClient(MadeResources):
    """A client that brings the shared system into the state of an example."""

    def __init__(self, system: System, wire: Callable[[System], Any]) -> None:
        super().__init__(system)
        self.wire = wire

    def job(self, state: str = "", **options: Any) -> str:
        """Submit a job and return its id; wait until the job is in `state`, if any."""
        job_id = str(self.system.client.post("/jobs/", json=JOB | options).json()["job_id"])
        if state:
            self.system.wait_status(job_id, state)
        return job_id

    def cancelled_job(self, **options: Any) -> str:
        job_id = self.job(delay_seconds=1_000, **options)
        self.system.client.post(f"/jobs/{job_id}/cancel").raise_for_status()
        return job_id

    def send(self, operation: Operation, row_id: str = "", **request: Any) -> httpx.Response:
        method, path = operation
        if path in ENDLESS:
            return beginning(self.system.client, path, **request)
        return self.system.client.request(method, path_of(path, row_id), **request)

    def submit(self, operation: Operation, job: Any, **request: Any) -> httpx.Response:
        """Send a submission: as a job, in a batch, or as the body of a manual retry."""
        job_id = self.cancelled_job() if "{" in operation[1] else ""
        return self.send(operation, job_id, json=[job, JOB] if operation[1].endswith("batch") else job, **request)

    def submit_twice(self, operation: Operation, job: Any, other: Any, **headers: str) -> httpx.Response:
        """Send two submissions with the same headers, whose values are made unique; return the second response."""
        own = {name: value + uuid.uuid4().hex for name, value in headers.items()}
        self.submit(operation, job, headers=own)
        return self.submit(operation, other, headers=own)

    def request_unchanged_job(self, operation: Operation) -> httpx.Response:
        """Request a job that has not changed since the last response."""
        job_id = self.job("SUCCESS")
        return self.send(operation, job_id, headers={"If-None-Match": self.send(operation, job_id).headers["etag"]})

    def request_ended_stream(self, operation: Operation) -> httpx.Response:
        """Request an event stream after its last event."""
        job_id = self.job("SUCCESS")
        last_event_id = self.send(operation, job_id).text.rpartition("id: ")[2].partition("\n")[0]
        return self.send(operation, job_id, headers={"Last-Event-ID": last_event_id})

    def request_log(
        self, operation: Operation, headers: dict[str, str] | None = None, **parameters: Any
    ) -> httpx.Response:
        """Request the log of an ended job that has logged nine lines."""
        job_id = self.job("SUCCESS", operation="say")
        until(
            "its lines are stored",
            lambda: self.system.database.value("SELECT max(last_line) FROM job_logs WHERE id = %s", (job_id,)) == 9,
        )
        self.edit(job_id, "UPDATE outcomes SET finished_at = finished_at - interval '1 minute' WHERE id = %s")
        return self.send(operation, job_id, headers=headers, params=parameters)

    def repeat_request_of_removed_job(self, operation: Operation) -> httpx.Response:
        """Repeat a request with an idempotency key whose job retention has removed."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        job_id = self.send(operation, json=LATER, headers=headers).json()["job_id"]
        self.edit(job_id, "DELETE FROM live WHERE id = %s", "DELETE FROM jobs WHERE id = %s")
        return self.send(operation, json=LATER, headers=headers)

    def retry_with_held_key(self, operation: Operation) -> httpx.Response:
        """Retry a job whose unique key another job holds now."""
        unique = {"key": uuid.uuid4().hex}
        job_id = self.cancelled_job(unique=unique)
        self.job(delay_seconds=1_000, unique=unique)
        return self.send(operation, job_id)

    def bulk_action(self, *verbs: str) -> str:
        """Preview a bulk action on its own jobs, then start, stop or undo it as `verbs` say; return its id.

        At one job a second it takes seconds, so a stop finds it running.
        """
        tag = uuid.uuid4().hex
        for _ in range(5):
            self.job(delay_seconds=1_000, tags=[tag])
        links = self.system.client.post(
            "/bulk-actions", json={"action": "cancel", "filter": {"tag": tag}, "jobs_per_second": 1}
        ).json()["links"]
        for verb in verbs:
            self.system.client.post(links[verb]).raise_for_status()
        return str(links["self"]).rpartition("/")[2]

    def row_for(self, operation: Operation) -> str:
        """Return what the path names and accepts the documented request: a job, batch, key or tenant, or none."""
        _, path = operation
        made = {
            "{key_id}": self.key,
            "{tenant_name}": self.tenant,
            "{schedule_id}": self.schedule,
            "{queue_name}": self.queue,
        }
        made |= {"{endpoint_id}": self.endpoint, "deliveries/{delivery_id}": self.delivery}
        for name, make in made.items():
            if name in path:
                return make()
        if "{batch_id}" in path:
            return self.batch_for(path)
        if "{workflow_id}" in path:
            return self.workflow()
        if "{bulk_action_id}" in path:
            return self.edit(self.bulk_action(), "UPDATE bulk_actions SET count = 1204 WHERE id = %s")
        if "{" not in path:
            return ""
        return self.cancelled_job() if path.endswith("/retry") else self.job("SUCCESS")

    def workflow(self) -> str:
        """Return a workflow whose only job has been cancelled."""
        body = self.system.client.post("/workflows", json={"jobs": [LATER]}).raise_for_status().json()
        self.system.client.post(f"/jobs/{body['job_ids'][0]}/cancel").raise_for_status()
        path = f"/workflows/{body['workflow_id']}"
        until("it is at rest", lambda: self.system.client.get(path).json()["status"] == "CANCELLED")
        return str(body["workflow_id"])

    def batch_for(self, path: str) -> str:
        """Return a batch with a job, which is open for requests that need that."""
        batch_id = str(self.system.client.post("/batches").raise_for_status().json()["batch_id"])
        if path in ("/batches/{batch_id}", "/batches/{batch_id}/events"):  # ended, so that a wait is over at once
            self.system.client.post(f"/batches/{batch_id}/close").raise_for_status()
            return batch_id
        self.system.client.post(f"/batches/{batch_id}/jobs", json=[LATER]).raise_for_status()
        if not path.endswith(("/jobs", "/close")):
            self.system.client.post(f"/batches/{batch_id}/close").raise_for_status()
        return batch_id

    def held_key(self) -> str:
        """Return a unique key that a job holds."""
        key = uuid.uuid4().hex
        self.job(delay_seconds=1_000, unique={"key": key})
        return key

    def request_bulk_actions(self, operation: Operation) -> httpx.Response:
        """Preview or list bulk actions while a job matches the documented filter."""
        (body,) = body_examples(operation) or [None]
        self.job(delay_seconds=1_000, tags=["nightly"])
        self.bulk_action()
        return self.send(operation, json=body)

    def request_outcomes(self, operation: Operation) -> httpx.Response:
        """Request the outcomes of a bulk action that has changed a job."""
        action_id = self.bulk_action("start")
        until("a job is cancelled", lambda: self.system.client.get(f"/bulk-actions/{action_id}").json()["done"])
        return self.send(operation, action_id)

    def request_error_groups(self, operation: Operation) -> httpx.Response:
        """List error groups once a job has failed."""
        self.job("FAILED", operation="fail_for_good")
        return self.send(operation)

    def request_progress(self, operation: Operation) -> httpx.Response:
        """Request the status of a job that has reported its progress."""
        (self.system.folder / "go").unlink(missing_ok=True)
        job_id = self.job(operation="tell_progress", data=[0.5])
        response: httpx.Response = until(
            "the job has reported its progress",
            lambda: status if "progress" in (status := self.send(operation, job_id)).json() else None,
        )
        (self.system.folder / "go").touch()
        return response


Provoke = Callable[[ExampleClient, Operation], httpx.Response]
#: By the name of an example, or by path and name where a route needs its own way to it.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    **dict.fromkeys(("stored", "valid"), lambda client, operation: client.submit(operation, JOB)),
    "scheduled": lambda client, operation: client.submit(operation, LATER),
    "finished": lambda client, operation: client.send(
        operation,
        client.job(
            "SUCCESS",
            tags=["a"],
            metadata={"order": 1},
            keep_seconds=90_000,
            backoff={"base_seconds": 1, "cap_seconds": 2},
            unique={"key": uuid.uuid4().hex},
        ),
    ),
    ("/jobs/", "finished"): lambda client, operation: client.submit(operation, JOB, params={"wait": 15}),
    "one of two has ended": lambda client, operation: client.send(
        operation, json={"job_ids": [client.job("SUCCESS"), client.job(delay_seconds=1_000)]}
    ),
    "failed": lambda client, operation: client.send(operation, client.job("FAILED", operation="fail_for_good")),
    ("/jobs/", "failed"): lambda client, operation: client.submit(
        operation, JOB | {"operation": "fail_for_good"}, params={"wait": 15}
    ),
    "repeated request": lambda client, operation: client.submit_twice(
        operation, LATER, LATER, **{"Idempotency-Key": "a"}
    ),
    "page": lambda client, operation: client.send(operation, params={"status": "FAILED", "limit": 1}),
    "waiting": lambda client, operation: client.send(operation, client.job(delay_seconds=1_000)),
    "running": lambda client, operation: client.send(
        operation, client.job("IN_PROGRESS", operation="linger", data=[5])
    ),
    ("/jobs/{job_id}/status", "running"): lambda client, operation: client.request_progress(operation),
    "cancelled": lambda client, operation: client.send(operation, client.job(delay_seconds=1_000)),
    "retried": lambda client, operation: client.send(operation, client.cancelled_job()),
    "not due": lambda client, operation: client.send(operation, client.job(delay_seconds=1_000)),
    "running job": lambda client, operation: client.send(
        operation, client.job("IN_PROGRESS", operation="linger", data=[0.2])
    ),
    **dict.fromkeys(("preview", "bulk actions"), lambda client, operation: client.request_bulk_actions(operation)),
    **dict.fromkeys(
        ("progress", "stopped"), lambda client, operation: client.send(operation, client.bulk_action("start"))
    ),
    "started": lambda client, operation: client.send(operation, client.bulk_action()),
    "outcomes": lambda client, operation: client.request_outcomes(operation),
    "error groups": lambda client, operation: client.request_error_groups(operation),
    "undoing": lambda client, operation: client.send(operation, client.bulk_action("start", "stop")),
    **dict.fromkeys(
        ("operation", "queue", "worker", "caller", "console", "overview", "list", "alive", "ready", "installation"),
        lambda client, operation: client.send(operation),
    ),
    # without a body
    "": lambda client, operation: client.request_unchanged_job(operation),
    "lines": lambda client, operation: client.request_log(operation),
    "follow": lambda client, operation: client.request_log(operation, follow=True),
    ("/jobs/{job_id}/logs", ""): lambda client, operation: client.request_log(
        operation, {"Last-Event-ID": "0.1.9"}, follow=True
    ),
    ("/jobs/{job_id}/events", ""): lambda client, operation: client.request_ended_stream(operation),
    # problems
    "malformed-json": lambda client, operation: client.send(
        operation, client.row_for(operation), content=b"{", headers={"Content-Type": "application/json"}
    ),
    "unsupported-media-type": lambda client, operation: client.send(
        operation, client.row_for(operation), content=b"{}", headers={"Content-Type": "text/plain"}
    ),
    "host-not-allowed": lambda client, operation: client.send(operation, UNUSED_ID, headers={"Host": "a.example"}),
    "origin-not-allowed": lambda client, operation: client.send(
        operation, UNUSED_ID, headers={"Origin": "https://a.example"}
    ),
    "body-too-large": lambda client, operation: (
        client.wire(client.system)
        .head(
            "Content-Length: 2000000",
            path=path_of(operation[1], client.row_for(operation)),
            method=operation[0].upper(),
        )
        .read_response()
    ),
    "invalid-body": lambda client, operation: client.submit(operation, JOB | {"data": [1, 2, 3, "x"]}),
    "unknown-operation": lambda client, operation: client.submit(operation, JOB | {"operation": "nothing"}),
    ("/jobs/{job_id}/retry", "unknown-operation"): lambda client, operation: client.send(
        operation,
        client.edit(client.cancelled_job(), "UPDATE jobs SET operation = 'nothing' WHERE id = %s"),
        json={"data": [1]},
    ),
    "invalid-idempotency-key": lambda client, operation: client.submit(
        operation, JOB, headers={"Idempotency-Key": "a b"}
    ),
    "idempotency-key-reused": lambda client, operation: client.submit_twice(
        operation, JOB, LATER, **{"Idempotency-Key": "a"}
    ),
    "unique-conflict": lambda client, operation: client.submit_twice(
        operation, LATER | {"unique": {"key": "a"}}, LATER | {"unique": {"key": "a"}}
    ),
    ("/jobs/{job_id}/retry", "unique-conflict"): lambda client, operation: client.retry_with_held_key(operation),
    "invalid-parameter": lambda client, operation: client.send(operation, "X_", params={"wait": "x"}),
    "job-not-found": lambda client, operation: client.send(operation, str(uuid.uuid4())),
    ("/jobs/", "job-not-found"): lambda client, operation: client.repeat_request_of_removed_job(operation),
    "bulk-action-not-found": lambda client, operation: client.send(operation, str(uuid.uuid4())),
    ("/bulk-actions/{bulk_action_id}/start", "invalid-body"): lambda c, o: c.send(o, c.bulk_action(), json=BAD_COUNT),
    "wrong-phase": lambda client, operation: client.send(
        operation, client.edit(client.bulk_action(), "UPDATE bulk_actions SET phase = 'EXPIRED' WHERE id = %s")
    ),
    "count-not-confirmed": lambda client, operation: client.send(operation, client.bulk_action(), json={"count": 1}),
    "not-retryable": lambda client, operation: client.send(operation, client.job("SUCCESS")),
    "input-removed": lambda client, operation: client.send(
        operation, client.edit(client.cancelled_job(), "UPDATE jobs SET input = NULL WHERE id = %s")
    ),
}
