"""The migrations create exactly the tables that the models describe."""

import re

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from migrations.catalogue import schema
from rig.system import Database
from sqlalchemy import text

from common.models import Base
from common.settings import Settings
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.schema import creation


def _is_no_partition(_item: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    return not (kind == "table" and re.search(r"_\d{8}$", name or ""))


def test_alembic_finds_no_difference_between_migrations_and_models(settings: Settings) -> None:
    engine = sync_engine(settings, "test")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": _is_no_partition}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        connection.execute(text("ALTER TABLE live ADD COLUMN surplus integer"))
        assert len(compare_metadata(context, Base.metadata)) == 1, "an additional column is found"
    engine.dispose()


@pytest.mark.parametrize("part", ["tables", "columns", "constraints", "indexes"])
def test_postgresql_finds_no_difference_between_migrations_and_models(
    part: str, settings: Settings, empty_database_url: str
) -> None:
    """Covers what Alembic does not compare: checks, storage parameters, order of columns, partition keys."""
    engine = sync_engine(settings.model_copy(update={"database_url": empty_database_url}), "test")
    creation.create(engine, settings)
    Base.metadata.create_all(engine)
    engine.dispose()
    migrated = schema(settings.database_url)[part]
    assert len(migrated) >= len(Base.metadata.tables)
    assert migrated == schema(empty_database_url)[part]


def test_storage_parameters_leave_room_for_hot_updates_and_make_vacuum_frequent(database_url: str) -> None:
    options = {row[0]: row[4] for row in schema(database_url)["tables"]}
    assert options["live"] == [
        "autovacuum_vacuum_cost_delay=0",
        "autovacuum_vacuum_scale_factor=0",
        "autovacuum_vacuum_threshold=5000",
        "fillfactor=45",
    ]
    assert options["workers"] == ["fillfactor=20"]


def test_partitions_have_the_checks_and_keys_of_their_tables(database_url: str) -> None:
    constraints = """
        SELECT c.relname, array_agg(n.contype::text || pg_get_constraintdef(n.oid)
                                    ORDER BY n.contype, pg_get_constraintdef(n.oid))
        FROM pg_class c JOIN pg_constraint n ON n.conrelid = c.oid WHERE c.relname ~ %s GROUP BY 1
    """
    database = Database(database_url)
    tables = {row[0]: row[1] for row in database.rows(constraints, ("^(jobs|outcomes|attempts)$",))}
    partitions = {row[0]: row[1] for row in database.rows(constraints, (r"^(jobs|outcomes|attempts)_\d{8}$",))}
    database.close()
    assert len(partitions) == 3 * 5
    assert {name: own for name, own in partitions.items() if own != tables[name.rpartition("_")[0]]} == {}
