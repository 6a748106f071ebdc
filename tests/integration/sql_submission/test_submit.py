"""The function `submit`: a job is in the transaction of the application, and starts within a second of its commit."""

import re
import time
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras
import pytest
from integration.sql_submission.conftest import Application
from psycopg2.errors import InsufficientPrivilege, InvalidParameterValue, ObjectNotInPrerequisiteState
from rig.system import until

SUBMIT = "SELECT jobproc.submit('square_sum', '{\"data\": [1, 2, 3]}')"
LIVE = "SELECT count(*) FROM live"


def test_a_transaction_that_is_rolled_back_submits_no_job_and_a_committed_one_does(application: Application) -> None:
    system = application.system
    connection = psycopg2.connect(application.as_role("default").url)
    cursor = connection.cursor()
    cursor.execute(SUBMIT)
    connection.rollback()
    assert system.database.value(LIVE) == 0
    cursor.execute(SUBMIT)
    (job_id,) = cursor.fetchone() or ("",)
    assert system.database.value(LIVE) == 0
    connection.commit()
    connection.close()
    system.all()
    job = system.wait(job_id)
    assert (job["status"], job["submitted_by"], job["queue"], job["priority"], job["max_attempts"]) == (
        *("SUCCESS", f"role:{application.role('default')}", "default", 5),
        system.database.value("SELECT max_attempts FROM operations WHERE name = 'square_sum'"),
    )


@pytest.mark.parametrize("open_s", [0, 0.4, 1, 2, 10])
def test_a_job_starts_within_a_second_of_its_commit_however_long_the_transaction_was_open(
    application: Application, open_s: int
) -> None:
    """With the intervals of an installation. Other jobs run meanwhile, so that claims have passed its place."""
    system = application.system
    system.env |= {"JOBPROC_TICK_SECONDS": "1", "JOBPROC_LEASE_SECONDS": "30", "JOBPROC_HEARTBEAT_SECONDS": "5"}
    system.all()
    connection = psycopg2.connect(application.as_role("default").url)
    cursor = connection.cursor()
    cursor.execute(SUBMIT)
    (job_id,) = cursor.fetchone() or ("",)
    until_s = time.monotonic() + open_s
    while time.monotonic() < until_s:
        system.wait(system.submit("square_sum", 1))
    connection.commit()
    committed_at = system.database.value("SELECT clock_timestamp()")
    connection.close()
    system.wait(job_id)
    waited_s = system.database.value(
        "SELECT extract(epoch FROM started_at - %s)::float8 FROM outcomes WHERE id = %s", (committed_at, job_id)
    )
    print(f"started {waited_s:.3f} s after the commit")
    assert waited_s < 2, "1 s of the tick, and the rest for a busy machine"
    assert system.database.value("SELECT count(*) FROM sql_submissions") == 0


def test_every_argument_is_honoured(application: Application) -> None:
    system = application.system
    system.all()
    app = application.as_role("default")
    job_id = app.value(
        """SELECT jobproc.submit('square_sum', input => '{"data":\n[2]}', priority => 1, delay_seconds => 0.5,
           max_attempts => 7, timeout_seconds => 2.5, tags => '{b,a,b}', metadata => '{"order": 4711}',
           queue => 'default')"""
    )
    job = system.wait(job_id)
    assert (job["status"], job["priority"], job["max_attempts"], job["tags"], job["metadata"], job["result"]) == (
        *("SUCCESS", 1, 7, ["b", "a"], {"order": 4711}),
        job["result"],
    )
    assert job["timeout_seconds"] == 2.5
    assert system.client.get("/jobs", params={"tag": "a"}).json()["jobs"][0]["job_id"] == job_id
    later = app.value("SELECT jobproc.submit('square_sum', '{\"data\":[2]}', run_at => now() + interval '1 hour')")
    assert system.status(later) == "SCHEDULED"
    wrong = app.value("SELECT jobproc.submit('square_sum', '{\"data\": 1}')")
    assert system.wait(wrong)["error"]["type"] == "invalid_input", "the schema is checked by the worker"


def test_an_idempotency_key_gives_the_first_job_of_a_tenant(application: Application) -> None:
    submit = "SELECT jobproc.submit('square_sum', '{\"data\":[1]}', idempotency_key => 'order-1'%s)"
    app, other = application.as_role("default"), application.as_role("acme")
    application.system.database.rows("INSERT INTO tenants (name) VALUES ('acme')")
    first = app.value(submit % "")
    assert app.value(submit % "") == first
    assert other.value(submit % "") != first
    with pytest.raises(InvalidParameterValue, match="was used for another submission"):
        app.value(submit % ", priority => 1")
    assert application.system.database.value(LIVE) == 2
    application.system.database.rows("UPDATE idempotency_keys SET until = now() - interval '1 s'")
    assert app.value(submit % "") != first


def test_of_two_transactions_with_one_key_the_second_waits_and_gets_the_job_of_the_first(
    application: Application,
) -> None:
    submit = "SELECT jobproc.submit('square_sum', '{\"data\":[1]}', idempotency_key => 'order-1')"
    first, second = (psycopg2.connect(application.as_role("default").url, async_=value) for value in (0, 1))
    psycopg2.extras.wait_select(second)
    cursor = first.cursor()
    cursor.execute(submit)
    job = (cursor.fetchone() or ("",))[0]
    later = second.cursor()
    later.execute(submit)
    waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND wait_event_type = 'Lock'"
    until("the second waits", lambda: application.system.database.value(waits, (application.role("default"),)))
    first.commit()
    psycopg2.extras.wait_select(second)
    assert later.fetchone() == (job,)
    first.close()
    second.close()
    assert application.system.database.value(LIVE) == 1


REFUSED = {
    "operation: unknown operation": "operation => 'no_such'",
    "queue: square_sum does not allow this queue; it allows default": "queue => 'mail'",
    "priority: 0 to 9 is expected": "priority => 10",
    "delay_seconds: cannot be combined with run_at": "delay_seconds => 1, run_at => now()",
    "delay_seconds: 0 to 31536000 seconds is expected": "delay_seconds => 'NaN'",
    "run_at: a time from 1970 on": "run_at => '-infinity'",
    "run_at: is more than 365 days ahead": "run_at => now() + interval '400 days'",
    "max_attempts: 1 to 100 is expected": "max_attempts => 0",
    "timeout_seconds: 0.001 to 86400.0 seconds": "timeout_seconds => 0",
    "tags: at most 20 are allowed": "tags => array_fill('x'::text, ARRAY[21])",
    "tags: each has 1 to 64 characters": "tags => ARRAY['']",
    "metadata: an object is expected": "metadata => '[]'",
    "metadata: is more than 4096 bytes": "metadata => json_build_object('a', repeat('x', 5000))",
    "metadata: has the character": 'metadata => \'{"a": "\\u0000"}\'',
    "input: is more than 1048576 bytes": "input => to_json(repeat('x', 1100000))",
    "idempotency_key: 1 to 255 printable": "idempotency_key => 'a b'",
}


def test_an_argument_that_is_not_valid_gets_a_sentence_with_its_name(application: Application) -> None:
    app = application.as_role("default")
    for sentence, arguments in REFUSED.items():
        operation = "" if "operation =>" in arguments else "'square_sum', "
        with pytest.raises(InvalidParameterValue) as error:
            app.rows(f"SELECT jobproc.submit({operation}{arguments})")
        assert sentence in str(error.value)
    assert application.system.database.value(LIVE) == 0


INJECTIONS = [
    "'; DELETE FROM live; --",
    "' || (SELECT current_user) || '",
    "%s %1$I",
    "\\'; DROP TABLE jobs; --",
    "a {%s}",
]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("strings", ["on", "off"])
def test_an_argument_is_never_a_part_of_a_statement(application: Application, text: str, strings: str) -> None:
    app = application.as_role("default")
    app.rows(f"SET standard_conforming_strings = {strings}")
    for name in ("operation", "queue", "idempotency_key"):
        other = "" if name == "operation" else "'square_sum', "
        with pytest.raises(InvalidParameterValue):
            app.rows(f"SELECT jobproc.submit({other}{name} => %s)", (text,))
    row = app.value("SELECT jobproc.submit('square_sum', to_json(%s::text), tags => ARRAY[%s])", (text, text))
    database = application.system.database
    assert database.rows("SELECT input #>> '{}', tags FROM jobs WHERE id = %s", (row,)) == [(text, [text])]


def test_who_submits_is_the_role_of_the_session_and_chooses_no_tenant(application: Application) -> None:
    database = application.system.database
    acme = application.as_role("acme")
    with pytest.raises(ObjectNotInPrerequisiteState, match=r"tenant acme, for which role .* does not exist"):
        acme.value(SUBMIT)
    tenant = database.value("INSERT INTO tenants (name) VALUES ('acme') RETURNING id")
    for setting in ("{1}", "{1,2,3}", ""):
        acme.rows("SELECT set_config('jobproc.tenants', %s, false)", (setting,))
        job = acme.value(SUBMIT)
        assert database.rows("SELECT tenant FROM jobs WHERE id = %s", (job,)) == [(tenant,)]
        assert database.rows("SELECT tenant FROM live WHERE id = %s", (job,)) == [(tenant,)]
        assert acme.value("SELECT current_setting('jobproc.tenants')") == setting, "it ends with the function"
    database.rows("UPDATE tenants SET state = 'DRAINING' WHERE name = 'acme'")
    with pytest.raises(ObjectNotInPrerequisiteState, match="takes no jobs: it is DRAINING"):
        acme.value(SUBMIT)


def test_a_role_without_a_tenant_is_refused_even_as_a_member_of_one_that_has(application: Application) -> None:
    nobody = application.as_role("nobody")
    with pytest.raises(InsufficientPrivilege):
        nobody.value(SUBMIT)
    application.system.database.rows(f"GRANT {application.role('default')} TO {application.role('nobody')}")
    for statement in ("SELECT 1", f"SET ROLE {application.role('default')}"):
        nobody.rows(statement)
        with pytest.raises(InsufficientPrivilege, match="submits for no tenant"):
            nobody.value(SUBMIT)


FORBIDDEN = [
    "SELECT FROM jobproc.jobs",
    "SELECT FROM jobproc.tenants",
    "INSERT INTO jobproc.live SELECT * FROM jobproc.live",
    "DELETE FROM jobproc.idempotency_keys",
    "SELECT jobproc.set_followed_queues()",
    "SET ROLE {owner}",
    "CREATE OR REPLACE FUNCTION jobproc.submit() RETURNS int LANGUAGE sql AS 'SELECT 1'",
]


def test_a_submitting_role_may_do_nothing_else(application: Application) -> None:
    app = application.as_role("default")
    for statement in FORBIDDEN:
        with pytest.raises(InsufficientPrivilege):
            app.rows(statement.format(owner="jobproc_test_sql_submit"))


def test_objects_of_the_caller_do_not_stand_for_those_of_jobproc(application: Application) -> None:
    """Names of temporary tables come before those of a schema, unless the function says otherwise."""
    app = application.as_role("default")
    app.rows("CREATE TEMPORARY TABLE tenants (id int, name text, state text)")
    app.rows("INSERT INTO tenants VALUES (77, 'default', 'ACTIVE')")
    app.rows("SET search_path = pg_temp, pg_catalog")
    job = app.value(SUBMIT)
    assert application.system.database.value("SELECT tenant FROM jobs WHERE id = %s", (job,)) == 1


def test_row_security_holds_for_the_role_of_the_function(application: Application) -> None:
    database = application.system.database
    policies: Any = database.rows(
        "SELECT DISTINCT policyname FROM pg_policies, unnest(roles) AS r WHERE r = 'jobproc_test_sql_submit'"
    )
    assert policies == [("own_tenants",)]
    assert database.rows(
        "SELECT rolsuper, rolbypassrls, rolcanlogin FROM pg_roles WHERE rolname = %s", ("jobproc_test_sql_submit",)
    ) == [(False, False, False)]


def test_a_job_of_a_followed_queue_is_in_the_change_feed(application: Application) -> None:
    database = application.system.database
    database.rows("INSERT INTO queue_policies (queue, tenant, rev, events) VALUES ('default', 1, 1, true)")
    database.rows("SELECT set_followed_queues()")
    job = application.as_role("default").value(SUBMIT)
    assert database.rows("SELECT job::text, status FROM feed_changes") == [(job, "PENDING")]


def test_a_call_reads_by_index_alone(application: Application) -> None:
    app, database = application.as_role("default"), application.system.database
    app.rows("SELECT jobproc.submit('square_sum', '{\"data\":[1]}') FROM generate_series(1, 2000)")
    database.rows("ANALYZE")
    connection = psycopg2.connect(app.url)
    cursor = connection.cursor()
    cursor.execute("SELECT jobproc.submit('square_sum', '{\"data\":[1]}', idempotency_key => 'x', tags => '{a}')")
    cursor.execute(
        "SELECT relname, seq_tup_read FROM pg_stat_xact_all_tables WHERE schemaname = 'jobproc' AND seq_tup_read > 20"
    )
    assert cursor.fetchall() == []
    connection.close()


def test_the_function_goes_with_the_setting(application: Application) -> None:
    database, app = application.system.database, application.as_role("default")
    application.migrate(JOBPROC_SQL_SUBMIT_ROLES=f"{application.role('acme')}=acme")
    with pytest.raises(InsufficientPrivilege, match="permission denied for schema"):
        app.value(SUBMIT)
    application.migrate(JOBPROC_SQL_SUBMIT_ROLES="")
    assert database.value("SELECT count(*) FROM pg_proc WHERE proname = 'submit'") == 0


def test_the_statements_of_the_page_work(application: Application) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "howto" / "transactional-enqueue.md").read_text()
    ((statements),) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    app = application.as_role("default")
    application.system.database.rows(
        f"CREATE TABLE public.orders (number int); GRANT ALL ON public.orders TO {application.role('default')}"
    )
    app.rows(statements)
    assert application.system.database.rows("SELECT priority, tags FROM jobs") == [(2, ["orders"])]
    (setting,) = re.findall(r"^JOBPROC_SQL_SUBMIT_ROLES=(\S+)", page, re.MULTILINE)
    assert re.fullmatch(r"\w+=\w+", setting)
