"""The kinds of problems of batches, workflows, bulk actions, schedules, queues, webhooks and console sessions."""

from api.web import problem_kinds
from api.web.problem_kinds import HTTP_ERROR, ProblemKind

BULK_ACTION_NOT_FOUND = ProblemKind("bulk-action-not-found", 404, "No such bulk action", "No bulk action has this id.")
BATCH_NOT_FOUND = ProblemKind("batch-not-found", 404, "No such batch", "No batch has this id.")
WORKFLOW_NOT_FOUND = ProblemKind("workflow-not-found", 404, "No such workflow", "No workflow has this id.")
WRONG_PHASE = ProblemKind(
    "wrong-phase",
    409,
    "Not possible in the phase of the bulk action",
    "The action is DONE; start is possible while it is PREVIEW, STOPPED, RUNNING.",
)
COUNT_NOT_CONFIRMED = ProblemKind(
    "count-not-confirmed",
    409,
    "The count of the preview is not confirmed",
    'The action is on all jobs. To start it, send the count of its preview: {"count": 1204}.',
)
WORKFLOW_RUNNING = ProblemKind(
    "workflow-running",
    409,
    "The workflow is not at rest",
    "A job of the workflow has not ended, or its cancel is not done; retry it when all have.",
)
BATCH_CLOSED = ProblemKind(
    "batch-closed", 409, "The batch is closed", "The batch is closed: no job can be added to it. Nothing was stored."
)
BATCH_FULL = ProblemKind(
    "batch-full",
    409,
    "The batch would have too many jobs",
    "A batch has at most 1000000 jobs; nothing was stored.",
)
TOO_MANY_PREVIEWS = ProblemKind(
    "too-many-previews",
    429,
    "Too many bulk actions wait for their start",
    "100 bulk actions wait for their start; a new one may take a place in 42 s.",
)
SCHEDULE_NOT_FOUND = ProblemKind(
    "schedule-not-found", 404, "No such schedule", "No schedule of the tenant has this id."
)
SCHEDULE_EXISTS = ProblemKind(
    "schedule-exists", 409, "The schedule exists", "A schedule of the tenant has this name; each has its own."
)
SCHEDULE_MANAGED = ProblemKind(
    "schedule-managed", 409, "A file declares the schedule", "A file declares the schedule; change it there."
)
TOO_MANY_SCHEDULES = ProblemKind(
    "too-many-schedules",
    409,
    "Too many schedules",
    "The tenant may have 1000 schedules; delete one that is not needed.",
)
QUEUE_NOT_FOUND = ProblemKind("queue-not-found", 404, "No such queue", "No operation and no worker has this queue.")
QUEUE_MANAGED = ProblemKind(
    "queue-managed",
    409,
    "A file declares the limits of the queue",
    "A file declares the limits of the queue; change it there.",
)
QUEUE_CHANGE_UNCONFIRMED = ProblemKind(
    "queue-change-unconfirmed",
    503,
    "The change of the queue is not confirmed",
    "The change is stored, but transactions that began before it still run: jobs may start as if it were not. "
    "Repeat the request.",
)
ENDPOINT_NOT_FOUND = ProblemKind(
    "webhook-endpoint-not-found", 404, "No such webhook endpoint", "No webhook endpoint of the tenant has this id."
)
DELIVERY_NOT_FOUND = ProblemKind(
    "webhook-delivery-not-found",
    404,
    "No such delivery",
    "No delivery of the tenant has this id, or its event was deleted.",
)
ENDPOINT_DISABLED = ProblemKind(
    "webhook-endpoint-disabled", 409, "The endpoint is disabled", "The endpoint is disabled; enable it first."
)
TOO_MANY_ENDPOINTS = ProblemKind(
    "too-many-webhook-endpoints",
    409,
    "Too many webhook endpoints",
    "The tenant may have 100 webhook endpoints; delete one that is not needed.",
)
WEBHOOKS_OFF = ProblemKind(
    "webhooks-off",
    409,
    "Webhooks are off",
    "Webhooks are off: the operator has set no JOBPROC_WEBHOOK_ENCRYPTION_KEY.",
)
SESSION_NOT_SAME_ORIGIN = ProblemKind(
    "session-not-same-origin",
    403,
    "A session serves the pages of the API alone",
    "A request with a session cookie needs Sec-Fetch-Site: same-origin, or the Origin of the API. Other clients send "
    "an API key.",
)
SESSION_NEEDS_KEY = ProblemKind(
    "session-needs-key",
    403,
    "A session begins with an API key",
    "A session begins with an API key in the Authorization header; people of an OpenID provider begin at "
    "/console/session/start.",
)
SESSION_NEEDS_HTTPS = ProblemKind(
    "session-needs-https",
    403,
    "A session needs https",
    "The page was loaded over plain http, where others may read the session cookie. Use https, or a loopback address, "
    "or set JOBPROC_INSECURE_SESSION_COOKIE=true.",
)
SIGN_IN_OFF = ProblemKind(
    "sign-in-off",
    409,
    "Browsers cannot sign in this way",
    "The operator has set JOBPROC_CONSOLE_SIGN_IN=false.",
)
SIGN_IN_EXPIRED = ProblemKind(
    "sign-in-expired",
    400,
    "The sign-in has to begin again",
    "The sign-in has taken too long, has ended before, or was begun in another browser. Begin again.",
)
SIGN_IN_REFUSED = ProblemKind(
    "sign-in-refused",
    403,
    "The sign-in was refused",
    "The OpenID provider has refused the sign-in (access_denied).",
)

#: Every kind, for the reference. HTTP_ERROR only stands in for errors of the framework that have no kind.
PROBLEM_KINDS = tuple(
    value
    for value in [*vars(problem_kinds).values(), *vars().copy().values()]
    if isinstance(value, ProblemKind) and value is not HTTP_ERROR
)
