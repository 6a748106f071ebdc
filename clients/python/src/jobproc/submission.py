"""Submission of jobs and workflows to the API over HTTP, by the standard library alone."""

import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from jobproc.errors import SubmissionError

MAX_RESPONSE_BYTES = 16_000_000  # that of a workflow has 39 for each job
MAX_REASON_CHARACTERS = 500


class SubmitOptions(TypedDict, total=False):
    """Options of a further job. All but the first are those of the HTTP API, under the same names."""

    idempotency_key: str  #: of the request; a repeat with the same key submits nothing and returns the first job
    queue: str  #: one of those that the operation allows
    priority: int  #: 0, first, to 9
    run_at: datetime
    delay_seconds: float
    deadline: datetime
    timeout_seconds: float
    max_attempts: int
    backoff: Mapping[str, float]  #: base_seconds, cap_seconds
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    unique: Mapping[str, str]  #: key, while, on_conflict
    concurrency_key: str  #: the limits of the queue count the running jobs with one key
    keep_seconds: int
    webhook: Mapping[str, str] | None  #: endpoint_id; None: no endpoint is told of the end


class WorkflowOptions(TypedDict, total=False):
    """Options of a workflow. All but the first are those of the HTTP API, under the same names."""

    idempotency_key: str  #: of the request; a repeat with the same key submits nothing and returns the first workflow
    webhook: Mapping[str, str] | None  #: endpoint_id; None: no endpoint is told of the end
    follow_up: Mapping[str, Any] | None  #: the submission of a job that is stored once when all jobs have ended


def json_of(value: object, name: str) -> str:
    """Return the JSON text by which a value is submitted. Raises SubmissionError, whose message has the name."""
    from pydantic_core import to_jsonable_python  # the command line reads without it

    try:
        return json.dumps(to_jsonable_python(value, bytes_mode="base64", inf_nan_mode="constants"), allow_nan=False)
    except (ValueError, TypeError) as error:
        raise SubmissionError(f"{name} cannot be submitted as JSON: {error}") from error


class Submitter:
    """Submits the further jobs and workflows of one attempt."""

    def __init__(self, api_url: str, timeout_s: float, job_id: str, *, api_key: str = "", ca_file: str = "") -> None:
        """`job_id`: of the running job; the idempotency keys are made of it. `api_key`: empty: none is sent.

        `ca_file`: the authorities that may certify the API; empty, or without content: those of the system.
        """
        self._api_url = api_url.rstrip("/")
        self._timeout_s = timeout_s
        self._api_key = api_key
        self._ca_file = ca_file
        self._job_id = job_id
        self._calls = 0

    def next_key(self) -> str:
        """Return the idempotency key of the next call, the same in each attempt."""
        self._calls += 1
        return f"{self._job_id}.{self._calls}"

    def submit(self, operation: str, job_input: object, key: str, options: SubmitOptions) -> str:
        """Submit a job, and return its id. `key`: the idempotency key, unless the options have one.

        Raises SubmissionError.
        """
        body: dict[str, object] = {"operation": operation, **options}
        key = str(body.pop("idempotency_key", key))
        if job_input is not None:
            body["input"] = job_input
        return self._post(f"the job for {operation!r}", "/jobs/", body, key, "job_id")

    def submit_workflow(self, jobs: Sequence[Mapping[str, Any]], key: str, options: WorkflowOptions) -> str:
        """Submit a workflow, and return its id. `key`: as that of `submit`. Raises SubmissionError."""
        body: dict[str, object] = {"jobs": jobs, **options}
        key = str(body.pop("idempotency_key", key))
        return self._post(f"the workflow of {len(jobs)} jobs", "/workflows", body, key, "workflow_id")

    def _post(self, submitted: str, path: str, body: Mapping[str, object], key: str, member: str) -> str:
        """Return the member of the response that has the id. `submitted`: names the submission in an error."""
        content = json_of(body, submitted).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        failed = f"{submitted} was not submitted"
        try:
            request = urllib.request.Request(f"{self._api_url}{path}", content, headers, method="POST")  # noqa: S310 - the setting is a URL of HTTP
            if self._api_key:  # unredirected: another host must not get it
                request.add_unredirected_header("Authorization", f"Bearer {self._api_key}")
            with urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls()) as response:  # noqa: S310 - likewise
                return str(json.loads(response.read(MAX_RESPONSE_BYTES))[member])
        except urllib.error.HTTPError as error:
            with error:
                reason = error.read(MAX_RESPONSE_BYTES).decode(errors="replace")[:MAX_REASON_CHARACTERS]
            raise SubmissionError(f"{failed}: {self._api_url} responded {error.code}: {reason}") from error
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            raise SubmissionError(
                f"{failed}, or it is unknown if it was: {self._api_url} gave no valid response within "
                f"{self._timeout_s:g} s: {error}"
            ) from error

    def _tls(self) -> ssl.SSLContext | None:
        """Return what checks the certificate of the API; None: urllib does, by the authorities of the system.

        Read anew for each submission: a renewed certificate may come with another authority.
        """
        file = Path(self._ca_file)
        if not self._ca_file or not file.is_file() or not file.stat().st_size:
            return None
        return ssl.create_default_context(cafile=self._ca_file)
