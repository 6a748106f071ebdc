"""Server-sent events, read line by line."""

from dataclasses import dataclass, field

ACCEPT = "text/event-stream"


@dataclass(slots=True)
class EventStream:
    """The state of a stream: its event so far, and the id behind which it goes on."""

    last_id: str = ""
    retry_s: float = 1.0  #: pause before the client reconnects
    _name: str = ""
    _id: str | None = None
    _data: list[str] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        """The header of a request that goes on with the stream."""
        return {"Accept": ACCEPT, **({"Last-Event-ID": self.last_id} if self.last_id else {})}

    def feed(self, line: str) -> tuple[str, str] | None:
        """Read a line. Return the name and the data of an event that ends with it."""
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1_000
        return None

    def _end(self) -> tuple[str, str] | None:
        name, data = self._name or "message", "\n".join(self._data)
        if self._id is not None:
            self.last_id = self._id
        has_data = bool(self._data)
        self._name, self._id, self._data = "", None, []
        return (name, data) if has_data else None
