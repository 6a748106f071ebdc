"""The lines of the log about failed attempts and finished jobs."""

from dataclasses import replace
from typing import Any

import pytest
import structlog

from common.domain.decisions import (
    CANCELLED,
    RELEASED,
    WORKER_LOST,
    AttemptOutcome,
    AttemptUsage,
    Decision,
    Fail,
    Failure,
    Release,
    Retry,
)
from common.domain.job import ClaimedJob
from common.settings import Settings
from worker.failures.outcome_log import OutcomeLog

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JOB = ClaimedJob("some-id", 2, 1, 3, "acme.send", None, None, TRACE, 0.25)
FAILURE = Failure(AttemptOutcome.ERROR, "ValueError", "no address", usage=AttemptUsage(0.5), traceback="Traceback …")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []

    def take(_logger: Any, level: str, event: structlog.types.EventDict) -> Any:
        entries.append({"level": level, **event})
        raise structlog.DropEvent

    monkeypatch.setattr("worker.failures.outcome_log.log", structlog.wrap_logger(None, processors=[take]))
    return entries


def log(**settings: Any) -> OutcomeLog:
    return OutcomeLog(Settings(**settings))


def test_a_retried_attempt_is_a_warning_that_says_when_it_is_tried_again(lines: list[dict[str, Any]]) -> None:
    log().attempt_failed(JOB, "mail", Retry(FAILURE, 1.23456))
    assert lines == [
        {
            "level": "warning",
            "event": "attempt_failed",
            "job_id": "some-id",
            "operation": "acme.send",
            "queue": "mail",
            "attempt": 2,
            "attempts_left": 2,
            "retry_in_s": 1.235,
            "error": "ValueError",
            "reason": "no address",
            "trace_id": "0af7651916cd43dd8448eb211c80319c",
        }
    ]


def test_a_failed_job_is_an_error_with_the_traceback(lines: list[dict[str, Any]]) -> None:
    log().attempt_failed(JOB, "mail", Fail(FAILURE))
    (line,) = lines
    assert (line["level"], line["event"], line["exception"]) == ("error", "job_failed", "Traceback …")
    assert (line["job_id"], line["queue"], line["attempt"], line["error"]) == ("some-id", "mail", 2, "ValueError")


def test_a_job_without_a_trace_has_no_trace_id(lines: list[dict[str, Any]]) -> None:
    log().attempt_failed(replace(JOB, trace=None), "mail", Fail(FAILURE))
    assert "trace_id" not in lines[0]


def test_an_attempt_that_is_not_charged_leaves_one_more(lines: list[dict[str, Any]]) -> None:
    log().attempt_failed(JOB, "mail", Release(WORKER_LOST, isolated=True))
    assert (lines[0]["attempts_left"], lines[0]["retry_in_s"], lines[0]["error"]) == (3, 0.0, "worker_lost")


@pytest.mark.parametrize("decision", [Release(RELEASED), Fail(CANCELLED)])
def test_a_released_or_cancelled_attempt_has_not_failed(lines: list[dict[str, Any]], decision: Decision) -> None:
    log().attempt_failed(JOB, "mail", decision)
    assert lines == []


def test_a_failure_of_a_cancelled_job_has_not_failed_the_job(lines: list[dict[str, Any]]) -> None:
    log(job_log_summary=True).attempt_failed(JOB, "mail", Fail(FAILURE), is_cancelled=True)
    assert [(line["event"], line["status"]) for line in lines] == [("job_finished", "CANCELLED")]


def test_failures_beyond_the_limit_are_counted_and_said(
    lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr("common.telemetry.log_limit.time.monotonic", lambda: now_s)
    monkeypatch.setattr("common.telemetry.log_limit.LogLimit.__init__.__defaults__", (1.0, lambda: now_s))
    attempt_log = log(failure_log_lines_per_second=2)
    for _ in range(10):
        attempt_log.attempt_failed(JOB, "mail", Retry(FAILURE, 1))
    attempt_log.attempt_failed(JOB, "mail", Fail(FAILURE))
    assert [line["event"] for line in lines] == ["attempt_failed", "attempt_failed", "job_failed"]
    attempt_log.say_unlogged()
    assert len(lines) == 3, "not in the same second"
    now_s += 1
    attempt_log.say_unlogged()
    attempt_log.say_unlogged()
    assert [(line["event"], line.get("count")) for line in lines[3:]] == [("failures_not_logged", 8)]
    for _ in range(3):
        attempt_log.attempt_failed(JOB, "mail", Retry(FAILURE, 1))
    now_s += 1
    attempt_log.attempt_failed(JOB, "mail", Retry(FAILURE, 1))
    assert [(line["event"], line.get("count")) for line in lines[6:]] == [
        ("failures_not_logged", 1),
        ("attempt_failed", None),
    ]


def test_no_lines_a_second_are_no_lines(lines: list[dict[str, Any]]) -> None:
    attempt_log = log(failure_log_lines_per_second=0)
    attempt_log.attempt_failed(JOB, "mail", Fail(FAILURE))
    attempt_log.say_unlogged()
    assert lines == []


def test_a_summary_is_a_line_for_each_finished_job(lines: list[dict[str, Any]]) -> None:
    from common.domain.states import State

    log().job_finished(JOB, "mail", State.SUCCESS, 0.5)
    assert lines == []
    attempt_log = log(job_log_summary=True)
    attempt_log.job_finished(JOB, "mail", State.SUCCESS, 0.12345678)
    attempt_log.attempt_failed(JOB, "mail", Fail(FAILURE))
    attempt_log.attempt_failed(JOB, "mail", Retry(FAILURE, 1))
    finished = [line for line in lines if line["event"] == "job_finished"]
    assert [(line["level"], line["status"], line["execution_s"]) for line in finished] == [
        ("info", "SUCCESS", 0.123457),
        ("info", "FAILED", 0.5),
    ]
    assert finished[0] | {"job_id": "some-id", "operation": "acme.send", "queue": "mail", "attempt": 2} == finished[0]
    assert finished[0]["waited_s"] == 0.25
