"""A client of the API, for code that submits jobs and reads their results: start at `client.py`.

It needs the extra `jobproc[client]`. Imports only the submission options of the package `jobproc`, and HTTPX2.
"""

from jobproc.client.async_client import AsyncClient
from jobproc.client.calls.reads import LiveEvent
from jobproc.client.client import Client
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.errors import ApiError, ClientError, JobCancelled, JobFailed, WaitTimeout
from jobproc.client.handles.batches import AsyncBatch, Batch
from jobproc.client.handles.bulk_actions import AsyncBulkAction, BulkAction
from jobproc.client.handles.jobs import AsyncJob, Job, JobEvent
from jobproc.client.handles.workflows import AsyncWorkflow, Workflow
from jobproc.client.remote import AsyncRemoteOperation, RemoteOperation, remote

__all__ = [
    "ApiError",
    "AsyncBatch",
    "AsyncBulkAction",
    "AsyncClient",
    "AsyncJob",
    "AsyncRemoteOperation",
    "AsyncWorkflow",
    "Batch",
    "BulkAction",
    "Client",
    "ClientError",
    "Job",
    "JobCancelled",
    "JobEvent",
    "JobFailed",
    "LiveEvent",
    "RemoteOperation",
    "RetryPolicy",
    "WaitTimeout",
    "Workflow",
    "remote",
]
