"""Parents and added jobs, as an operation in a test sees them."""

from typing import Any

import pytest

from jobproc import Context, Parent, ParentFailed, SubmissionError, operation, testing
from jobproc.adding import JobsToAdd
from jobproc.parents import ParentStatus


@operation(name="sdk.sum_parents")
def sum_parents(job: Context) -> float:
    """Return the sum of the results of the parents that have succeeded."""
    return float(sum(parent.result for parent in job.parents.values() if parent.succeeded))


@operation(name="sdk.need_parent")
def need_parent(job: Context) -> Any:
    """Return the result of one parent."""
    return job.parents["only"].result


@operation(name="sdk.split")
def split(count: int, job: Context) -> list[str]:
    """Add jobs, and return their names."""
    return [job.add_job("sdk.part", {"number": number}, priority=1) for number in range(count)]


@operation(name="sdk.part")
def part(number: int) -> int:
    """Return the number."""
    return number


@operation(name="sdk.split_and_fail")
async def split_and_fail(job: Context) -> None:
    """Add a job, and fail."""
    job.add_job("sdk.part", {"number": 1})
    raise ValueError("after it has added one")


@operation(name="sdk.split_wrong")
def split_wrong(job: Context) -> None:
    """Add a job with an input that its operation refuses."""
    job.add_job("sdk.part", {"number": "x"})


def failed(status: ParentStatus = "FAILED") -> Parent:
    return Parent("only", "id", "sdk.part", status)


def test_results_of_parents_are_given_by_name() -> None:
    outcome = testing.run(sum_parents, parents={"a": 1, "b": 2.5, "c": failed()})
    assert outcome.result == 3.5


def test_a_result_of_a_parent_that_has_none_fails_the_job_for_good() -> None:
    outcome = testing.run(need_parent, parents={"only": failed("CANCELLED")})
    assert isinstance(outcome, testing.Failed)
    assert outcome.permanent
    assert outcome.error_type == ParentFailed.__name__
    assert outcome.error_text == "the job 'only' has no result: it is CANCELLED"


def test_added_jobs_are_recorded_with_the_result_alone() -> None:
    outcome = testing.run(split, {"count": 2})
    assert outcome.result == ["1", "2"]
    assert [(job.name, job.operation, job.input, dict(job.options)) for job in outcome.added] == [
        ("1", "sdk.part", {"number": 0}, {"priority": 1}),
        ("2", "sdk.part", {"number": 1}, {"priority": 1}),
    ]
    assert testing.run(split_and_fail).added == ()


def test_the_input_of_an_added_job_is_validated() -> None:
    outcome = testing.run(split_wrong)
    assert isinstance(outcome, testing.Retries)
    assert outcome.error_text.startswith("the job '1' for 'sdk.part' was not added:")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"name": "no spaces"}, "the name has up to 100 letters"),
        ({"name": "a"}, "an earlier one has the same name"),
        ({"depends_on": ["b"]}, "depends_on: no job 'b' was added before"),
        ({"depends_on": ["a", "a"]}, "depends_on: a name stands twice in it"),
        ({"on_parent_failure": "wait"}, "on_parent_failure: one of fail, skip, run is expected"),
        ({"priority": 10}, "priority: 0 to 9 is expected"),
        ({"max_attempts": 0}, "max_attempts: 1 to 1000 is expected"),
        ({"timeout_seconds": 0}, "timeout_seconds: a positive number is expected"),
        ({"run_at": "now"}, "it has no option 'run_at'"),
    ],
)
def test_an_option_that_breaks_a_rule_is_refused_by_name(options: Any, reason: str) -> None:
    jobs = JobsToAdd()
    jobs.add("sdk.part", None, {"name": "a"}, 10)
    with pytest.raises(SubmissionError, match=reason):
        jobs.add("sdk.part", None, options, 10)
    assert len(jobs) == 1


def test_an_attempt_adds_a_bounded_number_of_jobs() -> None:
    jobs = JobsToAdd()
    for _ in range(2):
        jobs.add("sdk.part", {"number": 1}, {}, 2)
    with pytest.raises(SubmissionError, match="an attempt adds at most 2 jobs"):
        jobs.add("sdk.part", {"number": 1}, {}, 2)


def test_an_input_that_is_no_json_is_refused() -> None:
    with pytest.raises(SubmissionError, match="the input of the job '1' for 'sdk"):
        JobsToAdd().add("sdk.part", object(), {}, 2)


@operation(name="sdk.submit_workflows")
async def submit_workflows(job: Context) -> list[str]:
    """Submit workflows and a job between them."""
    jobs: list[dict[str, Any]] = [
        {"name": "a", "operation": "sdk.part", "input": {"number": 1}},
        {"operation": "any", "depends_on": ["a"]},
    ]
    first = job.submit_workflow(jobs, webhook=None)
    job.submit("elsewhere")
    again = await job.submit_workflow_async(jobs, follow_up={"operation": "any"})
    own = [await job.submit_workflow_async(jobs, idempotency_key="own") for _ in range(2)]
    return [first, again, *own]


def test_submitted_workflows_are_recorded_with_the_keys_of_a_worker() -> None:
    outcome = testing.run("sdk.submit_workflows", job_id="an-id")
    first, second, own = outcome.workflows
    assert outcome.result == [first.workflow_id, second.workflow_id, own.workflow_id, own.workflow_id]
    assert first.jobs[1] == {"operation": "any", "depends_on": ["a"]}
    assert first.options == {"webhook": None, "idempotency_key": "an-id.1"}
    assert second.options == {"follow_up": {"operation": "any"}, "idempotency_key": "an-id.3"}
    assert own.options == {"idempotency_key": "own"}


@operation(name="sdk.submit_workflow")
def submit_workflow(jobs: list[dict[str, Any]], job: Context) -> str:
    """Submit a workflow of these jobs."""
    return job.submit_workflow(jobs)


@pytest.mark.parametrize(
    ("jobs", "reason"),
    [
        ([], "jobs: at least one is expected"),
        ([{"name": "a"}], "jobs.0.operation: is missing"),
        ([{"operation": "x", "name": "1"}, {"operation": "x"}], "jobs.1.name: '1' stands twice"),
        ([{"operation": "x", "depends_on": ["b"]}], "jobs.0.depends_on: no job is named 'b'"),
        (
            [{"operation": "x", "name": n, "depends_on": [p]} for n, p in (("a", "b"), ("b", "a"))],
            "jobs: they wait for each other: ",
        ),
        ([{"operation": "sdk.part", "input": {"number": "x"}}], "jobs.0.input: "),
        ([{"operation": "sdk.part"}], "jobs.0.input: "),
    ],
)
def test_a_workflow_that_would_be_refused_is_refused(jobs: list[dict[str, Any]], reason: str) -> None:
    failing = testing.run("sdk.submit_workflow", {"jobs": jobs}, max_attempts=1)
    assert isinstance(failing, testing.Failed)
    assert failing.error_type == "SubmissionError"
    assert reason in failing.error_text
    assert failing.workflows == ()
