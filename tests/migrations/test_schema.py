"""The schema that a run creates, and what it leaves alone."""

from contextlib import closing

import pytest
from migrations.run import Start
from rig.settings import settings_from
from rig.system import Database

from common.domain.errors import StartupError


def test_a_run_creates_everything_in_the_schema_of_the_settings(start: Start, empty_database_url: str) -> None:
    assert start(empty_database_url, JOBPROC_DATABASE_SCHEMA="select").wait() == 0
    with closing(Database(empty_database_url)) as database:
        of_objects = """
            SELECT DISTINCT nspname FROM pg_namespace n
            WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' AND (
                EXISTS (SELECT FROM pg_class WHERE relnamespace = n.oid)
                OR EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid))"""
        assert database.rows(of_objects) == [("select",)]
        paths = database.rows("SELECT proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'select'::regnamespace")
        assert paths == [(['search_path="select", pg_temp'],)] * 5


@pytest.mark.parametrize("name", ["", "Jobs", "1st", "a-b", 'a"b', "a.b", "pg_jobs", "information_schema", "a" * 41])
def test_a_name_that_is_none_of_a_schema_is_refused_with_one_sentence(name: str) -> None:
    with pytest.raises(
        StartupError, match=r"JOBPROC_DATABASE_SCHEMA: (must be 1 to 40|is the name of a schema of Post)"
    ):
        settings_from("postgresql://postgres@127.0.0.1/x", "redis://127.0.0.1/0", JOBPROC_DATABASE_SCHEMA=name)
