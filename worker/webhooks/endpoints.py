"""The endpoints of the deliveries of one process: read at most once a second, with the number that run."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.webhooks import attempts
from common.store.webhooks.attempts import EndpointForDelivery

T = TypeVar("T")
KNOWN_S = 1.0  # for so long an endpoint is not read again
MAX_KNOWN = 1_000
IDLE_CLOSE_S = 60.0  # a connection that is not used for so long is closed


class Endpoints:
    """The endpoints, by a connection of its own in a thread of its own: the event loop never waits for the database."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webhook-endpoints")
        self._connection: WorkerConnection | None = None  # of the thread alone
        self._known: dict[str, tuple[float, EndpointForDelivery]] = {}
        self._idle: asyncio.TimerHandle | None = None
        self.running = Counter[str]()  #: deliveries that are being made, by endpoint

    async def get(self, endpoint_id: str) -> EndpointForDelivery | None:
        """Return an endpoint as it was a second ago or later; None: it was deleted. Raises DatabaseUnavailable."""
        now = time.monotonic()
        if (known := self._known.get(endpoint_id)) is not None and now - known[0] < KNOWN_S:
            return known[1]
        endpoint = await self.run(lambda connection: attempts.read(connection, endpoint_id))
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        if endpoint is not None:
            self._known[endpoint_id] = (now, endpoint)
        return endpoint

    def forget(self, endpoint_id: str) -> None:
        """Read an endpoint anew for the next delivery, because its circuit has changed."""
        self._known.pop(endpoint_id, None)

    async def run(self, function: Callable[[WorkerConnection], T]) -> T:
        """Call a function with the connection. Raises DatabaseUnavailable, and what the function raises."""
        loop = asyncio.get_running_loop()
        if self._idle is not None:
            self._idle.cancel()
        try:
            return await loop.run_in_executor(self._thread, self._run, function)
        finally:
            self._idle = loop.call_later(IDLE_CLOSE_S, self._thread.submit, self._close)

    def _run(self, function: Callable[[WorkerConnection], T]) -> T:
        if self._connection is None:
            self._connection = WorkerConnection(self._settings, "worker", by_index=True)
        try:
            return function(self._connection)
        except DatabaseUnavailable:
            self._close()
            raise

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
