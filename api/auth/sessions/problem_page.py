"""The response to a browser whose sign-in has failed: a page for its user, or a problem for other clients."""

import base64
import hashlib
from html import escape

from fastapi import Request, Response

from api.web.problems import ProblemError

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color-scheme:light dark}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>jobproc: {title}</title>
<style>{style}</style>
<h1>{title}</h1>
<p>{detail}</p>
<p><a href="start">Sign in again</a></p>
</html>
"""


def problem_page(request: Request, problem: ProblemError) -> Response:
    """Return the response to a request for a page below /console/session/."""
    response = problem.response({"Cache-Control": "no-store"})
    if "text/html" not in request.headers.get("accept", ""):
        return response
    html = _PAGE.format(title=escape(problem.kind.title), detail=escape(problem.detail), style=_STYLE)
    headers = {
        name: value for name, value in response.headers.items() if name not in ("content-length", "content-type")
    }
    headers["Content-Security-Policy"] = _POLICY
    return Response(html, problem.kind.status, headers, "text/html; charset=utf-8")
