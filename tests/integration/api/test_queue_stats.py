"""GET /stats: how the queues are, for people without Prometheus."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg2
from rig.system import System, until


def queue(system: System, name: str = "default") -> dict[str, object]:
    answer = system.client.get("/stats")
    assert answer.status_code == 200, answer.text
    (found,) = [one for one in answer.json()["queues"] if one["queue"] == name]
    return dict(found)


def test_an_empty_system_says_so(system: System) -> None:
    system.api()
    nothing = {"last_minute": 0.0, "last_5_minutes": 0.0, "last_15_minutes": 0.0}
    assert system.client.get("/stats").json() == {
        "queues": [
            {
                "queue": "default",
                "queued": 0,
                "running": 0,
                "oldest_due_seconds": 0.0,
                "workers_alive": 0,
                "accepted_per_second": 0.0,
                "succeeded_per_second": nothing,
                "failed_per_second": nothing,
            }
        ]
    }


def test_what_waits_is_seen_with_its_age(system: System) -> None:
    system.api()
    system.submit_many("square_sum", [[1.0]] * 30)
    system.database.rows("UPDATE live SET pos = now() - interval '90 s'")
    seen = queue(system)
    assert (seen["queued"], seen["running"], seen["workers_alive"]) == (30, 0, 0)
    assert 90 <= float(str(seen["oldest_due_seconds"])) < 120
    assert seen["accepted_per_second"] == 0.5


def test_what_ends_is_seen_as_rates_over_the_last_minutes(system: System) -> None:
    system.all()
    system.submit_many("noop", [[1.0]] * 120)
    system.submit_many("fail_for_good", [[0.0]] * 12)
    system.wait_all()

    def ended() -> dict[str, float] | None:
        seen = queue(system)
        good, bad = seen["succeeded_per_second"], seen["failed_per_second"]
        seconds = 60 + time.time() % 60
        known = isinstance(good, dict) and isinstance(bad, dict) and abs(good["last_minute"] * seconds - 120) < 3 and abs(bad["last_minute"] * seconds - 12) < 1
        return good if known and isinstance(good, dict) else None

    rates = until("all are counted", ended, 30)
    assert rates["last_minute"] > rates["last_5_minutes"] > rates["last_15_minutes"] > 0
    assert queue(system)["workers_alive"] == 2


def test_rates_outlive_the_worker_that_made_them(system: System) -> None:
    system.all()
    system.submit_many("noop", [[1.0]] * 50)
    system.wait_all()
    until("they are written down", lambda: system.database.one("SELECT count(*) FROM workers WHERE recent <> '{}'"))
    system.end("worker")
    rates = until("they are read", lambda: queue(system)["succeeded_per_second"])
    assert isinstance(rates, dict)
    assert rates["last_15_minutes"] > 0


def test_many_who_ask_at_once_are_one_question(system: System) -> None:
    """The database is locked away from all of them; once it answers, so does everybody, from one reading."""
    system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS="20")
    asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'jobproc-api' AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(10) as clients:
        with psycopg2.connect(system.database.url) as locks:
            locks.cursor().execute("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
            answers = [clients.submit(lambda: httpx.get(f"{system.client.base_url}/stats", timeout=20)) for _ in range(10)]
            until("one waits for the lock", lambda: system.database.one(asked) == 1)
            assert not any(answer.done() for answer in answers)
            assert system.database.one(asked) == 1
        locks.close()
    assert {answer.result().status_code for answer in answers} == {200}
    assert len({answer.result().text for answer in answers}) == 1


def test_without_its_database_it_is_unavailable(system: System) -> None:
    system.api(DATABASE_URL="postgresql://127.0.0.1:1/nothing", JOBPROC_DATABASE_TIMEOUT_SECONDS="0.5")
    answer = system.client.get("/stats")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
