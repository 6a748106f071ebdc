"""The actions of a client. To add one, write a function that makes calls with the client, and list it in ACTIONS."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from faults.api_client import ApiClient
from faults.history import Answer
from faults.jobs import SentJob, request_body
from faults.workflows import in_order, workflow_body

MAX_KEYED_REQUESTS = 4  # under one idempotency key
UNIQUE_KEYS = 3
MAX_BULK_ACTION_READS = 20  # until a bulk action is done
INTRUSIONS = (
    ("GET", "/jobs/{}"),
    ("GET", "/jobs/{}/status"),
    ("GET", "/jobs/{}/result"),
    ("GET", "/jobs/{}/result?wait=1"),
    ("GET", "/jobs/{}/input"),
    ("GET", "/jobs/{}/explain"),
    ("GET", "/jobs/{}/logs"),
    ("POST", "/jobs/{}/cancel"),
    ("POST", "/jobs/{}/retry"),
)
INTRUSIONS_ON_BULK_ACTIONS = (
    ("GET", "/bulk-actions/{}"),
    ("POST", "/bulk-actions/{}/start"),
    ("POST", "/bulk-actions/{}/stop"),
    ("POST", "/bulk-actions/{}/undo"),
)
Action = Callable[[ApiClient], None]


def submit(client: ApiClient) -> None:
    """Submit a job."""
    sent = client.new_job()
    client.call("submit", "/jobs/", request_body(sent), (sent,))


def submit_and_wait(client: ApiClient) -> None:
    """Submit a job with a long poll for its result. A response with a result is recorded as a wait too."""
    sent, wait_s = client.new_job(), round(client.chance.uniform(0.2, 3), 2)
    call = client.call("submit", f"/jobs/?wait={wait_s}", request_body(sent), (sent,), wait_s=wait_s)
    if call.response:
        client.history.add(replace(call, action="wait", sent=()))


def submit_batch(client: ApiClient) -> None:
    """Submit a batch, which is stored as a whole or not at all; often with a follow-up."""
    sent = tuple(client.new_job() for _ in range(client.chance.randint(2, 30)))
    jobs = [request_body(job) for job in sent]
    if client.chance.random() < 0.3:
        client.call("batch", "/jobs/batch", jobs, sent)
        return
    follow_up = client.new_job()
    call = client.call("batch", "/jobs/batch", {"jobs": jobs, "follow_up": request_body(follow_up)}, sent)
    answer = Answer.REFUSED if call.answer is Answer.REFUSED else Answer.UNKNOWN  # it is stored by the controller
    client.history.add(replace(call, action="follow_up", answer=answer, sent=(follow_up,), job_ids=(), response={}))


def submit_workflow(client: ApiClient) -> None:
    """Submit a workflow, which is stored as a whole or not at all. Sometimes one of its jobs is cancelled."""
    sent = tuple(client.new_job() for _ in range(client.chance.randint(3, 30)))
    body = workflow_body(sent, client.chance)
    call = client.call("workflow", "/workflows", body, in_order(body, sent))
    if call.answer is Answer.OK and client.chance.random() < 0.3:
        job_id = client.chance.choice(call.job_ids)
        client.call("cancel", f"/jobs/{job_id}/cancel", job_ids=(job_id,))


def submit_invalid(client: ApiClient) -> None:
    """Submit a job that must be refused."""
    sent = SentJob("no_such_operation", client.new_job().data)
    client.call("invalid", "/jobs/", request_body(sent), (sent,))


def read(client: ApiClient) -> None:
    """Read a job; often one that another client waits for, so its end is seen beside that wait."""
    waited = list(client.jobs.waited.values())
    if waited and client.chance.random() < 0.5:
        job_id: str | None = client.chance.choice(waited)
    else:
        job_id = client.jobs.random_id(client.chance)
    if job_id is not None:
        client.call("read", f"/jobs/{job_id}", job_ids=(job_id,))


def cancel(client: ApiClient) -> None:
    """Cancel a job: any one, or a new one that runs for long enough."""
    job_id = client.jobs.random_id(client.chance)
    if client.chance.random() < 0.5:
        sent = client.new_lingering_job()
        submission = client.call("submit", "/jobs/", request_body(sent), (sent,))
        client.pause(client.chance.uniform(0, 0.5))
        job_id = submission.job_ids[0] if submission.answer is Answer.OK else None
    if job_id is not None:
        call = client.call("cancel", f"/jobs/{job_id}/cancel", job_ids=(job_id,))
        if call.response.get("status") != "SUCCESS":
            client.jobs.add_cancelled(job_id)


def retry(client: ApiClient) -> None:
    """Retry a job: any one, or a cancelled one; with its input, or with a new one."""
    jobs, chance = client.jobs, client.chance
    job_id = jobs.random_cancelled_id(chance) if chance.random() < 0.7 else jobs.random_id(chance)
    if job_id is not None:
        retry_input = client.new_input(job_id) if chance.random() < 0.5 else None
        client.call(
            "retry",
            f"/jobs/{job_id}/retry",
            None if retry_input is None else {"data": list(retry_input.data)},
            job_ids=(job_id,),
            retry_input=retry_input,
        )


def submit_keyed(client: ApiClient) -> None:
    """Submit a job under an idempotency key, repeatedly until the answer is unambiguous, and sometimes once more."""
    sent, requests = client.new_job(), 0
    key = f"{client.number}-{sent.tag:.0f}"
    while requests < MAX_KEYED_REQUESTS:
        requests += 1
        call = client.call("keyed", "/jobs/", request_body(sent), (sent,), idempotency_key=key)
        if call.answer is not Answer.UNKNOWN and client.chance.random() < 0.7:
            break
        client.pause(0.05)


def submit_unique(client: ApiClient) -> None:
    """Submit a job with one of few unique keys, so other jobs may hold it."""
    sent = client.new_job()
    key, held_while = client.chance.randrange(UNIQUE_KEYS), client.chance.choice(["both", "running"])
    unique = {"key": f"{held_while}-{key}", "while": held_while, "on_conflict": "reject"}
    client.call("unique", "/jobs/", request_body(sent) | {"unique": unique}, (sent,))


def submit_timed(client: ApiClient) -> None:
    """Submit a job with a delay, a deadline or both, and any priority."""
    sent, chance = client.new_job(), client.chance
    options: dict[str, Any] = {"priority": chance.randrange(10)}
    if chance.random() < 0.7:
        options["delay_seconds"] = round(chance.uniform(0.1, 3.0), 3)
    if chance.random() < 0.5:
        seconds = options.get("delay_seconds", 0.0) + chance.uniform(0.3, 4.0)
        options["deadline"] = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    client.call("timed", "/jobs/", request_body(sent) | options, (sent,))


def wait(client: ApiClient) -> None:
    """Wait for the end of a job: any one, or a new one with a delay."""
    job_id = client.jobs.random_id(client.chance)
    if client.chance.random() < 0.5:
        sent = client.new_job()
        delay = {"delay_seconds": round(client.chance.uniform(0.4, 1.2), 3)}
        submission = client.call("timed", "/jobs/", request_body(sent) | delay, (sent,))
        job_id = submission.job_ids[0] if submission.answer is Answer.OK else None
    if job_id is not None:
        wait_s = round(client.chance.uniform(0.5, 5), 2)
        client.jobs.waited[client.number] = job_id
        client.call("wait", f"/jobs/{job_id}/result?wait={wait_s}", job_ids=(job_id,), wait_s=wait_s)
        del client.jobs.waited[client.number]


def run_bulk_action(client: ApiClient) -> None:
    """Submit jobs with a new tag, most of them delayed, cancel all by the tag, and sometimes undo that."""
    sent, chance = tuple(client.new_job() for _ in range(client.chance.randint(5, 30))), client.chance
    tag = f"act-{sent[0].tag:.0f}"
    bodies = [
        request_body(job)
        | {"tags": [tag]}
        | ({"delay_seconds": round(chance.uniform(0.1, 3.0), 3)} if chance.random() < 0.7 else {})
        for job in sent
    ]
    batch = client.call("batch", "/jobs/batch", bodies, sent)
    if batch.answer is not Answer.OK:
        return
    preview = client.call(
        "bulk_action",
        "/bulk-actions",
        {"action": "cancel", "filter": {"tag": tag}, "jobs_per_second": chance.choice([20, 200, 2_000])},
        job_ids=batch.job_ids,
    )
    if preview.answer is not Answer.OK:
        return
    client.jobs.bulk_actions.append(preview.response["bulk_action_id"])
    path = f"/bulk-actions/{preview.response['bulk_action_id']}"
    for verb, final_phase in (("start", "DONE"), ("undo", "UNDONE")):
        client.call(verb, f"{path}/{verb}", job_ids=batch.job_ids)
        for _ in range(MAX_BULK_ACTION_READS):
            client.pause(0.3)
            call = client.call("read_bulk_action", path, job_ids=batch.job_ids)
            if call.response.get("phase") in {final_phase, "PREVIEW"}:
                break
        if chance.random() < 0.5:
            return


def list_jobs(client: ApiClient) -> None:
    """List the newest jobs, which must be those of the tenant alone."""
    client.call("list", "/jobs?limit=50")


def intrude(client: ApiClient) -> None:
    """Ask for a job or a bulk action of another tenant; often one for which that tenant waits."""
    jobs, chance = client.chance.choice(client.others).jobs, client.chance
    if jobs.bulk_actions and chance.random() < 0.2:
        method, path = chance.choice(INTRUSIONS_ON_BULK_ACTIONS)
        client.call("intrude", path.format(chance.choice(jobs.bulk_actions)), method=method)
        return
    waited = list(jobs.waited.values())
    job_id = chance.choice(waited) if waited and chance.random() < 0.5 else jobs.random_id(chance)
    if job_id is not None:
        method, path = chance.choice(INTRUSIONS)
        client.call("intrude", path.format(job_id), method=method, job_ids=(job_id,))


#: Weight and function of each action of a client.
ACTIONS: dict[str, tuple[int, Action]] = {
    "submit": (12, submit),
    "batch": (2, submit_batch),
    "workflow": (2, submit_workflow),
    "invalid": (1, submit_invalid),
    "read": (10, read),
    "wait": (4, wait),
    "submit and wait": (3, submit_and_wait),
    "cancel": (2, cancel),
    "retry": (2, retry),
    "keyed": (2, submit_keyed),
    "unique": (2, submit_unique),
    "timed": (3, submit_timed),
    "bulk_action": (1, run_bulk_action),
    "list": (1, list_jobs),
    "intrude": (5, intrude),
}
