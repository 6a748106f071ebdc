"""Quotas of a tenant: jobs that wait, jobs a minute, stored bytes. Counted once a second by the leader."""

import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from rig.keys import REQUIRED, client_of, new_key
from rig.system import System, until

from api.limits.quotas.usage_reader import READ_INTERVAL_S
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.retention.stored_bytes import JOB_BYTES
from tools.servers import Redis

EXCEEDED, TOO_SMALL = "urn:jobproc:problem:quota-exceeded", "urn:jobproc:problem:quota-too-small"
JOB = {"data": [1, 2, 3], "operation": "square_sum"}
LATER = {**JOB, "delay_seconds": 3_600}  # it waits, whatever the workers do


@pytest.fixture
def limited(system: System) -> System:
    """Start a system with authentication; its one worker makes the operations known."""
    system.all(**REQUIRED)
    return system


@pytest.fixture
def client(limited: System) -> Iterator[httpx.Client]:
    with client_of(limited, new_key(limited.database)) as client:
        yield client


def set_quota(system: System, client: httpx.Client, tenant: int = DEFAULT_TENANT, **columns: int | None) -> None:
    """Change quotas, and wait until the API knows them and the jobs are counted."""
    names = ", ".join(f"{name} = %s" for name in columns)
    system.database.rows(f"UPDATE tenants SET {names} WHERE id = %s", [*columns.values(), tenant])
    system.database.rows("DELETE FROM usage_counts")
    if any(name in columns for name in ("max_waiting_jobs", "max_running_jobs")):
        until("jobs are counted", lambda: system.database.rows("SELECT 1 FROM usage_counts WHERE what = 'jobs'"))
    changed = system.database.value("SELECT clock_timestamp()")

    def are_read() -> bool:
        # A retry of nothing starts a reading that is due, and stores nothing.
        client.post("/jobs/019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10/retry")
        return bool(system.database.value("SELECT clock_timestamp() > %s + interval '2 s'", [changed]))

    until(f"two readings ({READ_INTERVAL_S} s) are over", are_read, pause_s=0.2)


def refused(answer: httpx.Response, kind: str, quota: str) -> bool:
    body = answer.json()
    expected = 429 if kind == EXCEEDED else 403
    assert (answer.status_code, body["type"], body["quota"]) == (expected, kind, quota), answer.text
    if kind == EXCEEDED:
        assert answer.headers["Retry-After"] == str(body["wait_seconds"])
        assert body["used"] is not None
    return True


def unfinished(system: System) -> int:
    return int(system.database.value("SELECT count(*) FROM live"))


def test_a_tenant_with_too_many_waiting_jobs_submits_no_more(limited: System, client: httpx.Client) -> None:
    set_quota(limited, client, max_waiting_jobs=5)
    answers = [client.post("/jobs/", json=LATER) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [202] * 5 + [429] * 2
    assert refused(answers[5], EXCEEDED, "waiting_jobs")
    assert (answers[5].json()["limit"], answers[5].json()["used"]) == (5, 5)
    assert refused(client.post("/jobs/batch", json=[LATER]), EXCEEDED, "waiting_jobs")
    assert refused(client.post("/jobs/batch", json=[LATER] * 6), TOO_SMALL, "waiting_jobs")
    assert unfinished(limited) == 5
    job_id = answers[0].json()["job_id"]
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 200
    until("there is room", lambda: client.post("/jobs/", json=LATER).status_code == 202, 10, 0.2)
    assert refused(client.post(f"/jobs/{job_id}/retry"), EXCEEDED, "waiting_jobs")


def test_the_jobs_of_another_tenant_do_not_count(limited: System, client: httpx.Client) -> None:
    limited.database.rows("INSERT INTO tenants (name) VALUES ('other')")
    set_quota(limited, client, max_waiting_jobs=2)
    with client_of(limited, new_key(limited.database, tenant=2)) as other:
        assert [other.post("/jobs/", json=LATER).status_code for _ in range(6)] == [202] * 6


def test_a_quota_of_0_forbids(limited: System, client: httpx.Client) -> None:
    set_quota(limited, client, max_waiting_jobs=0)
    assert refused(client.post("/jobs/", json=JOB), TOO_SMALL, "waiting_jobs")


def test_a_tenant_submits_so_many_jobs_a_minute_through_all_processes(
    limited: System, client: httpx.Client, make_system: Callable[..., System]
) -> None:
    second = make_system(limited.database.url, limited.env["REDIS_URL"], **REQUIRED).api()
    with client_of(second, new_key(limited.database)) as other:
        set_quota(limited, client, max_jobs_per_minute=40)
        set_quota(limited, other, max_jobs_per_minute=40)
        # What set_quota asks for counts too: it retries a job that does not exist.
        limited.database.rows("UPDATE tenants SET max_jobs_per_minute = 100")
        set_quota(limited, client, max_jobs_per_minute=100)
        set_quota(limited, other, max_jobs_per_minute=100)
        accepted = [c.post("/jobs/batch", json=[JOB] * 5).status_code for _ in range(15) for c in (client, other)]
        assert accepted.count(202) <= 20
        assert accepted.count(202) >= 12
        assert refused(client.post("/jobs/batch", json=[JOB] * 99), EXCEEDED, "jobs_per_minute")
        assert refused(other.post("/jobs/batch", json=[JOB] * 101), TOO_SMALL, "jobs_per_minute")


def test_jobs_a_minute_are_limited_while_redis_is_away(
    make_system: Callable[..., System], database_url: str, own_redis: Redis
) -> None:
    system = make_system(database_url, own_redis.url).all(**REQUIRED, JOBPROC_DEFAULT_MAX_JOBS_PER_MINUTE="10")
    own_redis.stop(signal.SIGKILL)
    with client_of(system, new_key(system.database)) as client:
        answers = [client.post("/jobs/", json=JOB) for _ in range(15)]
        assert [answer.status_code for answer in answers].count(202) in (10, 11)
        assert refused(answers[-1], EXCEEDED, "jobs_per_minute")
        own_redis.start()
        until("the others are accepted", lambda: client.post("/jobs/", json=JOB).status_code == 202, 10, 0.1)


def bulk_retry(client: httpx.Client, **options: Any) -> httpx.Response:
    body = {"action": "retry", "filter": {"status": ["CANCELLED"]}, **options}
    preview = client.post("/bulk-actions", json=body)
    assert preview.status_code == 201, preview.text
    action = preview.json()
    return client.post(f"/bulk-actions/{action['bulk_action_id']}/start", json={"count": action["count"]})


def test_a_bulk_retry_keeps_to_the_quotas(limited: System, client: httpx.Client) -> None:
    for job_id in client.post("/jobs/batch", json=[LATER] * 8).json()["job_ids"]:
        assert client.post(f"/jobs/{job_id}/cancel").status_code == 200
    set_quota(limited, client, max_waiting_jobs=7)
    assert refused(bulk_retry(client), TOO_SMALL, "waiting_jobs")
    set_quota(limited, client, max_waiting_jobs=10)
    assert client.post("/jobs/batch", json=[LATER] * 3).status_code == 202
    assert refused(bulk_retry(client), EXCEEDED, "waiting_jobs")
    set_quota(limited, client, max_waiting_jobs=100, max_jobs_per_minute=7)
    assert refused(bulk_retry(client, jobs_per_second=1), TOO_SMALL, "jobs_per_minute")
    set_quota(limited, client, max_waiting_jobs=100, max_jobs_per_minute=None)
    assert bulk_retry(client).status_code == 200


def test_stored_bytes_are_limited_and_freed_by_retention(limited: System, client: httpx.Client) -> None:
    set_quota(limited, client, max_stored_bytes=100_000)
    limited.database.rows(
        "INSERT INTO usage_counts (what, at) VALUES ('bytes', clock_timestamp()) ON CONFLICT (what) DO NOTHING"
    )
    big = {"data": [1.5] * 5_000, "operation": "square_sum", "metadata": {"n": 1}}
    assert refused(client.post("/jobs/batch", json=[big] * 6), TOO_SMALL, "stored_bytes")
    answers = [
        client.post("/jobs/batch", json=[{**big, "delay_seconds": 3_600}, {**big, "keep_seconds": 3_600}])
        for _ in range(4)
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    assert refused(answers[2], EXCEEDED, "stored_bytes")
    limited.end("api")  # writes the bytes
    until("two have ended", lambda: limited.database.value("SELECT count(*) FROM outcomes") == 2)
    limited.database.rows("UPDATE jobs SET keep_s = 0 WHERE keep_s IS NOT NULL")
    limited.database.rows("UPDATE expiries SET at = clock_timestamp()")
    until("two are deleted", lambda: limited.database.value("SELECT count(*) FROM jobs") == 2, 60, 0.2)
    left = limited.database.value(f"SELECT sum({JOB_BYTES.format('j')}) FROM jobs j")
    assert limited.database.value("SELECT sum(bytes) FROM stored_bytes") == left > 40_000


def test_a_follow_up_counts_with_the_jobs_that_are_submitted_with_it(limited: System, client: httpx.Client) -> None:
    set_quota(limited, client, max_waiting_jobs=1)
    for path in ("/jobs/batch", "/workflows"):
        assert refused(client.post(path, json={"jobs": [JOB], "follow_up": JOB}), TOO_SMALL, "waiting_jobs")
    assert client.post("/batches", json={"follow_up": JOB}).status_code == 201
    set_quota(limited, client, max_waiting_jobs=100, max_jobs_per_minute=0)
    assert refused(client.post("/batches", json={"follow_up": JOB}), TOO_SMALL, "jobs_per_minute")
    assert client.post("/batches", json={}).status_code == 201


def test_usage_shows_the_schedules_and_their_quota(limited: System, client: httpx.Client) -> None:
    assert client.get("/usage").json()["schedules"] == {"limit": 1_000, "used": 0}
    client.post("/schedules", json={"name": "daily", "cron": "@daily", "job": JOB}).raise_for_status()
    limited.database.rows("UPDATE tenants SET max_schedules = 1")
    assert client.get("/usage").json()["schedules"] == {"limit": 1, "used": 1}
    assert client.post("/schedules", json={"name": "other", "cron": "@daily", "job": JOB}).status_code >= 400
    limited.database.rows("UPDATE schedules SET managed = true")
    assert client.get("/usage").json()["schedules"] == {"limit": 1, "used": 0}


def test_usage_shows_what_is_used(limited: System, client: httpx.Client) -> None:
    assert client.get("/usage").json()["quotas"]["waiting_jobs"] == {"limit": None, "used": None}
    set_quota(limited, client, max_waiting_jobs=50)
    client.post("/jobs/batch", json=[LATER] * 4)
    until("they are counted", lambda: client.get("/usage").json()["quotas"]["waiting_jobs"]["used"] == 4, 10, 0.1)
    view = client.get("/usage").json()
    assert view["tenant"] == "default"
    assert view["quotas"]["waiting_jobs"] == {"limit": 50, "used": 4}
    assert view["quotas"]["jobs_per_minute"] == {"limit": None, "used": None}


def test_nobody_counts_without_a_quota_and_unchanged_rows_are_not_written(
    limited: System, client: httpx.Client
) -> None:
    client.post("/jobs/batch", json=[LATER] * 4)
    assert not limited.database.rows("SELECT 1 FROM usage_counts WHERE what = 'jobs'")
    set_quota(limited, client, max_waiting_jobs=50)
    before = limited.database.rows("SELECT at, xmin::text FROM tenant_usage WHERE tenant = 1")
    counted = limited.database.value("SELECT at FROM usage_counts WHERE what = 'jobs'")
    until(
        "it is counted again",
        lambda: limited.database.value("SELECT at > %s FROM usage_counts WHERE what = 'jobs'", [counted]),
    )
    assert limited.database.rows("SELECT at, xmin::text FROM tenant_usage WHERE tenant = 1") == before


def test_without_a_controller_no_waiting_job_is_refused_for_an_old_count(system: System) -> None:
    system.api(**REQUIRED, JOBPROC_DEFAULT_MAX_WAITING_JOBS="3").worker().controller()
    system.kill("controller")
    system.database.rows(
        "INSERT INTO usage_counts VALUES ('jobs', now() - interval '1 h') "
        "ON CONFLICT (what) DO UPDATE SET at = excluded.at"
    )
    with client_of(system, new_key(system.database)) as client:
        assert [client.post("/jobs/", json=LATER).status_code for _ in range(5)] == [202] * 5
