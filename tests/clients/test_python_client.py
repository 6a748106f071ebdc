"""A Python client that openapi-python-client generates: no warning, and each response has the type of its status."""

import importlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rig.fork_server import ROOT
from rig.system import System, until

GENERATOR = "openapi_python_client"
MIN_CALLS = 20


class GeneratedClient:
    """A client of the generated package. It counts its calls."""

    def __init__(self, package: str, base_url: str) -> None:
        self.package = package
        self.models = importlib.import_module(f"{package}.models")
        self.unset = importlib.import_module(f"{package}.types").UNSET
        self.client = importlib.import_module(f"{package}.client").Client(base_url=base_url, timeout=20)
        self.calls = 0

    def call(self, operation: str, status: int, model: str, /, *arguments: Any, **named: Any) -> Any:
        """Call an operation; check the status and the type of its response, and return that."""
        module = importlib.import_module(f"{self.package}.api.{operation}")
        response = module.sync_detailed(*arguments, client=self.client, **named)
        assert response.status_code == status, response.content
        assert type(response.parsed) is getattr(self.models, model)
        self.calls += 1
        return response.parsed

    def submission(self, **options: Any) -> Any:
        return self.models.Submission(operation="square_sum", data=[1, 2, 3], **options)


def _without_ndjson(file: Path) -> Path:
    """Write the document without NDJSON, which this generator warns of and leaves out. Returns the file."""
    document = json.loads((ROOT / "docs" / "reference" / "openapi.json").read_text())
    for operations in document["paths"].values():
        for operation in operations.values():
            if isinstance(operation, dict):
                operation.get("requestBody", {}).get("content", {}).pop("application/x-ndjson", None)
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Generate the client; return the name of its package."""
    if find_spec(GENERATOR) is None:
        pytest.skip(f"{GENERATOR} is not installed")
    name = f"generated_{uuid.uuid4().hex}"
    config = tmp_path / "config.yaml"
    config.write_text("post_hooks: []")  # they would format the client
    source = ("--path", str(_without_ndjson(tmp_path / "openapi.json")))
    target = ("--output-path", str(tmp_path / name), "--meta", "none", "--config", str(config), "--fail-on-warning")
    argv = [sys.executable, "-m", GENERATOR, "generate", *source, *target]
    generated = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    output = generated.stdout + generated.stderr
    assert generated.returncode == 0, output
    assert "warning" not in output.lower(), output
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture
def generated(package: str, system: System) -> Iterator[GeneratedClient]:
    """Start a system; return a generated client of its API."""
    client = GeneratedClient(package, str(system.all().client.base_url))
    with client.client:
        yield client


def submit(generated: GeneratedClient) -> uuid.UUID:
    """Submit jobs in every way; return the id of one that is due later."""
    call, submission, models = generated.call, generated.submission, generated.models
    finished = call("jobs.submit_job", 200, "SubmittedJob", body=submission(), wait=15)
    assert (finished.status, finished.result) == (models.State.SUCCESS, 14.0)
    keyed = call("jobs.submit_job", 202, "JobAccepted", body=submission(), idempotency_key="a")
    repeated = call("jobs.submit_job", 200, "SubmittedJob", body=submission(), idempotency_key="a")
    assert (repeated.job_id, repeated.result) == (keyed.job_id, generated.unset)
    by_input = models.InputSubmission(operation="cube_sum", input_={"data": [2]})
    batch = call("jobs.submit_batch", 202, "BatchAccepted", body=[submission(), by_input])
    assert call("jobs.get_job_result", 200, "ResultView", batch.job_ids[1], wait=15).result == 8.0
    options = {"delay_seconds": 1_000, "tags": ["later"], "unique": models.UniqueKey(key="k"), "priority": 0}
    delayed = call("jobs.submit_job", 202, "JobAccepted", body=submission(**options))
    conflict = call("jobs.submit_job", 409, "ProblemBody", body=submission(**options))
    assert (delayed.status, conflict.job_id) == (models.State.SCHEDULED, delayed.job_id)
    invalid = call("jobs.submit_job", 422, "ProblemBody", body=submission(priority=10))
    assert [error.field for error in invalid.errors] == ["priority"]
    return uuid.UUID(str(delayed.job_id))


def read(generated: GeneratedClient, job_id: uuid.UUID) -> None:
    """Read everything about the job, and about the system."""
    call, models = generated.call, generated.models
    assert call("jobs.get_job", 404, "ProblemBody", uuid.uuid4()).type_ == "urn:jobproc:problem:job-not-found"
    job = call("jobs.get_job", 200, "JobView", job_id)
    assert (job.tags, job.priority, job.unique.key) == (["later"], 0, "k")
    assert call("jobs.get_job_status", 200, "StatusView", job_id).progress is generated.unset
    assert call("jobs.get_job_input", 200, "InputView", job_id).input_ == {"data": [1, 2, 3]}
    assert call("jobs.explain_job", 200, "Explanation", job_id).reasons[0].code is models.ReasonCode.NOT_DUE
    listed = call("jobs.list_jobs", 200, "JobList", tag="later", status=[models.State.SCHEDULED])
    assert [item.job_id for item in listed.jobs] == [job_id]
    assert call("queues.get_queue_stats", 200, "QueueStatsView").queues[0].queue == "default"
    assert "square_sum" in {known.name for known in call("operations.list_operations", 200, "OperationList").operations}
    assert call("health.get_liveness", 200, "LivenessView").alive
    assert call("health.get_readiness", 200, "ReadinessView").ready


def change(generated: GeneratedClient, job_id: uuid.UUID) -> None:
    """Cancel the job by a bulk action, then retry it with another input."""
    call, models = generated.call, generated.models
    action = models.BulkActionBody(action=models.ActionKind.CANCEL, filter_=models.BulkActionFilter(tag="later"))
    preview = call("bulk_actions.preview_bulk_action", 201, "BulkActionView", body=action)
    action_id, confirmation = preview.bulk_action_id, models.BulkActionStartBody(count=preview.count)
    call("bulk_actions.start_bulk_action", 200, "BulkActionView", action_id, body=confirmation)
    until(
        "the bulk action is done",
        lambda: call("bulk_actions.get_bulk_action", 200, "BulkActionView", action_id).phase is models.Phase.DONE,
    )
    assert len(call("bulk_actions.list_bulk_actions", 200, "BulkActionList").bulk_actions) == 1
    retried = call("jobs.retry_job", 202, "RetryView", job_id, body=models.RetryBody(data=[3]))
    assert retried.run == 1
    assert call("jobs.get_job_result", 200, "ResultView", job_id, wait=15).result == 9.0
    assert not call("jobs.cancel_job", 200, "CancelView", job_id).cancel_requested


def test_each_response_has_the_type_of_its_status(generated: GeneratedClient) -> None:
    job_id = submit(generated)
    read(generated, job_id)
    change(generated, job_id)
    assert generated.calls >= MIN_CALLS
