"""A client of the API, for code that submits jobs and reads their results: start at `clients.py`.

It needs the extra `jobproc[client]`. Imports only the submission options of the package `jobproc`, and HTTPX2.
"""

from jobproc.client.clients import AsyncClient, Client
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.errors import ApiError, ClientError, JobCancelled, JobFailed, WaitTimeout
from jobproc.client.handles.batches import AsyncBatch, Batch
from jobproc.client.handles.jobs import AsyncJob, Job, JobEvent

__all__ = [
    "ApiError",
    "AsyncBatch",
    "AsyncClient",
    "AsyncJob",
    "Batch",
    "Client",
    "ClientError",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "RetryPolicy",
    "WaitTimeout",
]
