"""Remote operations: `remote("acme.send")` makes one of a signature, and `remote(send)` of a decorated function.

A remote operation is called as the function is, and waits for the result of a job; `submit` does not wait.
"""

import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

from jobproc.client.async_client import AsyncClient
from jobproc.client.client import Client
from jobproc.client.handles.jobs import AsyncJob, Job
from jobproc.client.operations import OperationCall, name_of
from jobproc.context import Context

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
_lock = threading.Lock()
_clients: dict[str, Client] = {}


def default_client() -> Client:
    """Return the client of this process, whose configuration is in the environment or the profile."""
    with _lock:
        if "" not in _clients:
            _clients[""] = Client()
        return _clients[""]


class RemoteOperation(OperationCall[P, R]):
    """An operation whose calls run as jobs."""

    client: Client | None = None  #: None: the client of this process

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submit a job and wait for its result. Raises JobFailed or JobCancelled."""
        return self._client().run(self, *args, **kwargs)

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job[R]:
        """Submit a job."""
        return self._client().submit(self, *args, **kwargs)

    @overload
    def using(self, client: Client) -> "RemoteOperation[P, R]": ...
    @overload
    def using(self, client: AsyncClient) -> "AsyncRemoteOperation[P, R]": ...
    def using(self, client: Client | AsyncClient) -> "RemoteOperation[P, R] | AsyncRemoteOperation[P, R]":
        """Return the operation with another client."""
        if isinstance(client, AsyncClient):
            return AsyncRemoteOperation(self, client)
        made = self.options()
        made.client = client
        return made

    def _client(self) -> Client:
        return self.client or default_client()


class AsyncRemoteOperation(OperationCall[P, R]):
    """An operation whose calls run as jobs, and are awaited."""

    def __init__(self, operation: OperationCall[P, R], client: AsyncClient) -> None:
        super().__init__(operation.name, operation.function, operation.given)
        self.client = client

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Submit a job and wait for its result. Raises JobFailed or JobCancelled."""
        return await self.client.run(self, *args, **kwargs)

    async def submit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]:
        """Submit a job."""
        return await self.client.submit(self, *args, **kwargs)


class _Remote(Protocol):
    """Makes remote operations. The Context, which the worker gives, is no argument of one."""

    @overload
    def __call__(self, operation: str, /) -> "_Remote": ...
    @overload
    def __call__(self, operation: Callable[[A, Context], Coroutine[Any, Any, R]], /) -> RemoteOperation[[A], R]: ...
    @overload
    def __call__(self, operation: Callable[[A, Context], R], /) -> RemoteOperation[[A], R]: ...
    @overload
    def __call__(
        self, operation: Callable[Concatenate[Context, P], Coroutine[Any, Any, R]], /
    ) -> RemoteOperation[P, R]: ...
    @overload
    def __call__(self, operation: Callable[Concatenate[Context, P], R], /) -> RemoteOperation[P, R]: ...
    @overload
    def __call__(self, operation: Callable[P, Coroutine[Any, Any, R]], /) -> RemoteOperation[P, R]: ...
    @overload
    def __call__(self, operation: Callable[P, R], /) -> RemoteOperation[P, R]: ...
    def __call__(self, operation: Any, /) -> Any:
        """Return the remote operation, or what makes it."""
        ...


def _remote(operation: str | Callable[..., Any], /) -> Any:
    """Make a remote operation: of a declared function, or, with a name, of the decorated signature.

    Raises DeclarationError, which names the function.
    """
    if isinstance(operation, str):
        return partial(RemoteOperation, operation)
    return RemoteOperation(name_of(operation), operation)


remote: _Remote = cast("_Remote", _remote)
