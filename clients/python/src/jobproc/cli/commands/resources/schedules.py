"""`schedules`: jobs that are submitted by the clock."""

from typing import Any

import click

from jobproc.cli.commands.jobs.filters import Instant
from jobproc.cli.commands.jobs.inputs import value_of
from jobproc.cli.failures import NotFound
from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns

COLUMNS = columns("id", "name", "state", "cron", "every_seconds", "next_at", "job.operation")
FIRES = columns("at", "outcome", "reason", "job_id")
TIMINGS = (
    click.option("--cron", help="A cron expression, or @hourly, @daily, @weekly, @monthly, @yearly."),
    click.option("--every", "every_seconds", type=float, metavar="SECONDS", help="An interval."),
    click.option("--at", type=Instant(is_past=False), help="A single time, or in 2h."),
    click.option("--time-zone", help="The IANA time zone of the cron expression."),
    click.option("--jitter", "jitter_seconds", type=float, metavar="SECONDS", help="Delay each instant by up to this."),
    click.option("--overlap", type=click.Choice(("allow", "skip", "queue", "cancel_old")), help="While its job runs."),
)


def timing(function: Any) -> Any:
    """Give a command the options of the timing of a schedule."""
    for option in reversed(TIMINGS):
        function = option(function)
    return function


def id_of(invocation: Invocation, text: str) -> str:
    """Return the id of a schedule; it may be given by its name."""
    for schedule in invocation.client.schedules.list():
        if text in (schedule.id, schedule.name):
            return str(schedule.id)
    raise NotFound(f"no schedule has the id or the name {text!r}")


@click.group("schedules", cls=Group)
def schedules() -> None:
    """Schedules: create, change, pause and run them. ID is the id or the name."""


@schedules.command("list")
@click.option("--operation", help="Of one operation.")
@click.option("--paused/--not-paused", default=None, help="Paused ones, or the others.")
@pass_invocation
def list_(invocation: Invocation, operation: str | None, *, paused: bool | None) -> None:
    """List schedules."""
    invocation.write_list(invocation.client.schedules.list(operation, paused=paused), COLUMNS, "id")


@schedules.command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show a schedule with its next instants."""
    invocation.write(invocation.client.schedules.get(id_of(invocation, id_)), "id")


@schedules.command("create")
@click.argument("name")
@click.argument("operation")
@click.argument("data", required=False)
@timing
@pass_invocation
def create(invocation: Invocation, name: str, operation: str, data: str | None, **options: Any) -> None:
    """Create a schedule that submits OPERATION with the input DATA: JSON or @file."""
    job = {"operation": operation} | ({} if data is None else {"input": value_of(data, "DATA")})
    given: dict[str, Any] = {member: value for member, value in options.items() if value is not None}
    invocation.write(invocation.client.schedules.create(name, job, **given), "id")


@schedules.command("edit")
@click.argument("id_", metavar="ID")
@timing
@click.option("--name", help="Another name.")
@click.option("--job", metavar="JSON", help="Another submission: JSON or @file.")
@pass_invocation
def edit(invocation: Invocation, id_: str, job: str | None, **options: Any) -> None:
    """Change a schedule; what is not named stays. A new timing replaces the old one."""
    changes: dict[str, Any] = {member: value for member, value in options.items() if value is not None}
    if job is not None:
        changes["job"] = value_of(job, "--job")
    if not changes:
        usage("at least one change is expected, such as --cron '0 3 * * *'")
    invocation.write(invocation.client.schedules.change(id_of(invocation, id_), **changes), "id")


@schedules.command("pause")
@click.argument("id_", metavar="ID")
@pass_invocation
def pause(invocation: Invocation, id_: str) -> None:
    """Pause a schedule: its instants do not fire."""
    invocation.write(invocation.client.schedules.pause(id_of(invocation, id_)), "id")


@schedules.command("resume")
@click.argument("id_", metavar="ID")
@pass_invocation
def resume(invocation: Invocation, id_: str) -> None:
    """Let a paused schedule fire again."""
    invocation.write(invocation.client.schedules.resume(id_of(invocation, id_)), "id")


@schedules.command("run")
@click.argument("id_", metavar="ID")
@pass_invocation
def run(invocation: Invocation, id_: str) -> None:
    """Submit a job of a schedule now, beside its instants."""
    invocation.write(invocation.client.schedules.run(id_of(invocation, id_)), "job_id")


@schedules.command("fires")
@click.argument("id_", metavar="ID")
@click.option("--limit", type=int, default=20, show_default=True, help="The most instants.")
@pass_invocation
def fires(invocation: Invocation, id_: str, limit: int) -> None:
    """List what became of the instants of a schedule, newest first."""
    invocation.write_list(invocation.client.schedules.fires(id_of(invocation, id_), limit), FIRES, "job_id")


@schedules.command("delete")
@click.argument("id_", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def delete(invocation: Invocation, id_: str, *, yes: bool) -> int:
    """Delete a schedule; its jobs stay."""
    found = id_of(invocation, id_)
    if not invocation.confirm(f"delete the schedule {id_}?", yes=yes):
        return 1
    invocation.client.schedules.delete(found)
    invocation.say(f"{id_} is deleted")
    return 0
