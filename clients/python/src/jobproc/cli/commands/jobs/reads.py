"""Commands that read jobs: get, result, why, logs and list."""

from typing import Any

import click

from jobproc.cli.commands.jobs.console import open_page
from jobproc.cli.commands.jobs.filters import chosen, filters
from jobproc.cli.commands.jobs.ids import job_id
from jobproc.cli.exit_codes import OF_STATES
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns, plain

COLUMNS = columns(
    "job_id", "status", "operation", "queue", "priority", "created_at", "finished_at", "attempt", "error.text"
)
LIMIT = 50
LEVEL_WIDTH = 8


@command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show a job: options, attempts, timeline, result.

    ID is the id of a job or its last eight characters.
    """
    invocation.write(invocation.client.get(job_id(invocation, id_)), "job_id")


@command("result")
@click.argument("id_", metavar="ID")
@click.option("--wait", type=float, metavar="SECONDS", help="Wait until the job has ended, at most so long.")
@pass_invocation
def result(invocation: Invocation, id_: str, wait: float | None) -> int:
    """Print the result of a job that has ended.

    Without --wait it waits as long as the job takes. The exit code is 3 for a job that is FAILED, 4 for one that is
    CANCELLED, and 9 if the time is up.
    """
    return print_result(invocation, job_id(invocation, id_), wait)


def print_result(invocation: Invocation, id_: str, wait: float | None) -> int:
    """Wait for the end of a job and print its result. Return the exit code."""
    invocation.goes_on = f"job {id_}"
    value = invocation.client.result(id_, wait)
    invocation.goes_on = ""
    invocation.write_value(value)
    return OF_STATES["SUCCESS"]


@command("why")
@click.argument("id_", metavar="ID")
@pass_invocation
def why(invocation: Invocation, id_: str) -> None:
    """Say why a job is in its state, and when it may start."""
    explanation = invocation.client.explain(job_id(invocation, id_))
    if invocation.format != "table":
        invocation.write(explanation, "job_id")
        return
    click.echo(f"{explanation.job_id} is {explanation.status}")
    for reason in explanation.reasons:
        click.echo(f"  {reason.code}: {plain(reason.text)}")
    if explanation.position:
        click.echo(f"  {explanation.position.ahead} jobs are ahead of it")
    if explanation.expected_start:
        click.echo(f"  it will probably start from {explanation.expected_start.earliest}")


@command("logs")
@click.argument("id_", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--run", type=int, help="The run; default: the last one.")
@click.option("--attempt", type=int, help="The attempt; default: all.")
@pass_invocation
def logs(invocation: Invocation, id_: str, run: int | None, attempt: int | None, *, follow: bool) -> None:
    """Print what the attempts of a job have logged."""
    id_ = job_id(invocation, id_)
    client = invocation.client
    if follow:
        invocation.goes_on = f"job {id_}"
    for line in client.log_lines(id_, run, attempt) if follow else client.logs(id_, run, attempt):
        if invocation.format == "table":
            level = f"{line['level']:<{LEVEL_WIDTH}}"
            click.echo(f"{line['at']}  {level}  {line['attempt']}  {plain(line['message'])}")
            for row in (line.get("exception") or "").splitlines():
                click.echo(f"  {plain(row)}")
        else:
            invocation.stream(line, "message")


@command("list")
@filters
@click.option("--sort", type=click.Choice(("-created", "created", "-finished", "finished")), help="Default: -created.")
@click.option("--limit", type=int, default=LIMIT, show_default=True, help="The most jobs.")
@click.option("--all", "is_all", is_flag=True, help="All jobs that match, page by page.")
@click.option("--web", is_flag=True, help="Open the list in the console instead.")
@pass_invocation
def list_(invocation: Invocation, sort: str | None, limit: int, *, is_all: bool, web: bool, **options: Any) -> None:
    """List jobs, newest first.

    The filters are those of the API: all of them must match.
    """
    query = chosen(options) | ({"sort": sort} if sort else {})
    if web:
        open_page(invocation, "jobs", query)
        return
    found = invocation.client.list(None if is_all else limit, **query)
    invocation.write_list(found, COLUMNS, "job_id")
