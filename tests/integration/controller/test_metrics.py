"""Metrics and health checks of the controller: /metrics, /livez, /readyz."""

import signal
import time
from collections.abc import Callable
from itertools import pairwise

import httpx
import redis
from rig.proxy import Proxy
from rig.scrape import MetricsPage
from rig.system import System, until

from tools.servers import Postgres, free_port

TASKS = {
    "operations",
    "partitions",
    "rescue",
    "orphaned_jobs",
    "deadlines",
    "strays",
    "parked",
    "doorbells",
    "retention",
    "expiry",
    "row_deletion",
    "input_deletion",
    "keys",
    "workers",
}
TASKS |= {"bulk_actions", "bulk_action_expiry", "planner_statistics", "usage", "tenant_removal", "audit", "api_keys"}
TASKS |= {"batches", "batch_expiry", "workflows"}
TASKS |= {"schedules", "schedule_fires"}
TASKS |= {"webhooks", "webhook_secrets"}
TASKS |= {"feed", "feed_expiry"}
LAST_SUCCESS = "jobproc_controller_task_last_success_timestamp_seconds"
PARKED = "jobproc_queue_parked_jobs"
DEPTH = "jobproc_queue_jobs"


class Page(MetricsPage):
    """The metrics server of a controller."""

    def __init__(self, system: System, name: str = "controller", **settings: str) -> None:
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"
        system.controller(name, JOBPROC_METRICS_PORT=self.port, **settings)

    def status(self, path: str) -> int:
        return httpx.get(self.url + path, timeout=5).status_code


def test_each_task_of_the_leader_exports_the_time_of_its_last_success(system: System) -> None:
    """The times advance. A controller that does not lead exports none."""
    page = Page(system)
    until("the controller leads", lambda: page.value("jobproc_controller_leading") == 1)
    until(
        "every task has succeeded",
        lambda: {dict(labels)["task"] for name, labels in page.samples() if name == LAST_SUCCESS} == TASKS,
    )
    for task in TASKS:
        assert abs((page.value(LAST_SUCCESS, task=task) or 0) - time.time()) < 10
    for task in ("rescue", "strays", "doorbells"):
        before = page.value(LAST_SUCCESS, task=task) or 0
        until(f"{task} succeeds again", lambda: (page.value(LAST_SUCCESS, task=task) or 0) > before, limit_s=3)  # noqa: B023 - called at once
    idle = Page(system, "second")
    assert idle.value("jobproc_controller_leading") == 0
    assert not [name for name, _ in idle.samples() if name == LAST_SUCCESS]


def test_neither_depth_nor_the_parked_jobs_count_those_that_wait_for_parents(system: System) -> None:
    page = Page(system)
    system.worker(concurrency=1).api()
    jobs = [
        {"name": "root", "operation": "effect", "data": [60, 1]},
        *({"operation": "effect", "data": [0, n], "depends_on": ["root"]} for n in range(9)),
    ]
    system.client.post("/workflows", json={"jobs": jobs}).raise_for_status()
    until("the first job runs", lambda: len(system.effects()) == 1)
    assert page.value(DEPTH, queue="default", state="running") == 1
    assert page.value(DEPTH, queue="default", state="queued") == 0
    assert page.value(PARKED, queue="default", kind="unique") == 0


def test_parked_jobs_are_counted_by_the_key_that_they_wait_for(system: System) -> None:
    page = Page(system)
    system.worker(concurrency=1).api()
    system.client.patch("/queues/default", json={"key_concurrency": 1}).raise_for_status()
    unique = {"key": "a", "while": "running"}
    jobs = [{"operation": "effect", "data": [60, n], "unique": unique} for n in range(3)]
    jobs += [{"operation": "effect", "data": [60, n], "concurrency_key": "b"} for n in range(4)]
    system.client.post("/jobs/batch", json=jobs).raise_for_status()
    until("two wait for the unique key", lambda: page.value(PARKED, queue="default", kind="unique") == 2)
    until("three wait for a place", lambda: page.value(PARKED, queue="default", kind="concurrency") == 3)


def test_depth_counts_due_and_running_jobs_by_queue_and_no_scheduled_ones(system: System) -> None:
    page = Page(system)
    system.worker(concurrency=2, queues="default").api()
    assert page.value(DEPTH, queue="default", state="queued") == 0
    assert page.value(DEPTH, queue="slow", state="queued") == 0  # the queue of an operation; no worker serves it here
    system.submit_many("other_queue", [[n] for n in range(7)])
    jobs = system.submit_many("effect", [[60, n] for n in range(5)])
    until("two jobs run", lambda: len(system.effects()) == 2)
    assert page.value(DEPTH, queue="default", state="queued") == 3
    assert page.value(DEPTH, queue="default", state="running") == 2
    assert page.value(DEPTH, queue="slow", state="queued") == 7
    assert page.value(DEPTH, queue="slow", state="running") == 0
    system.database.rows(
        """
        UPDATE live SET claimable_at = clock_timestamp() + interval '1 hour'
        WHERE worker IS NULL AND id = ANY(%s::uuid[])
        """,
        (jobs,),
    )
    assert page.value(DEPTH, queue="default", state="queued") == 0
    assert page.value(DEPTH, queue="default", state="running") == 2


def test_depth_is_counted_up_to_a_limit(system: System) -> None:
    """The exact depth of a backlog of millions is of no use, and every scrape would pay for it."""
    page = Page(system, JOBPROC_QUEUE_COUNT_LIMIT="20")
    system.api()
    system.submit_many("square_sum", [[n] for n in range(50)])
    assert page.value(DEPTH, queue="default", state="queued") == 20


def test_rescued_jobs_and_doorbells_are_counted(system: System) -> None:
    system.env.update(JOBPROC_LEASE_SECONDS="1", JOBPROC_HEARTBEAT_SECONDS="0.2")
    page = Page(system)
    system.worker(concurrency=1).api()
    job_id = system.submit("effect", 60, 1)
    until("the job runs", system.effects)
    system.kill("worker")
    until(
        "the rescue is counted", lambda: page.value("jobproc_controller_task_jobs_total", task="rescue") == 1, limit_s=8
    )
    assert page.value("jobproc_controller_task_jobs_total", task="strays") == 0
    assert [attempt["outcome"] for attempt in system.job(job_id)["attempts"]] == ["lost"]
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        client.flushdb()
    until("a doorbell was sent", lambda: (page.value("jobproc_doorbells_total", outcome="sent") or 0) >= 1)
    until(
        "a second doorbell was coalesced",
        lambda: (page.value("jobproc_doorbells_total", outcome="coalesced") or 0) >= 1,
    )


def test_failed_doorbells_are_counted(system: System) -> None:
    page = Page(system, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    system.api()
    system.submit("square_sum", 1)
    until("two doorbells have failed", lambda: (page.value("jobproc_doorbells_total", outcome="failed") or 0) >= 2)


def test_depth_is_absent_and_not_0_without_a_database_and_the_controller_stays_alive(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str
) -> None:
    """A depth of 0 would scale a busy system to zero. A restart of the controller would not repair the database."""
    system = make_system(own_postgres.url(), redis_url)
    page = Page(system)
    system.api()
    system.submit("square_sum", 1)
    assert page.value(DEPTH, queue="default", state="queued") == 1
    assert page.value("jobproc_scrape_errors_total") == 0
    system.database.close()
    own_postgres.stop(signal.SIGQUIT)
    errors = []
    for _ in range(4):
        samples = page.samples()
        assert not [name for name, _ in samples if name == DEPTH]
        errors.append(samples["jobproc_scrape_errors_total", frozenset()])
        assert page.status("/livez") == 200
    assert [after - before for before, after in pairwise(errors)] == [1, 1, 1]
    own_postgres.start()
    until("the depth is exported again", lambda: page.value(DEPTH, queue="default", state="queued") == 1, limit_s=5)
    assert page.status("/readyz") == 200
    total = page.value("jobproc_scrape_errors_total")
    assert page.value("jobproc_scrape_errors_total") == total


def test_a_hung_database_delays_a_scrape_for_a_bounded_time(system: System, database_url: str) -> None:
    """The database accepts connections and never answers. The page is served without depths."""
    with Proxy.before(database_url) as proxy:
        page = Page(
            system,
            DATABASE_URL=proxy.url_of(database_url),
            JOBPROC_DATABASE_TIMEOUT_SECONDS="2",
        )
        assert page.value(DEPTH, queue="default", state="queued") == 0
        proxy.silence()
        proxy.reset()
        assert page.value(DEPTH, queue="default", state="queued") is None
        proxy.heal()
        assert page.value(DEPTH, queue="default", state="queued") == 0
        assert page.value("jobproc_scrape_errors_total") == 1


def test_a_controller_that_does_not_tick_is_neither_alive_nor_ready(system: System) -> None:
    """The controller hangs in a rescue: after ten ticks and the longest statement a restart is right."""
    once = system.folder / "once"
    system.env.update(JOBPROC_LEASE_SECONDS="1", JOBPROC_HEARTBEAT_SECONDS="0.2")
    page = Page(
        system,
        JOBPROC_STATEMENT_TIMEOUT_SECONDS="0.5",
        JOBPROC_TICK_SECONDS="0.05",
        JOBPROC_FAILPOINTS=f"rescue.between_lock_and_write=sleep:2@{once}",
    )
    assert page.status("/livez") == page.status("/readyz") == 200
    system.worker(concurrency=1).api()
    once.touch()
    system.submit("effect", 60, 1)
    until("the job runs", system.effects)
    system.kill("worker")
    until("the controller hangs", lambda: not once.exists(), limit_s=8)
    until("the controller is not alive", lambda: page.status("/livez") == 503, limit_s=3)
    assert page.status("/readyz") == 503
    until("the controller is alive again", lambda: page.status("/livez") == 200, limit_s=5)


def test_a_taken_port_is_reported_in_one_sentence(system: System) -> None:
    page = Page(system)
    port = page.port
    second = system.spawn("second", "worker.controller", JOBPROC_METRICS_PORT=port, JOBPROC_METRICS_PORT_TRIES="1")
    assert second.wait(10) != 0
    (message,) = [line for line in system.log("second").splitlines() if not line.startswith("{")]
    assert message.startswith(f"controller: JOBPROC_METRICS_PORT {port}")


def test_the_oldest_due_job_and_the_live_workers_are_exported_by_queue(system: System) -> None:
    page = Page(system)
    system.api()
    assert page.value("jobproc_queue_oldest_due_seconds", queue="default") == 0
    system.submit_many("square_sum", [[1.0]] * 3)
    system.database.rows(
        "UPDATE live SET claimable_at = now() - interval '90 s' WHERE id = (SELECT min(id::text)::uuid FROM live)"
    )
    assert 90 <= (page.value("jobproc_queue_oldest_due_seconds", queue="default") or 0) < 120
    assert page.value("jobproc_workers_alive", queue="default") == 0
    system.worker()
    system.wait_all()
    assert page.value("jobproc_workers_alive", queue="default") == 2
    assert page.value("jobproc_queue_oldest_due_seconds", queue="default") == 0


def test_table_sizes_are_exported(system: System) -> None:
    page = Page(system)
    sizes = {
        dict(labels)["table"]: value
        for (name, labels), value in page.samples().items()
        if name == "jobproc_table_bytes"
    }
    assert set(sizes) == {
        "jobs",
        "live",
        "outcomes",
        "attempts",
        "job_logs",
        "workers",
        "tags",
        "idempotency_keys",
        "unique_keys",
        "runs",
        "deadlines",
        "expiries",
    }
    assert all(value > 0 for value in sizes.values())
    assert (page.value("jobproc_table_dead_rows", table="live") or 0) >= 0
    assert (page.value("jobproc_database_oldest_transaction_seconds") or 0) >= 0
