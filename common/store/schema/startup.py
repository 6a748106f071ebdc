"""The wait of a worker, a controller or a migration at its start, by psycopg2."""

import time
from collections.abc import Callable

import psycopg2

from common.settings import Settings
from common.store.connection.psycopg2_session import connect
from common.store.schema.obstacles import (
    PAUSE_S,
    Obstacle,
    SchemaState,
    StartupWait,
    of_error,
    of_version,
    version_query,
)


def wait_for_schema(
    settings: Settings,
    needed: str,
    *,
    limit_s: float | None = None,
    pause: Callable[[float], bool | None] = time.sleep,
) -> None:
    """Wait until the schema is at the revision `needed` or past it. Raises StartupError if that takes too long.

    `limit_s`: for any obstacle, instead of the settings' limits. Ends early when `pause` returns True.
    """
    wait = StartupWait(settings, limit_s=limit_s)
    while not wait.is_over(_find_obstacle(settings, needed)) and not pause(PAUSE_S):
        pass


def _find_obstacle(settings: Settings, needed: str) -> Obstacle | None:
    try:
        connection = connect(settings, "startup")
        try:
            with connection.cursor() as cursor:
                cursor.execute(SchemaState.query(settings))
                (row,) = cursor.fetchall()
                if obstacle := SchemaState(*row).obstacle(settings.database_schema):
                    return obstacle
                cursor.execute(version_query(settings))
                ((revision,),) = cursor.fetchall()
                return of_version(revision, needed, settings)
        finally:
            connection.close()
    except psycopg2.Error as error:
        return of_error(error, settings)
