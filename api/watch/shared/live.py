"""The overview of a tenant for clients that follow it: each part is read once a second for all of them."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from fastapi import Request

from api.watch.shared.poller import Poller
from api.watch.shared.stream import MAX_MISSED_POLLS, SharedClient, event
from common.domain.errors import ReadTimeout, StoreUnavailable, TooManyReads
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")
ReadPart = Callable[[int], Awaitable[str]]  #: reads a part of a tenant's overview, as JSON


@dataclass(slots=True, eq=False)
class _Overview:
    """The parts of a tenant's overview, and its clients."""

    parts: dict[str, str] = field(default_factory=dict)
    clients: set["LiveClient"] = field(default_factory=set)
    missed_polls: int = 0


class LiveReader:
    """Reads the overviews of tenants while clients follow them."""

    def __init__(self, settings: Settings, reads: Mapping[str, ReadPart]) -> None:
        """`reads`: by the name of the event that has the part."""
        self._reads = reads
        self._overviews: dict[int, _Overview] = {}
        self._poller = Poller(settings.wait_poll_seconds, self._poll_all)

    @contextmanager
    def watch(self, request: Request, tenant: int, names: Sequence[str]) -> Iterator["LiveClient"]:
        """Keep a tenant's overview up to date during the block. `names`: the parts that the client gets."""
        overview = self._overviews.setdefault(tenant, _Overview())
        client = LiveClient(request, self, tenant, names, overview)
        overview.clients.add(client)
        self._poller.start()
        try:
            yield client
        finally:
            overview.clients.discard(client)
            if not overview.clients:
                del self._overviews[tenant]

    async def read(self, tenant: int, name: str) -> str:
        """Return a part of a tenant's overview. Raises StoreUnavailable, TooManyReads or ReadTimeout."""
        return await self._reads[name](tenant)

    async def _poll_all(self) -> bool:
        overviews = dict(self._overviews)
        for tenant, overview in overviews.items():
            await self._poll(tenant, overview)
        return bool(overviews)

    async def _poll(self, tenant: int, overview: _Overview) -> None:
        has_changed = False
        try:
            for name in self._reads:
                if any(name in client.names for client in overview.clients):
                    text = await self.read(tenant, name)
                    if text != overview.parts.get(name):
                        overview.parts[name], has_changed = text, True
            overview.missed_polls = 0
        except (StoreUnavailable, TooManyReads, ReadTimeout):
            overview.missed_polls += 1
        except Exception:
            log.exception("wait_poll_failed", count=len(overview.clients))
            overview.missed_polls += 1
        if has_changed or overview.missed_polls >= MAX_MISSED_POLLS:
            for client in overview.clients:
                client.wake()

    def drain(self) -> None:
        """Wake every client, so that its stream ends before the process does."""
        for overview in self._overviews.values():
            for client in overview.clients:
                client.wake()

    async def close(self) -> None:
        """Stop polling."""
        await self._poller.close()


class LiveClient(SharedClient):
    """A client that follows the overview of its tenant."""

    def __init__(
        self, request: Request, reader: LiveReader, tenant: int, names: Sequence[str], overview: _Overview
    ) -> None:
        super().__init__(request)
        self.names = names
        self._reader = reader
        self._tenant = tenant
        self._overview = overview
        self._sent: dict[str, str] = {}

    @property
    def is_lost(self) -> bool:
        """True if the overview can no longer be read."""
        return self._overview.missed_polls >= MAX_MISSED_POLLS

    async def begin(self) -> str:
        """Return all parts. Raises StoreUnavailable, TooManyReads or ReadTimeout."""
        for name in self.names:
            self._overview.parts[name] = await self._reader.read(self._tenant, name)
        self._overview.missed_polls = 0
        return self.next_events()

    def next_events(self) -> str:
        """Return the parts that have changed since the client got them."""
        parts = self._overview.parts
        changed = [name for name in self.names if name in parts and parts[name] != self._sent.get(name)]
        self._sent |= {name: parts[name] for name in changed}
        return "".join(event(name, parts[name]) for name in changed)
