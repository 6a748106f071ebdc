"""Names of tables in a statement that runs where no search path can be set before it."""

import pytest

from common.models import Base
from common.store.connection.search_path import TABLES, qualified


def test_the_names_are_those_of_the_models_the_view_and_the_version() -> None:
    assert sorted([*Base.metadata.tables, "job_states", "alembic_version"]) == list(TABLES)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "SELECT tags FROM jobs j JOIN live l ON l.id = j.id",
            'SELECT tags FROM "s".jobs j JOIN "s".live l ON l.id = j.id',
        ),
        ("SELECT FROM live WHERE live.id = $1", 'SELECT FROM "s".live WHERE live.id = $1'),
        ("INSERT INTO runs (run) SELECT 1", 'INSERT INTO "s".runs (run) SELECT 1'),
        ("UPDATE jobs SET tags = '{}'", "UPDATE \"s\".jobs SET tags = '{}'"),
        ("DELETE FROM live USING workers w", 'DELETE FROM "s".live USING "s".workers w'),
        ("SELECT FROM jobs FOR UPDATE OF jobs", 'SELECT FROM "s".jobs FOR UPDATE OF jobs'),
        ("WITH jobs_of AS (SELECT 1) SELECT FROM jobs_of", "WITH jobs_of AS (SELECT 1) SELECT FROM jobs_of"),
        ('SELECT FROM "s".live', 'SELECT FROM "s".live'),
        (
            "SELECT 'live'::regclass, 'live', 'x live'::regclass",
            "SELECT '\"s\".live'::regclass, 'live', 'x live'::regclass",
        ),
    ],
)
def test_only_a_name_of_a_table_gets_the_schema(sql: str, expected: str) -> None:
    assert qualified(sql, '"s"') == expected
