"""Any number of controllers: one leads, and another takes over when it ends, dies or stands still."""

import signal
import time
from typing import Any

from rig.system import System, until

LONG = "30"  # seconds of lead: what happens within a few of them is not the lease running out


def _leader(system: System) -> tuple[str, int]:
    """Return who leads, and the term."""
    rows: list[tuple[Any, ...]] = system.database.rows("SELECT holder, term FROM leaders WHERE until > clock_timestamp()")
    return (str(rows[0][0]), int(rows[0][1])) if rows else ("", 0)


def _leads(system: System, name: str) -> bool:
    return f"-{system.processes[name].pid}-" in _leader(system)[0]


def test_a_leader_that_ends_hands_over_at_once(system: System) -> None:
    system.env["JOBPROC_LEADER_SECONDS"] = LONG
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    _, term = _leader(system)
    assert system.end("first", signal.SIGTERM) == 0
    until("the second leads", lambda: _leads(system, "second"), limit_s=2)
    assert _leader(system)[1] == term + 1


def test_a_leader_that_is_killed_is_succeeded_when_its_lead_ends_and_not_before(system: System) -> None:
    system.env["JOBPROC_LEADER_SECONDS"] = "2"
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    began = time.monotonic()
    system.kill("first")
    until("the second leads", lambda: _leads(system, "second"), limit_s=5)
    assert time.monotonic() - began > 1.0


def test_a_leader_stays_leader_and_its_term_does_not_grow(system: System) -> None:
    system.controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    first = _leader(system)
    ended = time.monotonic() + 2.0
    until("two leads have gone by", lambda: time.monotonic() > ended)
    assert _leader(system) == first


def test_a_frozen_leader_is_succeeded_and_its_return_does_no_harm(system: System) -> None:
    """A worker is killed while it is frozen: its successor gives the jobs back; nothing is charged or given back twice."""
    system.worker(concurrency=2).api().controller("first")
    until("the first leads", lambda: _leads(system, "first"))
    system.controller("second")
    jobs = system.submit_many("effect", [[60, 0], [60, 1]])
    until("both run", lambda: len(system.effects()) == 2)
    system.kill("first", signal.SIGSTOP)
    system.kill("worker")
    until("the second leads", lambda: _leads(system, "second"), limit_s=5)
    until("the jobs are given back", lambda: all(system.job(job_id)["attempts"] for job_id in jobs), limit_s=8)
    term = _leader(system)[1]
    system.kill("first", signal.SIGCONT)
    ended = time.monotonic() + 1.5
    until("it has had several ticks", lambda: time.monotonic() > ended)
    assert _leads(system, "second")
    assert _leader(system)[1] == term
    for job_id in jobs:
        assert [one["outcome"] for one in system.job(job_id)["attempts"]] == ["lost"]
        assert system.job(job_id)["attempt"] == 1


def test_a_leader_frozen_in_the_middle_of_a_rescue_does_not_keep_the_jobs(system: System) -> None:
    """It holds locks on what it was about to give back; the others do not wait for it for ever, and its return changes nothing."""
    once = system.folder / "once"
    once.touch()
    system.worker(concurrency=1).api().controller("first", JOBPROC_FAILPOINTS=f"sweep.between_select_and_update=stop@{once}")
    until("the first leads", lambda: _leads(system, "first"))
    job_id = system.submit("effect", 60, 1)
    until("it runs", system.effects)
    system.kill("worker")
    until("the first stands still in the middle", lambda: not once.exists(), limit_s=8)
    system.controller("second")
    until("the job is given back", lambda: system.job(job_id)["attempts"], limit_s=10)
    system.kill("first", signal.SIGCONT)
    ended = time.monotonic() + 1.0
    until("it has had several ticks", lambda: time.monotonic() > ended)
    assert [one["outcome"] for one in system.job(job_id)["attempts"]] == ["lost"]
    assert system.processes["first"].poll() is None


def test_two_that_both_believe_to_lead_do_no_harm(system: System) -> None:
    """The work of a tick is safe twice at once: leading only saves it. Here each takes the lead from the other all the time."""
    system.env["JOBPROC_LEADER_SECONDS"] = "0.01"
    system.env["JOBPROC_TICK_SECONDS"] = "0.05"
    system.worker(concurrency=2).api().controller("first").controller("second")
    jobs = system.submit_many("effect", [[0.05, n] for n in range(40)])
    until("some run", lambda: len(system.effects()) > 4)
    system.kill("worker")
    system.worker("next", concurrency=2)
    system.wait_all()
    charged = system.database.rows("SELECT id, attempt, count(*) FROM attempts GROUP BY 1, 2 HAVING count(*) > 1")
    assert charged == []
    assert system.database.one("SELECT count(*) FROM outcomes WHERE status = 'SUCCESS'") == len(jobs)
    assert 1 <= system.database.one("SELECT count(*) FROM attempts WHERE ended = 'lost'") <= 40
    for name in ("first", "second"):
        until(f"the {name} has led", lambda: f"-{system.processes[name].pid}-" in system.database.one("SELECT holder FROM leaders"))  # noqa: B023 - called at once
    assert system.database.one("SELECT term FROM leaders") >= 4


def test_a_controller_whose_database_goes_away_and_comes_back_leads_on(system: System) -> None:
    """Its connections are closed under it, over and over."""
    system.controller("only")
    for n in range(1, 4):
        until("it leads", lambda: _leads(system, "only"), limit_s=5)
        until("it has noticed", lambda: _cut(system) and len(system.events("only", "database_away")) >= n)  # noqa: B023 - called at once
    until("it leads again", lambda: _leads(system, "only"), limit_s=5)
    assert system.processes["only"].poll() is None


def _cut(system: System) -> bool:
    """Close the connections of controllers that are there now."""
    system.database.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'jobproc-controller'"
    )
    return True
