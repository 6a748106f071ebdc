"""The resources of the client on a running system: each verb of each resource, as the API answers it."""

from collections.abc import Iterator

import pytest
from rig.system import System, until

from jobproc import Client
from jobproc.client import JobFailed
from jobproc.client.problems import CountNotConfirmed, PreconditionFailed, ScheduleNotFound

JOB = {"operation": "noop", "input": {"data": [1]}}


@pytest.fixture(scope="module")
def client(shared: System) -> Iterator[Client]:
    with Client(url=str(shared.client.base_url)) as made:
        yield made


def test_a_queue_is_changed_paused_and_resumed(client: Client) -> None:
    client.run("noop", {"data": [1]}, timeout=15)
    assert client.queues.pause("default").paused
    assert not client.queues.resume("default").paused
    changed = client.queues.change("default", concurrency=3)
    assert changed.policy
    assert changed.policy.concurrency == 3
    assert changed.etag
    client.queues.change("default", changed.etag, concurrency=4)
    with pytest.raises(PreconditionFailed):
        client.queues.change("default", changed.etag, concurrency=5)
    assert "default" in {queue.name for queue in client.queues.list()}
    assert client.queues.get("default").name == "default"


def test_a_schedule_is_created_changed_run_and_deleted(client: Client) -> None:
    schedule = client.schedules.create("nightly", JOB, cron="@daily", time_zone="Europe/Berlin")
    assert len(schedule.next_runs) == 5
    assert client.schedules.change(schedule.id, schedule.etag, cron="@hourly").cron == "@hourly"
    assert client.schedules.pause(schedule.id).paused
    assert not client.schedules.resume(schedule.id).paused
    assert client.job(client.schedules.run(schedule.id).job_id).result(timeout=15) is not None
    assert [item.name for item in client.schedules.list(operation="noop")] == ["nightly"]
    assert [fire.outcome for fire in client.schedules.fires(schedule.id)] == ["fired"]
    client.schedules.delete(schedule.id)
    with pytest.raises(ScheduleNotFound):
        client.schedules.get(schedule.id)


def test_a_workflow_is_submitted_and_waited_for(client: Client) -> None:
    jobs = [{**JOB, "name": "first"}, {**JOB, "name": "second", "depends_on": ["first"]}]
    accepted = client.workflows.submit(jobs)
    workflow = client.workflow(accepted.workflow_id)
    assert workflow.wait(timeout=20).status == "SUCCEEDED"
    assert {node.name: node.depends_on for node in workflow.jobs()} == {"first": [], "second": ["first"]}
    assert workflow.id in {item.workflow_id for item in client.workflows.list()}
    assert workflow.details().counts.succeeded == 2
    later = client.workflow(client.workflows.submit([{**JOB, "delay_seconds": 1_000}]).workflow_id)
    later.cancel()
    assert later.wait(timeout=20).status == "CANCELLED"
    later.retry()
    assert later.details().status != "CANCELLED"
    assert later.wait(timeout=20).status == "SUCCEEDED"


def test_a_bulk_action_is_previewed_started_and_undone(client: Client) -> None:
    jobs = [client.submit("noop", {"data": [1]}, delay_seconds=1_000, tags=["bulk"]) for _ in range(3)]
    action = client.bulk.cancel(tag="bulk").preview()
    assert (action.count, len(action.sample)) == (3, 3)
    assert jobs[0].status() == "SCHEDULED", "a preview changes nothing"
    action.start()
    assert action.wait(timeout=20).done == 3
    assert jobs[0].status() == "CANCELLED"
    action.undo()
    assert action.wait(timeout=20).phase == "UNDONE"
    assert [job.status() for job in jobs] == ["SCHEDULED"] * 3
    moved = client.bulk.reprioritise(0, tag="bulk", status="SCHEDULED").preview()
    moved.start()
    moved.wait(timeout=20)
    assert jobs[0].details().priority == 0
    assert action.id in {item.bulk_action_id for item in client.bulk.list()}
    assert client.bulk_action(action.id).view.phase == "UNDONE"
    every = client.bulk.retry(all=True).preview()
    with pytest.raises(CountNotConfirmed):
        client.request("POST", f"/bulk-actions/{every.id}/start")


def test_a_bulk_action_stops_after_the_first_jobs(client: Client) -> None:
    for _ in range(3):
        client.submit("noop", {"data": [1]}, delay_seconds=1_000, tags=["canary"], metadata={"a": "b,c"})
    action = client.bulk.cancel(metadata=["a=b,c"], tag="canary").preview()
    assert (action.count, action.view.would_skip, len(action.view.sample_newest)) == (3, {}, 3)
    action.start(first=1)
    stopped = action.wait(timeout=20)
    assert (stopped.phase, stopped.done, stopped.stop_reason) == ("STOPPED", 1, "first")
    assert action.outcomes().undoable == 1
    action.start()
    assert action.wait(timeout=20).done == 3
    assert client.bulk.outcomes(action.id).states == {"CANCELLED": 3}
    assert len(list(client.list(metadata=["a=b,c"], tag="canary"))) == 3


def test_error_groups_are_listed(client: Client) -> None:
    job = client.submit("fail_for_good", {"data": [1]})
    with pytest.raises(JobFailed):
        job.result(timeout=20)
    found = client.errors(operation="fail_for_good")
    (group,) = [group for group in found.errors if job.id in group.sample]
    assert job.id in {item.job_id for item in client.list(error_group=group.error_group)}


def test_a_batch_is_kept_open_added_to_and_cancelled(client: Client) -> None:
    batch_id = client.batches.create().batch_id
    client.batches.add(batch_id, [JOB, {**JOB, "delay_seconds": 1_000}])
    assert client.batches.close(batch_id).status == "CLOSED"
    batch = client.batch(batch_id)
    batch.cancel()
    assert batch.wait(timeout=20).counts.cancelled == 1
    assert batch_id in {item.batch_id for item in client.batches.list()}


def test_a_block_that_raises_submits_nothing(client: Client) -> None:
    before = sum(1 for _ in client.batches.list())
    with pytest.raises(ZeroDivisionError), client.batch() as batch:
        batch.submit("noop", {"data": [1 / 0]}, tags=["never"])
    assert sum(1 for _ in client.batches.list()) == before
    assert list(client.list(tag="never")) == []


def test_a_batch_has_a_follow_up(client: Client) -> None:
    with client.batch(follow_up=JOB) as batch:
        batch.submit("noop", {"data": [1]})
    batch.wait(timeout=20)
    follow_up = until("the follow-up is stored", lambda: batch.details().follow_up)
    assert follow_up.operation == "noop"


def test_keys_and_webhooks_are_listed(client: Client) -> None:
    key = client.keys.create("ci", ["jobs:read"])
    assert key.key
    assert key.id in {item.id for item in client.keys.list()}
    assert client.keys.rotate(key.id).key != key.key
    assert client.keys.revoke(key.id).revoked_at
    endpoint = client.webhooks.create("https://example.com/hook", events=["job.failed"])
    assert endpoint.secret
    assert client.webhooks.change(endpoint.id, disabled=True).state == "DISABLED"
    assert [item.id for item in client.webhooks.list()] == [endpoint.id]
    assert client.webhooks.rotate(endpoint.id).secret != endpoint.secret
    assert list(client.webhooks.deliveries()) == []
    client.webhooks.delete(endpoint.id)
    assert {entry.action for entry in client.audit.list()} >= {"key.create"}


def test_the_change_feed_is_followed(client: Client) -> None:
    client.queues.change("default", events=True)
    after = client.feed.page(after="latest").after
    job = client.submit("noop", {"data": [1]})
    for change in client.feed.changes(after):
        if (change.job_id, change.status) == (job.id, "SUCCESS"):
            break
    assert change.number > after


def test_the_overview_is_followed(client: Client) -> None:
    events = client.live()
    parts = {event.name: event for event in (next(events) for _ in range(4))}
    assert list(parts) == ["hello", "stats", "workers", "bulk_actions"]
    assert parts["hello"].version and parts["workers"].alive == 2
    assert "default" in {queue.queue for queue in parts["stats"].queues}


def test_logs_operations_and_statistics_are_read(client: Client) -> None:
    job = client.submit("say", {"data": [1]})
    job.result(timeout=15)
    assert until("its lines are stored", lambda: list(job.logs()))[0].message
    assert "noop" in {operation.name for operation in client.operations()}
    assert client.stats().queues
    assert client.usage()
    assert client.request("GET", "/livez")["alive"]
