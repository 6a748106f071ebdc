"""Unique keys of a batch: taken by set, in a constant number of statements, with the outcome of one after the other."""

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.store.support.clients import Client
from integration.store.support.storage import Claimer, Storage

from common.domain.errors import UniqueConflict
from common.domain.job import HeldWhile, NewJob, OnConflict, Options, Unique
from common.store.jobs import keyed_insert
from common.store.jobs.keyed_insert import InsertOutcome

KEYS = ("a", "b", "c")
#: The job that last took a key: how it holds the key, and how far it is.
HOLDERS = ("none", "waiting", "waiting until its start", "started", "running", "ended")
HOLDS = {"waiting", "waiting until its start", "running"}
REPLACEABLE = {"waiting", "waiting until its start"}


def keyed(job: NewJob, key: str, on_conflict: OnConflict, held_while: HeldWhile = HeldWhile.BOTH) -> NewJob:
    return dataclasses.replace(job, options=Options(unique=Unique(key, held_while, on_conflict)))


def keyed_jobs(storage: Storage, keys: Sequence[str], on_conflict: OnConflict = OnConflict.REJECT) -> list[NewJob]:
    return [keyed(job, key, on_conflict) for job, key in zip(storage.new(len(keys)), keys, strict=True)]


@pytest.fixture
def claimer(storage: Storage) -> Claimer:
    """Return a registered worker process."""
    return storage.claimer()


def submit(client: Client, jobs: Sequence[NewJob]) -> InsertOutcome:
    return client.start(keyed_insert.insert_keyed(client.connection, jobs, None)).result(30)


def store_holders(client: Client, claimer: Claimer, states: Sequence[str]) -> dict[str, tuple[str, UUID | None]]:
    """Store the jobs that last took the keys, each in its state; return state and job by key."""
    holders: dict[str, tuple[str, UUID | None]] = {}
    for key, state in sorted(zip(KEYS, states, strict=True), key=lambda holder: holder[1] in REPLACEABLE):
        holders[key] = (state, None)
        if state == "none":
            continue
        is_short = state in ("waiting until its start", "started")
        (job,) = claimer.storage.new()
        submit(client, [keyed(job, key, OnConflict.REJECT, HeldWhile.WAITING if is_short else HeldWhile.BOTH)])
        holders[key] = (state, job.id)
        if state not in REPLACEABLE:  # no other job waits
            claimed = claimer.claim()
            assert [ended.id for ended in claimed] == [str(job.id)]
            if state == "ended":
                claimer.settle(claimed)
    return holders


def expect(
    jobs: Sequence[NewJob], holders: Mapping[str, tuple[str, UUID | None]]
) -> tuple[list[UUID], set[UUID]] | UUID:
    """Return the ids of the answer and the cancelled jobs, or the holder that refuses the batch: job by job, by key."""
    taken: dict[str, UUID] = {}
    answers: dict[UUID, UUID] = {}
    cancelled: set[UUID] = set()
    for job in sorted(jobs, key=lambda job: str(job.options and job.options.unique and job.options.unique.key)):
        assert job.options is not None and job.options.unique is not None
        key, on_conflict = job.options.unique.key, job.options.unique.on_conflict
        state, earlier = holders[key]
        holder = taken.get(key) or (earlier if state in HOLDS else None)
        if holder == earlier and on_conflict is OnConflict.REPLACE and state in REPLACEABLE:
            assert holder is not None
            cancelled.add(holder)
            holder = None
        if holder is not None and on_conflict is not OnConflict.RETURN:
            return holder
        answers[job.id] = holder or taken.setdefault(key, job.id)
    return [answers[job.id] for job in jobs], cancelled


@given(
    st.tuples(*[st.sampled_from(HOLDERS)] * len(KEYS)),
    st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(OnConflict)), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_batch_has_the_outcome_of_its_jobs_one_after_the_other_or_stores_nothing(
    client: Client, claimer: Claimer, states: tuple[str, ...], batch: list[tuple[str, OnConflict]]
) -> None:
    storage = claimer.storage
    storage.rows("DELETE FROM jobs; DELETE FROM live; DELETE FROM outcomes; DELETE FROM unique_keys")
    holders = store_holders(client, claimer, states)
    jobs = [keyed(job, key, on) for job, (key, on) in zip(storage.new(len(batch)), batch, strict=True)]
    before = _rows(storage)
    expected = expect(jobs, holders)
    if isinstance(expected, UUID):
        with pytest.raises(UniqueConflict) as refused:
            submit(client, jobs)
        assert (refused.value.holder, _rows(storage)) == (expected, before)
        return
    answers, cancelled = expected
    assert submit(client, jobs).ids == answers
    after = _rows(storage)
    stored = [job for job, answer in zip(jobs, answers, strict=True) if answer == job.id]
    assert submit(client, jobs).inserted == stored, "a repetition, after a lost answer, is answered like the first one"
    assert _rows(storage) == after
    changed = {("job", "", str(job.id)) for job in stored} | {("live", "0", str(job.id)) for job in stored}
    changed |= {("key", job.options.unique.key, str(job.id)) for job in stored}  # type: ignore[union-attr]  # it has one
    changed |= {("outcome", "CANCELLED", str(job_id)) for job_id in cancelled}
    assert set(after) - set(before) == changed
    assert {row[2] for row in set(before) - set(after) if row[0] == "live"} == {str(job_id) for job_id in cancelled}


def _rows(storage: Storage) -> list[tuple[Any, ...]]:
    return storage.rows(
        """SELECT 'key', key, id::text FROM unique_keys UNION ALL SELECT 'job', '', id::text FROM jobs
           UNION ALL SELECT 'live', rev::text, id::text FROM live
           UNION ALL SELECT 'outcome', status::text, id::text FROM outcomes ORDER BY 1, 3"""
    )


@pytest.mark.parametrize("holder", ["none", "waiting", "ended"])
def test_the_number_of_statements_does_not_grow_with_the_keys(
    storage: Storage, client: Client, claimer: Claimer, holder: str
) -> None:
    def run_statements(keys: list[str]) -> list[str]:
        if holder != "none":
            submit(client, keyed_jobs(storage, keys))
        if holder == "ended":
            claimer.settle(claimer.claim(len(keys)))
        jobs = keyed_jobs(storage, keys, OnConflict.REPLACE)
        statements: list[str] = []

        async def insert() -> None:
            with client.connection.query_logger(lambda record: statements.append(record.query)):
                await keyed_insert.insert_keyed(client.connection, jobs, None, timeout_s=5)

        client.start(insert()).result(30)
        assert {row[0] for row in storage.rows("SELECT id FROM unique_keys WHERE key = ANY(%s)", (keys,))} == {
            str(job.id) for job in jobs
        }
        return statements

    run_statements(["v", "w"])  # the driver looks up types once a connection
    few, many = run_statements(["x", "y"]), run_statements([f"k{number}" for number in range(200)])
    assert few == many
    assert len(few) <= 8, "BEGIN, a limit, lock the keys, read, cancel, take, insert, COMMIT"


def test_concurrent_batches_with_the_same_keys_in_opposite_order_do_not_deadlock(storage: Storage) -> None:
    keys = [f"k{number}" for number in range(200)]
    batches = [
        keyed_jobs(storage, keys[:: -1 if number % 2 else 1], OnConflict.REPLACE if number % 4 else OnConflict.RETURN)
        for number in range(12)
    ]

    async def insert(jobs: list[NewJob]) -> None:
        connection = await storage.connect()
        try:
            await keyed_insert.insert_keyed(connection, jobs, None)
        finally:
            await connection.close()

    async def insert_all() -> None:
        await asyncio.gather(*map(insert, batches))

    asyncio.run(insert_all())
    assert storage.database.deadlocks() == 0
    assert storage.value("SELECT count(*) FROM live") == len(keys)
    assert storage.value("SELECT count(*) FROM live JOIN unique_keys USING (id)") == len(keys)
