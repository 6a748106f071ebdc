"""The operation of the jobs that deliver events. No package and no client can use its name."""

from typing import TYPE_CHECKING, Annotated, Any, cast

from pydantic import BaseModel, Field

from common.domain.webhooks.events import OPERATION, QUEUE
from common.settings import Settings
from jobproc import Context, operation
from worker.execution.job_context import JobContext
from worker.operations.installed import InstalledOperation, installed

if TYPE_CHECKING:  # it imports the HTTP client
    from worker.webhooks.delivery import Deliveries

BASE_SECONDS, CAP_SECONDS = 10.0, 10_800.0  # 21 attempts with these delays take about a day
_settings: list[Settings] = []  # of this process
_deliveries: "list[Deliveries]" = []  # made by the first job, in the event loop


class Delivery(BaseModel):
    """An event and its endpoint."""

    endpoint_id: Annotated[str, Field(pattern="^[0-9a-f-]{36}$")]
    event: dict[str, Any]
    message_id: Annotated[str, Field(pattern="^[0-9a-f-]{36}$")] | None = None  #: of a second delivery: the first one


@operation(name=OPERATION, queue=QUEUE, base_seconds=BASE_SECONDS, cap_seconds=CAP_SECONDS)
async def deliver(delivery: Delivery, context: Context) -> Any:
    """Deliver an event to its endpoint."""
    if not _deliveries:
        from worker.webhooks.delivery import Deliveries

        _deliveries.append(Deliveries(_settings[0]))
    job = cast("JobContext", context).job
    return await _deliveries[0].deliver(
        delivery.message_id or job.id, delivery.endpoint_id, delivery.event, run=job.run, released=job.released
    )


def delivery_operation(settings: Settings) -> InstalledOperation:
    """Return the operation for a worker with these settings."""
    from jobproc.operations import registered

    _settings[:] = [settings]
    return installed(registered[OPERATION])
