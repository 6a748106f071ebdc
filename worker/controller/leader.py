"""Leading: one of any number of controllers works, the others wait."""

import os
import secrets
import socket

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.workers import leader


class Leadership:
    """This controller's claim to lead."""

    def __init__(self, settings: Settings) -> None:
        self._lease_s = settings.leader_seconds
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.term: int | None = None

    def holds(self, connection: WorkerConnection) -> bool:
        """Take or keep the lead. The work of a tick is safe twice at once; leading only saves it."""
        self.term = leader.lead(connection, self.holder, self._lease_s)
        return self.term is not None
