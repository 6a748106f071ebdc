"""Through PgBouncer in transaction mode, with fewer connections than jobproc's processes would hold."""

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
from rig.pgbouncer import Bouncer
from rig.settings import settings_of
from rig.system import Database, System, until

from common.domain.errors import StoreUnavailable
from common.domain.job import NewJob, new_job_id
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.jobs import insert, reads

MOST = 3
SETTINGS = Statement("settings", "text", "SELECT current_setting('enable_seqscan'), current_setting('statement_timeout'), current_setting($1)")
pytestmark = pytest.mark.skipif(bool(pgbouncer.missing()), reason=pgbouncer.missing())


@pytest.fixture
def through(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bouncer]:
    """A pooler of three connections to the session's PostgreSQL."""
    port = int(os.environ["JOBPROC_TESTS_POSTGRES"].rpartition(":")[2].partition("/")[0])
    made = Bouncer(tmp_path_factory.mktemp("bouncer"), port, default_pool_size=str(MOST)).start()
    yield made
    made.stop()


@pytest.fixture
def pooled_url(through: Bouncer, database_url: str) -> str:
    """This test's database through it."""
    return through.url(database_url.rpartition("/")[2])


def test_jobs_run_are_retried_and_rescued_through_three_connections_also_when_these_end(
    make_system: Callable[..., System], database_url: str, pooled_url: str, redis_url: str
) -> None:
    system = make_system(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_SETTLE_EARLY_SECONDS="60")
    system.database = Database(database_url)  # past the pooler
    system.spawn("migrate", "common.migrate").wait(20)
    system.worker("doomed", concurrency=1).api().controller()
    lost = system.submit("effect", 2, 1)
    until("it runs", system.effects)
    system.kill("doomed")  # the process that runs it dies with it; only a lease that ends tells the controller
    system.worker()
    tried, many = system.submit("fail_times", 2), system.submit_many("square_sum", [[n] for n in range(500)])
    assert 1 <= len(system.database.rows(f"SELECT pid {_BACKENDS}")) <= MOST
    for name in ("api", "worker", "controller"):
        assert not system.events(name, "database_away"), name
    until("some are ended", lambda: system.database.one(f"SELECT count(pg_terminate_backend(pid)) {_BACKENDS}"))
    system.wait_all()
    assert system.job(tried)["attempt"] == 3
    assert [one["outcome"] for one in system.job(lost)["attempts"]] == ["lost", "success"]
    found = dict(system.database.rows("SELECT id::text, result::text::float FROM outcomes"))
    assert [found[job_id] for job_id in many] == [float(n * n) for n in range(500)]
    assert [one["queue"] for one in system.client.get("/stats").json()["queues"]]
    assert system.database.deadlocks() == 0


_BACKENDS = "FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()"


def test_settings_come_with_each_transaction_and_stay_with_none(pooled_url: str, redis_url: str) -> None:
    settings = settings_of(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_STATEMENT_TIMEOUT_SECONDS="7")
    by_index, plain = (WorkerConnection(settings, "test", by_index=by_index) for by_index in (True, False))
    for _ in range(MOST):
        assert by_index.run(SETTINGS, ("jit",)) == [("off", "7s", "off")]
        assert plain.run(SETTINGS, ("jit",)) == [("on", "7s", "off")]
    with by_index.transaction(), plain.transaction():
        assert by_index.run(SETTINGS, ("idle_in_transaction_session_timeout",)) == [("off", "7s", "30s")]
        assert plain.run(SETTINGS, ("TimeZone",)) == [("on", "7s", "UTC")]
    with by_index.driver_connection.cursor() as cursor:
        for _ in range(MOST):
            cursor.execute("SELECT current_setting('enable_seqscan'), current_setting('statement_timeout')")
            assert cursor.fetchall() == [("on", "0")]
    by_index.close()
    plain.close()


def test_who_forgot_the_setting_is_refused(pooled_url: str, redis_url: str) -> None:
    """Rather than leave settings and statements behind in the sessions of others."""
    settings = settings_of(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="none")
    with pytest.raises(OperationalError, match="unsupported startup parameter"):
        WorkerConnection(settings, "test", by_index=True)
    with pytest.raises(StoreUnavailable):
        asyncio.run(DatabasePool(settings).run(reads.readiness))


def test_many_readers_share_few_connections_and_name_no_statement(pooled_url: str, redis_url: str) -> None:
    """A statement that one reader has prepared is another's, or nobody's, once the connection is lent again."""
    settings = settings_of(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction", JOBPROC_API_POOL_CONNECTIONS="8")

    async def work() -> set[str | None]:
        pool = DatabasePool(settings)
        asked = [pool.run(reads.readiness) for _ in range(100)]
        found = {revision for revision, _ in await asyncio.gather(*asked)}
        named = await pool.run(lambda connection: connection.fetch("SELECT name FROM pg_prepared_statements WHERE name <> ''"))
        await pool.close()
        assert named == []
        return found

    assert len(asyncio.run(work())) == 1


@pytest.mark.parametrize("text", ["it's; DROP TABLE live; --", "\\'); '' \\", "$1 %s {ms} {jobs}", "é \U0001f600 \x7f", '\\"u0027'])
def test_what_a_client_sends_is_stored_as_it_came(pooled_url: str, redis_url: str, text: str) -> None:
    """A submission through a pooler carries its jobs in the text of the statement."""
    settings = settings_of(pooled_url, redis_url, JOBPROC_DATABASE_POOLER="transaction")
    sent = json.dumps({"data": [1], "text": text}, ensure_ascii=False)
    job = NewJob(new_job_id(time.time_ns() // 1_000_000, uuid4().int), "square_sum", "default", sent, 3, 5_000, 7, None)

    async def work() -> reads.Record | None:
        pool = DatabasePool(settings)
        async with pool.acquire() as connection:
            await insert.insert_jobs(connection, [job], 4)
        found = await pool.run(lambda connection: reads.job(connection, job.id))
        await pool.close()
        return found

    found = asyncio.run(work())
    assert found is not None
    assert (found["input"], found["timeout_ms"], found["priority"], found["status"]) == (sent, 5_000, 7, "PENDING")


def test_it_does_not_run_as_root(through: Bouncer) -> None:
    assert through.process is not None
    owner = Path(f"/proc/{through.process.pid}").stat().st_uid
    assert owner == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())
