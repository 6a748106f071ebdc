"""`operations`, `workers` and `stats`: what runs, and how much of it."""

import click

from jobproc.cli.failures import NotFound
from jobproc.cli.groups import Group, command, pass_invocation
from jobproc.cli.invocation import Invocation
from jobproc.cli.output.columns import columns

OPERATIONS = columns("name", "version", "queues", "workers_alive", "recent.jobs", "description")
WORKERS = columns("worker", "host", "pid", "alive", "queues", "held_jobs", "claimed_jobs", "busy_since", "started_at")
STATS = columns(
    "queue",
    "queued",
    "running",
    "oldest_due_seconds",
    "workers_alive",
    "accepted_per_second",
    "succeeded_per_second.last_minute",
    "failed_per_second.last_minute",
    **{
        "oldest_due_seconds": "OLDEST S",
        "workers_alive": "WORKERS",
        "accepted_per_second": "ACCEPTED/S",
        "succeeded_per_second.last_minute": "SUCCEEDED/S",
        "failed_per_second.last_minute": "FAILED/S",
    },
)


@click.group("operations", cls=Group)
def operations() -> None:
    """Operations that workers have registered."""


@operations.command("list")
@pass_invocation
def list_operations(invocation: Invocation) -> None:
    """List the operations."""
    invocation.write_list(invocation.client.operations(), OPERATIONS, "name")


@operations.command("get")
@click.argument("name")
@pass_invocation
def get_operation(invocation: Invocation, name: str) -> None:
    """Show an operation with the schemas of its input and result."""
    for operation in invocation.client.operations():
        if operation.name == name:
            invocation.write(operation, "name")
            return
    raise NotFound(f"no worker has registered an operation {name!r}")


@click.group("workers", cls=Group)
def workers() -> None:
    """Worker processes and their jobs."""


@workers.command("list")
@pass_invocation
def list_workers(invocation: Invocation) -> None:
    """List the worker processes."""
    invocation.write_list(invocation.client.workers(), WORKERS, "worker")


@workers.command("get")
@click.argument("number", type=int, metavar="WORKER")
@pass_invocation
def get_worker(invocation: Invocation, number: int) -> None:
    """Show a worker process with the jobs that it has claimed."""
    for worker in invocation.client.workers():
        if worker.worker == number:
            invocation.write(worker, "worker")
            return
    raise NotFound(f"there is no worker {number}")


@command("stats")
@pass_invocation
def stats(invocation: Invocation) -> None:
    """Show the numbers of jobs and workers of each queue."""
    invocation.write_list(invocation.client.stats().queues, STATS, "queue")
