"""`open`: opens pages of the console in a browser."""

from collections.abc import Mapping
from typing import Any

import click

from jobproc.cli.commands.jobs.ids import job_id
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.client.connection.request import encoded_query, segment

PATH = "/console"  # of the API, behind its base URL


def open_page(invocation: Invocation, page: str, query: Mapping[str, Any] | None = None) -> None:
    """Open a page in the browser of this machine; through a pipe its URL is written instead."""
    text = encoded_query(query or {})
    url = "/".join(filter(None, (invocation.client.url.rstrip("/") + PATH, page))) + (f"?{text}" if text else "")
    if invocation.is_terminal:
        invocation.say(f"opens {url}")
        click.launch(url)
    else:
        click.echo(url)


@command("open")
@click.argument("id_", metavar="[ID]", required=False)
@pass_invocation
def open_(invocation: Invocation, id_: str | None) -> None:
    """Open the console in a browser: the job ID, or the overview.

    Through a pipe the URL is printed, and no browser starts.
    """
    open_page(invocation, f"jobs/{segment(job_id(invocation, id_))}" if id_ else "")
