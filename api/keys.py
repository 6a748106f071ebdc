"""`python -m api.keys create --name billing --scopes jobs:read,jobs:write`: manage API keys in the database itself."""

import argparse
import asyncio
import os
import sys

import asyncpg

from common.command_line import command_line
from common.domain.errors import JobprocError, StartupError, TenantNotFound
from common.domain.tenancy.api_keys import ApiKey
from common.domain.tenancy.scopes import Scope, parsed_scopes
from common.settings import Settings, variables_of
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.tenancy import api_keys, key_changes, tenants
from common.telemetry import logs

CREATED_BY = "command line"
PAGE = 200


async def _tenant(connection: asyncpg.Connection, name: str) -> int:
    """Return the number of a tenant. Raises StartupError."""
    try:
        return (await tenants.read(connection, name)).id
    except TenantNotFound as error:
        raise StartupError(f"no tenant has the name {name}") from error


async def _create(connection: asyncpg.Connection, arguments: argparse.Namespace, settings: Settings) -> None:
    try:
        scopes = frozenset(Scope) if arguments.scopes == "all" else parsed_scopes(arguments.scopes.split(","))
    except ValueError as error:
        raise StartupError(str(error)) from error
    lifetime_s = None if arguments.expires_in_days is None else arguments.expires_in_days * 86_400
    tenant = await _tenant(connection, arguments.tenant)
    new = key_changes.NewKey.generate(tenant, arguments.name, scopes, CREATED_BY, lifetime_s)
    await key_changes.create(connection, new, settings.max_api_keys_per_tenant)
    print(new.token.text)


async def _list(connection: asyncpg.Connection, arguments: argparse.Namespace, _settings: Settings) -> None:
    tenant, after = await _tenant(connection, arguments.tenant), None
    while True:
        page = await api_keys.page(connection, tenant, after, PAGE)
        for key in page:
            print(_row(key))
        if len(page) < PAGE:
            return
        after = page[-1].id


async def _rotate(connection: asyncpg.Connection, arguments: argparse.Namespace, settings: Settings) -> None:
    tenant = await _tenant(connection, arguments.tenant)
    async with connection.transaction():
        old = await key_changes.lock(connection, tenant, arguments.id)
        rotation = await key_changes.replace(
            connection, old, CREATED_BY, arguments.overlap_seconds, settings.max_api_keys_per_tenant
        )
    print(rotation.token.text)


async def _revoke(connection: asyncpg.Connection, arguments: argparse.Namespace, _settings: Settings) -> None:
    key = await key_changes.revoke(connection, await _tenant(connection, arguments.tenant), arguments.id)
    print(_row(key))


def _row(key: ApiKey) -> str:
    """Return a line about a key: its id, name, scopes and state."""
    state = "valid"
    if key.revoked_at is not None:
        state = f"revoked {key.revoked_at.isoformat(timespec='seconds')}"
    elif key.expires_at is not None:
        state = f"expires {key.expires_at.isoformat(timespec='seconds')}"
    return "\t".join([key.id, key.name, ",".join(sorted(key.scopes)), state])


def _parser() -> argparse.ArgumentParser:
    parser = command_line("api.keys", "Manages API keys, with the rights of the API's role.", variables_of("api"))
    parser.add_argument("--tenant", default="default", help="name of the tenant (default: %(default)s)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    create = commands.add_parser("create", help="print a new key, which is shown this once")
    create.add_argument("--name", required=True, help="a name for people")
    create.add_argument("--scopes", required=True, help=f"comma-separated, or all: {', '.join(Scope)}")
    create.add_argument("--expires-in-days", type=int, metavar="DAYS", help="not given: the key never expires")
    create.set_defaults(run=_create)
    listing = commands.add_parser("list", help="print id, name, scopes and state of each key")
    listing.set_defaults(run=_list)
    rotate = commands.add_parser("rotate", help="print a successor of a key, which is accepted for a while yet")
    rotate.add_argument("id", help="the public id of the key")
    rotate.add_argument(
        "--overlap-seconds", type=int, default=86_400, help="for which the old key is accepted (default: %(default)s)"
    )
    rotate.set_defaults(run=_rotate)
    revoke = commands.add_parser("revoke", help="refuse a key from now on, everywhere within five seconds")
    revoke.add_argument("id", help="the public id of the key")
    revoke.set_defaults(run=_revoke)
    return parser


async def _run(arguments: argparse.Namespace, settings: Settings) -> None:
    pool = DatabasePool(settings)
    try:
        connection = await pool.connect()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StartupError(f"the database cannot be reached: {error}") from error
    try:
        await arguments.run(connection, arguments, settings)
    finally:
        await connection.close()


def main() -> None:
    """Run one command; exit with one sentence if it fails."""
    arguments = _parser().parse_args()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings, "api")
        asyncio.run(_run(arguments, settings))
    except (JobprocError, asyncpg.PostgresError) as error:
        sys.exit(f"api.keys: {error}")


if __name__ == "__main__":
    main()
