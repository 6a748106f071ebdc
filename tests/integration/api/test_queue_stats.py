"""GET /stats: depth, age and rates of the queues, for operators without Prometheus."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg2
from rig.system import System, until


def queue(system: System, name: str = "default") -> dict[str, object]:
    response = system.client.get("/stats")
    assert response.status_code == 200, response.text
    (stats,) = [stats for stats in response.json()["queues"] if stats["queue"] == name]
    return dict(stats)


def test_an_empty_system_has_a_queue_of_zeros(system: System) -> None:
    system.api()
    no_rate = {"last_minute": 0.0, "last_5_minutes": 0.0, "last_15_minutes": 0.0}
    assert system.client.get("/stats").json() == {
        "queues": [
            {
                "queue": "default",
                "queued": 0,
                "running": 0,
                "oldest_due_seconds": 0.0,
                "workers_alive": 0,
                "accepted_per_second": 0.0,
                "succeeded_per_second": no_rate,
                "failed_per_second": no_rate,
            }
        ]
    }


def test_queued_jobs_are_counted_with_the_age_of_the_oldest(system: System) -> None:
    system.api()
    system.submit_many("square_sum", [[1.0]] * 30)
    system.database.rows("UPDATE live SET claimable_at = now() - interval '90 s'")
    stats = queue(system)
    assert (stats["queued"], stats["running"], stats["workers_alive"]) == (30, 0, 0)
    assert 90 <= float(str(stats["oldest_due_seconds"])) < 120
    assert stats["accepted_per_second"] == 0.5


def test_finished_jobs_are_shown_as_rates_over_the_last_minutes(system: System) -> None:
    system.all()
    system.submit_many("noop", [[1.0]] * 120)
    system.submit_many("fail_for_good", [[0.0]] * 12)
    system.wait_all()

    def counted_rates() -> dict[str, float] | None:
        stats = queue(system)
        good, bad = stats["succeeded_per_second"], stats["failed_per_second"]
        seconds = 60 + time.time() % 60
        counted = (
            isinstance(good, dict)
            and isinstance(bad, dict)
            and abs(good["last_minute"] * seconds - 120) < 3
            and abs(bad["last_minute"] * seconds - 12) < 1
        )
        return good if counted and isinstance(good, dict) else None

    rates = until("all are counted", counted_rates, 30)
    assert rates["last_minute"] > rates["last_5_minutes"] > rates["last_15_minutes"] > 0
    assert queue(system)["workers_alive"] == 2


def test_rates_outlive_the_worker_that_made_them(system: System) -> None:
    system.all()
    system.submit_many("noop", [[1.0]] * 50)
    system.wait_all()
    until(
        "the rates are stored",
        lambda: system.database.value("SELECT count(*) FROM workers WHERE finished_by_minute <> '{}'"),
    )
    system.end("worker")
    rates = until("the rates are shown", lambda: queue(system)["succeeded_per_second"])
    assert isinstance(rates, dict)
    assert rates["last_15_minutes"] > 0


def test_concurrent_requests_share_one_query(system: System) -> None:
    """Single-flight: while a lock blocks the query, all requests wait for it, and all get its result."""
    system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS="20")
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'jobproc_test_api' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(10) as clients:
        with psycopg2.connect(system.database.url) as locks:
            locks.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
            responses = [
                clients.submit(lambda: httpx.get(f"{system.client.base_url}/stats", timeout=20)) for _ in range(10)
            ]
            until("a query waits for the lock", lambda: system.database.value(blocked) == 1)
            assert not any(response.done() for response in responses)
            assert system.database.value(blocked) == 1
        locks.close()
    assert {response.result().status_code for response in responses} == {200}
    assert len({response.result().text for response in responses}) == 1


def test_stats_without_a_database_are_unavailable(system: System) -> None:
    system.api(DATABASE_URL="postgresql://127.0.0.1:1/nothing", JOBPROC_DATABASE_TIMEOUT_SECONDS="0.5")
    response = system.client.get("/stats")
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
