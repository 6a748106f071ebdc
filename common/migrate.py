"""`python -m common.migrate`: bring the schema to this version's head, make the partitions of the next days and the indexes of the older ones, then leave.

Two at once are safe: a row lock that a pooler cannot break lets one work and the other find nothing to do.
"""

import argparse
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
from common.domain.errors import StartupError
from common.migrations import head
from common.settings import Settings
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.operations import catalogue
from common.store.schema import indexes, partitions, version
from common.store.schema.version import wait_for_exclusive
from common.telemetry import logs

log = logs.get("migrate")
MAX_TRIES = 30  # with a pause of one second: a deployment's database may still be starting, a long reader may hold a lock


def alembic_config(connection: Connection | None = None, **attributes: Any) -> Config:
    """Return Alembic's configuration for the migrations of this package."""
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    made.attributes.update(connection=connection, **attributes)
    return made


def migrate(settings: Settings) -> None:
    """Apply what is missing. Raises OperationalError when the database is away or a lock was not to be had in time."""
    engine = sync_engine(settings, "migrate")
    try:
        with engine.connect() as connection:
            wait_for_exclusive(connection, "migrate")
            at = version.revision(connection)
            if at is None or at < head():  # past it after a roll-back: the older code works on the newer schema
                command.upgrade(alembic_config(connection, on_version_apply=_applied), "head")
            connection.commit()
        with engine.begin() as connection:
            catalogue.publish_built_in(connection)
            partitions.create_missing(connection, settings.partition_days, settings.partitions_ahead)
        indexes.create_missing(engine, settings)
    finally:
        engine.dispose()


def _applied(**_facts: object) -> None:
    failpoints.reach("migrate.mid")


def wait_for_schema(settings: Settings, seconds: float) -> None:
    """Wait until the schema is at this version's head or past it. Raises StartupError when the time is up."""
    engine = sync_engine(settings, "migrate")
    until = time.monotonic() + seconds
    try:
        while True:
            try:
                with engine.connect() as connection:
                    at = version.revision(connection)
            except OperationalError as error:
                at = " ".join(str(error.orig).split())
            else:
                if at is not None and at >= head():
                    return
            if time.monotonic() > until:
                raise StartupError(f"the schema is not at {head()} after {seconds:g} s: {at or 'there is none'}")
            time.sleep(1)
    finally:
        engine.dispose()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        prog="python -m common.migrate", description="Brings the schema to this version's head. Settings come from the environment."
    )
    parser.add_argument("--wait", type=float, metavar="SECONDS", help="apply nothing: wait at most so long until somebody else has")
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
        logs.configure(settings, "migrate")
        log.info("starting", settings=settings.masked(), head=head())
        if arguments.wait is not None:
            wait_for_schema(settings, arguments.wait)
            log.info("schema_ready", head=head())
            return
        for tried in range(1, MAX_TRIES + 1):
            try:
                migrate(settings)
                break
            except OperationalError as error:
                if tried == MAX_TRIES:
                    raise StartupError(f"the database does not let itself be migrated: {' '.join(str(error.orig).split())}") from error
                log.warning("migrate_waits", reason=" ".join(str(error.orig).split()), tried=tried)
                time.sleep(1)
        log.info("migrated", head=head())
    except (StartupError, DBAPIError) as error:
        sys.exit(f"migrate: {error}")


if __name__ == "__main__":
    main()
