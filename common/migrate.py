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
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InternalError, OperationalError

from common import failpoints, process_environment
from common.command_line import command_line
from common.domain.errors import FeedNotSwitched, StartupError
from common.first_key_file import kept_key
from common.migrations import head
from common.queue_definitions.file import DeclaredQueues, read_queues
from common.schedule_definitions.file import DeclaredSchedules, read_schedules
from common.settings import Settings, secret_variables, variables_of
from common.store.connection.sqlalchemy_engine import sync_engine
from common.store.operations import catalogue
from common.store.queues import managed as managed_queues
from common.store.schedules import managed as managed_schedules
from common.store.schema import creation, indexes, partitions, roles, version
from common.store.schema.obstacles import PAUSE_S, StartupWait, of_error
from common.store.schema.sql_submission import installation as sql_submission
from common.store.schema.startup import wait_for_schema
from common.store.schema.version import wait_for_exclusive
from common.store.tenancy import first_key
from common.telemetry import logs

log = logs.get("migrate")


def alembic_config(connection: Connection | None = None, **attributes: Any) -> Config:
    """Return Alembic's configuration for the migrations of this package, with attributes for their environment."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes.update(connection=connection, **attributes)
    return config


def migrate(settings: Settings) -> None:
    """Create the schema and the roles of the parts, apply missing migrations, grant rights, create missing partitions.

    Then apply the files of schedules and of queues, if there are any. Raises OperationalError if the database is
    unavailable or on a lock timeout, StartupError if the schema is another program's, the role may not create it, or a
    file is not valid.
    """
    schedules = read_schedules(settings.schedules_file) if settings.schedules_file else None
    queues = read_queues(settings.queues_file) if settings.queues_file else None
    engine = sync_engine(settings, "migrate")
    try:
        creation.create(engine, settings)
        role_by_part, submitting_role = roles.create(engine, settings), sql_submission.create_role(engine, settings)
        with engine.connect() as connection:
            wait_for_exclusive(connection, "migrate", in_database=True)  # it changes rights on the database
            creation.check_own(connection, settings)
            revision = version.revision(connection)
            # After a roll-back the revision is past the head: the older code works on the newer schema.
            if revision is None or revision < head():
                creation.check_may_create(connection, settings)
                schema = settings.database_schema
                command.upgrade(alembic_config(connection, schema=schema, on_version_apply=_applied), "head")
            roles.grant(connection, role_by_part)  # in this transaction: who sees the new schema may use it
            roles.secure(connection, role_by_part, settings, submitting_role)
            sql_submission.install(connection, submitting_role, settings)
            connection.commit()
        roles.transfer(engine, settings)
        with engine.begin() as connection:
            catalogue.publish_built_in(connection)
            first_key.store(connection, settings)
            partitions.create_missing(connection, settings.partition_days, settings.partitions_ahead)
        indexes.create_missing(engine, settings)
        _apply_schedules(engine, schedules)
        _apply_queues(engine, queues, settings.startup_max_wait_seconds)
    finally:
        engine.dispose()


def _apply_schedules(engine: Engine, schedules: DeclaredSchedules | None) -> None:
    if schedules is None:
        return
    with engine.begin() as connection:
        wait_for_exclusive(connection, "schedules")
        applied = managed_schedules.apply(connection, schedules)
    log.info("schedules_applied", created=applied.created, changed=applied.changed, deleted=applied.deleted)


def _apply_queues(engine: Engine, queues: DeclaredQueues | None, limit_s: float) -> None:
    """Apply the file of queues. Raises StartupError if writers of jobs keep the feed from its switch for so long."""
    if queues is None:
        return
    until = time.monotonic() + limit_s
    while True:
        try:
            with engine.begin() as connection:
                wait_for_exclusive(connection, "queues")
                applied = managed_queues.apply(connection, queues)
            break
        except FeedNotSwitched as error:
            if time.monotonic() >= until:
                raise StartupError(str(error)) from error
            time.sleep(PAUSE_S)
    log.info("queues_applied", changed=applied.changed, released=applied.released)


def _applied(**_facts: object) -> None:
    failpoints.reach("migrate.mid")


def migrate_when_possible(settings: Settings) -> None:
    """Migrate, and try again while the database is starting or a long transaction holds a lock.

    Also after a migration of another database has changed the same roles at the same moment: roles belong to the
    server, so PostgreSQL refuses one of the two ("tuple concurrently updated", or a name that exists by now).
    Raises StartupError if that takes too long.
    """
    wait = StartupWait(settings, limit_s=settings.startup_max_wait_seconds)
    while True:
        try:
            migrate(settings)
            return
        except (OperationalError, InternalError, IntegrityError) as error:
            wait.is_over(of_error(error.orig or error, settings))
            time.sleep(PAUSE_S)


def main() -> None:
    """Migrate, or wait with --wait. Retries while the database is unavailable; exits with one sentence on failure."""
    parser = command_line("common.migrate", "Brings the schema to this version's head.", variables_of("migrate"))
    parser.add_argument(
        "--wait", type=float, metavar="SECONDS", help="apply nothing: wait up to SECONDS for another run to migrate"
    )
    parser.add_argument(
        "--first-key-file",
        type=Path,
        metavar="FILE",
        help="use the API key in FILE if JOBPROC_FIRST_API_KEY is empty; a missing FILE is written, with a new key",
    )
    arguments = parser.parse_args()
    try:
        settings = Settings.from_env(os.environ)
        process_environment.remove(secret_variables())
        logs.configure(settings, "migrate")
        log.info("starting", settings=settings.masked(), head=head())
        if arguments.wait is not None:
            wait_for_schema(settings, head(), limit_s=arguments.wait)
            return
        if arguments.first_key_file is not None and not settings.first_api_key:
            settings = settings.model_copy(update={"first_api_key": kept_key(arguments.first_key_file).text})
        migrate_when_possible(settings)
        log.info("migrated", head=head())
    except (StartupError, DBAPIError) as error:
        sys.exit(f"migrate: {error}")


if __name__ == "__main__":
    main()
