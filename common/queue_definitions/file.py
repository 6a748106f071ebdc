"""The file that declares the limits of queues: YAML or JSON, read by the migration."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from common import declaration_file
from common.domain.errors import StartupError
from common.domain.tenancy.tenants import NAME_PATTERN
from common.queue_definitions.limits import QueueLimits

_TEXT = r"^[^\x00]+$"  # PostgreSQL stores no U+0000


class DeclaredQueue(QueueLimits):
    """The limits of a queue in the file: of a tenant, or of the operators for all tenants."""

    name: Annotated[str, Field(pattern=_TEXT, max_length=63)]
    tenant: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")] | None = None

    def limits(self) -> dict[str, Any]:
        """Return every limit as the store has it, also those that the file leaves out."""
        return self.stored(QueueLimits.model_fields)


class QueueFile(BaseModel):
    """The content of the file."""

    model_config = ConfigDict(extra="forbid")

    queues: list[DeclaredQueue]


@dataclass(frozen=True, slots=True)
class DeclaredQueues:
    """The limits of a file, by the name of the tenant (None: the operators) and of the queue."""

    limits: dict[tuple[str | None, str], DeclaredQueue]


def read_queues(path: str) -> DeclaredQueues:
    """Return the queues of a file. Raises StartupError, whose sentence names the file and what is wrong in it."""
    limits: dict[tuple[str | None, str], DeclaredQueue] = {}
    for queue in declaration_file.read(path, QueueFile).queues:
        if (queue.tenant, queue.name) in limits:
            whose = "without a tenant" if queue.tenant is None else f"of tenant {queue.tenant}"
            raise StartupError(f"{path}: there are two queues {queue.name} {whose}")
        limits[queue.tenant, queue.name] = queue
    return DeclaredQueues(limits)
