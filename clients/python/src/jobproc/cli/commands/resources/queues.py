"""`queues`: their pauses and limits."""

from typing import Any

import click

from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns

COLUMNS = columns("name", "paused", "policy.concurrency", "policy.rate", "policy.key_concurrency", "policy.key_rate")
ALL_TENANTS = "For the jobs of all tenants (scope admin)."
NO_LIMIT = "none"


class Limit(click.ParamType[list[Any]]):
    """A number of jobs, or `none`."""

    name = "limit"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number in a list, which is empty for none: a value of None would be an option not given."""
        if value == NO_LIMIT:
            return [None]
        try:
            return [self._read(value)]
        except ValueError:
            self.fail(f"{self._expected} or none is expected, not {value!r}", param, ctx)

    _expected = "a whole number"

    def _read(self, value: str) -> Any:
        return int(value)


class Rate(Limit):
    """A rate and its burst, such as 50/10, or `none`."""

    name = "rate"
    _expected = "jobs a second and their burst, such as 50/10,"

    def _read(self, value: str) -> Any:
        rate, _, burst = value.partition("/")
        return {"per_second": float(rate), "burst": float(burst or rate)}


@click.group("queues", cls=Group)
def queues() -> None:
    """Queues: pause them, limit them."""


@queues.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the queues by name."""
    invocation.write_list(invocation.client.queues.list(), COLUMNS, "name")


@queues.command("get")
@click.argument("name")
@pass_invocation
def get(invocation: Invocation, name: str) -> None:
    """Show a queue: its limits, and the jobs that are due and running."""
    invocation.write(invocation.client.queues.get(name), "name")


@queues.command("pause")
@click.argument("name")
@click.option("--all-tenants", is_flag=True, help=ALL_TENANTS)
@pass_invocation
def pause(invocation: Invocation, name: str, *, all_tenants: bool) -> None:
    """Pause a queue: no job of it starts any more."""
    invocation.write(invocation.client.queues.pause(name, all_tenants=all_tenants or None), "name")
    invocation.say(f"to resume it: jobproc queues resume {name}{' --all-tenants' if all_tenants else ''}")


@queues.command("resume")
@click.argument("name")
@click.option("--all-tenants", is_flag=True, help=ALL_TENANTS)
@pass_invocation
def resume(invocation: Invocation, name: str, *, all_tenants: bool) -> None:
    """Let the jobs of a paused queue start again."""
    invocation.write(invocation.client.queues.resume(name, all_tenants=all_tenants or None), "name")


@queues.command("edit")
@click.argument("name")
@click.option("--concurrency", type=Limit(), metavar="N|none", help="The jobs that may run at once.")
@click.option("--rate", type=Rate(), metavar="N[/BURST]|none", help="The jobs that may start a second.")
@click.option("--key-concurrency", type=Limit(), metavar="N|none", help="The jobs of one key that may run at once.")
@click.option("--key-rate", type=Rate(), metavar="N[/BURST]|none", help="The jobs of one key that may start a second.")
@click.option("--events/--no-events", default=None, help="Changes of its jobs are in the change feed.")
@pass_invocation
def edit(invocation: Invocation, name: str, *, events: bool | None, **limits: Any) -> None:
    """Change the limits of a queue; what is not named stays."""
    changes: dict[str, Any] = {member: given[0] for member, given in limits.items() if given is not None}
    if events is not None:
        changes["events"] = events
    if not changes:
        usage("at least one limit is expected, such as --concurrency 4")
    invocation.write(invocation.client.queues.change(name, **changes), "name")
