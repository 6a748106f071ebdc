"""Servers for one run alone."""

from contextlib import ExitStack

from common.migrate import migrate
from rig.settings import settings_of
from tools.servers import Postgres, Redis


def serve(stack: ExitStack, postgres: Postgres, redis: Redis) -> None:
    """Start both, and make the schema; they end with the stack."""
    for server in (postgres, redis):
        stack.callback(server.stop)
        server.start()
    migrate(settings_of(postgres.url(), redis.url))
