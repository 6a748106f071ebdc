"""jobproc behind PgBouncer in transaction mode, with fewer connections than its processes would open directly."""

import asyncio
import json
import os
import pwd
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg2 import OperationalError
from rig import pgbouncer
from rig.pgbouncer import PgBouncer
from rig.settings import settings_from
from rig.system import Database, System, until

from common.domain.errors import ReadTimeout, StoreUnavailable
from common.domain.job import NewJob, new_job_id
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.connection.statement import Statement
from common.store.jobs import insert, reads

MAX_CONNECTIONS = 3
SETTINGS = Statement(
    "settings",
    "text",
    "SELECT current_setting('enable_seqscan'), current_setting('statement_timeout'), current_setting($1)",
)
DEFAULTS = "current_setting('transaction_isolation'), current_setting('datestyle')"
pytestmark = pytest.mark.skipif(bool(pgbouncer.missing()), reason=pgbouncer.missing())


@pytest.fixture
def bouncer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """Start a pooler with three connections to the session's PostgreSQL."""
    port = int(os.environ["JOBPROC_TESTS_POSTGRES"].rpartition(":")[2].partition("/")[0])
    folder = tmp_path_factory.mktemp("bouncer")
    pooler = PgBouncer(folder, port, user="postgres", default_pool_size=str(MAX_CONNECTIONS)).start()
    yield pooler
    pooler.stop()


@pytest.fixture
def pooled_url(bouncer: PgBouncer, database_url: str) -> str:
    """Return the URL of this test's database through the pooler."""
    return bouncer.url(database_url.rpartition("/")[2])


def test_jobs_run_are_retried_and_rescued_through_three_connections_even_when_these_are_terminated(
    make_system: Callable[..., System], database_url: str, pooled_url: str, redis_url: str
) -> None:
    system = make_system(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_BATCH_MAX_SECONDS="60")
    system.database = Database(database_url)  # not through the pooler
    system.spawn("migrate", "common.migrate").wait(20)
    system.worker("doomed", concurrency=1).api().controller()
    lost = system.submit("effect", 2, 1)
    until("the job runs", system.effects)
    system.kill("doomed")  # kills its worker process too; the controller finds out only when the lease ends
    system.worker()
    tried, many = system.submit("fail_times", 2), system.submit_many("square_sum", [[n] for n in range(500)])
    assert 1 <= len(system.database.rows(f"SELECT pid {_BACKENDS}")) <= MAX_CONNECTIONS
    for name in ("api", "worker", "controller"):
        assert not system.events(name, "database_unavailable"), name
    until(
        "connections are terminated",
        lambda: system.database.value(f"SELECT count(pg_terminate_backend(pid)) {_BACKENDS}"),
    )
    system.wait_all()
    assert system.job(tried)["attempt"] == 3
    assert [attempt["outcome"] for attempt in system.job(lost)["attempts"]] == ["lost", "success"]
    results = dict(system.database.rows("SELECT id::text, result::text::float FROM outcomes"))
    assert [results[job_id] for job_id in many] == [float(n * n) for n in range(500)]
    assert [queue["queue"] for queue in system.client.get("/stats").json()["queues"]]
    assert system.database.deadlocks() == 0


_BACKENDS = """FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


def test_settings_apply_inside_each_transaction_and_never_outside(pooled_url: str, redis_url: str) -> None:
    settings = settings_from(
        pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_STATEMENT_TIMEOUT_SECONDS="7"
    )
    by_index, plain = (WorkerConnection(settings, "test", by_index=by_index) for by_index in (True, False))
    for _ in range(MAX_CONNECTIONS):
        assert by_index.run(SETTINGS, ("jit",)) == [("off", "7s", "off")]
        assert plain.run(SETTINGS, ("jit",)) == [("on", "7s", "off")]
    with by_index.transaction(), plain.transaction():
        assert by_index.run(SETTINGS, ("idle_in_transaction_session_timeout",)) == [("off", "7s", "30s")]
        assert plain.run(SETTINGS, ("TimeZone",)) == [("on", "7s", "UTC")]
    with by_index.driver_connection.cursor() as cursor:
        for _ in range(MAX_CONNECTIONS):
            cursor.execute("SELECT current_setting('enable_seqscan'), current_setting('statement_timeout')")
            assert cursor.fetchall() == [("on", "0")]
    by_index.close()
    plain.close()


def test_each_transaction_is_read_committed_whatever_the_default_of_the_database_is(
    database_url: str, pooled_url: str, redis_url: str
) -> None:
    """A job that waits for two others runs because the later settle, in its second statement, sees the earlier one."""
    name = database_url.rpartition("/")[2]
    Database(database_url).rows(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    Database(database_url).rows(f"ALTER DATABASE {name} SET datestyle = 'German, DMY'")
    settings = settings_from(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction")
    worker = WorkerConnection(settings, "test", by_index=True)
    with sync_engine(settings, "test").begin() as connection:
        assert connection.exec_driver_sql(f"SELECT {DEFAULTS}").one() == ("read committed", "ISO, MDY")
    assert worker.run(Statement("defaults", "int", f"SELECT {DEFAULTS}, $1"), (1,)) == [
        ("read committed", "ISO, MDY", 1)
    ]
    with worker.transaction():
        assert worker.run(Statement("defaults", "int", f"SELECT {DEFAULTS}, $1"), (1,))[0][0] == "read committed"
    worker.close()

    async def isolation_of_the_api() -> str:
        pool = DatabasePool(settings)
        async with pool.acquire(Lane.BY_ID) as lent, lent.transaction():
            found: str = await lent.fetchval("SHOW transaction_isolation")
        await pool.close()
        return found

    assert asyncio.run(isolation_of_the_api()) == "read committed"


def test_a_connection_without_the_pooler_setting_is_refused(pooled_url: str, redis_url: str) -> None:
    """Otherwise it would leave its settings and statements in sessions of other clients."""
    settings = settings_from(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="none")
    with pytest.raises(OperationalError, match="unsupported startup parameter"):
        WorkerConnection(settings, "test", by_index=True)
    with pytest.raises(StoreUnavailable):
        asyncio.run(DatabasePool(settings).run(reads.readiness, Lane.BY_ID))


def test_many_readers_share_few_connections_without_named_statements(pooled_url: str, redis_url: str) -> None:
    """A pooled connection moves between clients, so a statement that one client has prepared is lost to it."""
    settings = settings_from(
        pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_API_POOL_CONNECTIONS="8"
    )

    async def read_concurrently() -> set[str | None]:
        pool = DatabasePool(settings)
        queries = [pool.run(reads.readiness, Lane.BY_ID) for _ in range(100)]
        revisions = {revision for revision, _ in await asyncio.gather(*queries)}
        named = await pool.run(
            lambda connection: connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''"),
            Lane.BY_ID,
        )
        await pool.close()
        assert named == []
        return revisions

    assert len(asyncio.run(read_concurrently())) == 1


@pytest.mark.parametrize(
    "text",
    ["it's; DROP TABLE live; --", "\\'); '' \\", "$1 %s {ms} {jobs}", "é \U0001f600 \x7f", '\\"u0027', "$$; $jobs$ $$"],
)
@pytest.mark.parametrize("conforming", ["on", "off"])
def test_an_input_with_special_characters_is_stored_unchanged(
    database_url: str, pooled_url: str, redis_url: str, text: str, conforming: str
) -> None:
    """Through a pooler, the text of the INSERT statement contains the jobs; sessions have the database's defaults."""
    name = database_url.rpartition("/")[2]
    Database(database_url).rows(f"ALTER DATABASE {name} SET standard_conforming_strings = {conforming}")
    settings = settings_from(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction")
    sent = json.dumps({"data": [1], "text": text}, ensure_ascii=False)
    job = NewJob(new_job_id(time.time_ns() // 1_000_000, uuid4().int), "square_sum", "default", sent, 3, 5_000, 7, None)

    async def store_and_read() -> reads.Record | None:
        pool = DatabasePool(settings)
        async with pool.acquire(Lane.INTAKE) as connection:
            await insert.insert_jobs(connection, [job], 4)
        record = await pool.run(lambda connection: reads.job(connection, 1, job.id), Lane.BY_ID)
        await pool.close()
        return record

    record = asyncio.run(store_and_read())
    assert record is not None
    assert (record["input"], record["timeout_ms"], record["priority"], record["status"]) == (sent, 5_000, 7, "PENDING")


def test_an_expensive_read_ends_at_its_limit_and_leaves_no_limit_in_the_session(
    pooled_url: str, redis_url: str
) -> None:
    settings = settings_from(
        pooled_url,
        redis_url,
        JOBPROC_DATABASE_POOLER="transaction",
        JOBPROC_EXPENSIVE_READ_TIMEOUT_SECONDS="0.2",
    )

    async def read() -> set[str]:
        pool = DatabasePool(settings)
        with pytest.raises(ReadTimeout):
            await pool.run(lambda connection: connection.fetch("SELECT pg_sleep(20)"), Lane.EXPENSIVE)
        with pytest.raises(ReadTimeout):
            await pool.run_sync(lambda connection: connection.exec_driver_sql("SELECT pg_sleep(20)"), Lane.EXPENSIVE)
        shown = [
            pool.run(lambda connection: connection.fetch("SHOW statement_timeout"), Lane.BY_ID)
            for _ in range(4 * MAX_CONNECTIONS)
        ]
        limits = {rows[0][0] for rows in await asyncio.gather(*shown)}
        await pool.close()
        return limits

    assert asyncio.run(read()) == {"0"}


def test_pgbouncer_does_not_run_as_root(bouncer: PgBouncer) -> None:
    assert bouncer.process is not None
    owner = Path(f"/proc/{bouncer.process.pid}").stat().st_uid
    assert owner == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())
