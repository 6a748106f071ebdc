"""Batches: their size, their order, and the effect of a slow job."""

import time

from rig.system import System, until


def _learn(system: System) -> None:
    """Run quick jobs, so that the next claim takes a batch."""
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))


def test_a_slow_job_in_a_batch_delays_neither_results_nor_runs_of_quick_jobs(system: System) -> None:
    """When the batch takes too long, its results so far are stored and the rest is released to a second process."""
    system.env.update(
        JOBPROC_BATCH_MAX_SECONDS="0.3", JOBPROC_BATCH_TARGET_MILLISECONDS="10000", JOBPROC_LEASE_SECONDS="60"
    )
    system.worker(concurrency=1).api().controller()
    _learn(system)
    jobs = system.submit_many("effect", [*[[0.001, n] for n in range(5)], [7, 5], *[[0.001, n] for n in range(6, 20)]])
    slow = jobs[5]
    until("the slow job runs", lambda: any(line["job"] == slow for line in system.effects()))
    assert system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 20
    system.worker("second", concurrency=1)
    others = [job_id for job_id in jobs if job_id != slow]
    until("all other jobs have succeeded", lambda: all(system.status(job_id) == "SUCCESS" for job_id in others))
    for job_id in jobs[:5]:
        assert system.job(job_id)["attempt"] == 1
    for job_id in jobs[6:]:
        assert [attempt["outcome"] for attempt in system.job(job_id)["attempts"]] == ["released", "success"]
    job = system.wait(slow)
    assert max(system.job(job_id)["finished_at"] for job_id in others) < job["finished_at"]
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 5, 1)
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert all(started.count(job_id) == 1 for job_id in jobs)


def test_quick_jobs_are_settled_and_claimed_many_in_a_transaction(system: System) -> None:
    """A batch is 50 ms of work by the running mean: the first claim takes one job, later ones hundreds."""
    system.worker(concurrency=1).api()
    system.submit_many("noop", [[n] for n in range(1_000)])
    system.wait_all()
    assert system.database.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 1_000
    assert system.database.value("SELECT count(DISTINCT xmin::text) FROM outcomes") < 50


def test_large_results_of_quick_jobs_are_settled_few_in_a_transaction(system: System) -> None:
    """A settle needs a multiple of its results' size: sixty results of a MiB made a process half a GiB large."""
    system.env.update(
        JOBPROC_BATCH_MAX_SECONDS="30", JOBPROC_BATCH_TARGET_MILLISECONDS="10000", JOBPROC_LEASE_SECONDS="60"
    )
    system.worker(concurrency=1).api()
    system.submit_many("big_result", [[1_000_000]] * 21)
    system.wait_all()
    assert system.database.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == 21
    assert (
        system.database.value(
            "SELECT max(settled) FROM (SELECT count(*) AS settled FROM outcomes GROUP BY xmin::text) AS one"
        )
        <= 5
    )


def test_long_jobs_are_claimed_one_at_a_time(system: System) -> None:
    """Otherwise a job waits behind another in one process while a second process is idle."""
    system.worker(concurrency=1).api()
    system.wait(system.submit("sleep", 0.1))
    system.submit_many("sleep", [[0.1]] * 6)
    held: set[int] = set()

    def all_ended() -> bool:
        waiting, running = system.database.rows(
            "SELECT count(*) FILTER (WHERE worker IS NULL), count(worker) FROM live"
        )[0]
        held.add(running)
        return not waiting + running

    until("all jobs have ended", all_ended)
    assert max(held) == 1


def test_a_single_process_runs_jobs_in_order_of_arrival(system: System) -> None:
    system.worker(concurrency=1).api()
    jobs = [system.submit("effect", 0, n) for n in range(40)]
    system.wait_all()
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert started == jobs


def test_two_queues_of_one_worker_share_its_process(system: System) -> None:
    """A long backlog does not starve the other queue: a doorbell holds a process for at most its time slice."""
    system.env.update(JOBPROC_QUEUE_TIME_SLICE_SECONDS="0.2")
    system.worker(concurrency=1, queues="default,slow").api().controller()
    backlog = system.submit_many("sleep", [[0.02]] * 300)
    other = system.submit("other_queue", 1)
    began = time.monotonic()
    system.wait(other)
    assert time.monotonic() - began < 3
    assert system.database.value("SELECT count(*) FROM live WHERE id = ANY(%s::uuid[])", (backlog,)) > 100
