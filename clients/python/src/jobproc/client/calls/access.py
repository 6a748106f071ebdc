"""Calls about API keys and the audit log."""

from collections.abc import Sequence
from typing import Any

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.views.access import ApiKeyList, ApiKeyView, AuditPage, NewApiKeyView
from jobproc.client.views.view import view


def create(name: str, scopes: Sequence[str], expires_in_seconds: int | None = None) -> Request[NewApiKeyView]:
    """Create an API key. The response alone has its text."""
    body = {"name": name, "scopes": list(scopes), "expires_in_seconds": expires_in_seconds}
    return post("/keys", view(NewApiKeyView), body)


def page(limit: int | None = None, after: str | None = None) -> Request[ApiKeyList]:
    """List a page of API keys."""
    return get("/keys", view(ApiKeyList), limit=limit, after=after)


def keys(most: int | None = None) -> Flow[None]:
    """List API keys."""
    return all_pages(page(), lambda view: view["keys"], most)


def rotate(key_id: str, overlap_seconds: int | None = None) -> Request[NewApiKeyView]:
    """Create the successor of an API key, which is valid until the overlap is over."""
    body: dict[str, Any] = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    return post(f"/keys/{segment(key_id)}/rotate", view(NewApiKeyView), body)


def revoke(key_id: str) -> Request[ApiKeyView]:
    """Revoke an API key."""
    return post(f"/keys/{segment(key_id)}/revoke", view(ApiKeyView), repeatable=True)


def audit(
    action: str | None = None, subject: str | None = None, thing: str | None = None, most: int | None = None
) -> Flow[None]:
    """List entries of the audit log, newest first."""
    first = get("/audit", view(AuditPage), action=action, subject=subject, thing=thing)
    return all_pages(first, lambda view: view.entries, most)
