"""Requests of bulk actions over HTTP: validation, phases, previews, pages."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from integration.api.support.bulk_actions import preview
from rig.system import System, until

CANCEL = {"action": "cancel", "filter": {"tag": "x"}}
INSTANT = "2026-01-01T00:00:00Z"
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
    (
        {"action": "cancel", "filter": {f"f{number}": 1 for number in range(1_000)}},
        "filter",
        "more fields than the schema defines",
    ),
    ({f"f{number}": 1 for number in range(1_000)}, "", "more fields than the schema defines"),
    ({"action": "cancel", "filter": {"queue": " "}}, "filter.queue", "pattern"),
    ({"action": "cancel", "filter": {"tag": "a\x00"}}, "filter.tag", "pattern"),
    ({"action": "cancel", "filter": {"operation": "\x00"}}, "filter.operation", "pattern"),
    ({"action": "retry", "filter": {"error": "\x00b"}}, "filter.error", "pattern"),
    (
        {"action": "cancel", "filter": {"status": ["FAILED"]}},
        "filter.status",
        "acts on jobs that are BLOCKED, IN_PROGRESS, PENDING, RETRYING, SCHEDULED",
    ),
    ({"action": "cancel", "filter": {"error": "timeout"}}, "filter", "matches only finished jobs"),
    (
        {"action": "reprioritise", "filter": {"finished_after": INSTANT}, "priority": 1},
        "filter",
        "matches only finished jobs",
    ),
    (
        {"action": "retry", "filter": {"status": ["PENDING"]}},
        "filter.status",
        "acts on jobs that are CANCELLED, FAILED",
    ),
    ({"action": "retry", "filter": {"error": "x", "status": ["CANCELLED"]}}, "filter.error", "only FAILED"),
    (
        {"action": "reprioritise", "filter": {"status": ["IN_PROGRESS"]}, "priority": 1},
        "filter.status",
        "PENDING, RETRYING, SCHEDULED",
    ),
    (
        {"action": "cancel", "filter": {"created_after": INSTANT, "created_before": INSTANT}},
        "filter.created_after",
        "not before",
    ),
    ({"action": "cancel", "filter": {"created_after": "today"}}, "filter.created_after", "RFC 3339"),
    ({"action": "reprioritise", "filter": {"tag": "x"}}, "priority", "required with reprioritise"),
    ({**CANCEL, "priority": 1}, "priority", "only with it"),
    ({"action": "reprioritise", "filter": {"tag": "x"}, "priority": 10}, "priority", "less than or equal to 9"),
    ({**CANCEL, "jobs_per_second": 0}, "jobs_per_second", "greater than or equal to 1"),
    ({**CANCEL, "jobs_per_second": 1.5}, "jobs_per_second", "integer"),
    ({**CANCEL, "jobs_per_second": 2_001}, "jobs_per_second", "more than 2000 jobs a second"),
]


@pytest.mark.parametrize(
    ("body", "field", "reason"), REFUSED, ids=[f"{number} {field}" for number, (_, field, _) in enumerate(REFUSED)]
)
def test_a_body_that_breaks_a_rule_is_refused_by_field(
    read_only_system: System, assert_problem: Callable[..., Any], body: Any, field: str, reason: str
) -> None:
    errors = assert_problem(read_only_system.client.post("/bulk-actions", json=body), 422, "invalid-body")["errors"]
    assert [error["field"] for error in errors] == [field]
    assert reason in errors[0]["reason"]


@pytest.mark.parametrize(
    ("query", "field"), [("limit=0", "limit"), ("limit=201", "limit"), ("zebra=1", "zebra"), ("cursor=zebra", "cursor")]
)
def test_an_invalid_parameter_of_the_list_is_refused(
    read_only_system: System, assert_problem: Callable[..., Any], query: str, field: str
) -> None:
    assert [
        error["field"]
        for error in assert_problem(read_only_system.client.get(f"/bulk-actions?{query}"), 422, "invalid-parameter")[
            "errors"
        ]
    ] == [field]


@pytest.mark.parametrize("verb", ["", "/start", "/stop", "/undo"])
def test_an_unknown_bulk_action_is_not_found(
    read_only_system: System, assert_problem: Callable[..., Any], verb: str
) -> None:
    method = "POST" if verb else "GET"
    assert_problem(
        read_only_system.client.request(method, f"/bulk-actions/{uuid.uuid4()}{verb}"), 404, "bulk-action-not-found"
    )
    assert_problem(read_only_system.client.request(method, f"/bulk-actions/zebra{verb}"), 422, "invalid-parameter")


def test_a_command_that_is_impossible_in_the_phase_is_refused_with_the_possible_phases(
    read_only_system: System, assert_problem: Callable[..., Any]
) -> None:
    action = preview(read_only_system, "cancel", tag="nobody's")
    body = assert_problem(read_only_system.client.post(action["links"]["undo"]), 409, "wrong-phase")
    assert body["phase"] == "PREVIEW"
    assert body["detail"] == "The action is PREVIEW; undo is possible while it is STOPPED, DONE, UNDOING, UNDONE."


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ([], "", "dictionary"),
        ({"count": -1}, "count", "greater than or equal to 0"),
        ({"count": "3"}, "count", "integer"),
        ({"count": True}, "count", "integer"),
        ({"count": 1e300}, "count", "integer"),
        ({"count": 1 << 63}, "count", "less than"),
        ({"zebra": 1}, "zebra", "not permitted"),
        ({f"f{number}": 1 for number in range(1_000)}, "", "more fields than the schema defines"),
    ],
)
def test_a_body_of_a_start_that_breaks_a_rule_is_refused_by_field(
    read_only_system: System, assert_problem: Callable[..., Any], body: Any, field: str, reason: str
) -> None:
    path = f"/bulk-actions/{uuid.uuid4()}/start"
    (error,) = assert_problem(read_only_system.client.post(path, json=body), 422, "invalid-body")["errors"]
    assert error["field"] == field and reason in error["reason"]


def test_an_action_on_all_jobs_starts_only_with_the_count_of_its_preview(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api()
    system.submit_many("square_sum", [[1], [2], [3]])
    action = system.client.post("/bulk-actions", json={"action": "cancel", "filter": {}, "all": True}).json()
    start = action["links"]["start"]
    for body in ({}, {"count": None}, {"count": 2}):
        problem = assert_problem(system.client.post(start, json=body), 409, "count-not-confirmed")
        assert problem["count"] == action["count"] == 3
        assert '{"count": 3}' in problem["detail"]
    assert_problem(system.client.post(start), 409, "count-not-confirmed")
    assert system.client.get(action["links"]["self"]).json()["phase"] == "PREVIEW"
    assert system.client.post(start, json={"count": 3}).json()["phase"] == "RUNNING"


def test_previews_beyond_the_limit_are_refused_until_one_is_old_enough(
    system: System, assert_problem: Callable[..., Any]
) -> None:
    system.api(JOBPROC_BULK_ACTION_MAX_PREVIEWS="2")
    first, _ = preview(system, "cancel", tag="a"), preview(system, "cancel", tag="b")
    response = system.client.post("/bulk-actions", json=CANCEL)
    assert_problem(response, 429, "too-many-previews")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert system.client.get(first["links"]["self"]).json()["phase"] == "PREVIEW"
    system.database.rows("UPDATE bulk_actions SET created_at = created_at - interval '1 min'")
    preview(system, "cancel", tag="c")
    assert_problem(system.client.post(first["links"]["start"]), 409, "wrong-phase")


def test_previews_at_the_same_time_leave_the_pool_to_other_requests(system: System) -> None:
    """Each took a connection of the five for as long as it counted, so everything else waited or got 503."""
    system.api()
    job_id = system.submit("square_sum", 1)
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with ThreadPoolExecutor(8) as clients, closing(psycopg2.connect(system.database.url)) as blocker:
        blocker.cursor().execute("LOCK TABLE bulk_actions")
        previews = [clients.submit(system.client.post, "/bulk-actions", json=CANCEL) for _ in range(8)]
        until("half of the pool counts", lambda: system.database.value(blocked) == 2)
        assert [system.status(job_id) for _ in range(20)] == ["PENDING"] * 20
        assert system.database.value(blocked) == 2
        blocker.rollback()
        assert {future.result().status_code for future in previews} == {201}


def test_a_preview_shows_filter_count_sample_and_location(read_only_system: System) -> None:
    response = read_only_system.client.post(
        "/bulk-actions",
        json={"action": "retry", "filter": {"error": "boom", "created_before": INSTANT}, "jobs_per_second": 7},
    )
    assert response.status_code == 201
    action = response.json()
    assert response.headers["location"] == action["links"]["self"]
    assert read_only_system.client.get(action["links"]["self"]).json() == action
    assert (
        action["action"],
        action["phase"],
        action["jobs_per_second"],
        action["count"],
        action["count_is_exact"],
        action["sample"],
    ) == (
        "retry",
        "PREVIEW",
        7,
        0,
        True,
        [],
    )
    assert {name: value for name, value in action["filter"].items() if value not in (None, [])} == {
        "status": ["FAILED"],
        "error": "boom",
        "created_before": INSTANT,
    }
    assert abs(datetime.fromisoformat(action["as_of"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_pages_show_each_bulk_action_once_newest_first(read_only_system: System) -> None:
    created = [preview(read_only_system, "cancel", tag=f"page-{number}")["bulk_action_id"] for number in range(5)]
    listed, path = [], "/bulk-actions?limit=2"
    while path is not None:
        page = read_only_system.client.get(path).json()
        assert len(page["bulk_actions"]) <= 2
        listed += [action["bulk_action_id"] for action in page["bulk_actions"]]
        path = page["next"]
    assert listed[:5] == created[::-1]
    assert len(listed) == len(set(listed))
