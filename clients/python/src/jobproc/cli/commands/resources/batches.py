"""`batches`: jobs that were submitted together."""

import click

from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns

COLUMNS = columns("batch_id", "status", "jobs", "created_at", "ended_at", "submitted_by")


@click.group("batches", cls=Group)
def batches() -> None:
    """Batches: list them, wait for them, cancel them."""


@batches.command("list")
@click.option("--status", type=click.Choice(("OPEN", "CLOSED", "ENDED"), case_sensitive=False), help="The state.")
@click.option("--limit", type=int, default=50, show_default=True, help="The most batches.")
@pass_invocation
def list_(invocation: Invocation, status: str | None, limit: int) -> None:
    """List batches, newest first."""
    invocation.write_list(invocation.client.batches.list(status, most=limit), COLUMNS, "batch_id")


@batches.command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show a batch with the numbers of its jobs by state."""
    invocation.write(invocation.client.batches.get(id_), "batch_id")


@batches.command("wait")
@click.argument("id_", metavar="ID")
@click.option("--timeout", type=float, metavar="SECONDS", help="Wait at most so long.")
@pass_invocation
def wait(invocation: Invocation, id_: str, timeout: float | None) -> int:
    """Wait for the end of a batch. The exit code is 3 if a job of it is FAILED, else 4 if one is CANCELLED."""
    invocation.goes_on = f"batch {id_}"
    view = invocation.client.batch(id_).wait(timeout, progress=True)
    invocation.write(view, "batch_id")
    return 3 if view.counts.failed else 4 if view.counts.cancelled else 0


@batches.command("close")
@click.argument("id_", metavar="ID")
@pass_invocation
def close(invocation: Invocation, id_: str) -> None:
    """Close an open batch: it ends when all of its jobs have ended."""
    invocation.write(invocation.client.batches.close(id_), "batch_id")


@batches.command("cancel")
@click.argument("id_", metavar="ID")
@pass_invocation
def cancel(invocation: Invocation, id_: str) -> None:
    """Close a batch and cancel its jobs."""
    invocation.write(invocation.client.batches.cancel(id_), "batch_id")
