"""Actions over HTTP: what is refused and why, pages, and the promise under concurrency: a job that matched has its turn once."""

import signal
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rig.system import System, until

CANCEL = {"action": "cancel", "filter": {"tag": "x"}}
THEN = "2026-01-01T00:00:00Z"
REFUSED: list[tuple[Any, str, str]] = [
    ({"filter": {"tag": "x"}}, "action", "required"),
    ([], "", "dictionary"),
    ({"action": "delete", "filter": {"tag": "x"}}, "action", "'cancel'"),
    ({"action": "cancel"}, "filter", "required"),
    ({"action": "cancel", "filter": {}}, "filter", '"all": true'),
    ({"action": "cancel", "filter": {"status": []}}, "filter", '"all": true'),
    ({**CANCEL, "all": True}, "all", "not empty"),
    ({**CANCEL, "all": "yes"}, "all", "boolean"),
    ({**CANCEL, "zebra": 1}, "zebra", "not permitted"),
    ({"action": "cancel", "filter": {"zebra": 1}}, "filter.zebra", "not permitted"),
    ({"action": "cancel", "filter": {"status": ["DONE"]}}, "filter.status.0", "'SCHEDULED'"),
    ({"action": "cancel", "filter": {"status": ["PENDING," * 20]}}, "filter.status", "at most 20"),
    ({"action": "cancel", "filter": {f"f{number}": 1 for number in range(1_000)}}, "filter", "more fields than there are"),
    ({f"f{number}": 1 for number in range(1_000)}, "", "more fields than there are"),
    ({"action": "cancel", "filter": {"queue": " "}}, "filter.queue", "pattern"),
    ({"action": "cancel", "filter": {"status": ["FAILED"]}}, "filter.status", "acts on jobs that are IN_PROGRESS, PENDING, RETRYING, SCHEDULED"),
    ({"action": "cancel", "filter": {"error": "timeout"}}, "filter", "only finished jobs fit"),
    ({"action": "reprioritise", "filter": {"finished_after": THEN}, "priority": 1}, "filter", "only finished jobs fit"),
    ({"action": "retry", "filter": {"status": ["PENDING"]}}, "filter.status", "acts on jobs that are CANCELLED, FAILED"),
    ({"action": "retry", "filter": {"error": "x", "status": ["CANCELLED"]}}, "filter.error", "only FAILED"),
    ({"action": "reprioritise", "filter": {"status": ["IN_PROGRESS"]}, "priority": 1}, "filter.status", "PENDING, RETRYING, SCHEDULED"),
    ({"action": "cancel", "filter": {"created_after": THEN, "created_before": THEN}}, "filter.created_after", "not before"),
    ({"action": "cancel", "filter": {"created_after": "today"}}, "filter.created_after", "RFC 3339"),
    ({"action": "reprioritise", "filter": {"tag": "x"}}, "priority", "expected with reprioritise"),
    ({**CANCEL, "priority": 1}, "priority", "only with it"),
    ({"action": "reprioritise", "filter": {"tag": "x"}, "priority": 10}, "priority", "less than or equal to 9"),
    ({**CANCEL, "rate": 0}, "rate", "greater than or equal to 1"),
    ({**CANCEL, "rate": 1.5}, "rate", "integer"),
    ({**CANCEL, "rate": 2_001}, "rate", "more than 2000 jobs a second"),
]


@pytest.mark.parametrize(("body", "field", "reason"), REFUSED, ids=[f"{number} {field}" for number, (_, field, _) in enumerate(REFUSED)])
def test_what_breaks_a_rule_is_refused_by_name(served: System, refused: Callable[..., Any], body: Any, field: str, reason: str) -> None:
    errors = refused(served.client.post("/actions", json=body), 422, "invalid-body")["errors"]
    assert [one["field"] for one in errors] == [field]
    assert reason in errors[0]["reason"]


@pytest.mark.parametrize(("query", "field"), [("limit=0", "limit"), ("limit=201", "limit"), ("zebra=1", "zebra"), ("cursor=zebra", "cursor")])
def test_a_page_that_is_not_there_is_refused(served: System, refused: Callable[..., Any], query: str, field: str) -> None:
    assert [one["field"] for one in refused(served.client.get(f"/actions?{query}"), 422, "invalid-parameter")["errors"]] == [field]


@pytest.mark.parametrize("verb", ["", "/start", "/stop", "/undo"])
def test_an_action_that_nobody_made_is_not_found(served: System, refused: Callable[..., Any], verb: str) -> None:
    method = "POST" if verb else "GET"
    refused(served.client.request(method, f"/actions/{uuid.uuid4()}{verb}"), 404, "action-not-found")
    refused(served.client.request(method, f"/actions/zebra{verb}"), 422, "invalid-parameter")


def test_what_is_not_possible_in_a_phase_is_refused_with_the_phases_in_which_it_is(served: System, refused: Callable[..., Any]) -> None:
    made = act(served, "cancel", tag="nobody's")
    body = refused(served.client.post(made["links"]["undo"]), 409, "wrong-phase")
    assert body["phase"] == "PREVIEW"
    assert body["detail"] == "The action is PREVIEW; undo is possible while it is STOPPED, DONE, UNDOING, UNDONE."


def test_a_preview_says_what_it_would_do_and_where_it_is(served: System) -> None:
    answer = served.client.post("/actions", json={"action": "retry", "filter": {"error": "boom", "created_before": THEN}, "rate": 7})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == made["links"]["self"]
    assert served.client.get(made["links"]["self"]).json() == made
    assert (made["action"], made["phase"], made["rate"], made["count"], made["count_is_exact"], made["sample"]) == ("retry", "PREVIEW", 7, 0, True, [])
    assert {name: value for name, value in made["filter"].items() if value is not None} == {"status": ["FAILED"], "error": "boom", "created_before": THEN}
    assert abs(datetime.fromisoformat(made["as_of"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_pages_show_each_action_once_newest_first(served: System) -> None:
    made = [act(served, "cancel", tag=f"page-{number}")["action_id"] for number in range(5)]
    found, path = [], "/actions?limit=2"
    while path is not None:
        page = served.client.get(path).json()
        assert len(page["actions"]) <= 2
        found += [one["action_id"] for one in page["actions"]]
        path = page["next"]
    assert found[:5] == made[::-1]
    assert len(found) == len(set(found))


# --- with workers


def act(system: System, kind: str, *, rate: int = 2_000, priority: int | None = None, **filters: Any) -> dict[str, Any]:
    """Ask for an action; returns its preview."""
    body = {"action": kind, "filter": filters, "rate": rate} | ({} if priority is None else {"priority": priority})
    answer = system.client.post("/actions", json=body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def ask(system: System, action: dict[str, Any], verb: str, *phases: str) -> dict[str, Any]:
    """Start, stop or undo an action and wait until it is in one of these phases; returns it."""
    answer = system.client.post(action["links"][verb])
    assert answer.status_code == 200, answer.text

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = system.client.get(action["links"]["self"]).json()
        return found if found["phase"] in phases else None

    found: dict[str, Any] = until(f"it is {phases}", look, 30)
    return found


def tagged(system: System, count: int, operation: str = "square_sum", **options: Any) -> tuple[str, list[str]]:
    """Submit jobs with a tag of their own; returns it and their ids."""
    tag = uuid.uuid4().hex[:12]
    answer = system.client.post("/jobs/batch", json=[{"operation": operation, "data": [0.0, n], "tags": [tag], **options} for n in range(count)])
    assert answer.status_code == 202, answer.text
    return tag, answer.json()["job_ids"]


def ends(system: System, ids: list[str]) -> dict[str, list[tuple[int, str]]]:
    """Return, by job, its epochs and how they ended."""
    found: dict[str, list[tuple[int, str]]] = {job_id: [] for job_id in ids}
    rows = system.database.rows("SELECT id::text, epoch, status FROM outcomes WHERE id = ANY (%s::uuid[]) ORDER BY id, epoch", (ids,))
    for job_id, epoch, status in rows:
        found[job_id].append((epoch, status))
    return found


def test_two_thousand_jobs_are_cancelled_while_workers_take_them(shared: System) -> None:
    """Each ends in exactly one of the two ways, and the counts say so."""
    tag, ids = tagged(shared, 2_000)
    made = act(shared, "cancel", tag=tag)
    done = ask(shared, made, "start", "DONE")
    until("all have ended", lambda: not shared.database.one("SELECT count(*) FROM live WHERE id = ANY (%s::uuid[])", (ids,)))
    found = ends(shared, ids)
    assert {len(one) for one in found.values()} == {1}
    counts = {status: sum(one == [(0, status)] for one in found.values()) for status in ("SUCCESS", "CANCELLED")}
    assert sum(counts.values()) == 2_000
    assert counts["CANCELLED"] == done["done"]
    assert done["matched"] == done["done"] + sum(done["skipped"].values()) <= made["count"] <= 2_000
    assert done["progress"] == 1.0


def test_what_was_undone_runs_and_ends_once_more(shared: System) -> None:
    tag, ids = tagged(shared, 50, delay=3_600)
    before = {job_id: shared.job(job_id) for job_id in ids[:3]}
    made = act(shared, "cancel", tag=tag, status=["SCHEDULED"])
    assert (made["count"], [one["job_id"] for one in made["sample"]]) == (50, sorted(ids)[:10])
    assert ask(shared, made, "start", "DONE")["done"] == 50
    with httpx.Client(base_url=shared.client.base_url, timeout=15) as waits:
        assert waits.get(f"/jobs/{ids[0]}/result?wait=5").json()["status"] == "CANCELLED"
    undone = ask(shared, made, "undo", "UNDONE")
    assert (undone["undone"], undone["not_undone"]) == (50, {})
    for job_id, was in before.items():
        now = shared.job(job_id)
        assert [(one["epoch"], one["undo"], one["input"]) for one in now["reruns"]] == [(1, True, None)]
        assert [(one["status"], one["epoch"]) for one in now["timeline"]] == [("SCHEDULED", 0), ("CANCELLED", 0), ("SCHEDULED", 1)]
        same = set(was) - {"epoch", "reruns", "timeline"}
        assert {name: now[name] for name in same} == {name: was[name] for name in same}
        assert shared.client.get(f"/jobs/{job_id}/explain").status_code == 200
    shared.database.rows("UPDATE live SET pos = clock_timestamp() WHERE id = ANY (%s::uuid[])", (ids,))
    until("all have ended", lambda: all(one == [(0, "CANCELLED"), (1, "SUCCESS")] for one in ends(shared, ids).values()))


def test_a_client_that_waits_is_told_of_a_cancel(shared: System) -> None:
    tag, (job_id,) = tagged(shared, 1, delay=3_600)
    made = act(shared, "cancel", tag=tag)
    shared.client.post(made["links"]["start"])
    began = time.monotonic()
    assert shared.client.get(f"/jobs/{job_id}/result?wait=10").json()["status"] == "CANCELLED"
    assert time.monotonic() - began < 9


def test_what_was_retried_runs_as_if_it_had_been_retried_alone(shared: System) -> None:
    tag, ids = tagged(shared, 20, delay=3_600)
    ask(shared, act(shared, "cancel", tag=tag), "start", "DONE")
    assert ask(shared, act(shared, "retry", tag=tag, status=["CANCELLED"]), "start", "DONE")["done"] == 20
    until("all have run", lambda: all(one == [(0, "CANCELLED"), (1, "SUCCESS")] for one in ends(shared, ids).values()), 10)


def test_a_better_priority_is_that_of_the_job_until_it_is_undone(shared: System) -> None:
    tag, (job_id, *_) = tagged(shared, 3, delay=3_600)
    made = act(shared, "reprioritise", tag=tag, priority=1)
    assert ask(shared, made, "start", "DONE")["done"] == 3
    assert shared.job(job_id)["priority"] == 1
    ask(shared, made, "undo", "UNDONE")
    assert shared.job(job_id)["priority"] == 5


def test_stop_leaves_the_rest_alone_and_start_goes_on(shared: System) -> None:
    tag, ids = tagged(shared, 100, delay=3_600)
    made = act(shared, "cancel", tag=tag, rate=20)
    shared.client.post(made["links"]["start"])
    until("it has begun", lambda: shared.client.get(made["links"]["self"]).json()["done"])
    stopped = ask(shared, made, "stop", "STOPPED")
    cancelled = shared.database.one("SELECT count(*) FROM outcomes WHERE id = ANY (%s::uuid[])", (ids,))
    assert 0 < stopped["done"] == cancelled < 100, "once it is answered nothing more is done"
    assert stopped["progress"] == stopped["done"] / 100
    shared.database.rows("UPDATE actions SET rate = 2000 WHERE id = %s", (made["action_id"],))
    assert ask(shared, made, "start", "DONE")["done"] == 100
    assert [event for event in ("action_begun", "action_stopped") if not shared.events("api", event)] == []


@pytest.fixture
def led(system: System) -> System:
    """An API, and a controller that dies in the middle of a turn once it is told to."""
    system.api()
    system.controller("first", JOBPROC_ACTION_STEP_JOBS="10", JOBPROC_FAILPOINTS=f"action.before_commit=kill@{system.folder}/now")
    return system


def test_a_controller_that_dies_in_the_middle_leaves_an_action_that_the_next_one_finishes(led: System) -> None:
    tag, ids = tagged(led, 150)
    made = act(led, "cancel", tag=tag, rate=100)
    led.client.post(made["links"]["start"])
    until("it has begun", lambda: led.client.get(made["links"]["self"]).json()["done"])
    (led.folder / "now").touch()
    assert led.processes["first"].wait(10) == -signal.SIGKILL
    left = led.client.get(made["links"]["self"]).json()
    assert left["phase"] == "RUNNING" and 0 < left["done"] < 150
    assert led.database.one("SELECT count(*) FROM outcomes") == left["done"]
    led.controller("second")
    done = until("it is done", lambda: found if (found := led.client.get(made["links"]["self"]).json())["phase"] == "DONE" else None)
    assert (done["done"], done["skipped"]) == (150, {})
    assert all(one == [(0, "CANCELLED")] for one in ends(led, ids).values())
