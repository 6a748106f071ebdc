"""The relay against a real API and PostgreSQL: each committed row is one job, wherever a relay is killed."""

import random
import signal
from collections.abc import Callable
from functools import partial

import psycopg2
from integration.outbox.conftest import TABLE
from rig.proxy import Proxy
from rig.system import Database, System, until

from jobproc.outbox import Outbox, Relay, RelaySettings
from tools.servers import Process

OUTBOX = Outbox(TABLE)
QUICK = RelaySettings(table=TABLE, poll_seconds=0.05, backoff_seconds=0.05, lease_seconds=3, timeout_seconds=2)
SQUARE = {"data": [1, 2, 3]}


def url_of(system: System) -> str:
    return f"http://127.0.0.1:{system.port}"


def submit(shop: Database, count: int, operation: str = "square_sum", job_input: object = None) -> list[str]:
    """Submit jobs in one transaction, and return the ids of their rows."""
    with psycopg2.connect(shop.url) as connection:
        rows = [
            OUTBOX.submit(connection, operation, job_input or SQUARE, metadata={"row": number})
            for number in range(count)
        ]
    connection.close()
    return rows


def waiting(shop: Database) -> int:
    return int(shop.value("SELECT count(*) FROM jobproc_outbox WHERE due_at IS NOT NULL"))


def numbers_of_jobs(system: System) -> list[int]:
    """Return the numbers in the metadata of all jobs."""
    rows = system.database.rows("SELECT (metadata->>'row')::int FROM jobs ORDER BY 1")
    return [number for (number,) in rows]


def stored_from(system: System, goal: int) -> int | None:
    """Return the number of jobs from a goal on."""
    stored = len(numbers_of_jobs(system))
    return stored if stored >= goal else None


def relay_once(system: System, shop: Database, settings: RelaySettings = QUICK) -> Relay:
    relay = Relay.to_api(shop.url, url_of(system), settings=settings)
    relay.run(until_empty=True)
    return relay


def test_a_committed_transaction_submits_its_jobs_and_one_that_is_rolled_back_none(
    system: System, shop: Database
) -> None:
    system.all()
    connection = psycopg2.connect(shop.url)
    OUTBOX.submit(connection, "square_sum", SQUARE)
    connection.rollback()
    row = OUTBOX.submit(connection, "square_sum", SQUARE, priority=1, tags=["shop"])
    assert relay_once(system, shop).counts.accepted == 0, "it is not committed yet"
    connection.commit()
    connection.close()
    assert relay_once(system, shop).counts.accepted == 1
    ((job_id, unsure),) = shop.rows("SELECT job_id, unsure_since FROM jobproc_outbox WHERE id = %s", (row,))
    assert unsure is None
    job = system.wait(job_id)
    assert (job["status"], job["priority"], job["tags"]) == ("SUCCESS", 1, ["shop"])
    assert system.database.value("SELECT count(*) FROM jobs") == 1
    assert relay_once(system, shop).counts.accepted == 0, "it is not sent again"


def test_each_row_is_one_job_with_relays_that_are_killed_at_any_moment(
    system: System, shop: Database, relay_process: Callable[..., Process]
) -> None:
    system.api()
    count, seed = 600, random.randrange(2**32)
    chance = random.Random(seed)
    submit(shop, count)
    options = ("--lease-seconds", "1.5", "--timeout-seconds", "1", "--poll-seconds", "0.05", "--batch", "25")
    kills, stored = 0, 0
    relays = [relay_process(shop.url, url_of(system), *options) for _ in range(2)]
    while stored < count:
        goal = min(count, stored + chance.randint(1, 60))
        stored = until(
            f"a relay has sent more (seed {seed})",
            partial(stored_from, system, goal),
            pause_s=0.001,
        )
        if stored < count:
            victim = relays.pop(chance.randrange(2))
            victim.send_signal(signal.SIGKILL)
            victim.wait()
            kills += 1
            relays.append(relay_process(shop.url, url_of(system), *options))
    until("each row is marked", lambda: waiting(shop) == 0)
    assert kills >= 5
    assert numbers_of_jobs(system) == list(range(count)), f"seed {seed}"
    told = shop.rows("SELECT job_id FROM jobproc_outbox ORDER BY 1")
    assert told == system.database.rows("SELECT id::text FROM jobs ORDER BY 1")


def test_a_row_whose_response_was_lost_is_sent_again_and_is_one_job(system: System, shop: Database) -> None:
    system.api()
    proxy = Proxy(system.port)
    (row,) = submit(shop, 1)
    relay = Relay.to_api(shop.url, f"http://127.0.0.1:{proxy.port}", settings=QUICK)
    proxy.swallow()
    relay.start()
    until("the job is stored", lambda: len(numbers_of_jobs(system)) == 1)
    until("the row is unsure", lambda: shop.value("SELECT unsure_since FROM jobproc_outbox") is not None)
    until(
        "the relay knows",
        lambda: "no response" in (shop.value("SELECT coalesce(problem, '') FROM jobproc_outbox") or ""),
    )
    proxy.heal()
    until("it is accepted", lambda: waiting(shop) == 0)
    relay.stop()
    proxy.close()
    assert len(numbers_of_jobs(system)) == 1
    assert shop.value("SELECT job_id FROM jobproc_outbox WHERE id = %s", (row,)) == str(
        system.database.value("SELECT id FROM jobs")
    )


def test_a_refused_row_stays_with_the_problem_and_the_others_go_on(system: System, shop: Database) -> None:
    system.api()
    submit(shop, 3)
    (bad,) = submit(shop, 1, operation="no_such_operation")
    (wrong,) = submit(shop, 1, job_input={"data": "text"})
    submit(shop, 3)
    counts = relay_once(system, shop).counts
    assert (counts.accepted, counts.refused, counts.postponed) == (6, 2, 0)
    problems = dict(shop.rows("SELECT id, problem FROM jobproc_outbox WHERE refused_at IS NOT NULL"))
    assert problems.keys() == {bad, wrong}
    assert "unknown-operation" in problems[bad]
    assert "input.data" in problems[wrong]
    assert relay_once(system, shop).counts.refused == 0


def test_rows_wait_while_the_api_is_away(system: System, shop: Database) -> None:
    submit(shop, 20)
    relay = Relay.to_api(shop.url, url_of(system), settings=QUICK).start()
    until("a try has failed", lambda: relay.counts.postponed)
    assert shop.value("SELECT count(*) FROM jobproc_outbox WHERE unsure_since IS NOT NULL AND problem IS NOT NULL") == 0
    system.api()
    until("all are accepted", lambda: waiting(shop) == 0)
    relay.stop()
    assert numbers_of_jobs(system) == list(range(20))


def test_many_relays_beside_each_other_send_each_row_once(system: System, shop: Database) -> None:
    system.api()
    submit(shop, 300)
    relays = [Relay.to_api(shop.url, url_of(system), settings=QUICK) for _ in range(3)]
    for relay in relays:
        relay.start()
    until("all are accepted", lambda: waiting(shop) == 0)
    for relay in relays:
        relay.stop()
    assert sum(relay.counts.accepted for relay in relays) == 300
    assert numbers_of_jobs(system) == list(range(300))


def test_a_row_of_unknown_outcome_is_kept_once_its_key_may_be_forgotten(system: System, shop: Database) -> None:
    system.api()
    (row,) = submit(shop, 1)
    shop.rows("UPDATE jobproc_outbox SET unsure_since = extract(epoch FROM now()) - 80000")
    assert relay_once(system, shop).counts.refused == 1
    assert "it is unknown" in shop.value("SELECT problem FROM jobproc_outbox WHERE id = %s", (row,))
    assert numbers_of_jobs(system) == []
    shop.rows("UPDATE jobproc_outbox SET refused_at = NULL, unsure_since = NULL, due_at = 0")
    assert relay_once(system, shop).counts.accepted == 1, "as the problem says"


def test_old_accepted_rows_are_deleted(system: System, shop: Database) -> None:
    system.api()
    submit(shop, 3)
    submit(shop, 1, operation="no_such_operation")
    relay_once(system, shop)
    shop.rows("UPDATE jobproc_outbox SET sent_at = sent_at - 8 * 86400 WHERE sent_at IS NOT NULL")
    relay_once(system, shop)
    assert shop.value("SELECT count(*) FROM jobproc_outbox") == 1, "the refused one stays"
