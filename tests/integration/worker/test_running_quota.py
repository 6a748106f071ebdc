"""The quota of running jobs through real worker processes of two workers."""

import time

from rig.keys import REQUIRED, client_of, new_key
from rig.system import System, until
from rig.tenants import CLIENT_SCOPES, new_tenant

LIMIT, PROCESSES = 3, 4
RUNNING = "SELECT count(worker) FROM live WHERE tenant = %s"


def test_a_tenant_runs_no_more_jobs_than_its_quota_allows_and_others_run_beside_it(system: System) -> None:
    """At most one job a process more than the quota, from one count to the next."""
    tenant = new_tenant(system.database, "limited")
    system.database.rows("UPDATE tenants SET max_running_jobs = %s WHERE id = %s", (LIMIT, tenant))
    system.all(**REQUIRED).worker("second")
    database = system.database
    until("jobs are counted", lambda: database.rows("SELECT 1 FROM usage_counts WHERE what = 'jobs'"))
    time_of_count = database.value("SELECT at FROM usage_counts WHERE what = 'jobs'")
    until("the workers have read it", lambda: database.value("SELECT now() > %s + interval '2 s'", (time_of_count,)))
    job = {"operation": "sleep", "data": [0.2]}
    with (
        client_of(system, new_key(database, CLIENT_SCOPES, tenant)) as limited,
        client_of(system, new_key(database)) as other,
    ):
        ids = limited.post("/jobs/batch", json=[job] * 60).json()["job_ids"]
        until("its quota is used", lambda: database.value(RUNNING, (tenant,)) >= LIMIT)
        (free,) = other.post("/jobs/batch", json=[{**job, "data": [0]}]).json()["job_ids"]
        assert other.get(f"/jobs/{free}/result?wait=5").json()["status"] == "SUCCESS", "others pass by it"
        most, codes = 0, list[list[str]]()
        end = time.monotonic() + 60
        while database.value("SELECT count(*) FROM live WHERE tenant = %s", (tenant,)):
            assert time.monotonic() < end
            most = max(most, database.value(RUNNING, (tenant,)))
            reasons = limited.get(f"/jobs/{ids[-1]}/explain").json()["reasons"]
            codes.append([reason["code"] for reason in reasons])
        assert LIMIT <= most <= LIMIT + PROCESSES
        assert ["running_quota", "jobs_ahead"] in codes
        assert {limited.get(f"/jobs/{job_id}/status").json()["status"] for job_id in ids} == {"SUCCESS"}


def test_one_tenant_and_the_quota_of_the_settings(system: System) -> None:
    system.all(JOBPROC_DEFAULT_MAX_RUNNING_JOBS="1")
    until("jobs are counted", lambda: system.database.rows("SELECT 1 FROM usage_counts WHERE what = 'jobs'"))
    counted = system.database.value("SELECT at FROM usage_counts WHERE what = 'jobs'")
    until("it is read", lambda: system.database.value("SELECT now() > %s + interval '2 s'", (counted,)))
    ids = system.submit_many("sleep", [[0.1]] * 12)
    most = 0
    while system.database.value("SELECT count(*) FROM live"):
        most = max(most, system.database.value(RUNNING, (1,)))
    assert 1 <= most <= 1 + 2
    assert {system.status(job_id) for job_id in ids} == {"SUCCESS"}


def test_a_thousand_short_jobs_of_a_tenant_with_a_small_quota_do_not_wait_for_counts(system: System) -> None:
    """A process uses the places that it makes free at once."""
    system.database.rows("UPDATE tenants SET max_running_jobs = 4 WHERE id = 1")
    system.all()
    until("jobs are counted", lambda: system.database.rows("SELECT 1 FROM usage_counts WHERE what = 'jobs'"))
    system.submit_many("noop", [[1]] * 2_000)
    system.wait_all(10)
