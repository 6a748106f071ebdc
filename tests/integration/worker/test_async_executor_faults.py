"""Jobs that run together while something goes wrong: who is charged, who goes on, who waits for whom."""

import os
import signal
import time
from collections import Counter
from itertools import groupby

from rig.scrape import Page
from rig.system import System, until

PATIENT = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_HEARTBEAT_SECONDS": "0.4"}


def begun(system: System, *jobs: str) -> int:
    """Return how many of these have begun."""
    return len({line["job"] for line in system.effects() if line["phase"] == "begin"} & set(jobs))


def outcomes(system: System, job_id: str) -> list[str]:
    return [str(one["outcome"]) for one in system.job(job_id)["attempts"]]


def test_neither_kind_waits_for_the_other_and_nothing_is_claimed_beyond_the_room(system: System) -> None:
    """One process with room for three. All that it can run together run long, and more of it waits ahead; then it is in a long plain job."""
    system.env.update(JOBPROC_ASYNC_JOBS="3")
    system.worker(concurrency=1).api()
    both = [{"operation": operation, "data": [0.01, n]} for n in range(4) for operation in ("await_effect", "effect")]
    mixed = system.client.post("/jobs/batch", json=both).json()["job_ids"]
    assert [system.wait(one)["result"] for one in mixed] == [0, 0, 1, 1, 2, 2, 3, 3]
    long = system.submit_many("await_effect", [[60, n] for n in range(8)])
    until("the room is full", lambda: begun(system, *long) == 3)
    for number in range(3):
        assert system.wait(system.submit("effect", 0.01, number), limit_s=5)["result"] == number
    assert system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 3
    for job_id in long:
        system.client.post(f"/jobs/{job_id}/cancel")
    system.wait_all()
    plain = system.submit("effect", 60, 1)
    until("the plain one runs", lambda: begun(system, plain))
    assert {system.wait(one, limit_s=5)["status"] for one in system.submit_many("await_effect", [[0.01, n] for n in range(9)])} == {"SUCCESS"}
    assert system.status(plain) == "IN_PROGRESS"


def test_one_that_lets_nothing_end_it_is_ended_with_its_process_and_alone_is_charged(system: System) -> None:
    page = Page()
    system.env.update(PATIENT, JOBPROC_CANCEL_GRACE_SECONDS="0.3")
    system.worker(concurrency=1, JOBPROC_METRICS_PORT=page.port).api()
    beside = [system.submit("await_effect", 1.5, 7), system.submit("effect", 1.5, 8)]
    until("they run", lambda: begun(system, *beside) == 2)
    overrun = system.wait(system.submit("await_limited", 60, 1))
    assert (overrun["status"], overrun["error"]["type"]) == ("FAILED", "timeout")
    assert outcomes(system, overrun["job_id"]) == ["timeout", "failed"]
    stubborn = system.submit("await_stubborn", 60)
    until("it runs", lambda: begun(system, stubborn))
    system.client.post(f"/jobs/{stubborn}/cancel")
    assert system.wait(stubborn)["status"] == "CANCELLED"
    for job_id in beside:
        assert system.wait(job_id)["status"] == "SUCCESS"
        assert set(outcomes(system, job_id)[:-1]) == {"released"}
    assert [event["reason"] for event in system.events("worker", "process_ended")] == ["timeout", "timeout", "cancelled"]
    assert page.value("jobproc_worker_processes_died_total", reason="cancelled") == 1
    assert page.value("jobproc_attempts_total", operation="await_stubborn", queue="default", outcome="cancelled") == 1


def test_one_that_blocks_the_loop_is_found_out_and_alone_is_charged(system: System) -> None:
    system.env.update(PATIENT, JOBPROC_ASYNC_BLOCK_SECONDS="0.5")
    system.worker(concurrency=1).api()
    beside = system.submit_many("await_effect", [[2, n] for n in range(5)])
    until("they run", lambda: begun(system, *beside) == 5)
    job = system.wait(system.submit("block", 60))
    assert (job["status"], job["error"]["type"], outcomes(system, job["job_id"])) == ("FAILED", "loop_blocked", ["timeout", "failed"])
    assert {system.wait(one)["status"] for one in beside} == {"SUCCESS"}
    assert {how for one in beside for how in outcomes(system, one)} == {"released", "success"}
    assert not system.database.one("SELECT count(*) FROM live")
    ended = system.events("worker", "process_ended")
    assert [(event["reason"], event["job_id"]) for event in ended] == [("loop_blocked", job["job_id"])] * 2


def test_of_those_that_ran_together_in_a_process_that_died_none_is_charged_and_each_runs_alone(system: System) -> None:
    """Whoever killed it is found by itself, then."""
    system.env.update(PATIENT, JOBPROC_MAX_CRASHES="2")
    system.worker(concurrency=1).api()
    system.wait(system.submit("await_effect", 0.01, 0))
    ended = system.submit_many("await_effect", [[0.01, n] for n in range(5)])
    system.wait_all()
    kind = [{"operation": "await_effect", "data": [0.6, n]} for n in range(5)]
    *beside, poison = system.client.post("/jobs/batch", json=[*kind, {"operation": "await_fall", "data": [0.3, 99]}]).json()["job_ids"]
    system.wait_all()
    assert (system.job(poison)["status"], system.job(poison)["error"]["type"]) == ("FAILED", "worker_lost")
    assert outcomes(system, poison) == ["released", "lost", "failed"]
    for number, job_id in enumerate(beside):
        *before, last = outcomes(system, job_id)  # released once more by each death of the poison while it waits to run alone
        assert (system.job(job_id)["result"], set(before), last) == (number, {"released"}, "success")
    assert {outcome for job_id in ended for outcome in outcomes(system, job_id)} == {"success"}
    effects = [line for line in system.effects() if line["job"] in {*beside, poison}]
    count = Counter((line["job"], line["attempt"]) for line in effects if line["phase"] == "begin")
    assert set(count.values()) == {1}
    alone = [one for one, _ in groupby((line["job"], line["attempt"]) for line in effects if line["attempt"] > 1)]
    assert len(alone) == len(set(alone)), "one began before another had ended"


def test_what_runs_when_a_worker_is_told_to_end_is_finished_and_the_rest_is_left_to_others(system: System) -> None:
    system.env.update(PATIENT, JOBPROC_ASYNC_JOBS="3")
    system.worker(concurrency=1).api()
    running = system.submit_many("await_effect", [[1.0, n] for n in range(3)])
    until("they run", lambda: begun(system, *running) == 3)
    waiting = system.submit_many("await_effect", [[0.01, n] for n in range(3)])
    assert system.end("worker", limit_s=10) == 0
    assert [system.job(one)["result"] for one in running] == [0, 1, 2]
    assert {outcome for one in running for outcome in outcomes(system, one)} == {"success"}
    assert {system.job(one)["attempt"] for one in waiting} == {0}
    assert system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0


def test_those_that_run_longer_than_the_grace_are_given_back_uncharged(system: System) -> None:
    system.env.update(PATIENT, JOBPROC_GRACE_SECONDS="0.5")
    system.worker(concurrency=1).api()
    running = system.submit_many("await_effect", [[60, n] for n in range(3)])
    until("they run", lambda: begun(system, *running) == 3)
    told = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert time.monotonic() - told < 5
    assert [(system.status(one), outcomes(system, one)) for one in running] == [("PENDING", ["released"])] * 3
    assert system.database.rows("SELECT DISTINCT attempt - released, alone FROM live") == [(0, False)]


def test_what_runs_while_connections_are_lost_runs_once_and_is_settled_after(system: System) -> None:
    """Over and over: what goes on running comes along to the next id of its process, what has ended is stored under the one before."""
    system.env.update(PATIENT)
    system.all()
    pids = set(system.children())
    jobs = system.submit_many("await_effect", [[0.1 + n % 10 / 5, n] for n in range(60)])
    until("they run", lambda: begun(system, *jobs) > 30)
    for _ in range(5):
        system.database.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name IN ('jobproc', 'jobproc-worker')"
            " AND pid <> pg_backend_pid()"
        )
        time.sleep(0.3)  # the pace of the fault, not a wait for its end
    system.wait_all()
    assert sorted(row[0] for row in system.database.rows("SELECT result::text::float8 FROM outcomes WHERE status = 'SUCCESS'")) == list(range(60))
    assert set(Counter(line["job"] for line in system.effects() if line["phase"] == "begin").values()) == {1}
    assert not system.events("worker", "results_refused")
    assert len(system.events("worker", "reconnected")) >= 5
    assert set(system.children()) == pids


def test_what_a_worker_ran_that_stood_still_past_its_lease_is_run_by_another_and_told_to_stop(system: System) -> None:
    system.worker(concurrency=1).api().controller()
    running = system.submit_many("await_effect", [[60, n] for n in range(3)])
    until("they run", lambda: begun(system, *running) == 3)
    pids = [system.processes["worker"].pid, *system.children()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until("they are given back, each to run alone", lambda: system.database.one("SELECT count(*) FROM live WHERE alone") == 3)
    system.worker("other", concurrency=1)
    until("one runs again", lambda: begun(system, *running) == 3 and {line["attempt"] for line in system.effects()} == {1, 2})
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    until("what they came to is refused", lambda: sum(event["count"] for event in system.events("worker", "results_refused")) == 3)
    assert {line["phase"] for line in system.effects()} == {"begin"}
    assert {tuple(outcomes(system, one)) for one in running} == {("released",)}
    for job_id in running:
        system.client.post(f"/jobs/{job_id}/cancel")
    assert {system.wait(one)["status"] for one in running} == {"CANCELLED"}
    assert system.wait(system.submit("await_effect", 0.01, 4))["attempt"] == 1
