"""`manage.py jobproc_relay`: sends the rows of the outbox to the API until it is stopped."""

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from jobproc.django.backend import backends
from jobproc.outbox import Relay, RelaySettings


class Command(BaseCommand):  # type: ignore[misc]  # Django has no types
    """Relay the outbox of a backend of TASKS."""

    help = "Sends the rows of the outbox to the API of jobproc until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add the options."""
        parser.add_argument("--until-empty", action="store_true", help="end when no row is due")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Relay. Raises CommandError without a backend that has an outbox."""
        backend = next((backend for backend in backends() if backend.jobproc.has_outbox), None)
        if backend is None:
            raise CommandError("no backend of TASKS has the option OUTBOX")
        found, database = backend.jobproc, connections[backend.jobproc.database]
        settings = RelaySettings(table=found.table, timeout_seconds=found.timeout_s)
        relay = Relay.to_api(
            lambda: database.get_new_connection(database.get_connection_params()),
            found.url,
            found.api_key,
            settings,
            ca_file=found.ca_file,
        )
        for sign in (signal.SIGTERM, signal.SIGINT):
            signal.signal(sign, lambda *_: relay.stop(0))
        counts = relay.run(until_empty=options["until_empty"])
        self.stdout.write(f"accepted {counts.accepted}, refused {counts.refused}, postponed {counts.postponed}")
