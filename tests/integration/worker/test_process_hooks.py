"""The hooks of packages in real worker processes: start, stop, and around attempts."""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from rig.packages import add_package
from rig.system import System, until

HEADER = """
import asyncio, json, os, threading, time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
import jobproc
from jobproc import Attempt, Context, RetryAfter, operation

folder = Path(os.environ["JOBPROC_TEST_FOLDER"])
jobproc_loop = None

def note(what, **facts):
    line = json.dumps({"what": what, "pid": os.getpid(), "thread": threading.current_thread().name, **facts})
    with (folder / "notes.jsonl").open("a") as file:
        file.write(line + "\\n")

@operation(name="plain", max_attempts=3, base_seconds=0.05)
def plain(seconds: float, job: Context) -> int:
    note("plain runs")
    time.sleep(seconds)
    return job.attempt

@operation(name="awaiting", max_attempts=3, base_seconds=0.05)
async def awaiting(seconds: float, job: Context) -> bool:
    note("awaiting runs")
    await asyncio.sleep(seconds)
    return asyncio.get_running_loop() is jobproc_loop
"""


def notes(system: System) -> list[dict[str, Any]]:
    file = system.folder / "notes.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def said(system: System) -> list[str]:
    return [note["what"] for note in notes(system)]


def submit(system: System, operation: str, **job_input: Any) -> str:
    response = system.client.post("/jobs/", json={"operation": operation, "input": job_input})
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


ALL = """
@jobproc.on_process_start
def first() -> None:
    note("first starts")

@jobproc.on_process_start
async def second() -> None:
    global jobproc_loop
    await asyncio.sleep(0.01)
    jobproc_loop = asyncio.get_running_loop()
    note("second starts")

@jobproc.on_process_start
def third() -> None:
    note("third starts")

@jobproc.on_process_stop
def first_stop() -> None:
    note("first stops")

@jobproc.on_process_stop
async def second_stop() -> None:
    await asyncio.sleep(0.01)
    note("second stops", same=asyncio.get_running_loop() is jobproc_loop)

@jobproc.on_process_stop
def third_stop() -> None:
    note("third stops")
    raise ValueError("the third fails")
"""


def test_hooks_run_in_each_process_in_order_and_those_of_stop_in_the_reverse_one(system: System) -> None:
    add_package(system, "acme_hooks", HEADER + ALL)
    system.worker(concurrency=2).api()
    started = notes(system)
    for pid in system.children():
        own = [note for note in started if note["pid"] == pid]
        assert [note["what"] for note in own] == ["first starts", "second starts", "third starts"]
        assert [note["thread"] for note in own] == ["MainThread", "event-loop", "MainThread"]
    assert len({note["pid"] for note in started}) == 2
    assert system.wait(submit(system, "awaiting", seconds=0))["result"] is True
    running = [submit(system, "awaiting", seconds=0.5), submit(system, "plain", seconds=0.5)]
    for job_id in running:
        system.wait_status(job_id, "IN_PROGRESS")
    until("both run", lambda: len(said(system)) == 9)
    assert system.end("worker") == 0
    assert {job["status"] for job in map(system.job, running)} == {"SUCCESS"}
    for pid in {note["pid"] for note in started}:
        own = [note for note in notes(system) if note["pid"] == pid]
        assert [note["what"] for note in own[-3:]] == ["third stops", "second stops", "first stops"]
        assert own[-2]["same"] is True
    failures = system.events("worker", "process_stop_failed")
    assert [(line["hook"], line["reason"]) for line in failures] == [
        ("acme_hooks.third_stop()", "ValueError: the third fails")
    ] * 2


FAILS_AT_FIRST = """
@jobproc.on_process_start
def connect() -> None:
    note("tries")
    if not (folder / "there").exists():
        raise ConnectionError("the shop is closed")
"""


def test_a_process_whose_start_hook_fails_says_so_and_is_replaced_after_a_pause_with_no_job_charged(
    system: System,
) -> None:
    add_package(system, "acme_fails", HEADER + FAILS_AT_FIRST)
    system.api()
    job_id = system.client.post("/jobs/", json={"operation": "square_sum", "data": [1.0]}).json()["job_id"]
    system.env["JOBPROC_PROCESS_RESTART_PAUSE_SECONDS"] = "0.5"
    system.spawn("worker", "worker", "--concurrency", "1")
    lines = until(
        "it fails", lambda: found if len(found := system.events("worker", "process_start_failed")) > 2 else []
    )
    assert {(line["hook"], line["reason"], line["pause_s"], line["level"]) for line in lines} == {
        ("acme_fails.connect()", "ConnectionError: the shop is closed", 0.5, "error")
    }
    tracebacks = system.events("worker", "process_hook_failed")
    assert "in connect" in tracebacks[0]["exception"]
    assert "Traceback" not in tracebacks[0]["event"]
    assert not system.database.value("SELECT count(*) FROM workers")
    tries = len(notes(system))
    time_of_tries = time.monotonic()
    until("it is tried again", lambda: len(notes(system)) >= tries + 3)
    assert time.monotonic() - time_of_tries > 1.0
    assert system.job(job_id)["attempt"] == 0
    (system.folder / "there").touch()
    job = system.wait(job_id)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert "exited with" not in system.log("worker")


def test_a_worker_that_pauses_after_a_failed_hook_ends_at_once(system: System) -> None:
    add_package(system, "acme_fails", HEADER + FAILS_AT_FIRST)
    system.env["JOBPROC_PROCESS_RESTART_PAUSE_SECONDS"] = "60"
    system.spawn("worker", "worker", "--concurrency", "2")
    until("they fail", lambda: len(system.events("worker", "process_start_failed")) == 2)
    began = time.monotonic()
    assert system.end("worker") == 0
    assert time.monotonic() - began < 5


SLOW = """
@jobproc.on_process_start
def load() -> None:
    note("loads")
    time.sleep(float((folder / "seconds").read_text()))
    note("loaded")
"""


def test_a_start_hook_may_take_longer_than_celery_waits_for_a_process(system: System) -> None:
    add_package(system, "acme_slow", HEADER + SLOW)
    (system.folder / "seconds").write_text("4.6")
    health = system.folder / "health"
    system.env.update(JOBPROC_HEALTH_FILE=str(health), JOBPROC_STALLED_CONSUMER_SECONDS="1")
    system.api()
    job_id = system.client.post("/jobs/", json={"operation": "square_sum", "data": [1.0]}).json()["job_id"]
    system.spawn("worker", "worker", "--concurrency", "1")
    until("it loads", lambda: said(system) == ["loads"])
    while said(system) == ["loads"]:
        if health.exists():
            assert health.read_text().splitlines()[0] == "ok"  # it is neither stalled
            assert health.read_text().splitlines()[1] == "no process has registered yet"  # nor ready
        time.sleep(0.05)
    assert system.wait(job_id)["status"] == "SUCCESS"
    assert said(system) == ["loads", "loaded"]


def test_a_start_hook_has_a_time_limit(system: System) -> None:
    add_package(system, "acme_slow", HEADER + SLOW)
    (system.folder / "seconds").write_text("60")
    system.env.update(JOBPROC_PROCESS_START_TIMEOUT_SECONDS="0.3", JOBPROC_PROCESS_RESTART_PAUSE_SECONDS="60")
    system.spawn("worker", "worker", "--concurrency", "1")
    (line,) = until("it is stopped", lambda: system.events("worker", "process_start_failed"))
    assert line["reason"] == "TimeLimitExceeded: the hooks took longer than 0.3 s"


SLOW_STOP = """
@jobproc.on_process_stop
def never_called() -> None:
    note("never")

@jobproc.on_process_stop
def hangs() -> None:
    note("hangs")
    try:
        time.sleep(60)
    except Exception:
        pass
"""


def test_stop_hooks_have_a_time_limit(system: System) -> None:
    add_package(system, "acme_slow_stop", HEADER + SLOW_STOP)
    system.worker(concurrency=1, JOBPROC_PROCESS_STOP_TIMEOUT_SECONDS="0.3")
    began = time.monotonic()
    assert system.end("worker") == 0
    assert time.monotonic() - began < 5
    assert said(system) == ["hangs"]
    (line,) = system.events("worker", "process_stop_failed")
    assert line["hook"] == "acme_slow_stop.hangs()"


AROUND = """
@jobproc.around_attempt
def translated(attempt: Attempt) -> Iterator[None]:
    note(f"{attempt.operation.name} begins", attempt=attempt.context.attempt)
    try:
        yield
    except ConnectionError as error:
        raise RetryAfter(0.05, "the shop is closed") from error
    finally:
        note(f"{attempt.operation.name} ends")

@jobproc.around_attempt
async def awaited(attempt: Attempt) -> AsyncIterator[None]:
    await asyncio.sleep(0)
    note("awaited begins")
    yield

@operation(name="shop", max_attempts=2)
def shop(job: Context) -> int:
    if job.attempt == 1:
        raise ConnectionError("refused")
    return job.attempt

@operation(name="async_shop", max_attempts=2)
async def async_shop(job: Context) -> int:
    return shop(job)

@operation(name="limited", max_attempts=1, timeout_seconds=0.2)
async def limited() -> None:
    await asyncio.sleep(60)
"""


@pytest.mark.parametrize("operation", ["shop", "async_shop"])
def test_hooks_surround_the_attempts_of_real_jobs(system: System, operation: str) -> None:
    add_package(system, "acme_around", HEADER + AROUND)
    system.worker(concurrency=1).api()
    job = system.wait(submit(system, operation))
    assert (job["status"], job["result"]) == ("SUCCESS", 2)
    first = job["attempts"][0]
    assert (first["error"]["type"], first["error"]["text"]) == ("RetryAfter", "the shop is closed")
    inner = ["awaited begins"] if operation == "async_shop" else []
    assert said(system) == [f"{operation} begins", *inner, f"{operation} ends"] * 2


def test_a_hook_ends_when_the_time_limit_of_an_async_operation_does(system: System) -> None:
    add_package(system, "acme_around", HEADER + AROUND)
    system.worker(concurrency=1).api()
    job = system.wait(submit(system, "limited"))
    assert (job["status"], job["error"]["type"]) == ("FAILED", "timeout")
    assert said(system) == ["limited begins", "awaited begins", "limited ends"]


STARTS_A_PROGRAM = """
import subprocess

@jobproc.on_process_start
def start_a_program() -> None:
    note("starts", program=subprocess.Popen(["sleep", "120"]).pid)
"""


def test_a_program_that_a_start_hook_has_started_outlives_attempts_and_ends_with_its_process(system: System) -> None:
    add_package(system, "acme_program", HEADER + STARTS_A_PROGRAM)
    system.worker(concurrency=1).api()
    assert system.wait(submit(system, "plain", seconds=0.01))["status"] == "SUCCESS"
    assert system.wait(submit(system, "plain", seconds=0.01))["status"] == "SUCCESS"
    program = Path(f"/proc/{notes(system)[0]['program']}")
    assert program.exists()
    assert not system.events("worker", "attempt_left_processes")
    system.processes["worker"].send_signal(signal.SIGTERM)
    until("the program has ended", lambda: not program.exists())
