"""The file of schedules: read, refused in one sentence, and applied by the migration."""

import json
from pathlib import Path
from typing import Any

import pytest
from integration.store.support.schedules import Schedules
from integration.store.support.storage import Storage
from rig.tenants import new_tenant

from common.domain.errors import StartupError
from common.migrate import migrate
from common.schedule_definitions.file import DeclaredSchedules, read_schedules
from common.store.schedules import managed
from common.store.schedules.managed import Applied

REPORT = """
schedules:
  - name: nightly-report
    cron: "30 2 * * mon-fri"
    time_zone: Europe/Berlin
    overlap: skip
    job:
      operation: square_sum
      input: {data: [1, 2, 3]}
"""


@pytest.fixture
def schedules(storage: Storage) -> Schedules:
    return Schedules(storage)


def declared(folder: Path, *members: dict[str, Any]) -> DeclaredSchedules:
    path = folder / "schedules.json"
    path.write_text(json.dumps({"schedules": members}))
    return read_schedules(str(path))


def member(name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "cron": "0 0 * * *", "job": {"operation": "noop"}, **members}


def apply(storage: Storage, wanted: DeclaredSchedules) -> Applied:
    with storage.engine.begin() as connection:
        return managed.apply(connection, wanted)


def test_the_migration_applies_the_file_and_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(REPORT)
    settings = storage.settings.model_copy(update={"schedules_file": str(path)})
    rows = []
    for _ in range(2):
        migrate(settings)
        rows.append(storage.rows("SELECT * FROM schedules"))
    assert rows[0] == rows[1]
    (row,) = storage.rows("SELECT name, managed, cron, zone, overlap, job::text, created_by, tenant FROM schedules")
    job = '{"operation":"square_sum","input":{"data":[1,2,3]}}'
    assert row == ("nightly-report", True, "30 2 * * mon-fri", "Europe/Berlin", "skip", job, "file", 1)
    migrate(storage.settings)  # without the setting: as it is
    assert storage.value("SELECT count(*) FROM schedules") == 1


def test_what_the_file_no_longer_declares_is_deleted_and_what_others_created_stays(
    storage: Storage, schedules: Schedules, tmp_path: Path
) -> None:
    own = schedules.create(cron="@daily")
    assert apply(storage, declared(tmp_path, member("a"), member("b"))) == Applied(created=2)
    before = storage.value("SELECT next_at FROM schedules WHERE name = 'b'")
    assert apply(storage, declared(tmp_path, member("b", overlap="skip"), member("c"))) == Applied(1, 1, 1)
    assert apply(storage, declared(tmp_path, member("b", overlap="skip"), member("c"))) == Applied()
    assert {row[0] for row in storage.rows("SELECT name FROM schedules")} == {"b", "c", own.name}
    assert storage.value("SELECT next_at FROM schedules WHERE name = 'b'") == before
    actions = storage.rows("SELECT action, count(*) FROM audit_entries WHERE subject = 'file' GROUP BY 1 ORDER BY 1")
    assert actions == [("schedule.change", 1), ("schedule.create", 3), ("schedule.delete", 1)]
    assert apply(storage, declared(tmp_path)) == Applied(deleted=2)


def test_a_tenant_of_the_file_has_its_schedules(storage: Storage, tmp_path: Path) -> None:
    number = new_tenant(storage.database, "acme")
    apply(storage, declared(tmp_path, member("a", tenant="acme"), member("a")))
    assert storage.rows("SELECT tenant FROM schedules ORDER BY 1") == [(1,), (number,)]


def test_a_single_time_that_is_over_stays_declared(storage: Storage, tmp_path: Path) -> None:
    once = member("once", cron=None, at="2020-01-01T00:00:00Z")
    assert apply(storage, declared(tmp_path, once)) == Applied(created=1)
    assert apply(storage, declared(tmp_path, once)) == Applied()
    assert storage.value("SELECT due_at FROM schedules") is None


def test_a_name_that_the_api_has_given_is_not_taken_over(
    storage: Storage, schedules: Schedules, tmp_path: Path
) -> None:
    own = schedules.create(cron="@daily")
    with pytest.raises(StartupError, match=f"declares {own.name}, which the API has created"):
        apply(storage, declared(tmp_path, member("a"), member(own.name)))
    assert storage.value("SELECT count(*) FROM schedules") == 1


def test_a_tenant_that_does_not_exist_is_named(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="tenants that do not exist: nobody"):
        apply(storage, declared(tmp_path, member("a", tenant="nobody")))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("schedules: [{name: a, job: {operation: noop}, cron: '61 * * * *'}]", "cron: Value error, its minute"),
        ("schedules: [{name: a, cron: '@daily'}]", "schedules.0.job: Field required"),
        ("schedules: [{name: a, job: {operation: noop}, cron: '@daily', x: 1}]", "schedules.0.x: Extra inputs"),
        ("schedules: [", "neither YAML nor JSON"),
        ("\x00", "neither YAML nor JSON"),
        ("- a", "valid dictionary"),
        ("schedules: [{name: a, job: {operation: noop, input: .nan}, cron: '@daily'}]", "is no JSON"),
        ("schedules: " + str([member("a"), member("a")]), "two schedules a"),
        ("schedules: [{name: a, job: {operation: noop}, at: 2030-01-01T00:00:00}]", "timezone"),
    ],
)
def test_a_file_that_is_not_valid_is_refused_in_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(text)
    with pytest.raises(StartupError, match=reason) as refusal:
        read_schedules(str(path))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be read: No such file"):
        read_schedules(str(tmp_path / "nothing.yaml"))


def test_yaml_times_with_an_offset_are_read(tmp_path: Path) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text("schedules: [{name: a, job: {operation: noop}, at: 2030-01-01T00:00:00+01:00}]")
    (schedule,) = read_schedules(str(path)).by_tenant["default"].values()
    assert str(schedule.at) == "2029-12-31 23:00:00+00:00"
