"""Sending: one row as one submission to the API, by the standard library's client of HTTP."""

import http.client
import json
import ssl
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

MAX_RESPONSE_BYTES = 1_000_000
MAX_PROBLEM_CHARACTERS = 2_000
#: Statuses with which the API refuses a submission for what is in it. Others may be of the key, of a limit, of a proxy.
REFUSALS = frozenset({400, 409, 413, 415, 422})
#: Statuses with which neither the API nor a proxy has stored anything.
CERTAIN = frozenset({401, 403, 404, 405, 408, 421, 426, 429, 431})


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API has stored the job, now or at an earlier try."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The API refuses the job, and would again."""

    problem: str


@dataclass(frozen=True, slots=True)
class Later:
    """The submission must be repeated."""

    reason: str
    is_certain: bool  #: nothing was stored; else it is unknown
    pauses_all: bool = True  #: others would fare the same
    retry_after_s: float | None = None


Result = Accepted | Refused | Later


class Sender(Protocol):
    """Sends submissions, one after the other. Each thread of a relay has one."""

    def send(self, row_id: str, body: str) -> Result:
        """Submit a row's body with its id as the idempotency key."""

    def close(self) -> None:
        """Close the connection."""


class HttpSender:
    """A connection to the API, which stays open between submissions."""

    def __init__(self, api_url: str, api_key: str, timeout_s: float, ca_file: str = "") -> None:
        """`api_key`: empty: none is sent. `ca_file`: empty: the authorities of the system. Raises ValueError."""
        url = urlsplit(api_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the URL of the API is {api_url!r}: http:// or https:// is expected")
        self._path = f"{url.path.rstrip('/')}/jobs/"
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=ca_file or None)
            self._connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                url.hostname, url.port, timeout=timeout_s, context=context
            )
        else:
            self._connection = http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_s)

    def send(self, row_id: str, body: str) -> Result:
        """Submit a row's body with its id as the idempotency key."""
        is_reused = self._connection.sock is not None
        if not is_reused:
            try:
                self._connection.connect()
            except OSError as error:
                self.close()
                return Later(f"no connection to the API: {error}", is_certain=True)
        try:
            headers = {**self._headers, "Idempotency-Key": row_id}
            self._connection.request("POST", self._path, body.encode(), headers)
            response = self._connection.getresponse()
            content = response.read(MAX_RESPONSE_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if is_reused and not isinstance(error, TimeoutError):  # the API has closed an idle connection
                return self.send(row_id, body)
            return Later(f"no response of the API: {error!r}", is_certain=False)
        if response.will_close or len(content) >= MAX_RESPONSE_BYTES:
            self.close()
        return result_of(response.status, content, response.headers.get("Retry-After"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def result_of(status: int, content: bytes, retry_after: str | None) -> Result:
    """Return the meaning of a response."""
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    members = value if isinstance(value, dict) else {}
    if status in (200, 201, 202) and isinstance(members.get("job_id"), str):
        return Accepted(members["job_id"])
    text = content.decode(errors="replace")[:MAX_PROBLEM_CHARACTERS]
    if status in REFUSALS and "type" in members:  # a problem of the API; a proxy has none
        return Refused(text)
    reason = f"the API responded {status}: {text}"
    retry_after_s = float(retry_after) if retry_after and retry_after.isdecimal() else None
    is_certain = status in CERTAIN or status in REFUSALS
    return Later(reason[:MAX_PROBLEM_CHARACTERS], is_certain, status not in REFUSALS, retry_after_s)
