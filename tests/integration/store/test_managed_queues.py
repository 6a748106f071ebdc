"""The file of queues: read, refused in one sentence, and applied by the migration."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from integration.store.support.storage import Storage
from rig.system import until
from rig.tenants import new_tenant

from common import migrate as migration
from common.domain.errors import QueueManaged, StartupError
from common.domain.tenancy.queue_policies import ALL_TENANTS, MAX_FOLLOWED_QUEUES
from common.migrate import migrate
from common.queue_definitions.file import DeclaredQueues, read_queues
from common.store.queues import managed, policies
from common.store.queues.managed import Applied

MAIL = """
queues:
  - name: mail
    concurrency: 4
    rate: {per_second: 50, burst: 10}
    key_concurrency: 1
    key_rate: {per_second: 5, burst: 5}
    events: true
"""
IS_FOLLOWED = """SELECT tgenabled <> 'D' FROM pg_trigger
    WHERE tgname = 'record_change_insert' AND tgrelid = 'live'::regclass"""
WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'live'::regclass AND NOT granted"
LIMITS = "concurrency, rate, burst, key_concurrency, key_rate, key_burst, events"


def declared(folder: Path, *members: dict[str, Any]) -> DeclaredQueues:
    path = folder / "queues.json"
    path.write_text(json.dumps({"queues": members}))
    return read_queues(str(path))


def apply(storage: Storage, wanted: DeclaredQueues) -> Applied:
    with storage.engine.begin() as connection:
        return managed.apply(connection, wanted)


def change(storage: Storage, queue: str, tenant: int = 1, **members: Any) -> bool:
    with storage.engine.begin() as connection:
        return policies.change(connection, tenant, queue, members, "key:1")


def row(storage: Storage, columns: str, tenant: int = ALL_TENANTS, queue: str = "mail") -> tuple[Any, ...]:
    (found,) = storage.rows(f"SELECT {columns} FROM queue_policies WHERE queue = %s AND tenant = %s", (queue, tenant))
    return tuple(found)


def test_the_migration_applies_the_file_and_again_changes_nothing(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(MAIL)
    settings = storage.settings.model_copy(update={"queues_file": str(path)})
    rows = []
    for _ in range(2):
        migrate(settings)
        rows.append(storage.rows("SELECT *, xmin::text FROM queue_policies"))
    assert rows[0] == rows[1], "what is equal is not written"
    assert row(storage, f"{LIMITS}, managed, changed_by") == (4, 50, 10, 1, 5, 5, True, True, "file")
    assert storage.value("SELECT count(*) FROM queue_slots WHERE queue = 'mail' AND tenant = 0") == 4
    assert storage.rows("SELECT tenant, subject, action, thing, details FROM audit_entries") == [
        (
            *(1, "file", "queue.change", "mail"),
            {"changed": sorted(LIMITS.split(", ")), "all_tenants": True},
        )
    ]
    migrate(storage.settings)  # without the setting: as it is
    assert row(storage, "concurrency, managed") == (4, True)


def test_what_is_gone_loses_its_limits_and_keeps_its_pause(storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(MAIL)
    assert apply(storage, read_queues(str(path))) == Applied(1, 0)
    assert storage.value(IS_FOLLOWED)
    with storage.engine.begin() as connection:
        assert policies.set_paused(connection, ALL_TENANTS, "mail", "key:1", paused=True)
    paused_at = row(storage, "paused_at")
    assert paused_at != (None,)
    assert apply(storage, declared(tmp_path, {"name": "mail", "concurrency": 5})) == Applied(1, 0)
    assert row(storage, f"{LIMITS}, managed") == (5, None, None, None, None, None, False, True), "exactly the declared"
    assert not storage.value(IS_FOLLOWED)
    assert apply(storage, declared(tmp_path)) == Applied(0, 1)
    assert row(storage, f"{LIMITS}, managed") == (None, None, None, None, None, None, False, False)
    assert row(storage, "paused_at") == paused_at
    assert apply(storage, declared(tmp_path)) == Applied(0, 0)


def test_limits_that_the_api_has_set_stay_unless_they_are_declared(storage: Storage, tmp_path: Path) -> None:
    change(storage, "default", concurrency=2, rate=3.0, burst=3.0)
    before = row(storage, "rev, changed_by", 1, "default")
    assert apply(storage, declared(tmp_path, {"name": "mail", "concurrency": 5})) == Applied(1, 0)
    assert row(storage, "rev, changed_by", 1, "default") == before
    taken = {"name": "default", "tenant": "default", "concurrency": 2}
    assert apply(storage, declared(tmp_path, taken)) == Applied(1, 1)
    assert row(storage, "concurrency, rate, managed", 1, "default") == (2, None, True)


def test_a_tenant_of_the_file_has_its_policy_beside_that_of_the_operators(storage: Storage, tmp_path: Path) -> None:
    number = new_tenant(storage.database, "acme")
    of_acme = {"name": "mail", "tenant": "acme", "concurrency": 1}
    assert apply(storage, declared(tmp_path, of_acme, {"name": "mail", "concurrency": 9})) == Applied(2, 0)
    assert row(storage, "concurrency, managed", number) == (1, True)
    assert row(storage, "concurrency, managed") == (9, True)
    assert storage.rows("SELECT tenant, details FROM audit_entries WHERE tenant = %s", (number,)) == [
        (number, {"changed": ["concurrency"]})
    ]


def test_requests_change_the_pause_of_a_declared_policy_alone(storage: Storage, tmp_path: Path) -> None:
    apply(storage, declared(tmp_path, {"name": "default", "tenant": "default", "concurrency": 4}))
    for members in ({"concurrency": 5}, {"events": True}, {"paused": True, "rate": None, "burst": None}):
        with pytest.raises(QueueManaged):
            change(storage, "default", **members)
    assert change(storage, "default", paused=True)
    assert change(storage, "default", tenant=ALL_TENANTS, concurrency=5), "the policy of the operators is another one"
    assert row(storage, "concurrency, managed, paused_at IS NULL", 1, "default") == (4, True, False)


def test_an_empty_policy_can_be_declared(storage: Storage, tmp_path: Path) -> None:
    assert apply(storage, declared(tmp_path, {"name": "mail"})) == Applied(1, 0)
    assert apply(storage, declared(tmp_path, {"name": "mail"})) == Applied(0, 0)
    assert row(storage, "in_force, managed") == (False, True)


def test_too_many_followed_queues_are_refused(storage: Storage, tmp_path: Path) -> None:
    queues = [{"name": f"q{n}", "events": True} for n in range(MAX_FOLLOWED_QUEUES + 1)]
    with pytest.raises(StartupError, match=f"more than {MAX_FOLLOWED_QUEUES} queues"):
        apply(storage, declared(tmp_path, *queues))
    assert storage.value("SELECT count(*) FROM queue_policies") == 0


def test_a_change_of_events_waits_for_who_writes_jobs(storage: Storage, tmp_path: Path) -> None:
    followed, writer = declared(tmp_path, {"name": "mail", "events": True}), storage.session()
    with writer.cursor() as cursor:
        cursor.execute("UPDATE live SET rev = rev WHERE false")
    with pytest.raises(StartupError, match="Nothing was changed"):
        migration._apply_queues(storage.engine, followed, 0)
    assert storage.value("SELECT count(*) FROM queue_policies") == 0
    waiting = threading.Thread(target=migration._apply_queues, args=(storage.engine, followed, 60))
    waiting.start()
    until("the migration waits", lambda: storage.value(WAITS) > 0)
    writer.rollback()
    waiting.join(30)
    assert row(storage, "events, managed") == (True, True)
    assert storage.value(IS_FOLLOWED)


def test_a_tenant_that_does_not_exist_is_named(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="the file of queues names tenants that do not exist: nobody"):
        apply(storage, declared(tmp_path, {"name": "mail", "tenant": "nobody"}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("queues: [{name: a, paused: true}]", "queues.0.paused: Extra inputs"),
        ("queues: [{name: a, x: 1}]", "queues.0.x: Extra inputs"),
        ("queues: [{concurrency: 1}]", "queues.0.name: Field required"),
        ("queues: [{name: a, concurrency: 0}]", "queues.0.concurrency: Input should be greater"),
        ("queues: [{name: a, rate: {per_second: 5}}]", "queues.0.rate.burst: Field required"),
        ("queues: [{name: a}, {name: a, tenant: t}, {name: a}]", "two queues a without a tenant"),
        ("queues: [{name: a, tenant: t}, {name: a, tenant: t}]", "two queues a of tenant t"),
        ("queues: [", "neither YAML nor JSON"),
        ("schedules: []", "queues: Field required"),
    ],
)
def test_a_file_that_is_not_valid_is_refused_in_one_sentence(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "queues.yaml"
    path.write_text(text)
    with pytest.raises(StartupError, match=reason) as refusal:
        read_queues(str(path))
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)
