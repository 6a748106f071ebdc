"""The operation of the jobs that deliver events. No package and no client can use its name."""

from typing import TYPE_CHECKING, Any, cast

from common.domain.webhooks.events import OPERATION, QUEUE
from common.settings import Settings
from jobproc import Context, operation
from jobproc.operations import registered
from worker.execution.job_context import JobContext
from worker.operations.installed import InstalledOperation, installed
from worker.webhooks.stored_delivery import StoredDelivery

if TYPE_CHECKING:  # it imports the HTTP client
    from worker.webhooks.delivery import Deliveries

BASE_SECONDS, CAP_SECONDS = 10.0, 10_800.0  # 21 attempts with these delays take about a day
_settings: list[Settings] = []  # of this process
_deliveries: "list[Deliveries]" = []  # made by the first job, in the event loop


@operation(name=OPERATION, queue=QUEUE, base_seconds=BASE_SECONDS, cap_seconds=CAP_SECONDS)
async def deliver(delivery: StoredDelivery, context: Context) -> Any:
    """Deliver an event to its endpoint."""
    if not _deliveries:
        from worker.webhooks.delivery import Deliveries

        _deliveries.append(Deliveries(_settings[0]))
    return await _deliveries[0].deliver(delivery, cast("JobContext", context).job)


def delivery_operation(settings: Settings) -> InstalledOperation:
    """Return the operation for a worker with these settings."""
    _settings[:] = [settings]
    return installed(registered[OPERATION])
