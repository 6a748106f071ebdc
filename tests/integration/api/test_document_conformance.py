"""Conformance of the API to its OpenAPI document: generated requests get no 5xx and no undocumented response."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from integration.api.support.documented_examples import OPERATIONS
from rig.keys import REQUIRED, bearer, new_key
from rig.system import System
from rig.tenants import new_tenant

from api.views.tenancy.api_keys import EXAMPLE_KEY_ID
from common.domain.tenancy.audit import AuditAction

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "ignored_auth",
]
EXAMPLES = 10  # for each operation and kind of request
SEED = 20261126
# Follow only the links of the document; infer no others.
DOCUMENTED_LINKS_ONLY = "[phases.stateful]\nmax-steps = 10\n[phases.stateful.inference]\nalgorithms = []\n"
# A key of its own for rotations, and a tenant for removals: others revoke the key of the examples and need its tenant.
OWN_KEY_ID, OWN_TENANT = "OwnKey123456", "own"
OWN_VALUES = f"""
[[operations]]
include-name = "POST /keys/{{key_id}}/rotate"
parameters = {{ key_id = "{OWN_KEY_ID}" }}

[[operations]]
include-name = "POST /tenants/{{tenant_name}}/remove"
parameters = {{ tenant_name = "{OWN_TENANT}" }}
"""
MIN_LINKS = 8  # followed to a response; usually there are at least twice as many


@pytest.fixture
def short_poll_system(shared: System) -> System:
    """Return the shared system with authentication, and with short long polls: generated jobs may be due in days."""
    shared.end("api")
    return shared.api(**REQUIRED, JOBPROC_LONG_POLL_MAX_SECONDS="1", JOBPROC_EVENT_STREAM_MAX_SECONDS="1")


@pytest.fixture
def token(short_poll_system: System) -> str:
    """Return a key with every scope. No generated request revokes it: its id is random, and no example has it."""
    return new_key(short_poll_system.database)


def run_schemathesis(folder: Path, token: str, *arguments: str) -> str:
    """Run Schemathesis with a key, which must find no failure; return its output."""
    argv = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        "--checks",
        ",".join(CHECKS),
        "--max-examples",
        str(EXAMPLES),
        "--header",
        f"Authorization: {bearer(token)['Authorization']}",
        *arguments,
    ]
    argv += ["--seed", str(SEED), "--generation-deterministic", "--request-timeout", "20", "--no-color"]
    process = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-8_000:] + process.stderr[-2_000:]
    return process.stdout


@pytest.mark.timeout(400)  # two minutes beside other tests
def test_responses_to_generated_requests_are_as_documented(
    short_poll_system: System, token: str, tmp_path: Path
) -> None:
    """Valid requests may be refused: operations and limits have rules that a document cannot express."""
    for key_id in (EXAMPLE_KEY_ID, OWN_KEY_ID):
        new_key(short_poll_system.database, id=key_id)
    new_tenant(short_poll_system.database, OWN_TENANT)
    (tmp_path / "schemathesis.toml").write_text(OWN_VALUES)
    output = run_schemathesis(
        tmp_path, token, f"{short_poll_system.client.base_url}/openapi.json", "--phases", "examples,coverage,fuzzing"
    )
    assert f"{len(OPERATIONS)} selected" in output
    done = short_poll_system.database.rows("SELECT DISTINCT action FROM audit_entries")
    assert {action for (action,) in done} >= {action for action in AuditAction if action.kind in {"key", "tenant"}}
    assert short_poll_system.client.get("/keys", headers=bearer(token)).status_code == 200, "the key is valid still"


def test_links_lead_from_response_to_response(short_poll_system: System, token: str, tmp_path: Path) -> None:
    """The schema of submissions is narrowed first: the document cannot name the operations and their inputs."""
    document = short_poll_system.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    numbers, operation = schemas["Submission"]["properties"]["data"], schemas["Submission"]["properties"]["operation"]
    properties = {"data": numbers | {"maxItems": 3}, "operation": operation | {"enum": ["square_sum", "fail_for_good"]}}
    schemas["Submission"]["properties"] = schemas["InputSubmission"]["properties"] = properties
    schemas["InputSubmission"]["required"] = schemas["Submission"]["required"]
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(DOCUMENTED_LINKS_ONLY)
    output = run_schemathesis(
        tmp_path,
        token,
        "openapi.json",
        "--url",
        str(short_poll_system.client.base_url),
        "--phases",
        "stateful",
        "--mode",
        "positive",
    )
    covered = re.search(r"API Links: +(\d+) covered", output)
    assert covered is not None, output
    assert int(covered[1]) >= MIN_LINKS, output
