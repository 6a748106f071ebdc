"""Leader election: of any number of controllers one leads, and the others stand by."""

import os
import secrets
import socket

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.workers import leader


class Leadership:
    """The leader lease of this controller."""

    def __init__(self, settings: Settings) -> None:
        self._lease_s = settings.leader_lease_seconds
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.term: int | None = None

    def holds(self, connection: WorkerConnection) -> bool:
        """Take or renew the leader lease; returns True if this controller leads.

        Controller tasks are safe to run twice at once. Leading only saves that work.
        """
        self.term = leader.lead(connection, self.holder, self._lease_s)
        return self.term is not None
