"""`actions`: the bulk actions that were begun."""

import click

from jobproc.cli.commands.jobs.bulk import progress
from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns

COLUMNS = columns("bulk_action_id", "action", "phase", "count", "done", "undone", "created_at")


@click.group("actions", cls=Group)
def actions() -> None:
    """Bulk actions: list them, stop them, take them back."""


@actions.command("list")
@click.option("--limit", type=int, default=20, show_default=True, help="The most actions.")
@pass_invocation
def list_(invocation: Invocation, limit: int) -> None:
    """List bulk actions, newest first."""
    invocation.write_list(invocation.client.bulk.list(limit), COLUMNS, "bulk_action_id")


@actions.command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show a bulk action and its progress."""
    invocation.write(invocation.client.bulk.get(id_), "bulk_action_id")


@actions.command("outcomes")
@click.argument("id_", metavar="ID")
@pass_invocation
def outcomes(invocation: Invocation, id_: str) -> None:
    """Show the states of the jobs that a bulk action has changed, and what an undo would do now."""
    invocation.write(invocation.client.bulk.outcomes(id_), "bulk_action_id")


@actions.command("stop")
@click.argument("id_", metavar="ID")
@pass_invocation
def stop(invocation: Invocation, id_: str) -> None:
    """Stop a bulk action; no further job is changed."""
    invocation.write(invocation.client.bulk.stop(id_), "bulk_action_id")


@actions.command("start")
@click.argument("id_", metavar="ID")
@click.option("--first", type=click.IntRange(min=1), metavar="N", help="Stop once N jobs in all are changed.")
@pass_invocation
def start(invocation: Invocation, id_: str, first: int | None) -> None:
    """Go on with a bulk action that was stopped, or start a previewed one."""
    invocation.client.bulk_action(id_).start(first)
    invocation.goes_on = f"the action (`jobproc actions stop {id_}` stops it)"
    invocation.write(progress(invocation, id_), "bulk_action_id")


@actions.command("undo")
@click.argument("id_", metavar="ID")
@pass_invocation
def undo(invocation: Invocation, id_: str) -> None:
    """Take a bulk action back, as far as its jobs have not moved on."""
    invocation.client.bulk.undo(id_)
    invocation.goes_on = f"the undo (`jobproc actions stop {id_}` stops it)"
    invocation.write(progress(invocation, id_), "bulk_action_id")
