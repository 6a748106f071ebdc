"""`python -m common.migrate`: migrate the schema to this version's head, then create missing partitions and indexes.

Two runs at once are safe: an advisory lock, which lasts for a transaction and so works through a pooler, lets one work,
and the other then finds nothing to do.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, OperationalError

from common import failpoints
from common.command_line import command_line
from common.domain.errors import StartupError
from common.migrations import head
from common.settings import Settings, variables_of
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.operations import catalogue
from common.store.schema import indexes, partitions, roles, version
from common.store.schema.version import wait_for_exclusive
from common.telemetry import logs

log = logs.get("migrate")
# With a pause of one second: a deployment's database may still be starting, or a long transaction may hold a lock.
MAX_TRIES = 30


def alembic_config(connection: Connection | None = None, **attributes: Any) -> Config:
    """Return Alembic's configuration for the migrations of this package, with attributes for their environment."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(connection=connection, **attributes)
    return config


def migrate(settings: Settings) -> None:
    """Create the roles of the parts, apply missing migrations, grant rights, create missing partitions and indexes.

    Raises OperationalError if the database is unavailable or on a lock timeout, StartupError for a schema from before
    0.1.0.
    """
    engine = sync_engine(settings, "migrate")
    try:
        role_by_part = roles.create(engine, settings)
        with engine.connect() as connection:
            wait_for_exclusive(connection, "migrate")
            version.check_released(connection)
            revision = version.revision(connection)
            # After a roll-back the revision is past the head: the older code works on the newer schema.
            if revision is None or revision < head():
                command.upgrade(alembic_config(connection, on_version_apply=_applied), "head")
            roles.grant(connection, role_by_part)  # in this transaction: who sees the new schema may use it
            connection.commit()
        roles.transfer(engine, settings)
        with engine.begin() as connection:
            catalogue.publish_built_in(connection)
            partitions.create_missing(connection, settings.partition_days, settings.partitions_ahead)
        indexes.create_missing(engine, settings)
    finally:
        engine.dispose()


def _applied(**_facts: object) -> None:
    failpoints.reach("migrate.mid")


def wait_for_schema(settings: Settings, seconds: float) -> None:
    """Wait up to `seconds` until the schema is at this version's head or past it. Raises StartupError if it is not."""
    engine = sync_engine(settings, "migrate")
    until = time.monotonic() + seconds
    try:
        while True:
            try:
                with engine.connect() as connection:
                    version.check_released(connection)
                    state = version.revision(connection)
            except OperationalError as error:
                state = " ".join(str(error.orig).split())
            else:
                if state is not None and state >= head():
                    return
            if time.monotonic() > until:
                raise StartupError(f"the schema is not at {head()} after {seconds:g} s: {state or 'there is none'}")
            time.sleep(1)
    finally:
        engine.dispose()


def main() -> None:
    """Migrate, or wait with --wait. Retries while the database is unavailable; exits with one sentence on failure."""
    parser = command_line("common.migrate", "Brings the schema to this version's head.", variables_of("migrate"))
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="apply nothing: wait up to SECONDS for another run to migrate"
    )
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings, "migrate")
        log.info("starting", settings=settings.masked(), head=head())
        if arguments.wait is not None:
            wait_for_schema(settings, arguments.wait)
            log.info("schema_ready", head=head())
            return
        for attempt in range(1, MAX_TRIES + 1):
            try:
                migrate(settings)
                break
            except OperationalError as error:
                if attempt == MAX_TRIES:
                    raise StartupError(
                        f"the database cannot be migrated: {' '.join(str(error.orig).split())}"
                    ) from error
                log.warning("migration_retrying", reason=" ".join(str(error.orig).split()), tried=attempt)
                time.sleep(1)
        log.info("migrated", head=head())
    except (StartupError, DBAPIError) as error:
        sys.exit(f"migrate: {error}")


if __name__ == "__main__":
    main()
