"""GET /errors, and the filters of lists and bulk actions that no index has."""

from collections.abc import Callable
from typing import Any

import pytest
from integration.api.support.bulk_actions import command, preview, submit_tagged
from rig.system import System, until

REFUSED = [
    ("errors?zebra=1", "zebra", "not permitted"),
    ("errors?queue=%20", "queue", "pattern"),
    ("errors?operation=", "operation", "at least 1"),
    ("errors?limit=0", "limit", "greater than or equal to 1"),
    ("errors?limit=201", "limit", "more than 200"),
    ("errors?finished_after=2026-01-01", "finished_after", "offset"),
    ("errors?finished_after=2026-01-02T00:00:00Z&finished_before=2026-01-01T00:00:00Z", "finished_after", "not before"),
    ("jobs?error_group=zebra", "error_group", "pattern"),
    ("jobs?error_group=0123456789ab&status=SUCCESS", "error_group", "status=FAILED"),
    ("jobs?input=zebra", "input.0", "pattern"),
    ("jobs?input==7", "input.0", "pattern"),
    ("jobs?input=a=%00", "input.0", "pattern"),
    ("jobs?metadata=a=1&metadata=zebra", "metadata.1", "pattern"),
    (f"jobs?metadata=a={'1' * 300}", "metadata.0", "at most 300"),
    ("jobs?" + "&".join(["metadata=a=1"] * 6), "metadata", "at most 5"),
]


@pytest.mark.parametrize(("path", "field", "reason"), REFUSED)
def test_an_invalid_parameter_is_refused_by_name_with_the_rule_it_breaks(
    read_only_system: System, assert_problem: Callable[..., Any], path: str, field: str, reason: str
) -> None:
    body = assert_problem(read_only_system.client.get(f"/{path}"), 422, "invalid-parameter")
    assert [error["field"] for error in body["errors"]] == [field]
    assert reason in body["errors"][0]["reason"]


def ended(system: System, ids: list[str], status: str) -> None:
    until(
        f"all are {status}",
        lambda: {system.client.get(f"/jobs/{job_id}/status").json()["status"] for job_id in ids} == {status},
    )


def test_the_jobs_of_an_error_group_are_listed_and_retried(shared: System) -> None:
    _, ids = submit_tagged(shared, 3, "fail_for_good")
    ended(shared, ids, "FAILED")
    body = shared.client.get("/errors?operation=fail_for_good").json()
    (group,) = [group for group in body["errors"] if set(ids) <= set(group["sample"])]
    assert group["operation"] == "fail_for_good"
    assert sum(group["counts"]) == group["count"] >= 3
    assert group["type"] and group["sample_text"]
    assert group["first_at"] <= group["last_at"] < body["until"]
    listed = shared.client.get(f"{group['links']['jobs']}&limit=200").json()["jobs"]
    assert {job["job_id"] for job in listed} >= set(ids)
    assert {job["error"]["type"] for job in listed} == {group["type"]}
    action = preview(shared, "retry", error_group=group["error_group"])
    assert action["count"] == len(listed)
    assert action["filter"]["error_group"] == group["error_group"]
    command(shared, action, "start", "DONE")


def test_values_of_metadata_and_inputs_are_found_page_by_page(shared: System) -> None:
    tag, ids = submit_tagged(shared, 4, delay_seconds=3_600, metadata={"customer": {"id": 4711}})
    listed = shared.client.get(f"/jobs?metadata=customer.id=4711&tag={tag}").json()
    assert {job["job_id"] for job in listed["jobs"]} == set(ids)
    listed = shared.client.get(f"/jobs?input=data.1=2&metadata=customer.id=4711&tag={tag}").json()
    assert [job["job_id"] for job in listed["jobs"]] == [ids[2]]
    page = shared.client.get(f"/jobs?input=data.1=2&tag={tag}&limit=1").json()
    assert "input=data.1%3D2" in (page["next"] or "input=data.1%3D2")
    if page["next"]:
        assert shared.client.get(page["next"]).json()["jobs"] == []
    action = preview(shared, "cancel", tag=tag, input=["data.1=3"])
    assert (action["count"], action["filter"]["input"]) == (1, ["data.1=3"])
    assert command(shared, action, "start", "DONE")["done"] == 1
    ended(shared, [ids[3]], "CANCELLED")


def test_a_cursor_is_of_a_list_with_the_same_values(shared: System, assert_problem: Callable[..., Any]) -> None:
    tag, _ = submit_tagged(shared, 3, delay_seconds=3_600, metadata={"a": 1})
    following = shared.client.get(f"/jobs?metadata=a=1&tag={tag}&limit=1").json()["next"]
    assert shared.client.get(following).status_code == 200
    assert_problem(shared.client.get(following.replace("a%3D1", "a%3D2")), 422, "invalid-parameter")


def test_a_bulk_action_stops_after_the_first_jobs_and_tells_what_became_of_them(shared: System) -> None:
    tag, ids = submit_tagged(shared, 6, delay_seconds=3_600)
    action = preview(shared, "cancel", tag=tag)
    assert [job["job_id"] for job in action["sample_newest"]] == sorted(ids, reverse=True)
    assert len(action["sample_random"]) == 6
    assert (action["would_skip"], action["would_skip_is_exact"]) == ({}, True)
    shared.client.post(action["links"]["start"], json={"first": 2}).raise_for_status()

    def stopped() -> dict[str, Any] | None:
        view: dict[str, Any] = shared.client.get(action["links"]["self"]).json()
        return view if view["phase"] == "STOPPED" else None

    view: dict[str, Any] = until("it stops", stopped)
    assert (view["done"], view["first"], view["stop_reason"]) == (2, 2, "first")
    found = shared.client.get(action["links"]["outcomes"]).json()
    assert (found["changed"], found["is_complete"], found["states"]) == (2, True, {"CANCELLED": 2})
    assert (found["undoable"], found["not_undoable"]) == (2, {})
    assert command(shared, action, "start", "DONE")["done"] == 6
    assert shared.events("controller", "bulk_action_first_done")
