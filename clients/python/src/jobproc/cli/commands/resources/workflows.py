"""`workflows`: jobs that run after others."""

import click

from jobproc.cli.commands.jobs.inputs import value_of
from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns
from jobproc.client.calls.workflows import retry as retry_workflow

COLUMNS = columns("workflow_id", "status", "jobs", "created_at", "ended_at", "submitted_by")
NODES = columns("name", "job_id", "status", "operation", "depends_on")
CODES = {"FAILED": 3, "CANCELLED": 4}


@click.group("workflows", cls=Group)
def workflows() -> None:
    """Workflows: submit them, wait for them, cancel and retry them."""


@workflows.command("list")
@click.option("--status", help="The state.")
@click.option("--limit", type=int, default=50, show_default=True, help="The most workflows.")
@pass_invocation
def list_(invocation: Invocation, status: str | None, limit: int) -> None:
    """List workflows, newest first."""
    invocation.write_list(invocation.client.workflows.list(status, most=limit), COLUMNS, "workflow_id")


@workflows.command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show a workflow with the numbers of its jobs by state."""
    invocation.write(invocation.client.workflows.get(id_), "workflow_id")


@workflows.command("jobs")
@click.argument("id_", metavar="ID")
@pass_invocation
def jobs(invocation: Invocation, id_: str) -> None:
    """List the jobs of a workflow, each with those that it runs after."""
    invocation.write_list(invocation.client.workflows.jobs(id_), NODES, "job_id")


@workflows.command("submit")
@click.argument("definition", metavar="JSON")
@pass_invocation
def submit(invocation: Invocation, definition: str) -> None:
    """Submit a workflow: JSON or @file, a list of submissions with `name` and `depends_on`."""
    jobs = value_of(definition, "JSON")
    if not isinstance(jobs, list):
        usage("a list of submissions is expected")
    invocation.write(invocation.client.workflows.submit(jobs), "workflow_id")


@workflows.command("wait")
@click.argument("id_", metavar="ID")
@click.option("--timeout", type=float, metavar="SECONDS", help="Wait at most so long.")
@pass_invocation
def wait(invocation: Invocation, id_: str, timeout: float | None) -> int:
    """Wait until no job of a workflow is unfinished. The exit code is 3 if it is FAILED, 4 if it is CANCELLED."""
    invocation.goes_on = f"workflow {id_}"
    view = invocation.client.workflow(id_).wait(timeout)
    invocation.write(view, "workflow_id")
    return CODES.get(view.status, 0)


@workflows.command("cancel")
@click.argument("id_", metavar="ID")
@pass_invocation
def cancel(invocation: Invocation, id_: str) -> None:
    """Cancel the jobs of a workflow."""
    invocation.write(invocation.client.workflows.cancel(id_), "workflow_id")


@workflows.command("retry")
@click.argument("id_", metavar="ID")
@pass_invocation
def retry(invocation: Invocation, id_: str) -> None:
    """Run the jobs of a workflow that have not succeeded once more."""
    invocation.write(invocation.client.send(retry_workflow(id_)), "workflow_id")
