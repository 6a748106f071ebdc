"""`api`: any request of the API, with the credentials of the profile."""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import click

from jobproc.cli.commands.jobs.inputs import fields_of, value_of
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.client.connection.request import JSON_HEADERS, Request, Response

READS = ("GET", "HEAD")
TEXT_START = 200


def body_of(response: Response) -> Any:
    """Return the JSON of a response; None if it has no body."""
    return response.json() if response.body else None


def request_of(method: str, path: str, fields: Mapping[str, Any], body: Any, if_match: str | None) -> Request[Any]:
    """Return a request. The fields are its query if it reads, else members of its body."""
    if not path.startswith("/"):
        usage(f"PATH: a path such as /jobs is expected, not {path!r}")
    parts = urlsplit(path)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    reads = method in READS
    if reads and body is not None:
        usage(f"--input is for methods with a body, not for {method}")
    if not reads and fields:
        body = {**(body or {}), **fields}
    text = None if body is None else json.dumps(body).encode()
    headers = {**(JSON_HEADERS if text is not None else {}), **({"If-Match": if_match} if if_match else {})}
    query |= fields if reads else {}
    return Request(method, parts.path, body_of, query=query, body=text, headers=headers, is_repeatable=reads)


def pages(invocation: Invocation, request: Request[Any]) -> Iterator[Any]:
    """Yield the items of all pages of a list."""
    while True:
        page = invocation.client.send(request)
        lists = [name for name, value in page.items() if isinstance(value, list)] if isinstance(page, dict) else []
        if len(lists) != 1:
            usage("--paginate is for lists: the response has not one member that is a list")
        yield from page[lists[0]]
        if not page.get("next"):
            return
        request = request_of(request.method, request.path, dict(parse_qsl(urlsplit(page["next"]).query)), None, None)


@command("api")
@click.argument("method")
@click.argument("path")
@click.option("-f", "--field", "fields", multiple=True, metavar="NAME=VALUE", help="Of the query, or of the body.")
@click.option("--input", "body", metavar="JSON", help="The body: JSON or @file.")
@click.option("--if-match", metavar="ETAG", help="Refuse the change if the thing has changed since.")
@click.option("--paginate", is_flag=True, help="The items of all pages.")
@pass_invocation
def api(  # noqa: PLR0913 - an option each
    invocation: Invocation,
    method: str,
    path: str,
    fields: tuple[str, ...],
    body: str | None,
    if_match: str | None,
    *,
    paginate: bool,
) -> None:
    """Send a request to the API, and print the JSON of the response.

    A value of a field is JSON if it can be, else text; @file is read.
    """
    given = None if body is None else value_of(body, "--input")
    request = request_of(method.upper(), path, fields_of(fields), given, if_match)
    if paginate:
        for item in pages(invocation, request):
            invocation.stream(item, "id")
        return
    if (value := invocation.client.send(request)) is not None:
        invocation.write_value(value)
