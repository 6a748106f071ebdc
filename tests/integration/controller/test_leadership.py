"""Leader election of controllers: another one takes over when the leader ends, crashes or freezes."""

import signal
import time
from functools import partial
from typing import Any

import pytest
from rig.system import System, until

LONG = "30"  # seconds of the leader's lease: a change within a few seconds is not the end of the lease


def _leader(system: System) -> tuple[str, int]:
    """Return the leader and its term, or ("", 0) if no controller leads."""
    rows: list[tuple[Any, ...]] = system.database.rows(
        "SELECT holder, term FROM leaders WHERE until > clock_timestamp()"
    )
    return (str(rows[0][0]), int(rows[0][1])) if rows else ("", 0)


def _leads(system: System, name: str) -> bool:
    return f"-{system.processes[name].pid}-" in _leader(system)[0]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP])
def test_a_leader_that_shuts_down_hands_over_at_once(system: System, sign: signal.Signals) -> None:
    system.env["JOBPROC_LEADER_LEASE_SECONDS"] = LONG
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    until("the second stands by", lambda: system.events("second", "controller_standing_by"))
    _, term = _leader(system)
    assert system.end("first", sign) == 0
    until("the second leads", lambda: _leads(system, "second"), limit_s=2)
    assert _leader(system)[1] == term + 1
    (leading,) = until("the second says so", lambda: system.events("second", "controller_leading"))
    assert leading["term"] == term + 1


def test_a_killed_leader_is_succeeded_when_its_lease_ends_and_not_before(system: System) -> None:
    system.env["JOBPROC_LEADER_LEASE_SECONDS"] = "2"
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    began = time.monotonic()
    system.kill("first")
    until("the second leads", lambda: _leads(system, "second"), limit_s=5)
    assert time.monotonic() - began > 1.0


def test_a_running_leader_stays_leader_and_its_term_does_not_grow(system: System) -> None:
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    before = _leader(system)
    end = time.monotonic() + 2.0
    until("two leases have passed", lambda: time.monotonic() > end)
    assert _leader(system) == before


def test_a_frozen_leader_is_succeeded_and_its_return_does_no_harm(system: System) -> None:
    """A worker is killed while the leader is frozen: the successor rescues its jobs, and none is charged twice."""
    system.worker(concurrency=2).api().controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    jobs = system.submit_many("effect", [[60, 0], [60, 1]])
    until("both jobs run", lambda: len(system.effects()) == 2)
    system.kill("first", signal.SIGSTOP)
    system.kill("worker")
    until("the second leads", lambda: _leads(system, "second"), limit_s=5)
    until("the jobs are rescued", lambda: all(system.job(job_id)["attempts"] for job_id in jobs), limit_s=8)
    term = _leader(system)[1]
    system.kill("first", signal.SIGCONT)
    end = time.monotonic() + 1.5
    until("several ticks have passed", lambda: time.monotonic() > end)
    assert _leads(system, "second")
    assert _leader(system)[1] == term
    for job_id in jobs:
        assert [attempt["outcome"] for attempt in system.job(job_id)["attempts"]] == ["lost"]
        assert system.job(job_id)["attempt"] == 1


def test_a_leader_frozen_during_a_rescue_does_not_block_its_successor(system: System) -> None:
    """The frozen leader holds row locks: its successor rescues the jobs in the end, and its return changes nothing."""
    once = system.folder / "once"
    once.touch()
    system.worker(concurrency=1).api().controller(
        "first", JOBPROC_FAILPOINTS=f"rescue.between_lock_and_write=stop@{once}"
    )
    until("the first leads", lambda: _leads(system, "first"))
    job_id = system.submit("effect", 60, 1)
    until("the job runs", system.effects)
    system.kill("worker")
    until("the first is frozen during the rescue", lambda: not once.exists(), limit_s=8)
    system.controller("second")
    until("the job is rescued", lambda: system.job(job_id)["attempts"], limit_s=10)
    system.kill("first", signal.SIGCONT)
    end = time.monotonic() + 1.0
    until("several ticks have passed", lambda: time.monotonic() > end)
    assert [attempt["outcome"] for attempt in system.job(job_id)["attempts"]] == ["lost"]
    assert system.processes["first"].poll() is None


def test_two_controllers_that_both_believe_to_lead_do_no_harm(system: System) -> None:
    """Controller tasks may run twice at once; leadership only saves work. Here the two take it from each other."""
    system.env["JOBPROC_LEADER_LEASE_SECONDS"] = "0.01"
    system.env["JOBPROC_TICK_SECONDS"] = "0.05"
    system.worker(concurrency=2).api().controller("first").controller("second")
    jobs = system.submit_many("effect", [[0.05, n] for n in range(40)])
    until("some jobs run", lambda: len(system.effects()) > 4)
    system.kill("worker")
    system.worker("next", concurrency=2)
    system.wait_all()
    charged = system.database.rows("SELECT id, attempt, count(*) FROM attempts GROUP BY 1, 2 HAVING count(*) > 1")
    assert charged == []
    assert system.database.value("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == len(jobs)
    assert 1 <= system.database.value("SELECT count(*) FROM attempts WHERE outcome = 'lost'") <= 40
    for name in ("first", "second"):
        until(f"the {name} has led", partial(_leads, system, name))
    assert system.database.value("SELECT term FROM leaders") >= 4


def test_a_controller_leads_again_after_its_connections_were_terminated(system: System) -> None:
    """The connections are terminated three times."""
    system.controller("only")
    for n in range(1, 4):
        until("the controller leads", lambda: _leads(system, "only"), limit_s=5)
        until("it is logged", lambda: _terminate(system) and len(system.events("only", "database_unavailable")) >= n)  # noqa: B023 - called at once
    until("the controller leads again", lambda: _leads(system, "only"), limit_s=5)
    assert system.processes["only"].poll() is None


def _terminate(system: System) -> bool:
    """Terminate the connections that controllers have now. Return True."""
    system.database.rows(
        """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND usename = 'jobproc_test_controller'
        """
    )
    return True
