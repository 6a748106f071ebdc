"""The rule for requests that a session cookie authenticates: a page of the API itself must have sent them.

SameSite=Strict keeps the cookie out of requests of other sites, but not out of those of a neighbouring domain or of
another port. Browsers tell in Sec-Fetch-Site who sends a request, over https and to loopback addresses; a page cannot
change that. Over plain http to another host they send none, but with an unsafe method the Origin.
"""

from starlette.types import Scope

from api.auth.sessions.cookie import header
from api.web.problems import ProblemError
from api.web.resource_problem_kinds import SESSION_NOT_SAME_ORIGIN

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_same_origin(scope: Scope, *, or_no_browser: bool = False) -> None:
    """Raise ProblemError unless a page of the API has sent the request.

    With a safe method the user too may have sent it, by the address bar, and what tells nothing about its sender.
    `or_no_browser`: with an unsafe method the latter is let in too, for requests that need no cookie.
    """
    site, is_safe = header(scope, b"sec-fetch-site"), scope["method"] in _SAFE_METHODS
    if site == b"same-origin" or (site == b"none" and is_safe):
        return
    if site is None:
        origin = header(scope, b"origin")
        if origin is None:
            if is_safe or or_no_browser:
                return
        elif origin.partition(b"://")[2].lower() == (header(scope, b"host") or b"").lower():
            return
    raise ProblemError(SESSION_NOT_SAME_ORIGIN)
