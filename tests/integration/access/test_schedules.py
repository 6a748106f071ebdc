"""Schedules over HTTP: created, changed, paused, run and deleted, by the tenant that has them and nobody else."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from rig.keys import client_of, new_key
from rig.system import System, until
from rig.tenants import new_tenant

JOB = {"operation": "square_sum", "input": {"data": [1, 2, 3]}}


def body(**members: Any) -> dict[str, Any]:
    return {"name": f"s-{uuid4()}", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "job": JOB, **members}


def created(client: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = client.post("/schedules", json=body(**members))
    assert answer.status_code == 201, answer.text
    schedule: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == schedule["links"]["self"]
    return schedule


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.fixture
def other(secured: System) -> Iterator[httpx.Client]:
    """Return a client with every scope of another tenant."""
    tenant = new_tenant(secured.database, f"t-{uuid4().hex[:12]}")
    with client_of(secured, new_key(secured.database, tenant=tenant)) as client:
        yield client


def test_a_created_schedule_is_shown_with_its_next_runs(owner: httpx.Client) -> None:
    schedule = created(owner, overlap="skip", jitter_seconds=5)
    assert owner.get(schedule["links"]["self"]).json() == schedule
    assert (schedule["state"], schedule["overlap"], schedule["jitter_seconds"]) == ("ACTIVE", "skip", 5)
    assert schedule["catch_up"] == {"policy": "last", "within_seconds": 3600, "max_runs": 100}
    assert schedule["job"] == JOB
    runs = [datetime.fromisoformat(at) for at in schedule["next_runs"]]
    assert len(runs) == 5
    assert runs[0] > datetime.now(UTC)
    assert runs == sorted(runs)
    assert schedule["next_at"] == schedule["next_runs"][0]
    assert schedule["last_fires"] == []


def test_an_interval_fires_by_itself_and_its_jobs_run(owner: httpx.Client) -> None:
    schedule = created(owner, cron=None, every_seconds=1)

    def fires() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = owner.get(schedule["links"]["fires"]).json()["fires"]
        return found if len(found) >= 2 else []

    found = until("two instants have fired", fires)
    owner.post(schedule["links"]["pause"])
    assert {fire["outcome"] for fire in found} == {"fired"}
    job = owner.get(f"/jobs/{found[0]['job_id']}/result", params={"wait": 10}).json()
    assert job["result"] == 14.0
    assert owner.get(f"/jobs/{found[0]['job_id']}").json()["submitted_by"] == f"schedule:{schedule['id']}"


def test_a_run_now_submits_a_job_also_while_paused(owner: httpx.Client) -> None:
    schedule = created(owner, paused=True)
    answer = owner.post(schedule["links"]["run"])
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert owner.get(f"/jobs/{job_id}/result", params={"wait": 10}).json()["result"] == 14.0
    shown = owner.get(schedule["links"]["self"]).json()
    assert shown["last_job_id"] == job_id
    (fire,) = shown["last_fires"]
    assert (fire["outcome"], fire["reason"], fire["job_id"]) == ("fired", "requested", job_id)
    assert (shown["state"], shown["next_runs"]) == ("PAUSED", [])


def test_a_change_keeps_what_it_does_not_name(owner: httpx.Client) -> None:
    schedule = created(owner, overlap="queue", job={**JOB, "tags": ["a"]})
    changed = owner.patch(schedule["links"]["self"], json={"every_seconds": 60, "jitter_seconds": 1})
    assert changed.status_code == 200, changed.text
    shown = changed.json()
    assert (shown["cron"], shown["every_seconds"], shown["overlap"]) == (None, 60, "queue")
    assert shown["job"]["tags"] == ["a"]
    assert datetime.fromisoformat(shown["next_at"]) < datetime.now(UTC) + timedelta(seconds=61)
    again = owner.patch(schedule["links"]["self"], json={"job": JOB})
    assert again.json()["next_at"] == shown["next_at"]
    assert again.json()["job"] == JOB


def test_a_change_of_another_version_is_refused(owner: httpx.Client) -> None:
    schedule = created(owner)
    path = schedule["links"]["self"]
    tag = owner.get(path).headers["ETag"]
    assert owner.patch(path, json={"overlap": "skip"}, headers={"If-Match": tag}).status_code == 200
    stale = owner.patch(path, json={"overlap": "allow"}, headers={"If-Match": tag})
    assert problem(stale) == (412, "precondition-failed")
    assert problem(owner.delete(path, headers={"If-Match": tag})) == (412, "precondition-failed")
    assert problem(owner.patch(path, json={}, headers={"If-Match": '"x"'})) == (412, "precondition-failed")
    assert owner.delete(path, headers={"If-Match": "*"}).status_code == 204
    assert problem(owner.get(path)) == (404, "schedule-not-found")


def test_pause_and_resume_are_safe_to_repeat(owner: httpx.Client, secured: System) -> None:
    schedule = created(owner, cron=None, every_seconds=3_600)
    for verb, state in (("pause", "PAUSED"), ("pause", "PAUSED"), ("resume", "ACTIVE"), ("resume", "ACTIVE")):
        assert owner.post(schedule["links"][verb]).json()["state"] == state
    actions = [entry["action"] for entry in owner.get("/audit", params={"thing": schedule["id"]}).json()["entries"]]
    assert actions == ["schedule.resume", "schedule.pause", "schedule.create"]


def test_each_change_is_in_the_audit_log(owner: httpx.Client) -> None:
    schedule = created(owner)
    owner.patch(schedule["links"]["self"], json={"overlap": "skip", "jitter_seconds": 1})
    job_id = owner.post(schedule["links"]["run"]).json()["job_id"]
    owner.delete(schedule["links"]["self"])
    entries = owner.get("/audit", params={"thing": schedule["id"]}).json()["entries"]
    assert [(entry["action"], entry["details"]) for entry in entries] == [
        ("schedule.delete", {}),
        ("schedule.run", {"job_id": job_id}),
        ("schedule.change", {"changed": ["jitter_seconds", "overlap"]}),
        ("schedule.create", {"name": schedule["name"]}),
    ]


def test_names_are_unique_in_a_tenant(owner: httpx.Client, other: httpx.Client) -> None:
    first, second = created(owner), created(owner)
    assert problem(owner.post("/schedules", json=body(name=first["name"]))) == (409, "schedule-exists")
    renamed = owner.patch(second["links"]["self"], json={"name": first["name"]})
    assert problem(renamed) == (409, "schedule-exists")
    created(other, name=first["name"])


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"cron": "61 * * * *"}, "cron"),
        ({"cron": "0 0 15W * *"}, "cron"),
        ({"cron": None}, ""),
        ({"every_seconds": 60}, ""),
        ({"cron": None, "every_seconds": 0.5}, "every_seconds"),
        ({"cron": None, "at": "2020-01-01T00:00:00Z"}, "at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"time_zone": "Europe/Nowhere"}, "time_zone"),
        ({"name": ""}, "name"),
        ({"overlap": "maybe"}, "overlap"),
        ({"catch_up": {"policy": "all", "max_runs": 0}}, "catch_up.max_runs"),
        ({"jitter_seconds": -1}, "jitter_seconds"),
        ({"starts_at": "yesterday"}, "starts_at"),
        ({"job": {**JOB, "operation": "nothing"}}, "job.operation"),
        ({"job": {**JOB, "input": {"data": ["x"]}}}, "job.input.data.0"),
        ({"job": {**JOB, "run_at": "2030-01-01T00:00:00Z"}}, "job.run_at"),
        ({"job": {**JOB, "queue": "other"}}, "job.queue"),
        ({"job": {**JOB, "unique": {"key": "k", "while": "both"}}}, "job.unique.while"),
        ({"job": {**JOB, "metadata": {"text": "x" * 70_000}}}, "job"),
        ({"tenant": 2}, "tenant"),
    ],
)
def test_a_bad_field_is_named(owner: httpx.Client, members: dict[str, Any], field: str) -> None:
    answer = owner.post("/schedules", json=body(**members))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


def test_another_tenant_finds_nothing(owner: httpx.Client, other: httpx.Client) -> None:
    schedule = created(owner)
    path = schedule["links"]["self"]
    for answer in (
        other.get(path),
        other.patch(path, json={"overlap": "skip"}),
        other.delete(path),
        *(other.post(f"{path}/{verb}") for verb in ("pause", "resume", "run")),
        other.get(f"{path}/fires"),
    ):
        assert problem(answer) == (404, "schedule-not-found")
    assert other.get("/schedules").json() == {"schedules": [], "next": None}
    assert owner.get(path).json() == schedule


def test_the_list_has_pages_and_filters(other: httpx.Client) -> None:
    names = [f"s{number}" for number in range(5)]
    for name in names:
        created(other, name=name, paused=name == "s1")
    created(other, name="cubes", job={"operation": "cube_sum", "input": {"data": [1]}})

    def listed(path: str) -> list[str]:
        found: list[str] = []
        while path:
            page = other.get(path).json()
            found += [schedule["name"] for schedule in page["schedules"]]
            path = page["next"]
        return found

    assert listed("/schedules?limit=2") == ["cubes", *names]
    assert listed("/schedules?limit=2&operation=square_sum") == names
    assert listed("/schedules?paused=true") == ["s1"]
    assert listed("/schedules?managed=true") == []
    assert listed("/schedules?ended=false&limit=200") == ["cubes", *names]


def test_the_fires_have_pages(owner: httpx.Client, secured: System) -> None:
    schedule = created(owner)
    secured.database.rows(
        """INSERT INTO schedule_fires (schedule, at, outcome)
           SELECT %s, timestamptz '2026-01-01' + n * interval '1 hour', 'skipped' FROM generate_series(1, 5) n""",
        (schedule["id"],),
    )
    found, path = [], f"{schedule['links']['fires']}?limit=2"
    while path:
        page = owner.get(path).json()
        found += [fire["at"] for fire in page["fires"]]
        path = page["next"]
    assert found == [f"2026-01-01T0{hour}:00:00Z" for hour in (5, 4, 3, 2, 1)]


def test_a_quota_of_schedules_is_kept(secured: System, other: httpx.Client) -> None:
    created(other)
    tenant = secured.database.value("SELECT max(id) FROM tenants")
    secured.database.rows("UPDATE tenants SET max_schedules = 1 WHERE id = %s", (tenant,))
    answer = other.post("/schedules", json=body())
    assert problem(answer) == (409, "too-many-schedules")
    assert "may have 1 schedules" in answer.json()["detail"]


def test_the_input_needs_the_scope_of_payloads(secured: System, owner: httpx.Client) -> None:
    schedule = created(owner)
    with client_of(secured, new_key(secured.database, ["schedules"])) as client:
        shown = client.get(schedule["links"]["self"])
        assert shown.json()["job"] == {"operation": "square_sum"}
        listed = client.get("/schedules", params={"limit": 200}).json()["schedules"]
        assert all("input" not in entry["job"] for entry in listed)


def test_a_managed_schedule_is_changed_in_its_file_alone(owner: httpx.Client, secured: System) -> None:
    schedule = created(owner)
    secured.database.rows("UPDATE schedules SET managed = true WHERE id = %s", (schedule["id"],))
    path = schedule["links"]["self"]
    for answer in (
        owner.patch(path, json={"overlap": "skip"}),
        owner.delete(path),
        owner.post(f"{path}/pause"),
        owner.post(f"{path}/resume"),
    ):
        assert problem(answer) == (409, "schedule-managed")
    assert owner.post(f"{path}/run").status_code == 202


def test_a_draining_tenant_creates_and_runs_nothing(secured: System, other: httpx.Client, owner: httpx.Client) -> None:
    schedule = created(other)
    name = secured.database.value("SELECT name FROM tenants ORDER BY id DESC LIMIT 1")
    assert owner.post(f"/tenants/{name}/drain").status_code == 200
    for answer in (other.post("/schedules", json=body()), other.post(schedule["links"]["run"])):
        assert problem(answer) == (403, "tenant-draining")
