"""The command line of a worker, and its start."""

import os
import re
import sys

from common import process_environment
from common.command_line import command_line
from common.domain.errors import StartupError
from common.domain.job import QUEUE_PATTERN
from common.domain.webhooks.events import OPERATION, QUEUE
from common.hangup import end_on_hangup
from common.settings import Settings, secret_variables, variables_of
from common.telemetry import logs
from worker.app import WorkerApp
from worker.job_logs import capture
from worker.operations import check
from worker.operations.entry_points import installed_operations
from worker.operations.installed import InstalledOperation

log = logs.get("worker")
MAX_PROCESSES = 256


def main() -> None:
    """Parse the command line and run a worker; exit with its exit code, or with one sentence if it cannot start."""
    parser = command_line("worker", "Runs jobs.", variables_of("worker"))
    parser.add_argument(
        "--queues", default="default", help="comma-separated names of the queues to serve (default: %(default)s)"
    )
    parser.add_argument(
        "--concurrency",
        type=int,
        default=os.cpu_count() or 1,
        help="worker processes, 1 to 256 (default: the number of cores)",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="import the operations, print them and their queues as JSON, and end; with exit code 1 and the reason if "
        "a worker could not start with them. Reads no settings",
    )
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(check.main())
    try:
        settings = Settings.from_env(os.environ)
        process_environment.remove(secret_variables())
        logs.configure(settings, "worker")
        handler = capture.admit_records(settings)
        queues = [queue.strip() for queue in arguments.queues.split(",") if queue.strip()]
        if not queues or not all(re.fullmatch(QUEUE_PATTERN, queue) for queue in queues):
            raise StartupError(
                f"--queues {arguments.queues!r}: names of 1 to 63 of a-z 0-9 _ . - are expected, separated by commas"
            )
        if not 1 <= arguments.concurrency <= MAX_PROCESSES:
            raise StartupError(f"--concurrency {arguments.concurrency}: a number from 1 to {MAX_PROCESSES} is expected")
        operations = _operations()
        if QUEUE in queues:
            from worker.webhooks.operation import delivery_operation  # without it a worker has no async operation

            operations |= {OPERATION: delivery_operation(settings)}
        capture.keep_libraries(settings, handler)
        log.info("starting", settings=settings.masked(), queues=queues, concurrency=arguments.concurrency)
        end_on_hangup()
        sys.exit(WorkerApp(settings, queues, arguments.concurrency, operations).run())
    except StartupError as error:
        sys.exit(f"worker: {error}")


def _operations() -> dict[str, InstalledOperation]:
    try:
        return installed_operations()
    except StartupError as error:
        log.debug("operations_refused", reason=str(error), exc_info=error.__cause__ or error)
        raise
