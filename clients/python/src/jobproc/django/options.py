"""The options of the backend, from `TASKS[alias]["OPTIONS"]` or the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from jobproc.outbox.table import TABLE

OPERATION = "django.task"


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """The options of a backend."""

    url: str  #: of the API
    api_key: str  #: empty: none is sent
    ca_file: str  #: the authorities that may certify the API; empty: those of the system
    timeout_s: float  #: of a request
    operation: str  #: the one that runs tasks: see `register`
    has_outbox: bool  #: tasks are enqueued with the transaction of the database
    database: str  #: alias of the database that has the outbox
    table: str  #: of the outbox

    @classmethod
    def from_settings(cls, alias: str, options: Mapping[str, Any]) -> "BackendOptions":
        """Read the options. Raises ImproperlyConfigured for unknown ones."""
        known = {"URL", "API_KEY", "CA_FILE", "TIMEOUT_SECONDS", "OPERATION", "OUTBOX", "DATABASE", "TABLE"}
        if unknown := sorted(set(options) - known):
            raise ImproperlyConfigured(
                f"TASKS[{alias!r}]: OPTIONS has {', '.join(unknown)}; known are {', '.join(sorted(known))}"
            )
        return cls(
            url=str(options.get("URL") or os.environ.get("JOBPROC_URL") or "http://127.0.0.1:8000").rstrip("/"),
            api_key=str(options.get("API_KEY") or os.environ.get("JOBPROC_API_KEY", "")),
            ca_file=str(options.get("CA_FILE", "")),
            timeout_s=float(options.get("TIMEOUT_SECONDS", 10)),
            operation=str(options.get("OPERATION", OPERATION)),
            has_outbox=bool(options.get("OUTBOX", False)),
            database=str(options.get("DATABASE", "default")),
            table=str(options.get("TABLE", TABLE)),
        )
