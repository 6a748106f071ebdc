"""Operations with typed parameters and results, without input, with several queues; the facts of their Context."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rig.system import System


def submit(system: System, **body: Any) -> str:
    response = system.client.post("/jobs/", json=body)
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def errors(system: System, **body: Any) -> list[tuple[str, str]]:
    response = system.client.post("/jobs/", json=body)
    assert response.status_code == 422, response.text
    return [(error["field"], error["reason"]) for error in response.json()["errors"]]


def listed(system: System, name: str) -> dict[str, Any]:
    return next(found for found in system.client.get("/operations").json()["operations"] if found["name"] == name)


NUMBER = "00000000-0000-0000-0000-000000000001"
BILL = "jobproc_typed_operations.bill"


def test_parameters_take_members_of_the_input_and_the_result_is_serialised_by_its_type(shared: System) -> None:
    job = shared.wait(submit(shared, operation=BILL, input={"number": NUMBER, "price": "1.50", "pieces": 3}))
    assert job["result"] == {"number": NUMBER, "due": "2026-01-16", "total": "4.50", "seal": "seal"}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"number": "one"}, "input.number", "is not a"),
        ({"pieces": 0}, "input.pieces", "less than the minimum"),
        ({"colour": "red"}, "input", "'colour' was unexpected"),
        ({"price": None}, "input.price", "is not valid"),
    ],
)
def test_an_input_that_the_parameters_do_not_take_is_refused_at_submission(
    shared: System, change: dict[str, Any], field: str, reason: str
) -> None:
    ((found_field, found_reason),) = errors(shared, operation=BILL, input={"number": NUMBER, "price": "1"} | change)
    assert (found_field, reason in found_reason) == (field, True), found_reason


def test_the_schemas_of_input_and_result_are_published(shared: System) -> None:
    bill = listed(shared, BILL)
    assert set(bill["input_schema"]["properties"]) == {"number", "price", "pieces", "on"}
    assert bill["output_schema"]["properties"]["due"] == {"type": "string", "format": "date", "title": "Due"}
    assert listed(shared, "name_twice")["output_schema"]["type"] == "object"


def test_an_operation_without_an_input_needs_none_and_takes_none(shared: System) -> None:
    assert shared.wait(submit(shared, operation="two_queues"))["result"].startswith("19")
    assert shared.wait(submit(shared, operation="two_queues", input={}))["status"] == "SUCCESS"
    assert errors(shared, operation="two_queues", input={"a": 1})[0][0] == "input"
    assert errors(shared, operation="two_queues", input=None)[0][0] == "input"


def test_an_operation_that_needs_an_input_is_not_submitted_without(shared: System) -> None:
    assert errors(shared, operation="square_sum") == [("data", "Field required")]
    assert errors(shared, operation="greet") == [("input", '"name" is a required property')]
    response = shared.client.post("/jobs/batch", json=[{"operation": "two_queues"}, {"operation": "square_sum"}])
    assert [error["field"] for error in response.json()["errors"]] == ["1.data"]


def test_a_submission_names_a_queue_that_its_operation_allows(shared: System) -> None:
    assert (listed(shared, "two_queues")["queue"], listed(shared, "two_queues")["queues"]) == (
        "default",
        ["default", "slow"],
    )
    assert shared.job(submit(shared, operation="two_queues", queue="slow"))["queue"] == "slow"
    assert shared.wait(submit(shared, operation="two_queues", queue="default"))["queue"] == "default"
    assert shared.wait(submit(shared, operation="square_sum", data=[1], queue="default"))["result"] == 1.0


def test_a_queue_that_the_operation_does_not_allow_is_refused_with_those_that_it_does(shared: System) -> None:
    reason = "two_queues does not allow this queue; it allows default, slow"
    assert errors(shared, operation="two_queues", queue="mail") == [("queue", reason)]
    assert errors(shared, operation="square_sum", data=[1], queue="slow") == [
        ("queue", "square_sum does not allow this queue; it allows default")
    ]


@pytest.mark.parametrize("name", ["tell_facts", "await_facts"])
def test_the_context_has_the_facts_of_its_job(shared: System, name: str) -> None:
    deadline = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    metadata = {"order": 4711, "lines": [{"text": "é"}]}
    job_id = submit(shared, operation=name, deadline=deadline.isoformat(), tags=["b", "a"], metadata=metadata)
    result = shared.wait(job_id)["result"]
    assert datetime.fromisoformat(result["deadline"]) == deadline
    assert result == {
        "job_id": job_id,
        "attempt": 1,
        "deadline": result["deadline"],
        "tags": ["b", "a"],
        "metadata": metadata,
        "logger": f"jobproc.operation.{name}",
    }


@pytest.mark.parametrize("name", ["tell_facts", "await_facts"])
def test_the_context_of_a_job_without_options_has_none(shared: System, name: str) -> None:
    result = shared.wait(submit(shared, operation=name))["result"]
    assert (result["deadline"], result["tags"], result["metadata"]) == (None, [], {})
