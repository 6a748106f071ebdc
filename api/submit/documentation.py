"""The OpenAPI document of submissions: their bodies, their answers beside 202, and their problems."""

from typing import Any

from api.schemas import BatchAccepted, SubmittedJob
from api.submit.batches.ndjson import MEDIA_TYPE as NDJSON
from api.submit.idempotency import IDEMPOTENCY_KEY_PARAMETER
from api.submit.request_models import REF, SUBMISSION_SCHEMA, WebhookOption
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_IDEMPOTENCY_KEY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    OVERLOADED,
    QUEUE_LATE,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    TOO_MANY_WAITING_CLIENTS,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
)
from api.web.problems import problem_responses
from api.web.resource_problem_kinds import BATCH_CLOSED, BATCH_FULL, BATCH_NOT_FOUND

_SUBMISSION_PROBLEMS = (
    *BODY_PROBLEMS,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
    INVALID_IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_REUSED,
    QUEUE_LATE,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    TENANT_DRAINING,
    STORE_UNAVAILABLE,
    OVERLOADED,
)


# Of NDJSON: an invalid parameter, and more lines than a batch has jobs.
BATCH_PROBLEMS = problem_responses(*_SUBMISSION_PROBLEMS, INVALID_PARAMETER)
WORKFLOW_PROBLEMS = problem_responses(*(kind for kind in _SUBMISSION_PROBLEMS if kind is not UNIQUE_CONFLICT))
# Of jobs for a batch that exists.
ADD_PROBLEMS = problem_responses(*_SUBMISSION_PROBLEMS, BATCH_NOT_FOUND, BATCH_CLOSED, BATCH_FULL, INVALID_PARAMETER)
# Not found: the job of the request's Idempotency-Key, if it was removed.
JOB_PROBLEMS = problem_responses(*_SUBMISSION_PROBLEMS, JOB_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS)
# Nothing is stored: no job is in the way, and no quota is used.
VALIDATION_PROBLEMS = problem_responses(
    *BODY_PROBLEMS, UNKNOWN_OPERATION, TENANT_DRAINING, STORE_UNAVAILABLE, OVERLOADED
)
_REPLAYED = {
    "Idempotency-Replayed": {
        "description": "`true` if the response is that of an earlier request with the same Idempotency-Key.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
EXISTING_JOB: dict[int | str, dict[str, Any]] = {
    200: {
        "model": SubmittedJob,
        "description": "With `wait`: the job, which has ended. Otherwise: the existing job of the same Idempotency-Key "
        "or unique key; nothing was stored.",
        "headers": _REPLAYED,
    }
}
EXISTING_JOBS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": BatchAccepted,
        "description": "The existing jobs of the same Idempotency-Key or unique keys; nothing was stored.",
        "headers": _REPLAYED,
    }
}


ATOMIC_PARAMETER = {
    "name": "atomic",
    "in": "query",
    "required": False,
    "schema": {"type": "boolean", "examples": [False]},
    "description": "With NDJSON: `false` stores the jobs of all valid lines, in several transactions, and names the "
    "others in `refused`. Default: `true`, all or none.",
}
_LINE = '{"data":[1,2,3],"operation":"square_sum"}'


def batch_submission_body(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the body and the parameters of a submission of many jobs: JSON, or NDJSON with a submission a line."""
    body = submission_body(schema, ATOMIC_PARAMETER)
    text = "A submission as JSON in each line, such as `" + _LINE + "`."
    body["requestBody"]["content"][NDJSON] = {"schema": {"type": "string", "description": text}}
    return body


def submission_body(schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the body and the parameters of a submission.

    The routes read their body themselves: the framework's reader has no limits and echoes the input in errors.
    """
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "parameters": [IDEMPOTENCY_KEY_PARAMETER, *parameters],
    }


VALIDATION_BODY = {"requestBody": submission_body(SUBMISSION_SCHEMA)["requestBody"]}
BATCH_SCHEMA = {
    "type": "array",
    "items": SUBMISSION_SCHEMA,
    "minItems": 1,
    "maxItems": 10_000,
    "examples": [[{"data": [1, 2, 3], "operation": "square_sum"}]],
}
_UNLIMITED = {name: value for name, value in BATCH_SCHEMA.items() if name != "maxItems"}
#: The body of POST /jobs/batch: an array of up to JOBPROC_MAX_BATCH_JOBS submissions, or an object with it.
BATCH_OR_ARRAY_SCHEMA = {
    "anyOf": [
        _UNLIMITED,
        {
            "type": "object",
            "properties": {
                "jobs": _UNLIMITED,
                "follow_up": {"anyOf": [*SUBMISSION_SCHEMA["anyOf"], {"type": "null"}]},
                "webhook": {"anyOf": [{"$ref": REF.format(model=WebhookOption.__name__)}, {"type": "null"}]},
            },
            "required": ["jobs"],
            "additionalProperties": False,
        },
    ]
}
