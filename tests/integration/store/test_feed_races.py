"""The change feed beside writers that stall, roll back and are killed, and beside other readers."""

import asyncio
import random
import threading
import time
from collections import defaultdict

import psycopg2
import pytest
from integration.store.support.feed import follow, members, numbers, read
from integration.store.support.storage import Storage
from rig.system import until

from common.domain.errors import FeedNotSwitched
from common.store.feed import numbering, reads, retention
from common.store.feed.reads import FeedChange
from worker.controller.feed.pages import FeedPages

WRITERS, SECONDS, JOBS = 6, 4.0, 60
# Each committed change of a row counts its `rev` up by one, so the feed must have each of them.
CHANGE = """
WITH mine AS MATERIALIZED (SELECT id FROM live WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE)
UPDATE live SET worker = CASE WHEN worker IS NULL THEN 1 END,
                started_at = CASE WHEN worker IS NULL THEN clock_timestamp() END, rev = rev + 1
FROM mine WHERE live.id = mine.id
"""


def write(storage: Storage, jobs: list[str], seed: int, stop: threading.Event) -> None:
    """Change jobs in transactions; some wait, are rolled back, or lose their session."""
    chance, session = random.Random(seed), storage.session()
    while not stop.is_set():
        try:
            with session.cursor() as cursor:
                if chance.random() < 0.5:
                    cursor.execute("SELECT pg_current_xact_id()")
                if chance.random() < 0.3:
                    stop.wait(chance.random() * 0.02)
                cursor.execute(CHANGE, (sorted(chance.sample(jobs, chance.randint(1, 6))),))
                if chance.random() < 0.3:
                    stop.wait(chance.random() * 0.03)
                if chance.random() < 0.02:
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            if chance.random() < 0.1:
                session.rollback()
            else:
                session.commit()
        except psycopg2.OperationalError:
            session = storage.session()


async def follow_feed(storage: Storage, found: list[FeedChange], stop: threading.Event) -> None:
    """Number and read as the API does, until nothing is left after `stop`."""
    connection = await storage.connect()
    after = 0
    while True:
        is_last = stop.is_set()
        _, count = await numbering.number(connection, 1)
        page = await reads.read(connection, 1, after)
        found += page.changes
        after = page.last
        if is_last and not count and not page.changes:
            break
        await asyncio.sleep(0.005)
    await connection.close()


def test_every_reader_sees_every_change_once_and_in_one_order(storage: Storage) -> None:
    jobs = storage.submit(JOBS)
    follow(storage)
    stop, written = threading.Event(), threading.Event()
    seen: list[list[FeedChange]] = [[], [], []]
    readers = [
        threading.Thread(target=lambda found=found: asyncio.run(follow_feed(storage, found, written))) for found in seen
    ]
    writers = [threading.Thread(target=write, args=(storage, jobs, seed, stop)) for seed in range(WRITERS)]
    for thread in (*readers, *writers):
        thread.start()
    time.sleep(SECONDS)  # the time for which they race
    stop.set()
    for thread in writers:
        thread.join()
    written.set()
    for thread in readers:
        thread.join()
    assert [change.number for change in seen[0]] == list(range(1, len(seen[0]) + 1))
    assert len(seen[0]) > 500
    assert seen[0] == seen[1] == seen[2] == list(read(storage).changes)
    revisions = defaultdict(list)
    for change in members(read(storage)):
        revisions[change["job_id"]].append(change["revision"])
    last = dict(storage.rows("SELECT id::text, rev FROM live"))
    assert revisions == {job: list(range(1, last[job] + 1)) for job in jobs if last[job]}
    assert storage.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0


def test_a_change_that_commits_late_gets_a_later_number(storage: Storage) -> None:
    first, second = storage.submit(2)
    follow(storage)
    late = storage.session()
    with late.cursor() as cursor:
        cursor.execute(CHANGE, ([first],))
    with storage.session() as session, session.cursor() as cursor:
        cursor.execute(CHANGE, ([second],))
    assert [change["job_id"] for change in members(read(storage))] == [second]
    late.commit()
    feed = read(storage)
    assert (numbers(feed), [change["job_id"] for change in members(feed)]) == ([1, 2], [second, first])


def test_the_feed_begins_with_the_switch(storage: Storage) -> None:
    jobs = storage.submit(JOBS)
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(storage, jobs, seed, stop)) for seed in range(3)]
    for thread in writers:
        thread.start()
    try:
        until("jobs have changed", lambda: storage.value("SELECT max(rev) FROM live") > 3)
        until("the queue is followed", lambda: try_to_follow(storage))
        before = dict(storage.rows("SELECT id::text, rev FROM live"))
        until("jobs have changed", lambda: storage.value("SELECT min(rev) FROM live") > max(before.values()))
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    last = dict(storage.rows("SELECT id::text, rev FROM live"))
    revisions = defaultdict(list)
    for change in members(read(storage)):
        revisions[change["job_id"]].append(change["revision"])
    for job in jobs:
        assert revisions[job] == list(range(revisions[job][0], last[job] + 1))
        assert revisions[job][0] <= before[job] + 1, "each change after the switch"


def try_to_follow(storage: Storage) -> bool:
    try:
        return follow(storage)
    except FeedNotSwitched:
        return False


def test_a_numbering_that_is_killed_leaves_the_changes_to_the_next(storage: Storage) -> None:
    follow(storage)
    jobs = storage.submit(3)
    session = storage.session()
    with session.cursor() as cursor:
        cursor.execute("INSERT INTO feeds (tenant) VALUES (1)")
    session.commit()
    killed = storage.connection()

    def number_and_die() -> None:
        with killed.transaction():
            last = killed.run(numbering.LOCK, (1,))[0][0]
            assert killed.run(numbering.NUMBER, (1, last, 2))
            pid = killed.driver_connection.info.backend_pid
            storage.rows("SELECT pg_terminate_backend(%s)", (pid,))
            killed.run(numbering.LOCK, (1,))

    with pytest.raises(psycopg2.OperationalError):
        number_and_die()
    feed = read(storage)
    assert numbers(feed) == [1, 2, 3]
    assert [change["job_id"] for change in members(feed)] == jobs


def test_the_controller_numbers_what_nobody_reads_and_deletes_what_is_old(storage: Storage) -> None:
    follow(storage)
    storage.submit(25)
    connection = storage.connection()
    assert retention.lag_s(connection) > 0
    pages = FeedPages(storage.settings)
    assert pages.number(connection) == 25
    assert pages.number(connection) == 0 == retention.lag_s(connection)
    assert storage.value("SELECT count(*) FROM feed_changes") == 0
    storage.submit(5)
    pages.number(connection)
    pages.delete_old(connection)
    assert len(read(storage).changes) == 30
    storage.rows("UPDATE feed_pages SET numbered_at = numbered_at - interval '73 h' WHERE last_number = 25")
    pages.delete_old(connection)
    feed = read(storage)
    assert (numbers(feed), storage.value("SELECT deleted_to FROM feeds")) == ([26, 27, 28, 29, 30], 25)
    storage.submit(1)
    pages.number(connection)
    assert retention.delete_old(connection, 72, 1, 10) == 1, "all but the newest change"
    assert numbers(read(storage)) == [31]
