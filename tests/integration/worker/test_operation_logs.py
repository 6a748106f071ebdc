"""The lines of operations: in the worker's log with their job, and beside the job, whatever happens to the attempt."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from rig.proxy import Proxy
from rig.scrape import MetricsPage
from rig.system import System, until

DROPPED = "jobproc_job_log_lines_dropped_total"


def logged(system: System, job_id: str) -> list[dict[str, Any]]:
    """Return the lines of a job in the worker's log."""
    return [line for line in system.events("worker", "operation_log") if line["job_id"] == job_id]


def stored(system: System, job_id: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return all stored lines of a job, page by page."""
    lines, url = [], system.client.get(f"/jobs/{job_id}/logs", params=parameters).request.url
    while True:
        page = system.client.get(url).json()
        lines += page["lines"]
        if page["next"] is None:
            return lines
        url = system.client.base_url.join(page["next"])


def messages(system: System, job_id: str) -> list[str]:
    return [line["message"] for line in stored(system, job_id)]


def messages_with(system: System, job_id: str, last: str) -> list[str]:
    """Return the stored texts of a job once the last one is there."""
    return list(until(f"{last!r} is stored", lambda: found if last in (found := messages(system, job_id)) else None))


def test_every_kind_of_line_is_logged_with_its_job_and_stored_with_it(system: System) -> None:
    """The package has taken the handlers of the root logger away, and configured structlog for itself."""
    system.all()
    job_id = system.submit("say", 3)
    assert system.wait(job_id)["result"] == 3
    expected = [
        ("info", "acme.reports", "3 rows"),
        ("info", "structlog", "sent to='ann'"),
        ("info", "stdout", "printed 1"),
        ("info", "stdout", "in parts, one line"),
        ("info", "stderr", "100 %"),
        ("error", "acme.reports", "it failed"),
        ("info", "acme.reports", "'%d' cannot be formatted: TypeError"),
        ("info", "acme.reports", "'%s' cannot be formatted: RuntimeError"),
        ("warning", "acme.reports", "NUL � and ?"),
    ]
    messages_with(system, job_id, expected[-1][2])
    for lines in (logged(system, job_id), stored(system, job_id)):
        assert [(line["level"], line["logger"], line["message"]) for line in lines] == expected
        assert "ValueError: no" in lines[5]["exception"]
    assert [line["line"] for line in stored(system, job_id)] == list(range(1, 10))
    assert {(line["operation"], line["queue"], line["attempt"]) for line in logged(system, job_id)} == {
        ("say", "default", 1)
    }
    plain = system.log("worker").splitlines()
    assert {"binary", "of a program"} <= set(plain), "bytes and programs write to the stream itself"
    assert not [line for line in plain if line.startswith("own ")], "nothing is printed twice"


def test_a_line_has_the_trace_of_its_job(system: System) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    system.worker(concurrency=1).api()
    job_id = system.submit("noop", 1)
    system.wait(job_id)
    system.end("worker")
    job_id = system.submit("say", 1)
    system.database.rows("UPDATE jobs SET trace = %s WHERE id = %s", (f"00-{trace_id}-b7ad6b7169203331-01", job_id))
    system.worker(concurrency=1)
    system.wait(job_id)
    assert {line["trace_id"] for line in logged(system, job_id)} == {trace_id}


def test_threads_pools_and_forks_log_as_the_attempt_that_started_them(system: System) -> None:
    system.api().worker(concurrency=1)
    jobs = [system.submit("say_in_threads", number) for number in (1, 2)]
    for number, job_id in enumerate(jobs, 1):
        system.wait(job_id)
        expected = ["thread", "in a thread of its own", f"in a pool, for {number}"]
        lines = [line["message"] for line in logged(system, job_id)]
        assert lines[:4] == [*expected, "in a fork"]
        assert lines[-1] == "ZeroDivisionError: division by zero", "what ends a thread is printed"
        assert messages_with(system, job_id, lines[-1]) == [*expected, *lines[4:]], "a fork's lines are only logged"


def test_a_thread_that_outlives_its_attempt_logs_for_no_job(system: System) -> None:
    system.api().worker(concurrency=1)
    job_id = system.submit("leave_talker", 2)
    system.wait(job_id)
    count = len(logged(system, job_id))
    after = system.submit("say", 1)
    system.wait(after)
    assert "left behind" not in [line["message"] for line in logged(system, after)]
    assert len(logged(system, job_id)) == count


def test_async_jobs_of_one_process_log_each_for_itself(system: System) -> None:
    system.api().worker(concurrency=1)
    jobs = system.submit_many("await_say", [[number] for number in range(20)])
    for number, job_id in enumerate(jobs):
        system.wait(job_id)
        expected = [f"{kind} {number}" for kind in ("begin", "task", "thread", "executor")]
        assert messages_with(system, job_id, expected[-1]) == expected
        assert [line["message"] for line in logged(system, job_id)] == expected


@pytest.mark.parametrize("signal_number", [9, 11])
def test_an_attempt_that_dies_keeps_what_it_said_until_then(system: System, signal_number: int) -> None:
    system.api().worker(concurrency=1)
    job_id = system.submit("say_and_die", float(signal_number == 11))
    assert system.wait(job_id)["result"] == 2
    messages_with(system, job_id, "attempt 2")
    assert [(line["attempt"], line["message"]) for line in stored(system, job_id)] == [
        (1, "attempt 1"),
        (2, "attempt 2"),
    ]
    assert [line["message"] for line in stored(system, job_id, attempt=1)] == ["attempt 1"]


def test_lines_of_a_manual_retry_are_of_a_run_of_their_own(system: System) -> None:
    system.api().worker(concurrency=1)
    job_id = system.submit("say_and_die", 0)
    system.wait(job_id)
    system.database.rows("UPDATE outcomes SET status = 'CANCELLED', result = NULL WHERE id = %s", (job_id,))
    assert system.client.post(f"/jobs/{job_id}/retry").status_code == 202
    system.wait(job_id)
    until("both attempts are stored", lambda: len(stored(system, job_id)) == 2)
    assert system.client.get(f"/jobs/{job_id}/logs").json()["run"] == 1
    assert [line["message"] for line in stored(system, job_id, run=0)] == ["attempt 1", "attempt 2"]


def test_lines_are_stored_while_the_attempt_runs(system: System) -> None:
    system.api().worker(concurrency=1)
    job_id = system.submit("say_then_wait", 1)
    system.wait_status(job_id, "IN_PROGRESS")
    began = time.monotonic()
    assert messages_with(system, job_id, "before") == ["before"]
    assert time.monotonic() - began < 3
    assert system.status(job_id) == "IN_PROGRESS"
    (system.folder / "go").touch()
    assert messages_with(system, job_id, "after") == ["before", "after"]


def test_an_attempt_that_logs_too_much_keeps_its_last_lines_and_says_how_many_were_dropped(system: System) -> None:
    page = MetricsPage()
    system.api().worker(
        concurrency=1,
        JOBPROC_METRICS_PORT=page.port,
        JOBPROC_OPERATION_LOG_LINES_PER_SECOND="500",
        JOBPROC_JOB_LOG_BYTES="8000",
    )
    job_id = system.submit("say_often", 20_000, 10_000)
    assert system.wait(job_id)["result"] == 20_000
    lines = logged(system, job_id)
    own = [line["message"] for line in lines if line["logger"] == "jobproc"]
    dropped = sum(int(text.split()[0]) for text in own)
    assert dropped + len(lines) - len(own) == 20_000
    assert own[-1].endswith("lines were dropped: there were more than 500 in a second")
    assert page.value(DROPPED, reason="rate") == dropped
    # Not by its text: the last line may be one of the operation's, and each second may have dropped as many.
    kept = until(
        "the last line is stored",
        lambda: found if (found := stored(system, job_id)) and found[-1]["line"] == len(lines) else None,
    )
    assert [line["message"] for line in kept] == [line["message"] for line in lines[-len(kept) :]]
    size = "SELECT sum(octet_length(lines::text)) FROM job_logs WHERE id = %s"
    until("what is too much is deleted", lambda: 5_000 < system.database.value(size, (job_id,)) <= 8_000)


def test_a_job_that_logs_nothing_costs_nothing(system: System) -> None:
    system.api().worker(concurrency=1)
    jobs = system.submit_many("noop", [[1]] * 200)
    for job_id in jobs[-1:]:
        system.wait(job_id)
    assert system.database.value("SELECT count(*) FROM job_logs") == 0
    assert not system.database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%job-logs' AND datname = current_database()"
    )
    assert system.client.get(f"/jobs/{jobs[-1]}/logs").json()["lines"] == []


def test_nothing_is_stored_if_the_logs_of_jobs_are_off(system: System) -> None:
    system.api().worker(concurrency=1, JOBPROC_JOB_LOG_BYTES="0")
    job_id = system.submit("say", 1)
    system.wait(job_id)
    assert len(logged(system, job_id)) == 9
    system.end("worker")
    assert system.database.value("SELECT count(*) FROM job_logs") == 0


def test_the_level_of_operations_is_their_own(system: System) -> None:
    system.api().worker(concurrency=1, JOBPROC_OPERATION_LOG_LEVEL="warning")
    job_id = system.submit("say", 1)
    system.wait(job_id)
    assert [line["level"] for line in logged(system, job_id)] == ["error", "warning"]
    assert "printed 1" in system.log("worker").splitlines(), "printed as it is"


def test_an_unavailable_database_delays_no_operation_and_lines_that_find_no_room_are_counted(
    make_system: Callable[..., System], database_url: str, redis_url: str
) -> None:
    page = MetricsPage()
    with Proxy.before(database_url) as proxy:
        system = make_system(database_url, redis_url)
        system.api()
        system.worker(
            concurrency=1,
            DATABASE_URL=proxy.url_of(database_url),
            JOBPROC_METRICS_PORT=page.port,
            JOBPROC_JOB_LOG_BUFFER_BYTES="65536",
            JOBPROC_OPERATION_LOG_LINES_PER_SECOND="100000",
            JOBPROC_LEASE_SECONDS="60",
        )
        job_id = system.submit("say_often", 2_000, 1_000)
        until("it has begun", lambda: logged(system, job_id))
        proxy.refuse()
        until("lines are dropped", lambda: page.value(DROPPED, reason="buffer"))
        until("it goes on", lambda: "line 1999 of 2000" in [line["message"] for line in logged(system, job_id)], 10)
        proxy.heal()
        assert system.wait(job_id)["result"] == 2_000
        kept = until("lines are stored again", lambda: messages(system, job_id))
        assert len(kept) < 2_000
