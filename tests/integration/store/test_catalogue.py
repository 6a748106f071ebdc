"""The catalogue of operations: only changed rows are written, and rows are read as they were written."""

from dataclasses import replace

from integration.store.support.storage import Storage

from common.domain.operation_spec import OperationSpec
from common.domain.retry import RetryPolicy
from common.store.operations import catalogue

ODD = OperationSpec(
    "odd.one_2",
    "slow",
    RetryPolicy(1_000, 0.25, 1e6),
    0.001,
    "quote ' \" \\ %s :name, é",
    {"properties": {"%": {"$ref": "#"}}},
)
LIMITLESS = replace(ODD, name="limitless", timeout_s=None)


def _publish(storage: Storage, *specs: OperationSpec) -> None:
    catalogue.publish(storage.connection(by_index=False), specs)


def _read(storage: Storage) -> dict[str, OperationSpec]:
    with storage.engine.begin() as connection:
        return catalogue.read(connection)


def test_operations_are_read_as_they_were_published(storage: Storage) -> None:
    _publish(storage, ODD, LIMITLESS)
    built_in = {spec.name: spec for spec in catalogue.built_in()}
    assert _read(storage) == built_in | {ODD.name: ODD, LIMITLESS.name: LIMITLESS}
    assert list(_read(storage)) == sorted(_read(storage))


def test_only_changed_rows_are_written(storage: Storage) -> None:
    rows = "SELECT name, xmin::text, updated_at FROM operations ORDER BY name"
    _publish(storage, ODD, LIMITLESS)
    before = storage.rows(rows)
    _publish(storage, LIMITLESS, ODD)
    assert storage.rows(rows) == before
    for changed in (
        replace(ODD, queue="other"),
        replace(ODD, timeout_s=None),
        replace(ODD, input_schema={}),
        replace(ODD, retry=RetryPolicy(2, 0.25, 1e6)),
    ):
        _publish(storage, changed, LIMITLESS)
        after = storage.rows(rows)
        assert [row[0] for row, old in zip(after, before, strict=True) if row != old] == [ODD.name]
        assert _read(storage)[ODD.name] == changed
        before = after


def test_workers_that_start_at_once_publish_without_a_deadlock(storage: Storage) -> None:
    """All write in the order of names: a session that waits for the first row holds no other."""
    first, second = storage.connection(), storage.connection()
    with first.transaction():
        catalogue.publish(first, [LIMITLESS])
        blocked = storage.begin(lambda: catalogue.publish(second, [replace(ODD, queue="other"), LIMITLESS]))
        storage.until_blocked(second.driver_connection.info.backend_pid)
        _publish(storage, ODD)
    blocked.result(10)
    assert _read(storage)[ODD.name].queue == "other"
