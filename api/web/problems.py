"""Error responses: one problem (RFC 9457) for each kind of error, those of the framework included.

Problems never repeat the client's values: NaN or a lone surrogate could not even be encoded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from common.domain.bulk_actions import Phase
from common.domain.states import State

MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:jobproc:problem:"
MAX_ERRORS = 20  # field errors in one problem
MAX_FIELD_CHARACTERS = 100  # of a field's name: that of an unknown field is the client's text
RETRY_AFTER_S = 1


class FieldError(BaseModel):
    """An error in one field of the request."""

    field: str = Field(
        description="Path of the field, such as `data.3`; empty for the whole body.", examples=["data.3"]
    )
    reason: str = Field(description="The rule that the value breaks.", examples=["Input should be a finite number"])


class ProblemBody(BaseModel):
    """An error, in the format of RFC 9457."""

    type: str = Field(
        description="URI of the kind of problem; match on this, not on the title.",
        examples=["urn:jobproc:problem:invalid-body"],
    )
    title: str = Field(description="Summary of the kind of problem.", examples=["The body is invalid"])
    status: int = Field(description="The HTTP status code.", examples=[422])
    detail: str = Field(
        description="Explanation of this occurrence, for people.", examples=["data.3: Input should be a finite number"]
    )
    errors: list[FieldError] | None = Field(
        None, description="The invalid fields, the first 20 of them. Absent if the error is not about fields."
    )
    state: State | None = Field(None, description="With `not-retryable`: the state of the job.")
    phase: Phase | None = Field(None, description="With `wrong-phase`: the phase of the bulk action.")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem: its name, HTTP status and title."""

    name: str
    status: int
    title: str
    detail: str  #: the default detail, and the example in the OpenAPI document

    @property
    def type(self) -> str:
        """The URI of the kind."""
        return PREFIX + self.name


MALFORMED_JSON = ProblemKind(
    "malformed-json", 400, "The body is not valid JSON", "Invalid JSON: expected value at line 1 column 1"
)
ORIGIN_NOT_ALLOWED = ProblemKind(
    "origin-not-allowed",
    403,
    "Pages of this origin may not change anything",
    "A page of another origin sent the request; JOBPROC_CORS_ORIGINS lists the origins whose pages may.",
)
NOT_FOUND = ProblemKind("not-found", 404, "No such path", "The API has no resource at this path.")
JOB_NOT_FOUND = ProblemKind("job-not-found", 404, "No such job", "No job has this id.")
BULK_ACTION_NOT_FOUND = ProblemKind("bulk-action-not-found", 404, "No such bulk action", "No bulk action has this id.")
METHOD_NOT_ALLOWED = ProblemKind(
    "method-not-allowed", 405, "Method not allowed", "The Allow header lists the methods of this path."
)
BODY_TIMEOUT = ProblemKind(
    "body-timeout", 408, "The body did not arrive in time", "The body did not arrive within 10 s."
)
NOT_RETRYABLE = ProblemKind(
    "not-retryable",
    409,
    "The job cannot be retried in its state",
    "The job is IN_PROGRESS; only one that is FAILED or CANCELLED can be retried.",
)
WRONG_PHASE = ProblemKind(
    "wrong-phase",
    409,
    "Not possible in the phase of the bulk action",
    "The action is DONE; start is possible while it is PREVIEW, STOPPED, RUNNING.",
)
INPUT_REMOVED = ProblemKind(
    "input-removed",
    409,
    "The input has been removed",
    "The input of the job has been removed; send a new one with the retry.",
)
BODY_TOO_LARGE = ProblemKind("body-too-large", 413, "The body is too large", "The body has more than 1048576 bytes.")
UNSUPPORTED_MEDIA_TYPE = ProblemKind(
    "unsupported-media-type", 415, "The body must be JSON", "Content-Type: application/json is required."
)
HOST_NOT_ALLOWED = ProblemKind(
    "host-not-allowed",
    421,
    "The API is not called by this host name",
    "The name in the Host header is none of the API's; JOBPROC_ALLOWED_HOSTS lists its names.",
)
INVALID_BODY = ProblemKind("invalid-body", 422, "The body is invalid", "data.3: Input should be a finite number")
UNKNOWN_OPERATION = ProblemKind(
    "unknown-operation", 422, "No such operation", "operation: unknown operation; known ones: cube_sum, square_sum"
)
INVALID_PARAMETER = ProblemKind(
    "invalid-parameter", 422, "A parameter is invalid", "job_id: Input should be a valid UUID"
)
IDEMPOTENCY_KEY_REUSED = ProblemKind(
    "idempotency-key-reused",
    422,
    "The idempotency key was used with another body",
    "This Idempotency-Key was first used with another body; nothing was stored.",
)
INVALID_IDEMPOTENCY_KEY = ProblemKind(
    "invalid-idempotency-key",
    422,
    "The idempotency key is invalid",
    "Idempotency-Key must be 1 to 255 printable ASCII characters.",
)
UNIQUE_CONFLICT = ProblemKind(
    "unique-conflict",
    409,
    "Another job holds the unique key",
    "Another job holds this unique key; `job_id` is its id. Nothing was stored.",
)
QUEUE_LATE = ProblemKind(
    "queue-late",
    429,
    "The backlog of the queue is too old",
    "The oldest job of the queue 'default' has waited for 95 s, longer than 60 s.",
)
NOT_READY = ProblemKind(
    "not-ready", 503, "This process cannot accept submissions", "database: does not answer (ConnectionRefusedError)"
)
OVERLOADED = ProblemKind(
    "overloaded",
    503,
    "Too many buffered submissions",
    "The limit of submissions that wait for their commit, or that of their bytes, is reached; nothing was stored.",
)
TOO_MANY_WAITING_CLIENTS = ProblemKind(
    "too-many-waiting",
    503,
    "Too many waiting clients",
    "The limit of clients that wait for jobs, or that of those of one address, is reached; nothing was stored.",
)
TOO_MANY_CONNECTIONS = ProblemKind(
    "too-many-connections",
    503,
    "Too many connections",
    "The limit of connections, or that of the connections of one address, is reached.",
)
STORE_UNAVAILABLE = ProblemKind(
    "store-unavailable", 503, "The database is unavailable", "The database did not answer in time; nothing was stored."
)
TOO_MANY_READS = ProblemKind(
    "too-many-reads",
    503,
    "Too many expensive reads",
    "Too many lists, previews, explanations and statistics wait for a database connection; retry later.",
)
READ_TIMEOUT = ProblemKind(
    "read-timeout",
    503,
    "The read took too long",
    "A statement of the read was ended after 1 s. Narrow the filter, for example to a tag or to a shorter range of "
    "creation times; or retry later.",
)
#: Of routes that read many rows.
EXPENSIVE_READ_PROBLEMS = (STORE_UNAVAILABLE, TOO_MANY_READS, READ_TIMEOUT)
INTERNAL = ProblemKind("internal", 500, "Internal server error", "The log of the server has the cause.")
HTTP_ERROR = ProblemKind("http-error", 400, "The request cannot be served", "The request cannot be served.")

#: Every kind, for the reference. HTTP_ERROR only stands in for errors of the framework that have no kind.
PROBLEM_KINDS = tuple(
    value for value in vars().copy().values() if isinstance(value, ProblemKind) and value is not HTTP_ERROR
)


class ProblemError(Exception):
    """Raised to answer a request with a problem."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        """Describe the problem. `detail` defaults to the kind's; `members` are added to the body (RFC 9457, 3.2)."""
        super().__init__(detail or kind.detail)
        self.headers = dict(headers or {})
        self.members = members
        self.kind = kind
        self.detail = detail or kind.detail
        self.errors = errors

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the response, with `headers` added to those of the problem. Every 503 has a Retry-After."""
        body: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            **self.members,
        }
        if self.errors:
            body["errors"] = self.errors[:MAX_ERRORS]
        all_headers = {**self.headers, **(headers or {})}
        if self.kind.status == STORE_UNAVAILABLE.status:
            all_headers["Retry-After"] = str(RETRY_AFTER_S)
        return Response(orjson.dumps(body), self.kind.status, all_headers, MEDIA_TYPE)


def validation_problem(
    error: ValidationError | RequestValidationError, kind: ProblemKind = INVALID_BODY, skip: int = 0, prefix: str = ""
) -> ProblemError:
    """Return the problem for a Pydantic error.

    The path of each field loses its first `skip` parts and is prefixed with `prefix`.
    """
    if isinstance(error, ValidationError):
        details: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    else:
        details = error.errors()
    return field_problem(
        kind,
        [
            (prefix + ".".join(str(part) for part in detail["loc"][skip:]), _reason(detail))
            for detail in details[:MAX_ERRORS]
        ],
        len(details),
    )


def field_problem(kind: ProblemKind, field_errors: Sequence[tuple[str, str]], count: int) -> ProblemError:
    """Return the problem for invalid fields, given as pairs of path and reason.

    `count` is the number of all invalid fields, which may exceed that of the pairs.
    """
    errors = [
        {"field": field.rstrip(".")[:MAX_FIELD_CHARACTERS], "reason": reason}
        for field, reason in field_errors[:MAX_ERRORS]
    ]
    first = errors[0]
    more = f" (and {count - 1} more)" if count > 1 else ""
    return ProblemError(kind, f"{first['field'] or 'body'}: {first['reason']}{more}", errors)


def _reason(detail: Any) -> str:
    # Pydantic's message for a bad UUID quotes a character of the client's value.
    return "Input should be a valid UUID" if detail["type"] == "uuid_parsing" else str(detail["msg"])


def problem_responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer these kinds of problems, and INTERNAL; each with an example."""
    responses: dict[int | str, dict[str, Any]] = {}
    for kind in (*kinds, INTERNAL):
        response = responses.setdefault(
            kind.status,
            {
                "model": ProblemBody,
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}, "examples": {}}},
            },
        )
        response["content"][MEDIA_TYPE]["examples"][kind.name] = {
            "value": {"type": kind.type, "title": kind.title, "status": kind.status, "detail": kind.detail}
        }
    return responses
