"""The error of a response that refuses a request."""

from jobproc.client import errors, problems
from jobproc.client.connection.request import Response

#: By status, for problems whose type this version does not know, and for responses of proxies.
GROUPS: dict[int, type[errors.ApiError]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.Missing,
    409: errors.Conflict,
    410: errors.Missing,
    412: errors.Conflict,
    429: errors.Throttled,
}
SERVER_ERRORS = 500
MAX_TEXT = 500


def error_of(response: Response) -> errors.ApiError:
    """Return the error of a response: by its type of problem, else by its status."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):  # of a proxy
        body = {"detail": response.body[:MAX_TEXT].decode(errors="replace")}
    name = str(body.get("type", "")).removeprefix(errors.PREFIX)
    group = (
        errors.Unavailable if response.status >= SERVER_ERRORS else GROUPS.get(response.status, errors.InvalidRequest)
    )
    return problems.BY_TYPE.get(name, group)(response.status, response.headers, body)
