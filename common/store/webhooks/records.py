"""An endpoint as it is stored, without its secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from common.domain.webhooks.events import EndpointState


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """The row of an endpoint."""

    id: UUID
    tenant: int
    rev: int  #: its ETag
    created_at: datetime
    changed_at: datetime
    created_by: str | None
    url: str
    description: str
    events: list[str] | None  #: None: all
    max_attempts: int
    is_default: bool
    include_result: bool
    failures: int
    failing_since: datetime | None
    open_until: datetime | None
    last_success_at: datetime | None
    last_failure_at: datetime | None
    last_failure: str | None
    disabled_at: datetime | None
    disabled_reason: str | None

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Return the endpoint of a row with COLUMNS."""
        values: dict[str, Any] = {name: row[name] for name in NAMES}
        return cls(**values | {"id": UUID(str(row["id"]))})

    @property
    def state(self) -> EndpointState:
        """The state that clients see."""
        if self.disabled_at is not None:
            return EndpointState.DISABLED
        return EndpointState.ACTIVE if self.open_until is None else EndpointState.FAILING


NAMES = tuple(field.name for field in fields(StoredEndpoint))
COLUMNS = ", ".join(NAMES)
#: What clients set.
DEFINITION_COLUMNS = ("url", "description", "events", "max_attempts", "is_default", "include_result")
