"""Commands about the system: profiles, raw requests, files, the doctor."""

import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ME = {"subject": "key:abc", "tenant": "default", "scopes": ["jobs:read"], "may_submit": True, "version": "0.1.0"}
QUEUE = {"queue": "mail", "queued": 0, "running": 1, "oldest_due_seconds": 0.0, "workers_alive": 2}
WORKER = {"worker": 1, "alive": True, "ended_at": None}
READY = {"ready": True, "checks": [{"name": "database", "ok": True, "detail": "answers"}]}


def test_a_login_is_tried_stored_for_its_owner_alone_and_used(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('secret"key\n'))
    monkeypatch.delenv("JOBPROC_URL")
    api.answer("GET /me", ME)
    ended = jobproc("login", "http://api.example/", "--name", "work")
    assert ended.code == 0
    assert ended.err.startswith("key:abc of tenant default: stored as profile work")
    assert api.headers[0]["Authorization"] == 'Bearer secret"key'
    file = tmp_path / "config.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    jobproc("--profile", "work", "version", "--server")
    assert api.headers[1]["Authorization"] == 'Bearer secret"key'
    assert "secret" not in jobproc("profiles", "list", "-o", "json").out.replace('"secret\\"key…"', "")
    assert jobproc("profiles", "list", "-o", "id").out == "work\n"
    assert jobproc("profiles", "delete", "work").code == 0
    assert jobproc("profiles", "list").out == ""


def test_a_key_that_is_refused_is_not_stored(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    api.refuse("GET /me", 401, "unauthenticated", "The key is not known.")
    assert jobproc("login", "http://api.example").code == 7
    assert not (tmp_path / "config.toml").exists()


def test_the_configuration_shows_no_secret(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api
    monkeypatch.setenv("JOBPROC_API_KEY", "jobproc_0123456789_secret")
    out = jobproc("config").out
    assert '"api_key":"jobproc_0123…"' in out
    assert '"variables":["JOBPROC_URL","JOBPROC_API_KEY"]' in out


def test_a_request_of_any_path(api: Any, jobproc: Callable[..., Any]) -> None:
    api.answer("GET /jobs", {"jobs": [{"id": 1}], "next": "/jobs?cursor=c"})
    api.answer("GET /jobs?cursor=c", {"jobs": [{"id": 2}], "next": None})
    api.answer("POST /keys", {"id": "k"}, 201)
    api.answer("PATCH /queues/q", {"name": "q"})
    assert jobproc("api", "get", "/jobs?limit=1", "-f", "tag=a b", "--paginate").out == '{"id":1}\n{"id":2}\n'
    jobproc("api", "POST", "/keys", "-f", "name=ci", "-f", 'scopes=["jobs:read"]')
    jobproc("api", "PATCH", "/queues/q", "--input", '{"concurrency": 3}', "--if-match", "*")
    assert api.sent == [
        ("GET /jobs?limit=1&tag=a+b", None),
        ("GET /jobs?cursor=c", None),
        ("POST /keys", {"name": "ci", "scopes": ["jobs:read"]}),
        ("PATCH /queues/q", {"concurrency": 3}),
    ]
    assert api.headers[3]["If-Match"] == "*"


FILE = """
schedules:
  - {name: nightly, cron: "0 3 * * *", job: {operation: report, input: {day: 1}}}
  - {name: hourly, cron: "@hourly", job: {operation: report}}
  - {name: same, every_seconds: 60, job: {operation: report}}
queues:
  - {name: mail, tenant: default, concurrency: 4}
  - {name: mail, rate: {per_second: 5, burst: 5}}
"""


def test_a_file_is_compared_then_applied(api: Any, jobproc: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "jobproc.yaml"
    file.write_text(FILE)
    schedules = [
        {"id": "1", "name": "hourly", "cron": None, "every_seconds": 60.0, "job": {"operation": "report"}},
        {"id": "2", "name": "same", "every_seconds": 60.0, "job": {"operation": "report", "queue": "q"}},
    ]
    api.answer("GET /me", ME)
    api.answer("GET /schedules", {"schedules": schedules, "next": None})
    policy = {"concurrency": 2, "key_rate": {"per_second": 1}}
    api.answer("GET /queues/mail", {"name": "mail", "policy": policy, "operators_policy": None})
    api.answer("POST /schedules", {"id": "3"}, 201)
    api.answer("PATCH /schedules/1", {"id": "1"})
    api.answer("PATCH /queues/mail", {"name": "mail"})
    compared = jobproc("apply", "-f", str(file), "--diff")
    assert compared.out == (
        '+ schedule nightly\n    name: null -> "nightly"\n    cron: null -> "0 3 * * *"\n'
        '    job: null -> {"operation":"report","input":{"day":1}}\n'
        '~ schedule hourly\n    every_seconds: 60.0 -> null\n    cron: null -> "@hourly"\n'
        '~ queue mail\n    concurrency: 2 -> 4\n    key_rate: {"per_second":1} -> null\n'
        '+ queue mail of all tenants\n    rate: null -> {"per_second":5,"burst":5}\n'
    )
    assert [request for request, _ in api.sent if not request.startswith("GET")] == []
    assert jobproc("apply", "-f", str(file), "--yes").code == 0
    assert [sent for sent in api.sent if not sent[0].startswith("GET")] == [
        (
            "POST /schedules",
            {"name": "nightly", "cron": "0 3 * * *", "job": {"operation": "report", "input": {"day": 1}}},
        ),
        ("PATCH /schedules/1", {"every_seconds": None, "cron": "@hourly"}),
        ("PATCH /queues/mail", {"concurrency": 4, "key_rate": None}),
        ("PATCH /queues/mail?all_tenants=true", {"rate": {"per_second": 5, "burst": 5}}),
    ]


@pytest.mark.parametrize(
    "text",
    ["[]", "other: []", "queues: [{}]", "queues: [{name: a, speed: 1}]", "queues: [{name: a, tenant: b}]", "{"],
)
def test_a_wrong_file_changes_nothing(api: Any, jobproc: Callable[..., Any], tmp_path: Path, text: str) -> None:
    file = tmp_path / "jobproc.yaml"
    file.write_text(text)
    api.answer("GET /me", ME)
    assert jobproc("apply", "-f", str(file), "--yes").code == 2
    assert {request for request, _ in api.sent} <= {"GET /me"}


DIAGNOSTICS = {
    "checks": [
        {"name": name, "ok": True, "detail": "found", "todo": None} for name in ("database", "broker", "connections")
    ]
}


def healthy(api: Any) -> None:
    api.answer("GET /readyz", READY, date="Sat, 31 Jan 2026 12:00:01 GMT")
    api.answer("GET /me", {**ME, "scopes": ["jobs:read", "admin"]})
    api.answer("GET /diagnostics", DIAGNOSTICS)
    api.answer("GET /workers", {"workers": [WORKER]})
    api.answer("GET /stats", {"queues": [QUEUE]})
    api.answer("GET /queues", {"queues": [{"name": "mail", "paused": False}], "next": None})


def test_a_healthy_system_has_no_findings(api: Any, jobproc: Callable[..., Any]) -> None:
    healthy(api)
    ended = jobproc("doctor", "-o", "id")
    assert ended == (0, "api\ndatabase\nown clock\naccess\nbroker\nconnections\nworkers\nqueue mail\n", "")


@pytest.mark.parametrize(
    ("request_", "body", "check", "todo"),
    [
        ("GET /me", {**ME, "may_submit": False}, "access", "resumes"),
        (
            "GET /diagnostics",
            {"checks": [{"name": "controller", "ok": False, "detail": "none leads", "todo": "Start one."}]},
            "controller",
            "Start one.",
        ),
        ("GET /workers", {"workers": []}, "workers", "start one"),
        ("GET /workers", {"workers": [WORKER, {**WORKER, "worker": 2, "alive": False}]}, "lost workers", "memory"),
        ("GET /stats", {"queues": [{**QUEUE, "queued": 9, "workers_alive": 0}]}, "queue mail", "start a worker"),
        ("GET /stats", {"queues": [{**QUEUE, "oldest_due_seconds": 900.0}]}, "queue mail", "add workers"),
    ],
)
def test_what_is_wrong_is_found_with_what_to_do(
    api: Any, jobproc: Callable[..., Any], request_: str, body: Any, check: str, todo: str
) -> None:
    healthy(api)
    api.answers.pop(request_)
    api.answer(request_, body)
    ended = jobproc("doctor", "-o", "table")
    assert ended.code == 10
    (line,) = [line for line in ended.out.splitlines() if line.startswith("no ")]
    assert check in line
    assert todo in line


def test_the_installation_is_not_asked_for_without_the_scope(api: Any, jobproc: Callable[..., Any]) -> None:
    healthy(api)
    for request in ("GET /me", "GET /diagnostics"):
        api.answers.pop(request)
    api.answer("GET /me", {**ME, "scopes": ["queues"]})
    ended = jobproc("doctor", "-o", "table")
    assert ended.code == 0
    assert "the scope admin is needed" in ended.out


def test_an_api_that_is_not_ready_and_a_paused_queue_are_found(
    api: Any, jobproc: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobproc.client.connection.retries import RetryPolicy

    monkeypatch.setattr(RetryPolicy.__init__, "__defaults__", (1, 0.0, 0.0, 0.0))
    healthy(api)
    for request in ("GET /readyz", "GET /queues", "GET /stats"):
        api.answers.pop(request)
    checks = [{"name": "migrations", "ok": False, "detail": "none"}]
    api.refuse("GET /readyz", 503, "not-ready", "migrations", ready=False, checks=checks)
    api.answer("GET /queues", {"queues": [{"name": "mail", "paused": True}], "next": None})
    api.answer("GET /stats", {"queues": [{**QUEUE, "queued": 3}]})
    ended = jobproc("doctor", "-o", "table")
    assert ended.code == 10
    assert "common.migrate" in ended.out
    assert "jobproc queues resume mail" in ended.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(api: Any, jobproc: Callable[..., Any], shell: str) -> None:
    assert api
    assert "_JOBPROC_COMPLETE" in jobproc("completion", shell).out


def live_lines(**parts: Any) -> list[str]:
    """Return the lines of a stream with these events."""
    events = [(f"event: {name}", f"data: {json.dumps(data)}", "") for name, data in parts.items()]
    return [line for lines in events for line in lines]


def test_top_draws_queues_and_running_jobs_and_leaves_the_terminal_as_it_was(
    api: Any, jobproc: Callable[..., Any]
) -> None:
    job = {"job_id": "j-1", "operation": "mail.send", "attempt": 1, "claimed_at": "2026-01-31T11:59:00Z"}
    stats = {"queues": [QUEUE, {**QUEUE, "queue": "late", "queued": 1_204}]}
    workers = {"alive": 2, "busy": 1, "claimed_jobs": 1, "jobs": [{"worker": 1, "host": "a", "pid": 7, **job}]}
    api.answer("GET /live", live_lines(stats=stats, workers=workers))
    ended = jobproc("top", "--times", "1", terminal=True)
    assert ended.code == 0
    assert ended.out.startswith("\x1b[?1049h")
    assert ended.out.endswith("\x1b[?1049l")
    lines = [line.removesuffix("\x1b[K") for line in ended.out.splitlines()]
    assert lines[0].endswith("1,204 jobs wait  1 of 2 worker processes are busy  Ctrl-C ends")
    assert [line.split()[0] for line in lines[3:5]] == ["late", "mail"]
    assert lines[7].split() == ["1", "a", "7", "mail.send", "j-1", "1", "1", "min", "ago"]


def test_top_shows_a_failure_and_goes_on(api: Any, jobproc: Callable[..., Any]) -> None:
    api.refuse("GET /live", 403, "scope-missing", "The key needs a scope.")
    ended = jobproc("top", "--times", "2", terminal=True)
    assert ended.code == 0
    assert ended.out.count("The key needs a scope.") == 2
    assert jobproc("top").code == 2
