"""Schedules by the controller: it fires what is due, counts what became of it, and exports how late it is."""

import json

from rig.scrape import MetricsPage
from rig.system import System, until

FIRES, LATENESS = "jobproc_schedule_fires_total", "jobproc_schedule_lateness_seconds"
CREATE = """INSERT INTO schedules (id, name, cron, zone, overlap, catch_up, catch_up_within_s, catch_up_max_runs,
        jitter_s, next_at, due_at, paused, job)
    VALUES (gen_random_uuid(), %s, '0 0 1 1 *', 'UTC', 'allow', 'last', 3600, 100, 0,
            clock_timestamp() - %s * interval '1 s', clock_timestamp() - %s * interval '1 s', %s, %s)"""
JOB = json.dumps({"operation": "square_sum", "input": {"data": [1, 2, 3]}})


def _controller(system: System) -> MetricsPage:
    page = MetricsPage()
    system.controller("controller", JOBPROC_METRICS_PORT=page.port)
    return page


def test_the_leader_fires_what_is_due_and_counts_what_became_of_it(system: System) -> None:
    for name, late_s in (("due", 0), ("late", 1_800), ("too late", 7_200)):
        system.database.rows(CREATE, (name, late_s, late_s, False, JOB))
    page = _controller(system)
    until("the instants are decided", lambda: page.value(FIRES, outcome="missed") == 1)
    until("two have fired", lambda: page.value(FIRES, outcome="fired") == 2)
    assert page.value(FIRES, outcome="skipped") == 0
    assert page.value(LATENESS) == 0
    assert system.database.value("SELECT count(*) FROM live") == 2
    until("the doorbell of the queue has rung", lambda: page.value("jobproc_doorbells_total", outcome="sent"))


def test_an_instant_without_a_leader_is_late_on_every_controller(system: System) -> None:
    system.database.rows(
        "INSERT INTO leaders (name, holder, term, until) VALUES ('controller', 'another', 1, now() + interval '1 hour')"
    )
    system.database.rows(CREATE, ("late", 90, 90, False, JOB))
    system.database.rows(CREATE, ("paused", 9_000, 9_000, True, JOB))
    page = _controller(system)
    until("the controller stands by", lambda: page.value("jobproc_controller_leading") == 0)
    assert 90 <= (page.value(LATENESS) or 0) < 300
