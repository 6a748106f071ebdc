"""The API asked by its own OpenAPI document, with and against it, and along its links: no 5xx, and no answer that it does not describe."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rig.system import System

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
]
EXAMPLES = 10  # of each operation and kind
SEED = 20261126
# Along the links that the document has, and no others that could be thought of.
LINKS_ALONE = "[phases.stateful]\nmax-steps = 10\n[phases.stateful.inference]\nalgorithms = []\n"
FEWEST_LINKS = 8  # that are followed to an answer; mostly it is twice as many and more


@pytest.fixture
def impatient(shared: System) -> System:
    """The shared system, which lets nobody wait long for a job that may not run for days."""
    shared.end("api")
    return shared.api(JOBPROC_MAX_WAIT_SECONDS="1", JOBPROC_EVENT_STREAM_SECONDS="1")


def run(folder: Path, *more: str) -> str:
    argv = [sys.executable, "-m", "schemathesis.cli", "run", "--checks", ",".join(CHECKS), "--max-examples", str(EXAMPLES), *more]
    argv += ["--seed", str(SEED), "--generation-deterministic", "--request-timeout", "20", "--no-color"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    return done.stdout


def test_what_it_answers_is_what_its_document_says(impatient: System, tmp_path: Path) -> None:
    """Accepting whatever fits the document is not asked for: operations and limits know more than it can say."""
    told = run(tmp_path, f"{impatient.client.base_url}/openapi.json", "--phases", "examples,coverage,fuzzing")
    assert "20 selected" in told


def test_its_links_lead_from_answer_to_answer(impatient: System, tmp_path: Path) -> None:
    """Submissions are such as are mostly accepted: the document cannot say which operations there are, and what each takes."""
    document = impatient.client.get("/openapi.json").json()
    kinds = document["components"]["schemas"]
    numbers, operation = kinds["Submission"]["properties"]["data"], kinds["Submission"]["properties"]["operation"]
    properties = {"data": numbers | {"maxItems": 3}, "operation": operation | {"enum": ["square_sum", "fail_for_good"]}}
    kinds["Submission"]["properties"] = kinds["InputSubmission"]["properties"] = properties
    kinds["InputSubmission"]["required"] = kinds["Submission"]["required"]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(LINKS_ALONE)
    told = run(tmp_path, "openapi.json", "--url", str(impatient.client.base_url), "--phases", "stateful", "--mode", "positive")
    followed = re.search(r"API Links: +(\d+) covered", told)
    assert followed is not None, told
    assert int(followed[1]) >= FEWEST_LINKS, told
