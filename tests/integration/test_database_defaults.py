"""Defaults that an administrator may give a database: isolation, time zone, formats. The whole path of a job works."""

from datetime import UTC, datetime, timedelta

import pytest
from rig.system import System

DEFAULTS = {
    "serializable": {"default_transaction_isolation": "serializable", "timezone": "Pacific/Chatham"},
    "repeatable read": {"default_transaction_isolation": "repeatable read", "datestyle": "German, DMY"},
    "formats": {
        "timezone": "Asia/Kathmandu",
        "datestyle": "SQL, DMY",
        "intervalstyle": "sql_standard",
        "extra_float_digits": "-15",
        "bytea_output": "escape",
        "standard_conforming_strings": "off",
        "transform_null_equals": "on",
    },
}
JOBS = 200
ACTION = {"action": "cancel", "filter": {"tag": "later"}}


@pytest.mark.parametrize("name", DEFAULTS)
def test_jobs_take_their_whole_path_with_other_defaults_of_the_database(system: System, name: str) -> None:
    for setting, value in DEFAULTS[name].items():
        database = system.database.value("SELECT current_database()")
        system.database.rows(f"ALTER DATABASE {database} SET {setting} = '{value}'")
    system.all()
    system.worker("other")
    began = datetime.now(UTC)
    falters = system.submit("stumble", 1)
    later = {"operation": "noop", "data": [1], "delay_seconds": 3600, "tags": ["later"]}
    delayed = [system.client.post("/jobs/", json=later).json()["job_id"] for _ in range(3)]
    jobs = system.submit_many("effect", [[0.001, n] for n in range(JOBS)])
    jobs += system.submit_many("await_effect", [[0.001, n] for n in range(JOBS)])
    action = system.client.post("/bulk-actions", json=ACTION).json()["bulk_action_id"]
    assert system.client.post(f"/bulk-actions/{action}/start").status_code == 200
    for job_id in delayed:
        assert system.wait(job_id)["status"] == "CANCELLED"
    assert system.client.post(f"/jobs/{delayed[0]}/retry").status_code == 202
    assert system.wait(delayed[0])["status"] == "SUCCESS"
    job = system.wait(falters)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["error", "success"]
    for time in (job["created_at"], job["started_at"], job["finished_at"]):
        assert abs(datetime.fromisoformat(time) - began) < timedelta(minutes=5), time
    for path in ("/jobs/?status=SUCCESS", "/jobs/?tag=later", "/stats", "/operations", "/bulk-actions"):
        assert system.client.get(path).status_code == 200, path
    system.wait_all()
    assert {row[0] for row in system.database.rows("SELECT DISTINCT status FROM outcomes WHERE run = 0")} == {
        "SUCCESS",
        "CANCELLED",
    }
    results = system.database.rows("SELECT result::text FROM outcomes WHERE id = ANY(%s::uuid[])", (jobs,))
    assert sorted(float(row[0]) for row in results) == sorted([*range(JOBS)] * 2)
    for process in system.processes:
        for event in ("lease_lost", "results_fenced", "settle_failed", "serving_failed", "request_failed"):
            assert not system.events(process, event), (process, event)
        if "JOBPROC_DATABASE_POOLER" not in system.env:  # else a transaction may fail, and is repeated
            assert not system.events(process, "database_unavailable"), process
