"""The kinds of problems of the sign-in of browsers, and of requests with a session cookie."""

from api.web.problem_kinds import ProblemKind

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
