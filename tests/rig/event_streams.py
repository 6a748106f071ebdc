"""Streams of server-sent events, each read by a thread of its own."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Stream:
    """A stream, read by its own thread."""

    response: httpx.Response
    events: list[dict[str, Any]] = field(default_factory=list)
    heartbeats: int = 0
    ended: bool = False

    def disconnect(self) -> None:
        """Close the connection while the thread reads from it."""
        with contextlib.suppress(OSError):
            self.response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def read(self) -> None:
        """Read to the end. `ended` is True if the API ended the stream in order."""
        with contextlib.suppress(httpx.TransportError):
            self._read()
            self.ended = True

    def _read(self) -> None:
        event: dict[str, Any] = {}
        for line in self.response.iter_lines():
            if not line and event:
                if "data" in event:
                    self.events.append({**event, "data": json.loads(event["data"])})
                event = {}
            elif line == ":":
                self.heartbeats += 1
            elif line:
                name, _, value = line.partition(": ")
                event[name] = value

    @property
    def states(self) -> list[str]:
        """The states of the events of a job."""
        return [event["data"]["status"] for event in self.events if event["event"] == "status"]

    def data(self, name: str) -> list[Any]:
        """Return the data of all events of this name so far."""
        return [event["data"] for event in self.events if event["event"] == name]


@contextmanager
def open_stream(
    client: httpx.Client, path: str, last_event_id: str | None = None, headers: Mapping[str, str] | None = None
) -> Iterator[Stream]:
    """Open a stream on a connection of its own, with the headers of a client; disconnect at the end of the block."""
    resumed = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with (
        httpx.Client(base_url=client.base_url, timeout=30, headers=client.headers) as own,
        own.stream("GET", path, headers={**(headers or {}), **resumed}) as response,
    ):
        reader = Stream(response)
        thread = threading.Thread(target=reader.read)
        if response.status_code == 200:
            thread.start()
        else:
            response.read()
        try:
            yield reader
        finally:
            if response.status_code == 200:
                reader.disconnect()
                thread.join(30)
