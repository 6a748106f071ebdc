"""Exception handlers of the app: every exception of a request becomes a problem (RFC 9457)."""

from collections.abc import Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match, Mount
from starlette.types import ASGIApp

from api.web.browser_guard import RESPONSE_HEADERS
from api.web.problem_kinds import (
    DEFAULT_TENANT_NEEDED,
    FEED_EXPIRED,
    FEED_NOT_SWITCHED,
    HTTP_ERROR,
    IDEMPOTENCY_KEY_REUSED,
    INPUT_REMOVED,
    INTERNAL,
    INVALID_BODY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    KEY_NOT_FOUND,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_RETRYABLE,
    OVERLOADED,
    PRECONDITION_FAILED,
    READ_TIMEOUT,
    STORE_UNAVAILABLE,
    TENANT_EXISTS,
    TENANT_NOT_FOUND,
    TENANT_REMOVING,
    TOO_MANY_FOLLOWED_QUEUES,
    TOO_MANY_KEYS,
    TOO_MANY_READS,
    TOO_MANY_TENANTS,
    TOO_MANY_WAITING_CLIENTS,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
    ProblemKind,
)
from api.web.problems import ProblemError, validation_problem
from api.web.resource_problem_kinds import (
    BATCH_CLOSED,
    BATCH_FULL,
    BATCH_NOT_FOUND,
    BULK_ACTION_NOT_FOUND,
    COUNT_NOT_CONFIRMED,
    DELIVERY_NOT_FOUND,
    ENDPOINT_DISABLED,
    ENDPOINT_NOT_FOUND,
    QUEUE_CHANGE_UNCONFIRMED,
    QUEUE_MANAGED,
    QUEUE_NOT_FOUND,
    SCHEDULE_EXISTS,
    SCHEDULE_MANAGED,
    SCHEDULE_NOT_FOUND,
    TOO_MANY_ENDPOINTS,
    TOO_MANY_PREVIEWS,
    TOO_MANY_SCHEDULES,
    WEBHOOKS_OFF,
    WORKFLOW_NOT_FOUND,
    WORKFLOW_RUNNING,
    WRONG_PHASE,
)
from common.domain.errors import (
    BatchClosed,
    BatchFull,
    BatchNotFound,
    BulkActionNotFound,
    ChangeUnconfirmed,
    CountNotConfirmed,
    DefaultTenant,
    FeedExpired,
    FeedNotSwitched,
    InputRemoved,
    InvalidSubmission,
    JobNotFound,
    JobprocError,
    KeyNotFound,
    KeyReused,
    NotRetryable,
    OutcomeUnknown,
    Overloaded,
    QueueChanged,
    QueueManaged,
    QueueNotFound,
    ReadTimeout,
    ScheduleChanged,
    ScheduleExists,
    ScheduleManaged,
    ScheduleNotFound,
    StoreUnavailable,
    TenantExists,
    TenantIsRemoved,
    TenantNotFound,
    TooManyFollowedQueues,
    TooManyKeys,
    TooManyPreviews,
    TooManyReads,
    TooManySchedules,
    TooManyTenants,
    TooManyWaitingClients,
    UniqueConflict,
    UnknownOperation,
    WorkflowNotFound,
    WorkflowRunning,
    WrongPhase,
)
from common.domain.webhooks.errors import (
    DeliveryNotFound,
    EndpointChanged,
    EndpointDisabled,
    EndpointNotFound,
    TooManyEndpoints,
    WebhooksOff,
)
from common.telemetry import logs

log = logs.get("api")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

#: The kind of problem for each domain error. The first entry that is a base class of the error applies.
KIND_OF_ERROR: dict[type[JobprocError], ProblemKind] = {
    UnknownOperation: UNKNOWN_OPERATION,
    InvalidSubmission: INVALID_BODY,
    JobNotFound: JOB_NOT_FOUND,
    KeyNotFound: KEY_NOT_FOUND,
    TooManyKeys: TOO_MANY_KEYS,
    TenantNotFound: TENANT_NOT_FOUND,
    TenantExists: TENANT_EXISTS,
    TenantIsRemoved: TENANT_REMOVING,
    DefaultTenant: DEFAULT_TENANT_NEEDED,
    TooManyTenants: TOO_MANY_TENANTS,
    BatchNotFound: BATCH_NOT_FOUND,
    WorkflowNotFound: WORKFLOW_NOT_FOUND,
    WorkflowRunning: WORKFLOW_RUNNING,
    BatchClosed: BATCH_CLOSED,
    BatchFull: BATCH_FULL,
    ScheduleNotFound: SCHEDULE_NOT_FOUND,
    ScheduleExists: SCHEDULE_EXISTS,
    ScheduleManaged: SCHEDULE_MANAGED,
    ScheduleChanged: PRECONDITION_FAILED,
    TooManySchedules: TOO_MANY_SCHEDULES,
    QueueNotFound: QUEUE_NOT_FOUND,
    QueueChanged: PRECONDITION_FAILED,
    QueueManaged: QUEUE_MANAGED,
    ChangeUnconfirmed: QUEUE_CHANGE_UNCONFIRMED,
    EndpointNotFound: ENDPOINT_NOT_FOUND,
    EndpointChanged: PRECONDITION_FAILED,
    EndpointDisabled: ENDPOINT_DISABLED,
    TooManyEndpoints: TOO_MANY_ENDPOINTS,
    DeliveryNotFound: DELIVERY_NOT_FOUND,
    WebhooksOff: WEBHOOKS_OFF,
    FeedNotSwitched: FEED_NOT_SWITCHED,
    TooManyFollowedQueues: TOO_MANY_FOLLOWED_QUEUES,
    FeedExpired: FEED_EXPIRED,
    BulkActionNotFound: BULK_ACTION_NOT_FOUND,
    WrongPhase: WRONG_PHASE,
    CountNotConfirmed: COUNT_NOT_CONFIRMED,
    TooManyPreviews: TOO_MANY_PREVIEWS,
    NotRetryable: NOT_RETRYABLE,
    InputRemoved: INPUT_REMOVED,
    KeyReused: IDEMPOTENCY_KEY_REUSED,
    UniqueConflict: UNIQUE_CONFLICT,
    StoreUnavailable: STORE_UNAVAILABLE,
    Overloaded: OVERLOADED,
    TooManyReads: TOO_MANY_READS,
    ReadTimeout: READ_TIMEOUT,
    TooManyWaitingClients: TOO_MANY_WAITING_CLIENTS,
}

#: The attributes of errors that are members of their problems.
_MEMBERS: dict[type[JobprocError], tuple[str, ...]] = {
    NotRetryable: ("state",),
    WrongPhase: ("phase",),
    CountNotConfirmed: ("count",),
    FeedExpired: ("oldest", "newest"),
}


def install(app: FastAPI, cors: Callable[[ASGIApp], ASGIApp] | None = None) -> None:
    """Add the handlers to the app. `cors` is its CORS middleware, None if it has none."""

    @app.exception_handler(ProblemError)
    async def problem(_request: Request, error: ProblemError) -> Response:
        """Answer a problem that a route raised."""
        return error.response()

    @app.exception_handler(JobprocError)
    async def domain(_request: Request, error: JobprocError) -> Response:
        """Answer a domain error."""
        return _domain_problem(error).response()

    @app.exception_handler(RequestValidationError)
    async def parameters(_request: Request, error: RequestValidationError) -> Response:
        """Answer an invalid parameter."""
        return validation_problem(error, INVALID_PARAMETER, skip=1).response()

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> Response:
        """Answer a request that matches no route or method."""
        if error.status_code == METHOD_NOT_ALLOWED.status:  # the framework lists the methods of only one route
            return ProblemError(METHOD_NOT_ALLOWED).response({**(error.headers or {}), **_allow_header(request)})
        kind = (
            NOT_FOUND
            if error.status_code == NOT_FOUND.status
            else ProblemKind(HTTP_ERROR.name, error.status_code, HTTP_ERROR.title, HTTP_ERROR.detail)
        )
        return ProblemError(kind).response(error.headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> ASGIApp:
        """Log an unexpected exception and answer without its text."""
        route = request.scope.get("route")
        log.error("request_failed", method=request.method, route=getattr(route, "path", None), exc_info=error)
        # This response bypasses all middleware, so their headers are added here; uvicorn then closes the connection.
        response = ProblemError(INTERNAL).response(
            {"X-Request-ID": logs.request_id.get().decode("ascii"), "Connection": "close"}
        )
        response.raw_headers += RESPONSE_HEADERS
        return response if cors is None else cors(response)


def _domain_problem(error: JobprocError) -> ProblemError:
    kind = next((kind for error_type, kind in KIND_OF_ERROR.items() if isinstance(error, error_type)), INTERNAL)
    members = {name: getattr(error, name) for name in _MEMBERS.get(type(error), ())}
    match error:
        case InvalidSubmission():
            return ProblemError(kind, str(error), [{"field": error.field, "reason": error.reason}])
        case UniqueConflict():
            return ProblemError(kind, job_id=error.holder)
        case TooManyPreviews():
            return ProblemError(kind, str(error), headers={"Retry-After": str(error.retry_after_s)})
        case (
            NotRetryable()
            | WrongPhase()
            | CountNotConfirmed()
            | BatchFull()
            | OutcomeUnknown()
            | ReadTimeout()
            | TooManyKeys()
            | TooManySchedules()
        ):
            return ProblemError(kind, str(error), **members)
        case _:
            return ProblemError(kind, **members)


def _allow_header(request: Request) -> dict[str, str]:
    """Return the Allow header with the methods of a path; nothing for mounted files, which set their own."""
    routes = [route for route in request.app.routes if not isinstance(route, Mount)]
    methods = [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
    if not methods:
        return {}
    return {"Allow": ", ".join([*methods, *(["HEAD"] if "GET" in methods and "HEAD" not in methods else [])])}
