"""Commands about jobs: ids by their ends, filters, bulk actions."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from jobproc.cli.invocation import Invocation

ID = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
OTHER = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a11"
ACTION = {
    "bulk_action_id": "a-1",
    "action": "retry",
    "phase": "PREVIEW",
    "count": 2,
    "count_is_exact": True,
    "jobs_per_second": 100,
    "sample": [{"job_id": ID, "status": "FAILED", "operation": "mail.send"}],
    "done": 0,
    "skipped": {},
}
DONE = {**ACTION, "phase": "DONE", "done": 1, "skipped": {"moved_on": 1}}


def test_an_id_may_be_its_end(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /jobs/?id_suffix=3f6c2a10&limit=10", {"jobs": [], "next": "/jobs/?cursor=c"})
    api.answer("GET /jobs/?cursor=c", {"jobs": [{"job_id": ID}], "next": None})
    api.answer(f"GET /jobs/{ID}", {"job_id": ID})
    assert jobproc("get", "3F6C2A10", "-o", "id").out == f"{ID}\n"


def test_an_end_that_no_id_has_is_5_and_one_of_several_ids_is_2(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /jobs/", {"jobs": [], "next": None})
    assert jobproc("get", "3f6c2a10").code == 5
    api.answers.clear()
    api.answer("GET /jobs/", {"jobs": [{"job_id": ID}, {"job_id": OTHER}], "next": None})
    assert jobproc("get", "3f6c2a1") == (2, "", jobproc("get", "3f6c2a1").err)


def test_the_filters_are_those_of_the_api(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /jobs/", {"jobs": [], "next": None})
    jobproc("list", "--status", "failed,cancelled", "--tag", "vip", "--sort", "finished", "--limit", "7")
    assert api.sent == [("GET /jobs/?limit=7&status=FAILED%2CCANCELLED&tag=vip&sort=finished", None)]


def test_a_bulk_action_is_previewed_started_and_followed(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("POST /bulk-actions", ACTION, 201)
    api.answer("POST /bulk-actions/a-1/start", {**ACTION, "phase": "RUNNING"})
    api.answer("GET /bulk-actions/a-1", DONE)
    ended = jobproc("retry", "--status", "FAILED", "--yes", "-o", "id")
    assert (ended.code, ended.out) == (0, "a-1\n")
    assert ended.err == (
        "retry: 2 jobs, at most 100 a second, such as\n"
        f"  {ID}  FAILED  mail.send\n"
        "1 jobs are changed, 1 skipped; to take it back: jobproc actions undo a-1\n"
    )
    assert api.sent[0] == ("POST /bulk-actions", {"action": "retry", "filter": {"status": ["FAILED"]}})
    assert api.sent[1] == ("POST /bulk-actions/a-1/start", {"count": 2})


@pytest.mark.parametrize(("answer", "sent"), [("y\n", 3), ("n\n", 1)])
def test_a_bulk_action_is_asked_for_on_a_terminal(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, answer: str, sent: int
) -> None:
    typed = io.StringIO(answer)
    monkeypatch.setattr(typed, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", typed)
    api.answer("POST /bulk-actions", ACTION, 201)
    api.answer("POST /bulk-actions/a-1/start", ACTION)
    api.answer("GET /bulk-actions/a-1", DONE)
    assert jobproc("retry", "--status", "FAILED", terminal=True).code == (0 if sent == 3 else 1)
    assert len(api.sent) == sent


def test_a_dry_run_changes_nothing(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("POST /bulk-actions", ACTION, 201)
    assert jobproc("cancel", "--all", "--dry-run").code == 0
    assert api.sent == [("POST /bulk-actions", {"action": "cancel", "filter": {}, "all": True})]


def test_jobs_are_changed_by_their_ids_and_a_refused_one_stops_no_other(api: Any, jobproc: Callable[..., Any]) -> None:
    api.refuse(f"POST /jobs/{ID}/retry", 409, "not-retryable", "It is PENDING.")
    api.answer(f"POST /jobs/{OTHER}/retry", {"job_id": OTHER, "status": "PENDING", "run": 1}, 202)
    ended = jobproc("retry", ID, OTHER, "--input", '{"data": [1]}', "-o", "id")
    assert (ended.code, ended.out) == (6, f"{OTHER}\n")
    assert ended.err == f"{ID}: It is PENDING. (409 not-retryable, request r-1)\n"
    assert api.sent[1][1] == {"input": {"data": [1]}}


def test_lines_of_stdin_become_jobs(api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"order": 1}\n\n{"order": 2}\n'))
    api.answer("POST /jobs/batch", {"job_ids": [ID, OTHER], "status": "PENDING"}, 202)
    ended = jobproc("submit", "mail.send", "-", "--tag", "nightly", "-o", "id")
    assert ended == (0, f"{ID}\n{OTHER}\n", "2 jobs are submitted\n")
    (sent,) = api.sent
    assert sent[1] == [{"operation": "mail.send", "input": {"order": number}, "tags": ["nightly"]} for number in (1, 2)]
    assert api.headers[0]["Idempotency-Key"]


def test_a_bulk_action_stops_after_the_first_jobs_and_says_how_to_go_on(api: Any, jobproc: Callable[..., Any]) -> None:
    preview = {**ACTION, "would_skip": {"input_removed": 1}, "would_skip_is_exact": False}
    api.answer("POST /bulk-actions", preview, 201)
    api.answer("POST /bulk-actions/a-1/start", {**ACTION, "phase": "RUNNING"})
    api.answer("GET /bulk-actions/a-1", {**DONE, "phase": "STOPPED", "stop_reason": "first"})
    ended = jobproc("retry", "--error-group", "3f6c2a10b4d8", "--first", "1", "--yes", "-o", "id")
    assert (ended.code, ended.out) == (0, "a-1\n")
    assert ended.err == (
        "retry: 2 jobs, at most 100 a second, such as\n"
        f"  {ID}  FAILED  mail.send\n"
        "at least 1 would be skipped: input_removed\n"
        "1 jobs are changed, 1 skipped; to take it back: jobproc actions undo a-1\n"
        "it has stopped after them; to go on: jobproc actions start a-1\n"
    )
    assert api.sent[0][1] == {"action": "retry", "filter": {"error_group": "3f6c2a10b4d8"}}
    assert api.sent[1][1] == {"count": 2, "first": 1}


def test_values_of_inputs_and_metadata_repeat_their_parameter(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /jobs/", {"jobs": [], "next": None})
    api.answer("POST /bulk-actions", ACTION, 201)
    given = ("--has-input", "order.id=7", "--has-input", "name=a,b", "--has-metadata", "customer=1")
    jobproc("list", *given, "--limit", "7")
    sent = "limit=7&input=name%3Da%2Cb&input=order.id%3D7&metadata=customer%3D1"
    assert api.sent == [(f"GET /jobs/?{sent}", None)]
    jobproc("retry", *given, "--dry-run")
    filter_ = {"input": ["order.id=7", "name=a,b"], "metadata": ["customer=1"]}
    assert api.sent[1] == ("POST /bulk-actions", {"action": "retry", "filter": filter_})


def test_error_groups_are_listed(api: Any, jobproc: Callable[..., Any]) -> None:
    group = {
        "error_group": "3f6c2a10b4d8", "operation": "mail.send", "type": "OSError", "normalised_text": "no # here",
        "count": 3_614, "first_at": "2026-01-31T11:00:00Z", "last_at": "2026-01-31T11:58:00Z",
    }  # fmt: skip
    found = {"errors": [group], "groups_total": 3, "is_complete": False, "since": "2026-01-31T11:00:00Z"}
    api.answer("GET /errors", found)
    ended = jobproc("errors", "list", "--operation", "mail.send", "--limit", "1", terminal=True)
    assert ended.out == (
        "GROUP         COUNT  OPERATION  TYPE     TEXT       FIRST    LAST\n"
        "3f6c2a10b4d8  3614   mail.send  OSError  no # here  1 h ago  2 min ago\n"
    )
    assert ended.err == (
        "these are the newest failures, since 2026-01-31T11:00:00Z; older ones are not counted\n"
        "2 smaller groups are not shown\n"
    )
    assert api.sent == [("GET /errors?limit=1&operation=mail.send", None)]


def test_a_job_is_watched_until_it_has_ended(api: Any, jobproc: Callable[..., Any]) -> None:
    lines = ["event: status", 'data: {"status": "IN_PROGRESS", "attempt": 1}', ""]
    progress = '{"status": "IN_PROGRESS", "attempt": 1, "progress": {"fraction": 0.5, "text": "half"}}'
    lines += ["event: progress", f"data: {progress}", ""]
    lines += ["event: status", 'data: {"status": "FAILED", "attempt": 1}', ""]
    api.answer(f"GET /jobs/{ID}/events", lines)
    ended = jobproc("watch", ID, terminal=True)
    assert (ended.code, ended.out.splitlines()) == (
        3,
        ["IN_PROGRESS  attempt 1", "IN_PROGRESS  attempt 1  50% half", "FAILED       attempt 1"],
    )


def test_the_reasons_of_a_state_are_sentences_on_a_terminal(api: Any, jobproc: Callable[..., Any]) -> None:
    reasons = [{"code": "queue_paused", "text": "the queue is paused", "until": None}]
    view = {"job_id": ID, "status": "PENDING", "reasons": reasons, "position": {"ahead": 3}, "expected_start": None}
    api.answer(f"GET /jobs/{ID}/explain", view)
    assert jobproc("why", ID, terminal=True).out == (
        f"{ID} is PENDING\n  queue_paused: the queue is paused\n  3 jobs are ahead of it\n"
    )


def test_the_connection_is_closed(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /stats", {"queues": []})
    jobproc("stats")
    assert api.closed == 1
    Invocation().close()  # there is none


def test_a_dry_run_prints_what_would_be_stored_and_submits_nothing(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("POST /jobs/validate", {"operation": "mail.send", "queue": "mail", "status": "SCHEDULED"})
    ended = jobproc("submit", "mail.send", '{"to": "ada"}', "--delay", "60", "--dry-run", "-o", "jsonpath=queue")
    assert ended == (0, "mail\n", "")
    body = {"operation": "mail.send", "input": {"to": "ada"}, "delay_seconds": 60}
    assert api.sent == [("POST /jobs/validate", body)]
    assert jobproc("submit", "mail.send", "-", "--dry-run").code == 2


def test_the_console_opens_on_a_terminal_and_its_url_is_written_elsewhere(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    written = jobproc("list", "--status", "failed", "--tag", "nightly", "--web").out
    assert written.endswith("/console/jobs?status=FAILED&tag=nightly\n")
    assert jobproc("open").out.endswith("/console\n")
    assert opened == []
    jobproc("open", ID, terminal=True)
    assert [url.rpartition("/console/")[2] for url in opened] == [f"jobs/{ID}"]
    assert api.sent == []
