"""`webhooks`: their endpoints and deliveries."""

from typing import Any

import click

from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.columns import columns

COLUMNS = columns("id", "url", "state", "events", "default", "failures", "last_success_at")
DELIVERIES = columns("job_id", "type", "status", "attempt", "created_at", "finished_at", "error.text")
OPTIONS = (
    click.option("--event", "events", multiple=True, help="A type of events; may be repeated."),
    click.option("--description", help="A text for people."),
    click.option("--default/--no-default", default=None, help="It gets the events of jobs that name no endpoint."),
    click.option("--include-result/--no-include-result", default=None, help="Events have the result of the job."),
)


def members(function: Any) -> Any:
    """Give a command the options of an endpoint."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {
        name: list(value) if name == "events" else value for name, value in options.items() if value not in (None, ())
    }


@click.group("webhooks", cls=Group)
def webhooks() -> None:
    """Webhooks: endpoints and deliveries."""


@webhooks.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the endpoints."""
    invocation.write_list(invocation.client.webhooks.list(), COLUMNS, "id")


@webhooks.command("get")
@click.argument("id_", metavar="ID")
@pass_invocation
def get(invocation: Invocation, id_: str) -> None:
    """Show an endpoint."""
    invocation.write(invocation.client.webhooks.get(id_), "id")


@webhooks.command("create")
@click.argument("url_", metavar="URL")
@members
@pass_invocation
def create(invocation: Invocation, url_: str, **options: Any) -> None:
    """Create an endpoint. Its secret is printed once."""
    invocation.write(invocation.client.webhooks.create(url_, **given(options)), "id")


@webhooks.command("edit")
@click.argument("id_", metavar="ID")
@members
@click.option("--enable/--disable", "is_enabled", default=None, help="Events are sent, or not.")
@pass_invocation
def edit(invocation: Invocation, id_: str, *, is_enabled: bool | None, **options: Any) -> None:
    """Change an endpoint; what is not named stays."""
    changes = given(options) | ({} if is_enabled is None else {"disabled": not is_enabled})
    if not changes:
        usage("at least one change is expected, such as --disable")
    invocation.write(invocation.client.webhooks.change(id_, **changes), "id")


@webhooks.command("delete")
@click.argument("id_", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def delete(invocation: Invocation, id_: str, *, yes: bool) -> int:
    """Delete an endpoint."""
    if not invocation.confirm(f"delete the endpoint {id_}?", yes=yes):
        return 1
    invocation.client.webhooks.delete(id_)
    invocation.say(f"{id_} is deleted")
    return 0


@webhooks.command("rotate")
@click.argument("id_", metavar="ID")
@click.option("--overlap", type=int, metavar="SECONDS", help="The old secret is valid so much longer.")
@pass_invocation
def rotate(invocation: Invocation, id_: str, overlap: int | None) -> None:
    """Give an endpoint a new secret, which is printed once."""
    invocation.write(invocation.client.webhooks.rotate(id_, overlap), "id")


@webhooks.command("test")
@click.argument("id_", metavar="ID")
@pass_invocation
def test(invocation: Invocation, id_: str) -> None:
    """Send an event of the type webhook.test."""
    invocation.write(invocation.client.webhooks.test(id_), "job_id")


@webhooks.command("deliveries")
@click.option("--endpoint", help="Of one endpoint.")
@click.option("--status", help="The state.")
@click.option("--limit", type=int, default=50, show_default=True, help="The most deliveries.")
@pass_invocation
def deliveries(invocation: Invocation, endpoint: str | None, status: str | None, limit: int) -> None:
    """List deliveries, newest first."""
    invocation.write_list(invocation.client.webhooks.deliveries(endpoint, status, limit), DELIVERIES, "job_id")


@webhooks.command("redeliver")
@click.argument("id_", metavar="ID")
@pass_invocation
def redeliver(invocation: Invocation, id_: str) -> None:
    """Deliver an event once more."""
    invocation.write(invocation.client.webhooks.redeliver(id_), "job_id")
