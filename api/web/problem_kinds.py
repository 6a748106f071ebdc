"""The kinds of problems (RFC 9457), one for each kind of error."""

from dataclasses import dataclass

PREFIX = "urn:jobproc:problem:"


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


MALFORMED_REQUEST = ProblemKind(
    "malformed-request",
    400,
    "The request is not HTTP/1.1",
    "The request does not have the syntax of HTTP/1.1: Invalid character in Content-Length.",
)
MALFORMED_JSON = ProblemKind(
    "malformed-json", 400, "The body is not valid JSON", "Invalid JSON: expected value at line 1 column 1"
)
UNAUTHENTICATED = ProblemKind(
    "unauthenticated",
    401,
    "The request needs valid credentials",
    "The request has no Authorization header; send `Authorization: Bearer` and an API key.",
)
SCOPE_MISSING = ProblemKind(
    "scope-missing",
    403,
    "The caller may not do this",
    "The request needs the scope jobs:write; the caller has: jobs:read.",
)
TENANT_SUSPENDED = ProblemKind(
    "tenant-suspended", 403, "The tenant is suspended", "An operator has suspended the tenant of the caller."
)
TENANT_DRAINING = ProblemKind(
    "tenant-draining", 403, "The tenant submits nothing new", "An operator lets the jobs of the tenant end."
)
ORIGIN_NOT_ALLOWED = ProblemKind(
    "origin-not-allowed",
    403,
    "Pages of this origin may not change anything",
    "A page of another origin sent the request; JOBPROC_CORS_ORIGINS lists the origins whose pages may.",
)
NOT_FOUND = ProblemKind("not-found", 404, "No such path", "The API has no resource at this path.")
JOB_NOT_FOUND = ProblemKind("job-not-found", 404, "No such job", "No job has this id.")
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
INPUT_REMOVED = ProblemKind(
    "input-removed",
    409,
    "The input has been removed",
    "The input of the job has been removed; send a new one with the retry.",
)
BODY_TOO_LARGE = ProblemKind("body-too-large", 413, "The body is too large", "The body has more than 1048576 bytes.")
TARGET_TOO_LONG = ProblemKind(
    "target-too-long",
    414,
    "The request target is too long",
    "The request target, which is path and query, has more than 8192 bytes.",
)
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
    "unknown-operation",
    422,
    "No such operation",
    "operation: unknown operation; similar: square_sum; known ones: cube_sum, square_sum. "
    "4 worker processes are alive and know all of these. An operation becomes known when a worker starts that has its "
    "package installed (docs/howto/operations.md).",
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
RATE_LIMITED = ProblemKind(
    "rate-limited", 429, "Too many requests", "The tenant has sent more than 6000 requests within a minute."
)
QUOTA_EXCEEDED = ProblemKind(
    "quota-exceeded",
    429,
    "A quota of the tenant is used up",
    "The tenant has 1000 waiting jobs, and its quota of waiting_jobs is 1000; nothing was stored.",
)
QUOTA_TOO_SMALL = ProblemKind(
    "quota-too-small",
    403,
    "A quota of the tenant never allows the request",
    "The request has 10000 jobs, and the tenant's quota of waiting_jobs is 1000; nothing was stored.",
)
HEAD_TOO_LARGE = ProblemKind(
    "head-too-large",
    431,
    "The header of the request is too large",
    "Request line and header fields have more than 32768 bytes.",
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
ISSUER_UNAVAILABLE = ProblemKind(
    "issuer-unavailable",
    503,
    "The OpenID provider is unavailable",
    "The keys of the OpenID provider cannot be read, so the token cannot be checked; retry later. API keys are served.",
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
KEY_NOT_FOUND = ProblemKind("key-not-found", 404, "No such API key", "No API key of the tenant has this id.")
TENANT_NOT_FOUND = ProblemKind("tenant-not-found", 404, "No such tenant", "No tenant has this name.")
TENANT_EXISTS = ProblemKind(
    "tenant-exists", 409, "The tenant exists", "A tenant has this name; one that is being removed has it until its end."
)
TENANT_REMOVING = ProblemKind(
    "tenant-removing", 409, "The tenant is being removed", "The tenant is being removed, which is final."
)
DEFAULT_TENANT_NEEDED = ProblemKind(
    "default-tenant",
    409,
    "The default tenant stays",
    "The default tenant has the keys of the operators, so it can be neither suspended nor removed.",
)
TOO_MANY_TENANTS = ProblemKind(
    "too-many-tenants", 409, "Too many tenants", "There are 10000 tenants; remove one that is not needed."
)
TOO_MANY_KEYS = ProblemKind(
    "too-many-keys", 409, "Too many API keys", "The tenant has 1000 valid API keys; revoke one that is not needed."
)
FEED_NOT_SWITCHED = ProblemKind(
    "feed-not-switched",
    503,
    "The feed was not switched",
    "Transactions that write jobs have kept the switch from its lock. Nothing was changed; repeat the request.",
)
TOO_MANY_FOLLOWED_QUEUES = ProblemKind(
    "too-many-followed-queues",
    409,
    "Too many followed queues",
    "200 queues are followed; set `events` of one that nobody reads to false.",
)
FEED_EXPIRED = ProblemKind(
    "feed-expired",
    410,
    "The changes are gone",
    "The changes behind `after` are not kept any more, or there are none with such numbers yet. Begin behind `oldest`, "
    "and read the states of jobs that matter from GET /jobs.",
)
PRECONDITION_FAILED = ProblemKind(
    "precondition-failed",
    412,
    "The resource has changed",
    "The resource has changed since the response whose ETag is in If-Match.",
)
#: Of routes that read a JSON body.
BODY_PROBLEMS = (MALFORMED_JSON, BODY_TIMEOUT, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_BODY)
#: Of routes that read many rows.
EXPENSIVE_READ_PROBLEMS = (STORE_UNAVAILABLE, TOO_MANY_READS, READ_TIMEOUT)
INTERNAL = ProblemKind("internal", 500, "Internal server error", "The log of the server has the cause.")
HTTP_ERROR = ProblemKind("http-error", 400, "The request cannot be served", "The request cannot be served.")
