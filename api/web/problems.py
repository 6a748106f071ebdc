"""Errors on the wire: RFC 9457 problems, for everything that can go wrong, the framework's own 404s and 422s included.

No problem repeats what the client sent: an echo of NaN or of a lone surrogate could not even be encoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp

from common.domain.bulk_actions import Phase
from common.domain.errors import (
    ActionNotFound,
    InputRemoved,
    InvalidSubmission,
    JobNotFound,
    JobprocError,
    KeyReused,
    NotRetryable,
    OutcomeUnknown,
    Overloaded,
    StoreUnavailable,
    TooManyWaitingClients,
    UniqueConflict,
    UnknownOperation,
    WrongPhase,
)
from common.domain.states import State
from common.telemetry import logs

log = logs.get("api")
MEDIA_TYPE = "application/problem+json"
PREFIX = "urn:jobproc:problem:"
MAX_ERRORS = 20  # named in one problem
MAX_FIELD_CHARACTERS = 100  # characters of a field's name: an unknown field's is the client's text
RETRY_AFTER_S = 1
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class FieldError(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Where it is, such as `data.3`; empty for the whole body.", examples=["data.3"])
    reason: str = Field(description="What was expected.", examples=["Input should be a finite number"])


class ProblemBody(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: str = Field(examples=["urn:jobproc:problem:invalid-body"])
    title: str = Field(examples=["The body breaks a rule"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["data.3: Input should be a finite number"])
    errors: list[FieldError] | None = None
    state: State | None = Field(None, description="With `not-retryable`: that of the job.")
    phase: Phase | None = Field(None, description="With `wrong-phase`: that of the action.")


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem."""

    name: str
    status: int
    title: str
    detail: str  #: used where nothing better is known; the example in the OpenAPI document

    @property
    def type(self) -> str:
        """The URI that names it."""
        return PREFIX + self.name


MALFORMED_JSON = ProblemKind("malformed-json", 400, "The body is not JSON", "Invalid JSON: expected value at line 1 column 1")
NOT_FOUND = ProblemKind("not-found", 404, "There is nothing at this path", "No such path.")
JOB_NOT_FOUND = ProblemKind("job-not-found", 404, "No such job", "No job has this id.")
ACTION_NOT_FOUND = ProblemKind("action-not-found", 404, "No such action", "No action has this id.")
METHOD_NOT_ALLOWED = ProblemKind("method-not-allowed", 405, "This path has no such method", "The Allow header lists the methods of this path.")
BODY_TIMEOUT = ProblemKind("body-timeout", 408, "The body did not arrive in time", "The body did not arrive within 10 s.")
NOT_RETRYABLE = ProblemKind(
    "not-retryable", 409, "The job cannot be retried now", "The job is IN_PROGRESS; only one that is FAILED or CANCELLED can be retried."
)
WRONG_PHASE = ProblemKind("wrong-phase", 409, "The action is in another phase", "The action is DONE; start is possible while it is PREVIEW, STOPPED, RUNNING.")
INPUT_REMOVED = ProblemKind("input-removed", 409, "The input is no longer there", "The input of the job has been removed; a retry has to bring one.")
BODY_TOO_LARGE = ProblemKind("body-too-large", 413, "The body is too large", "The body has more than 1048576 bytes.")
UNSUPPORTED_MEDIA_TYPE = ProblemKind("unsupported-media-type", 415, "The body must be JSON", "Content-Type: application/json is expected.")
INVALID_BODY = ProblemKind("invalid-body", 422, "The body breaks a rule", "data.3: Input should be a finite number")
UNKNOWN_OPERATION = ProblemKind("unknown-operation", 422, "No such operation", "operation: unknown operation; known ones: cube_sum, square_sum")
INVALID_PARAMETER = ProblemKind("invalid-parameter", 422, "A parameter breaks a rule", "job_id: Input should be a valid UUID")
IDEMPOTENCY_KEY_REUSED = ProblemKind(
    "idempotency-key-reused", 422, "The key came with another body", "This Idempotency-Key came with another body before; nothing was stored."
)
INVALID_IDEMPOTENCY_KEY = ProblemKind(
    "invalid-idempotency-key", 422, "The key breaks a rule", "Idempotency-Key: 1 to 255 printable ASCII characters are expected."
)
UNIQUE_CONFLICT = ProblemKind("unique-conflict", 409, "A job holds the unique key", "A job holds this unique key; `job_id` names it. Nothing was stored.")
QUEUE_LATE = ProblemKind("queue-late", 429, "The queue is late", "The oldest job of the queue 'default' has waited for 95 s, longer than 60 s.")
NOT_READY = ProblemKind("not-ready", 503, "This process cannot take submissions", "database: does not answer (ConnectionRefusedError)")
OVERLOADED = ProblemKind("overloaded", 503, "Too many submissions are waiting", "More submissions are waiting than the limit allows; nothing was stored.")
TOO_MANY_WAITING = ProblemKind(
    "too-many-waiting", 503, "Too many clients are waiting", "More clients are waiting for jobs than the limit allows; nothing was stored."
)
STORE_UNAVAILABLE = ProblemKind("store-unavailable", 503, "The database is away", "The database did not answer in time; nothing was stored.")
INTERNAL = ProblemKind("internal", 500, "Something is wrong with the server", "The server's log has the cause.")
HTTP_ERROR = ProblemKind("http-error", 400, "The request cannot be served", "The request cannot be served.")

#: What the domain's errors are on the wire; the first that fits counts.
KIND_OF_ERROR: dict[type[JobprocError], ProblemKind] = {
    UnknownOperation: UNKNOWN_OPERATION,
    InvalidSubmission: INVALID_BODY,
    JobNotFound: JOB_NOT_FOUND,
    ActionNotFound: ACTION_NOT_FOUND,
    WrongPhase: WRONG_PHASE,
    NotRetryable: NOT_RETRYABLE,
    InputRemoved: INPUT_REMOVED,
    KeyReused: IDEMPOTENCY_KEY_REUSED,
    UniqueConflict: UNIQUE_CONFLICT,
    StoreUnavailable: STORE_UNAVAILABLE,
    Overloaded: OVERLOADED,
    TooManyWaitingClients: TOO_MANY_WAITING,
}

#: Every kind, for the reference.
PROBLEM_KINDS = tuple(value for value in vars().copy().values() if isinstance(value, ProblemKind) and value is not HTTP_ERROR)


class ProblemError(Exception):
    """An answer that is a problem."""

    def __init__(
        self, kind: ProblemKind, detail: str | None = None, errors: list[dict[str, str]] | None = None, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        """`members` are added to the body, as RFC 9457 allows."""
        super().__init__(detail or kind.detail)
        self.headers = dict(headers or {})
        self.members = members
        self.kind = kind
        self.detail = detail or kind.detail
        self.errors = errors

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer."""
        body: dict[str, Any] = {"type": self.kind.type, "title": self.kind.title, "status": self.kind.status, "detail": self.detail, **self.members}
        if self.errors:
            body["errors"] = self.errors[:MAX_ERRORS]
        sent = {**self.headers, **(headers or {})}
        if self.kind.status == STORE_UNAVAILABLE.status:
            sent["Retry-After"] = str(RETRY_AFTER_S)
        return Response(orjson.dumps(body), self.kind.status, sent, MEDIA_TYPE)


def validation_problem(error: ValidationError | RequestValidationError, kind: ProblemKind = INVALID_BODY, skip: int = 0, at: str = "") -> ProblemError:
    """Return the problem of a Pydantic error; `skip` leaves out leading parts of each location, `at` is put before it."""
    if isinstance(error, ValidationError):
        found: Sequence[Any] = error.errors(include_url=False, include_context=False, include_input=False)
    else:
        found = error.errors()
    return field_problem(kind, [(at + ".".join(str(part) for part in one["loc"][skip:]), _reason(one)) for one in found[:MAX_ERRORS]], len(found))


def field_problem(kind: ProblemKind, wrong: Sequence[tuple[str, str]], count: int) -> ProblemError:
    """Return the problem that names fields and what was expected of them; `count` is the number of wrong fields in all."""
    errors = [{"field": field.rstrip(".")[:MAX_FIELD_CHARACTERS], "reason": reason} for field, reason in wrong[:MAX_ERRORS]]
    first = errors[0]
    more = f" (and {count - 1} more)" if count > 1 else ""
    return ProblemError(kind, f"{first['field'] or 'body'}: {first['reason']}{more}", errors)


def _reason(error: Any) -> str:
    # Pydantic says which letter of a UUID is wrong: the client's own.
    return "Input should be a valid UUID" if error["type"] == "uuid_parsing" else str(error["msg"])


def problem_responses(*kinds: ProblemKind) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that may answer these problems, each with its example."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in (*kinds, INTERNAL):
        entry = found.setdefault(
            kind.status,
            {
                "model": ProblemBody,
                "description": kind.title,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}, "examples": {}}},
            },
        )
        entry["content"][MEDIA_TYPE]["examples"][kind.name] = {"value": {"type": kind.type, "title": kind.title, "status": kind.status, "detail": kind.detail}}
    return found


def _domain_problem(error: JobprocError) -> ProblemError:
    kind = next((kind for of, kind in KIND_OF_ERROR.items() if isinstance(error, of)), INTERNAL)
    match error:
        case InvalidSubmission():
            return ProblemError(kind, str(error), [{"field": error.field, "reason": error.reason}])
        case UniqueConflict():
            return ProblemError(kind, job_id=error.holder)
        case NotRetryable():
            return ProblemError(kind, str(error), state=error.state)
        case WrongPhase():
            return ProblemError(kind, str(error), phase=error.phase)
        case OutcomeUnknown():
            return ProblemError(kind, str(error))
    return ProblemError(kind)


def _allowed(request: Request) -> dict[str, str]:
    """Return the header that names the methods of a path. Nothing for mounted files, which name theirs themselves."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    found = [method for method in _METHODS if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)]
    return {"Allow": ", ".join([*found, *(["HEAD"] if "GET" in found and "HEAD" not in found else [])])} if found else {}


def install(app: FastAPI, cors: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
    """Make every error of the app a problem; `across`: what lets pages of other origins read its answers, None: they may not."""

    @app.exception_handler(ProblemError)
    async def problem(_request: Request, error: ProblemError) -> Response:
        """Answer what a route refused."""
        return error.response()

    @app.exception_handler(JobprocError)
    async def domain(_request: Request, error: JobprocError) -> Response:
        """Answer an error of the domain."""
        return _domain_problem(error).response()

    @app.exception_handler(RequestValidationError)
    async def parameters(_request: Request, error: RequestValidationError) -> Response:
        """Answer a parameter that the framework refused."""
        return validation_problem(error, INVALID_PARAMETER, skip=1).response()

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        """Answer what the framework found no route or method for."""
        if error.status_code == METHOD_NOT_ALLOWED.status:  # it names the methods of one route of the path
            return ProblemError(METHOD_NOT_ALLOWED).response({**(error.headers or {}), **_allowed(request)})
        kind = NOT_FOUND if error.status_code == NOT_FOUND.status else ProblemKind(HTTP_ERROR.name, error.status_code, HTTP_ERROR.title, HTTP_ERROR.detail)
        return ProblemError(kind).response(error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> ASGIApp:
        """Answer a bug: log it, say nothing of it."""
        route = request.scope.get("route")
        log.error("request_failed", method=request.method, route=getattr(route, "path", None), exc_info=error)
        # It goes past all middleware, so past what adds headers to other answers; and uvicorn closes the connection after it.
        answer = ProblemError(INTERNAL).response({"X-Request-ID": logs.request_id.get().decode("ascii"), "Connection": "close"})
        return answer if cors is None else cors(answer)
