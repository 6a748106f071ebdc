"""What the controller shows: /metrics, /livez, /readyz."""

import signal
import time
from collections.abc import Callable
from itertools import pairwise

import httpx
import psycopg2
import redis
from prometheus_client.parser import text_string_to_metric_families
from rig.proxy import Proxy
from rig.system import System, until

from tools.servers import Postgres, free_port

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
DUTIES = {"operations", "partitions", "rescue", "leftovers", "deadlines", "strays", "ringing", "retention", "expiry", "removal", "inputs", "keys", "workers"}
DUTIES |= {"actions", "action_expiry", "statistics"}
DONE = "jobproc_controller_duty_last_done_timestamp_seconds"
DEPTH = "jobproc_queue_jobs"


class Page:
    """The little server of one controller."""

    def __init__(self, system: System, name: str = "controller", **settings: str) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        system.controller(name, JOBPROC_METRICS_PORT=str(port), **settings)

    def status(self, path: str) -> int:
        return httpx.get(self.url + path, timeout=5).status_code

    def samples(self) -> Samples:
        answer = httpx.get(self.url + "/metrics", timeout=10)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in text_string_to_metric_families(answer.text) for s in family.samples}

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, tuple(sorted(labels.items()))))


def test_each_duty_of_the_leader_says_when_it_was_last_done(system: System) -> None:
    """And goes on saying so; a controller that does not lead has done none."""
    page = Page(system)
    until("it leads", lambda: page.value("jobproc_controller_leading") == 1)
    until("all have been done", lambda: {dict(labels)["duty"] for name, labels in page.samples() if name == DONE} == DUTIES)
    for duty in DUTIES:
        assert abs((page.value(DONE, duty=duty) or 0) - time.time()) < 10
    for duty in ("rescue", "strays", "ringing"):
        before = page.value(DONE, duty=duty) or 0
        until(f"{duty} is done again", lambda: (page.value(DONE, duty=duty) or 0) > before, limit_s=3)  # noqa: B023 - called at once
    idle = Page(system, "second")
    assert idle.value("jobproc_controller_leading") == 0
    assert not [name for name, _ in idle.samples() if name == DONE]


def test_depth_is_queued_and_running_by_queue_and_what_is_not_due_is_not_in_it(system: System) -> None:
    page = Page(system)
    system.worker(concurrency=2, queues="default").api()
    assert page.value(DEPTH, queue="default", state="queued") == 0
    assert page.value(DEPTH, queue="slow", state="queued") == 0  # of an operation that nobody serves here
    system.submit_many("other_queue", [[n] for n in range(7)])
    jobs = system.submit_many("effect", [[60, n] for n in range(5)])
    until("two run", lambda: len(system.effects()) == 2)
    assert page.value(DEPTH, queue="default", state="queued") == 3
    assert page.value(DEPTH, queue="default", state="running") == 2
    assert page.value(DEPTH, queue="slow", state="queued") == 7
    assert page.value(DEPTH, queue="slow", state="running") == 0
    system.database.rows("UPDATE live SET pos = clock_timestamp() + interval '1 hour' WHERE worker IS NULL AND id = ANY(%s::uuid[])", (jobs,))
    assert page.value(DEPTH, queue="default", state="queued") == 0
    assert page.value(DEPTH, queue="default", state="running") == 2


def test_depth_is_counted_up_to_a_cap(system: System) -> None:
    """Of a backlog of millions nobody needs the last digit, and every scrape would pay for it."""
    page = Page(system, JOBPROC_GAUGE_CAP_JOBS="20")
    system.api()
    system.submit_many("square_sum", [[n] for n in range(50)])
    assert page.value(DEPTH, queue="default", state="queued") == 20


def test_jobs_that_a_duty_moved_and_rings_are_counted(system: System) -> None:
    system.env.update(JOBPROC_LEASE_SECONDS="1", JOBPROC_HEARTBEAT_SECONDS="0.2")
    page = Page(system)
    system.worker(concurrency=1).api()
    job_id = system.submit("effect", 60, 1)
    until("it runs", system.effects)
    system.kill("worker")
    until("it has been rescued", lambda: page.value("jobproc_controller_jobs_total", duty="rescue") == 1, limit_s=8)
    assert page.value("jobproc_controller_jobs_total", duty="strays") == 0
    assert [one["outcome"] for one in system.job(job_id)["attempts"]] == ["lost"]
    with redis.Redis.from_url(system.env["REDIS_URL"]) as client:
        client.flushdb()
    until("it has rung", lambda: (page.value("jobproc_doorbells_total", outcome="rang") or 0) >= 1)
    until("nobody answers", lambda: (page.value("jobproc_doorbells_total", outcome="unanswered") or 0) >= 1)


def test_rings_that_redis_did_not_take_are_counted(system: System) -> None:
    page = Page(system, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    system.api()
    system.submit("square_sum", 1)
    until("they failed", lambda: (page.value("jobproc_doorbells_total", outcome="failed") or 0) >= 2)


def test_a_failed_read_is_absent_and_never_0_and_a_controller_without_database_lives(
    make_system: Callable[..., System], own_postgres: Postgres, redis_url: str
) -> None:
    """A depth of 0 while the database is away would scale a busy system to nothing; a restart would not bring it back."""
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
        errors.append(samples["jobproc_scrape_errors_total", ()])
        assert page.status("/livez") == 200
    assert [after - before for before, after in pairwise(errors)] == [1, 1, 1]
    own_postgres.start()
    until("the depth is back", lambda: page.value(DEPTH, queue="default", state="queued") == 1, limit_s=5)
    assert page.status("/readyz") == 200
    total = page.value("jobproc_scrape_errors_total")
    assert page.value("jobproc_scrape_errors_total") == total


def test_a_database_that_hangs_makes_a_scrape_fail_in_bounded_time(system: System, database_url: str) -> None:
    """It accepts and never answers. The page is served still, without depths."""
    parts = psycopg2.extensions.parse_dsn(database_url)
    with Proxy(parts["port"]) as proxy:
        page = Page(system, DATABASE_URL=f"postgresql://{parts['user']}@127.0.0.1:{proxy.port}/{parts['dbname']}", JOBPROC_DATABASE_TIMEOUT_SECONDS="2")
        assert page.value(DEPTH, queue="default", state="queued") == 0
        proxy.silence()
        proxy.reset()
        assert page.value(DEPTH, queue="default", state="queued") is None
        proxy.heal()
        assert page.value(DEPTH, queue="default", state="queued") == 0
        assert page.value("jobproc_scrape_errors_total") == 1


def test_a_controller_that_does_not_tick_is_neither_alive_nor_ready(system: System) -> None:
    """It hangs in the middle of a rescue: past ten ticks and the longest statement a restart is right."""
    once = system.folder / "once"
    system.env.update(JOBPROC_LEASE_SECONDS="1", JOBPROC_HEARTBEAT_SECONDS="0.2")
    page = Page(
        system,
        JOBPROC_STATEMENT_TIMEOUT_SECONDS="0.5",
        JOBPROC_TICK_SECONDS="0.05",
        JOBPROC_FAILPOINTS=f"sweep.between_select_and_update=sleep:2@{once}",
    )
    assert page.status("/livez") == page.status("/readyz") == 200
    system.worker(concurrency=1).api()
    once.touch()
    system.submit("effect", 60, 1)
    until("it runs", system.effects)
    system.kill("worker")
    until("it hangs", lambda: not once.exists(), limit_s=8)
    until("it is not alive", lambda: page.status("/livez") == 503, limit_s=3)
    assert page.status("/readyz") == 503
    until("it is alive again", lambda: page.status("/livez") == 200, limit_s=5)


def test_a_taken_port_is_said_in_one_sentence(system: System) -> None:
    page = Page(system)
    port = page.url.rpartition(":")[2]
    second = system.spawn("second", "worker.controller", JOBPROC_METRICS_PORT=port)
    assert second.wait(10) != 0
    (said,) = [line for line in system.log("second").splitlines() if not line.startswith("{")]
    assert said.startswith(f"controller: JOBPROC_METRICS_PORT {port}")


def test_the_oldest_due_job_and_the_living_workers_are_known_by_queue(system: System) -> None:
    page = Page(system)
    system.api()
    assert page.value("jobproc_queue_oldest_due_seconds", queue="default") == 0
    system.submit_many("square_sum", [[1.0]] * 3)
    system.database.rows("UPDATE live SET pos = now() - interval '90 s' WHERE id = (SELECT min(id::text)::uuid FROM live)")
    assert 90 <= (page.value("jobproc_queue_oldest_due_seconds", queue="default") or 0) < 120
    assert page.value("jobproc_workers_alive", queue="default") == 0
    system.worker()
    system.wait_all()
    assert page.value("jobproc_workers_alive", queue="default") == 2
    assert page.value("jobproc_queue_oldest_due_seconds", queue="default") == 0


def test_tables_have_sizes(system: System) -> None:
    page = Page(system)
    sizes = {dict(labels)["table"]: value for (name, labels), value in page.samples().items() if name == "jobproc_table_bytes"}
    assert set(sizes) == {"jobs", "live", "outcomes", "attempts", "workers", "tags", "keys", "uniq", "reruns", "deadlines", "expiries"}
    assert all(value > 0 for value in sizes.values())
    assert (page.value("jobproc_table_dead_rows", table="live") or 0) >= 0
    assert (page.value("jobproc_database_oldest_transaction_seconds") or 0) >= 0
