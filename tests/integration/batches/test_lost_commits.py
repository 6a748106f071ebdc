"""Commits of batches whose replies are lost: what was stored is stored and counted once."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg2
import pytest
from rig.proxy import Proxy
from rig.system import Database, System, until

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
#: Lets a commit that has stored or changed a batch wait for an advisory lock, which the test holds.
WAIT_AT_COMMIT = """
CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT OR UPDATE OF jobs ON batches DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wait_at_commit();
"""
WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@contextmanager
def lost_commit(database: Database, proxy: Proxy) -> Iterator[None]:
    """Lose the reply of the commit that is begun during the block, and heal the connection."""
    database.rows(WAIT_AT_COMMIT)
    lock = psycopg2.connect(database.url)
    lock.cursor().execute("SELECT pg_advisory_lock(1)")
    yield
    until("the commit waits", lambda: database.value(WAITS))
    proxy.swallow()
    lock.close()
    until("the jobs are stored", lambda: database.value("SELECT count(*) FROM jobs") == 6)
    proxy.heal()
    proxy.reset()


@pytest.mark.parametrize("is_open", [False, True])
def test_a_batch_whose_commit_was_lost_stores_and_counts_no_job_twice(
    make_system: Callable[..., System], database_url: str, redis_url: str, *, is_open: bool
) -> None:
    """Of a new batch, or of jobs for an open one. The API repeats the transaction with the same ids."""
    database, path = Database(database_url), "/jobs/batch"
    with Proxy.before(database_url) as proxy, ThreadPoolExecutor(1) as pool:
        system = make_system(proxy.url_of(database_url), redis_url)
        system.api(JOBPROC_DATABASE_TIMEOUT_SECONDS="20")
        if is_open:
            path = f"/batches/{system.client.post('/batches').json()['batch_id']}/jobs"
        assert system.client.post(path, json=[GOOD]).status_code == 202
        with lost_commit(database, proxy):
            future: Future[Any] = pool.submit(system.client.post, path, json=[GOOD] * 5, timeout=30)
        body = future.result().json()
    assert len(body["job_ids"]) == 5
    assert database.value("SELECT count(*) FROM live") == database.value("SELECT count(*) FROM jobs") == 6
    counted = database.rows("SELECT jobs, numbers FROM batches WHERE id = %s", (body["batch_id"],))
    assert counted == [(6, 6) if is_open else (5, 5)]
    assert system.events("api", "database_unavailable")
    database.close()
