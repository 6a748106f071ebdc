"""The exit codes and the sentences of failures."""

from collections.abc import Callable
from typing import Any

import pytest

from jobproc.cli.commands.jobs import submit
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.connection.steps import Lost

ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
RESULT = f"GET /jobs/{ID}/result"


@pytest.fixture(autouse=True)
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryPolicy.__init__, "__defaults__", (1, 0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("status", "name", "code"),
    [
        (401, "unauthenticated", 7),
        (403, "scope-missing", 7),
        (404, "job-not-found", 5),
        (410, "feed-expired", 5),
        (409, "not-retryable", 6),
        (422, "invalid-parameter", 6),
        (429, "rate-limited", 6),
        (500, "internal", 8),
        (503, "store-unavailable", 8),
    ],
)
def test_a_refusal_is_a_sentence_and_a_code(
    api: Any, jobproc: Callable[..., Any], status: int, name: str, code: int
) -> None:
    api.refuse("GET /stats", status, name, "It is so.")
    ended = jobproc("stats")
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.startswith(f"Error: It is so. ({status} {name}, request r-1)\n")


def test_a_refused_field_is_named(api: Any, jobproc: Callable[..., Any]) -> None:
    errors = [{"field": "data.0", "reason": "a number is expected"}]
    api.refuse("POST /jobs/", 422, "invalid-body", "The body is not valid.", errors=errors)
    ended = jobproc("submit", "square_sum", '{"data": ["x"]}')
    assert ended == (6, "", "Error: data.0: a number is expected (422 invalid-body, request r-1)\n")


def test_no_response_is_8(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answers["GET /stats"] = [Lost("refused", was_sent=False)]
    ended = jobproc("stats")
    assert ended.code == 8
    assert "GET http://api.example/stats: refused" in ended.err


@pytest.mark.parametrize(("status", "code"), [("SUCCESS", 0), ("FAILED", 3), ("CANCELLED", 4)])
def test_the_code_of_a_wait_is_the_fate_of_the_job(
    api: Any, jobproc: Callable[..., Any], status: str, code: int
) -> None:
    error = {"type": "E", "text": "no"} if status == "FAILED" else None
    view = {"job_id": ID, "status": status, "result": 7, "error": error, "attempt": 1}
    api.answer("POST /jobs/", {"job_id": ID, "status": "PENDING"}, 202)
    api.answer(RESULT, view)
    ended = jobproc("submit", "square_sum", "--wait")
    assert (ended.code, ended.out) == (code, "7\n" if code == 0 else "")
    assert ended.err.startswith(f"job {ID}\n")


def test_a_wait_that_is_too_short_is_9_and_names_the_job(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer(RESULT, {"job_id": ID, "status": "IN_PROGRESS", "result": None, "error": None})
    assert jobproc("result", ID, "--wait", "0") == (9, "", f"Error: job {ID} has not ended within 0 s; it goes on\n")


def test_an_interrupted_wait_says_that_the_job_goes_on(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "send", interrupted)
    ended = jobproc("result", ID)
    assert (ended.code, ended.err.strip()) == (130, f"interrupted; job {ID} goes on")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--status", "BROKEN"),
        ("list", "--created-after", "yesterday"),
        ("list", "--created-after", "2026-01-31T00:00:00"),
        ("submit", "square_sum", "{"),
        ("submit", "square_sum", "@missing.json"),
        ("submit", "--wait", "square_sum"),
        ("submit", "square_sum", "-", "--wait"),
        ("get", "no-id!"),
        ("cancel",),
        ("cancel", ID, "--status", "FAILED"),
        ("cancel", "--all"),
        ("queues", "edit", "default"),
        ("queues", "edit", "default", "--rate", "fast"),
        ("api", "GET", "jobs"),
        ("api", "GET", "/jobs", "-f", "x"),
        ("--profile", "missing", "stats"),
        ("nothing",),
    ],
)
def test_wrong_arguments_are_2(api: Any, jobproc: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    view = {"bulk_action_id": ID, "count": 3, "count_is_exact": True, "jobs_per_second": 100, "sample": []}
    api.answer("POST /bulk-actions", view)
    ended = jobproc(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Error: " in ended.err


@pytest.mark.parametrize("terminal", [True, False])
def test_control_characters_of_jobs_do_not_reach_the_terminal(
    api: Any, jobproc: Callable[..., Any], *, terminal: bool
) -> None:
    line = {"attempt": 1, "at": "t", "level": "info", "message": "\x1b[2J", "exception": "\x1b]0;x\x07"}
    api.answer(f"GET /jobs/{ID}/logs", {"lines": [line], "next": None})
    assert "\x1b" not in jobproc("logs", ID, terminal=terminal).out


def test_lines_of_stdin_are_sent_in_bounded_batches() -> None:
    assert [len(chunk) for chunk in submit.chunks(iter(range(2_500)))] == [1_000, 1_000, 500]
    assert [len(chunk) for chunk in submit.chunks(iter(["x" * 200_000] * 5))] == [2, 2, 1]
    assert list(submit.chunks(iter([]))) == []
