"""`keys`: the API keys of the tenant."""

import click

from jobproc.cli.groups import Group, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns

COLUMNS = columns("id", "name", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")


@click.group("keys", cls=Group)
def keys() -> None:
    """API keys: create, rotate and revoke them."""


@keys.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List the API keys."""
    invocation.write_list(invocation.client.keys.list(), COLUMNS, "id")


@keys.command("create")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, required=True, help="A scope; may be repeated.")
@click.option("--expires-in", type=int, metavar="SECONDS", help="The key is valid so long.")
@pass_invocation
def create(invocation: Invocation, name: str, scopes: tuple[str, ...], expires_in: int | None) -> None:
    """Create an API key. Its text is printed once, and cannot be read again."""
    invocation.write(invocation.client.keys.create(name, scopes, expires_in), "id")


@keys.command("rotate")
@click.argument("id_", metavar="ID")
@click.option("--overlap", type=int, metavar="SECONDS", help="The old key is valid so much longer.")
@pass_invocation
def rotate(invocation: Invocation, id_: str, overlap: int | None) -> None:
    """Create the successor of a key. Its text is printed once."""
    invocation.write(invocation.client.keys.rotate(id_, overlap), "id")


@keys.command("revoke")
@click.argument("id_", metavar="ID")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_invocation
def revoke(invocation: Invocation, id_: str, *, yes: bool) -> int:
    """Revoke a key: it is refused from now on, which cannot be taken back."""
    if not invocation.confirm(f"revoke the key {id_}?", yes=yes):
        return 1
    invocation.write(invocation.client.keys.revoke(id_), "id")
    return 0
