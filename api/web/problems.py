"""Error responses: one problem (RFC 9457) for each kind of error, those of the framework included.

Problems never repeat the client's values: NaN or a lone surrogate could not even be encoded.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import orjson
from fastapi import Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError

from api.web.problem_kinds import INTERNAL, INVALID_BODY, STORE_UNAVAILABLE, ProblemKind
from common.domain.bulk_actions import Phase
from common.domain.states import State
from common.domain.tenancy.quotas import Quota

Body = TypeVar("Body", bound=BaseModel)
MEDIA_TYPE = "application/problem+json"
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
    job_id: UUID | None = Field(None, description="With `unique-conflict`: the id of the job that holds the key.")
    state: State | None = Field(None, description="With `not-retryable`: the state of the job.")
    phase: Phase | None = Field(None, description="With `wrong-phase`: the phase of the bulk action.")
    count: int | None = Field(None, description="With `count-not-confirmed`: the count of the preview.")
    policy: str | None = Field(None, description="With `rate-limited`: the name of the limit, as in `RateLimit`.")
    quota: Quota | None = Field(None, description="With `quota-exceeded` and `quota-too-small`: the quota.")
    limit: int | None = Field(None, description="With these and `rate-limited`: the largest number that is allowed.")
    used: int | None = Field(None, description="With `quota-exceeded`: what the tenant uses of its quota.")
    wait_seconds: int | None = Field(None, description="With `rate-limited` and `quota-exceeded`: as in `Retry-After`.")


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


def validated(model: type[Body], value: Any) -> Body:
    """Return a parsed body as its model. Raises ProblemError, which names the fields and their rules."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise validation_problem(error) from error


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
