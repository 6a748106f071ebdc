"""The API asked by its own OpenAPI document, with and against it, and along its links: no 5xx, and no answer that it does not describe."""

import subprocess
import sys
from pathlib import Path

from rig.system import System

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
]
EXAMPLES = 15  # of each operation and kind
SEED = 20261126


def test_what_it_answers_is_what_its_document_says(shared: System, tmp_path: Path) -> None:
    """Accepting whatever fits the document is not asked for: operations and limits know more than it can say."""
    argv = [sys.executable, "-m", "schemathesis.cli", "run", f"{shared.client.base_url}/openapi.json", "--checks", ",".join(CHECKS)]
    argv += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-deterministic", "--request-timeout", "20", "--no-color"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert "Stateful" in done.stdout
