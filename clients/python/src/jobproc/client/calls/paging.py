"""Lists: one page, or the items of all pages."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from jobproc.client.connection.request import Request
from jobproc.client.connection.steps import Emit, Flow
from jobproc.client.views.view import View

V = TypeVar("V", bound=View)


def all_pages(page: Request[V], items: Callable[[V], Any], most: int | None = None) -> Flow[None]:
    """Emit the items of a list, page by page, up to `most`."""
    left = most
    while True:
        view = yield page
        for item in items(view):
            if left is not None and left <= 0:
                return
            yield Emit(item)
            left = None if left is None else left - 1
        if not (following := view.get("next")) or left == 0:
            return
        # Only its query: behind a proxy the path may have a prefix that the API does not know.
        page = replace(page, query=dict(parse_qsl(urlsplit(str(following)).query)))
