"""How many jobs a process takes, and what becomes of them when one is slow."""

import time

from rig.system import System, until


def _learn(system: System) -> None:
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))


def test_a_slow_job_in_a_batch_of_quick_ones_holds_up_neither_their_results_nor_their_run(system: System) -> None:
    """Results so far are stored and the rest is given back as soon as the batch takes too long; a second process runs it."""
    system.env.update(JOBPROC_SETTLE_EARLY_SECONDS="0.3", JOBPROC_BATCH_MILLISECONDS="10000", JOBPROC_LEASE_SECONDS="60")
    system.worker(concurrency=1).api().controller()
    _learn(system)
    jobs = system.submit_many("effect", [*[[0.001, n] for n in range(5)], [7, 5], *[[0.001, n] for n in range(6, 20)]])
    slow = jobs[5]
    until("the slow one has begun", lambda: any(line["job"] == slow for line in system.effects()))
    assert system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 20
    system.worker("second", concurrency=1)
    others = [job_id for job_id in jobs if job_id != slow]
    until("all others have ended", lambda: all(system.status(job_id) == "SUCCESS" for job_id in others))
    for job_id in jobs[:5]:
        assert system.job(job_id)["attempt"] == 1
    for job_id in jobs[6:]:
        assert [one["outcome"] for one in system.job(job_id)["attempts"]] == ["released", "success"]
    job = system.wait(slow)
    assert max(system.job(job_id)["finished_at"] for job_id in others) < job["finished_at"]
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 5, 1)
    begun = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert all(begun.count(job_id) == 1 for job_id in jobs)


def test_quick_jobs_are_settled_and_claimed_many_in_a_transaction(system: System) -> None:
    """50 ms of work by the running mean: the first claim takes one job, the next ones hundreds."""
    system.worker(concurrency=1).api()
    system.submit_many("noop", [[n] for n in range(1_000)])
    system.wait_all()
    assert system.database.one("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 1_000
    assert system.database.one("SELECT count(DISTINCT xmin::text) FROM outcomes") < 50


def test_great_results_of_quick_jobs_are_settled_few_in_a_transaction(system: System) -> None:
    """A settle costs a multiple of its results' size: sixty of a MiB made a process half a GiB large."""
    system.env.update(JOBPROC_SETTLE_EARLY_SECONDS="30", JOBPROC_BATCH_MILLISECONDS="10000", JOBPROC_LEASE_SECONDS="60")
    system.worker(concurrency=1).api()
    system.submit_many("big_result", [[1_000_000]] * 21)
    system.wait_all()
    assert system.database.one("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 21
    assert system.database.one("SELECT max(settled) FROM (SELECT count(*) AS settled FROM outcomes GROUP BY xmin::text) AS one") <= 5


def test_long_jobs_are_claimed_one_at_a_time(system: System) -> None:
    """So that none waits behind another in a process while a second one has nothing to do."""
    system.worker(concurrency=1).api()
    system.wait(system.submit("sleep", 0.1))
    system.submit_many("sleep", [[0.1]] * 6)
    held: set[int] = set()

    def look() -> bool:
        waiting, running = system.database.rows("SELECT count(*) FILTER (WHERE worker IS NULL), count(worker) FROM live")[0]
        held.add(running)
        return not waiting + running

    until("they have ended", look)
    assert max(held) == 1


def test_jobs_run_in_the_order_of_their_arrival_when_one_process_serves(system: System) -> None:
    system.worker(concurrency=1).api()
    jobs = [system.submit("effect", 0, n) for n in range(40)]
    system.wait_all()
    begun = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert begun == jobs


def test_two_queues_of_one_worker_have_their_turns(system: System) -> None:
    """A queue with a long backlog does not starve the other one: a doorbell keeps a process for no longer than serve_seconds."""
    system.env.update(JOBPROC_SERVE_SECONDS="0.2")
    system.worker(concurrency=1, queues="default,slow").api().controller()
    backlog = system.submit_many("sleep", [[0.02]] * 300)
    other = system.submit("other_queue", 1)
    began = time.monotonic()
    system.wait(other)
    assert time.monotonic() - began < 3
    assert system.database.one("SELECT count(*) FROM live WHERE id = ANY(%s::uuid[])", (backlog,)) > 100
