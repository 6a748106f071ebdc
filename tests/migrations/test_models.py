"""The migrations give exactly the tables that the models describe."""

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


def _is_ours(_thing: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    return not (kind == "table" and re.search(r"_\d{8}$", name or ""))


def test_alembic_finds_no_difference_between_migrations_and_models(settings: Settings) -> None:
    engine = sync_engine(settings, "test")
    with engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": _is_ours}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []
        connection.execute(text("ALTER TABLE live ADD COLUMN surplus integer"))
        assert len(compare_metadata(context, Base.metadata)) == 1, "it would find one"
    engine.dispose()


@pytest.mark.parametrize("part", ["tables", "columns", "constraints", "indexes"])
def test_postgresql_finds_no_difference_either(part: str, settings: Settings, empty_database_url: str) -> None:
    """Also where Alembic does not look: checks, storage parameters, order of columns, keys of partitions."""
    of_models = sync_engine(settings.model_copy(update={"database_url": empty_database_url}), "test")
    Base.metadata.create_all(of_models)
    of_models.dispose()
    found = schema(settings.database_url)[part]
    assert len(found) >= len(Base.metadata.tables)
    assert found == schema(empty_database_url)[part]


def test_storage_parameters_keep_claims_in_place_and_vacuum_at_their_heels(database_url: str) -> None:
    options = {row[0]: row[4] for row in schema(database_url)["tables"]}
    assert options["live"] == ["autovacuum_vacuum_cost_delay=0", "autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=5000", "fillfactor=45"]
    assert options["workers"] == ["fillfactor=20"]


def test_partitions_have_the_checks_and_keys_of_their_tables(database_url: str) -> None:
    form = """SELECT c.relname, array_agg(n.contype::text || pg_get_constraintdef(n.oid) ORDER BY n.contype, pg_get_constraintdef(n.oid))
              FROM pg_class c JOIN pg_constraint n ON n.conrelid = c.oid WHERE c.relname ~ %s GROUP BY 1"""
    database = Database(database_url)
    tables = {row[0]: row[1] for row in database.rows(form, ("^(jobs|outcomes|attempts)$",))}
    parts = {row[0]: row[1] for row in database.rows(form, (r"^(jobs|outcomes|attempts)_\d{8}$",))}
    database.close()
    assert len(parts) == 3 * 5
    assert {name: have for name, have in parts.items() if have != tables[name.rpartition("_")[0]]} == {}
