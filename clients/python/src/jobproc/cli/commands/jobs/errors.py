"""`errors`: groups of failed jobs with the same error."""

import click

from jobproc.cli.commands.jobs.filters import Instant
from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns

COLUMNS = columns(
    "error_group",
    "count",
    "operation",
    "type",
    "normalised_text",
    "first_at",
    "last_at",
    error_group="GROUP",
    normalised_text="TEXT",
)


@click.group("errors", cls=Group)
def errors() -> None:
    """Error groups: failed jobs by operation, error type and text."""


@errors.command("list")
@click.option("--operation", help="The operation.")
@click.option("--queue", help="The queue.")
@click.option("--finished-after", type=Instant(is_past=True), help="Finished at or after a time, or 2h ago.")
@click.option("--finished-before", type=Instant(is_past=True), help="Finished before a time, or 2h ago.")
@click.option("--limit", type=int, default=20, show_default=True, help="The most groups.")
@pass_invocation
def list_(invocation: Invocation, limit: int, **filters: str | None) -> None:
    """List the error groups of the newest failures, the largest first.

    `jobproc retry --error-group GROUP` runs the jobs of a group once more.
    """
    given = {name: value for name, value in filters.items() if value is not None}
    found = invocation.client.errors(limit, **given)
    invocation.write_list(found.errors, COLUMNS, "error_group")
    if not found.is_complete:
        invocation.say(f"these are the newest failures, since {found.since}; older ones are not counted")
    if found.groups_total > len(found.errors):
        invocation.say(f"{found.groups_total - len(found.errors):,} smaller groups are not shown")
