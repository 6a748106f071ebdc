"""`apply`: makes the schedules and the policies of queues as a file has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from jobproc.cli.exit_codes import ExitCode
from jobproc.cli.groups import command, pass_invocation
from jobproc.cli.invocation import Invocation, usage
from jobproc.cli.output.writing import compact
from jobproc.client.connection.request import change, segment
from jobproc.client.views.queues import QueueDetail
from jobproc.client.views.view import view

LIMITS: dict[str, Any] = {
    "concurrency": None,
    "rate": None,
    "key_concurrency": None,
    "key_rate": None,
    "events": False,
}
TIMINGS = ("cron", "every_seconds", "at")


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between the file and the system."""

    thing: str
    sign: str  #: + is created, ~ is changed
    members: Mapping[str, tuple[Any, Any]]  #: before and after
    request: Any

    def lines(self) -> Iterator[str]:
        """Yield the difference as text."""
        yield f"{self.sign} {self.thing}"
        for name, (before, after) in self.members.items():
            yield f"    {name}: {compact(before)} -> {compact(after)}"


def read(file: str) -> dict[str, list[dict[str, Any]]]:
    """Return the schedules and the queues of a file."""
    import yaml  # type: ignore[import-untyped]  # PyYAML has no types

    try:
        made = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        usage(f"{file} cannot be read: {error}")
    if not isinstance(made, dict) or not made or set(made) - {"schedules", "queues"}:
        usage(f"{file}: the members `schedules` and `queues` are expected")
    for kind, items in made.items():
        if not isinstance(items, list) or not all(isinstance(item, dict) and item.get("name") for item in items):
            usage(f"{file}: {kind}: a list of objects with a name is expected")
    return made


def differences(wanted: Mapping[str, Any], present: Mapping[str, Any] | None) -> dict[str, tuple[Any, Any]]:
    """Return the members that differ, before and after."""
    before = present or {}
    return {name: (before.get(name), value) for name, value in wanted.items() if not same(before.get(name), value)}


def same(before: Any, wanted: Any) -> bool:
    """Return True if nothing differs: members of objects that the file leaves out are as they are."""
    if isinstance(before, Mapping) and isinstance(wanted, Mapping):
        return all(same(before.get(name), value) for name, value in wanted.items())
    return bool(before == wanted)


def schedule_changes(invocation: Invocation, wanted: list[dict[str, Any]], tenant: str) -> Iterator[Change]:
    """Yield the changes of schedules."""
    present = {schedule.name: schedule for schedule in invocation.client.schedules.list()} if wanted else {}
    for item in wanted:
        own(item, tenant)
        found = present.get(item["name"])
        # A timing of another kind replaces the old one.
        gone = {name: None for name in TIMINGS if found and name not in item and found.get(name) is not None}
        members = differences({**gone, **item}, found)
        if not members:
            continue
        path = f"/schedules/{segment(found.id)}" if found else "/schedules"
        body = {name: after for name, (_, after) in members.items()} if found else item
        request = change("PATCH" if found else "POST", path, whole_body, body, None)
        yield Change(f"schedule {item['name']}", "~" if found else "+", members, request)


def queue_changes(invocation: Invocation, wanted: list[dict[str, Any]], tenant: str) -> Iterator[Change]:
    """Yield the changes of queues. Without a tenant the policy is that of the operators, for all tenants."""
    for item in wanted:
        for_all = "tenant" not in item
        own(item, tenant)
        name = item.pop("name")
        if unknown := set(item) - set(LIMITS):
            usage(f"queue {name}: {', '.join(sorted(unknown))}: one of {', '.join(LIMITS)} is expected")
        found = invocation.client.queues.get(name)
        policy = found.operators_policy if for_all else found.policy
        members = differences({**LIMITS, **item}, {"events": False, **(policy or {})})
        if members:
            query = "?all_tenants=true" if for_all else ""
            body = {member: after for member, (_, after) in members.items()}
            request = change("PATCH", f"/queues/{segment(name)}{query}", view(QueueDetail), body, None)
            yield Change(
                f"queue {name}{' of all tenants' if for_all else ''}", "~" if policy else "+", members, request
            )


def own(item: dict[str, Any], tenant: str) -> None:
    """Take the tenant out of an item: the API changes what is of the caller's own."""
    if item.pop("tenant", tenant) != tenant:
        usage(f"{item['name']}: it is of another tenant than the caller, {tenant}")


def whole_body(response: Any) -> Any:
    """Return the body of a response."""
    return response.json()


@command("apply")
@click.option("-f", "--file", required=True, help="YAML or JSON with `schedules` and `queues`, as for the migration.")
@click.option("--diff", is_flag=True, help="Print the differences, and change nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def apply(invocation: Invocation, file: str, *, diff: bool, yes: bool) -> int:
    """Create and change schedules and limits of queues, so that they are as a file has them.

    The differences are printed first. A queue has no limit that the file leaves out. Schedules and queues that the file
    does not name stay as they are.
    """
    wanted = read(file)
    tenant = str(invocation.client.caller.tenant)
    changes = [
        *schedule_changes(invocation, wanted.get("schedules", []), tenant),
        *queue_changes(invocation, wanted.get("queues", []), tenant),
    ]
    for found in changes:
        click.echo("\n".join(found.lines()))
    if not changes:
        invocation.say("nothing differs")
    if diff or not changes:
        return ExitCode.DONE
    if not invocation.confirm(f"apply {len(changes)} changes?", yes=yes):
        invocation.say("nothing is changed")
        return ExitCode.FAILED
    for found in changes:
        invocation.client.send(found.request)
        invocation.say(f"{found.thing} is applied")
    return ExitCode.DONE
