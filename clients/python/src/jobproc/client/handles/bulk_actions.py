"""Bulk actions: cancel, retry or reprioritise all jobs that match a filter, after a look at their count."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, Unpack, cast

from jobproc.client.calls import bulk_actions
from jobproc.client.calls.jobs import JobFilter
from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.request import Request
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Flow
from jobproc.client.connection.verbs import D, Resource, Thing, items, verb
from jobproc.client.views.bulk_actions import BulkActionOutcomes, BulkActionView, SampleJobView

A = TypeVar("A")


class BulkActionHandle(Thing[D], Generic[D]):
    """A bulk action that has been previewed."""

    def __init__(self, session: Session, driver: D, view: BulkActionView) -> None:
        super().__init__(session, driver, view.bulk_action_id)
        self.view = view  #: as it was when it was last asked for

    @property
    def count(self) -> int:
        """The number of jobs that match, exact if `view.count_is_exact`."""
        return self.view.count

    @property
    def sample(self) -> list[SampleJobView]:
        """The ten oldest of them."""
        return self.view.sample

    def _changed(self, call: Request[BulkActionView] | Flow[BulkActionView]) -> Flow[BulkActionView]:
        self.view = (yield call) if isinstance(call, Request) else (yield from call)
        return self.view

    def _start(self, first: int | None) -> Any:
        return self._run(self._changed(bulk_actions.start(self.id, self.count, first)))

    def _outcomes(self) -> Any:
        return self._run(bulk_actions.outcomes(self.id))

    def _stop(self) -> Any:
        return self._run(self._changed(bulk_actions.stop(self.id)))

    def _undo(self) -> Any:
        return self._run(self._changed(bulk_actions.undo(self.id)))

    def _wait(self, timeout: float | None) -> Any:
        return self._run(self._changed(bulk_actions.wait(self.id, timeout, self._session.clock)))


class BulkAction(BulkActionHandle[Driver]):
    """A bulk action."""

    def start(self, first: int | None = None) -> BulkActionView:
        """Start it, for the jobs that were counted; or go on after a stop.

        `first`: it stops by itself once it has changed so many jobs in all.
        """
        return cast("BulkActionView", self._start(first))

    def outcomes(self) -> BulkActionOutcomes:
        """Retrieve the states of the jobs that it has changed, and what an undo would do now."""
        return cast("BulkActionOutcomes", self._outcomes())

    def stop(self) -> BulkActionView:
        """Stop it; no further job is changed."""
        return cast("BulkActionView", self._stop())

    def undo(self) -> BulkActionView:
        """Take it back, as far as its jobs have not moved on."""
        return cast("BulkActionView", self._undo())

    def wait(self, timeout: float | None = None) -> BulkActionView:
        """Wait until it, or its undo, is done or stopped. Raises TimeoutError."""
        return cast("BulkActionView", self._wait(timeout))


class AsyncBulkAction(BulkActionHandle[AsyncDriver]):
    """A bulk action, for `AsyncClient`."""

    async def start(self, first: int | None = None) -> BulkActionView:
        """Start it, for the jobs that were counted; or go on after a stop.

        `first`: it stops by itself once it has changed so many jobs in all.
        """
        return cast("BulkActionView", await self._start(first))

    async def outcomes(self) -> BulkActionOutcomes:
        """Retrieve the states of the jobs that it has changed, and what an undo would do now."""
        return cast("BulkActionOutcomes", await self._outcomes())

    async def stop(self) -> BulkActionView:
        """Stop it; no further job is changed."""
        return cast("BulkActionView", await self._stop())

    async def undo(self) -> BulkActionView:
        """Take it back, as far as its jobs have not moved on."""
        return cast("BulkActionView", await self._undo())

    async def wait(self, timeout: float | None = None) -> BulkActionView:
        """Wait until it, or its undo, is done or stopped. Raises TimeoutError."""
        return cast("BulkActionView", await self._wait(timeout))


@dataclass(frozen=True, slots=True)
class Draft(Generic[A]):
    """A bulk action before its preview: nothing has been sent."""

    action: str
    filter: Mapping[str, Any]
    options: Mapping[str, Any]
    send: Callable[["Draft[A]"], A]

    def preview(self) -> A:
        """Count the jobs that match; nothing is changed. An `AsyncClient` returns an awaitable."""
        return self.send(self)


class BulkActionVerbs(Resource[D], Generic[D, A]):
    """The verbs of a client about bulk actions: `cancel`, `retry` and `reprioritise` begin one."""

    get = verb(bulk_actions.bulk_action)
    outcomes = verb(bulk_actions.outcomes)
    stop = verb(bulk_actions.stop)
    undo = verb(bulk_actions.undo)
    page = verb(bulk_actions.page)
    list = items(bulk_actions.bulk_actions, BulkActionView)

    def __init__(self, session: Session, driver: D, send: Callable[[Draft[A]], A]) -> None:
        super().__init__(session, driver)
        self._send = send

    def cancel(
        self,
        *,
        all: bool = False,  # noqa: A002 - as the API calls it
        jobs_per_second: int | None = None,
        **filter_: Unpack[JobFilter],
    ) -> Draft[A]:
        """Cancel all jobs that match; without a filter, `all` says that every job is meant."""
        return self._draft("cancel", filter_, {"all": all or None, "jobs_per_second": jobs_per_second})

    def retry(
        self,
        *,
        all: bool = False,  # noqa: A002 - as the API calls it
        jobs_per_second: int | None = None,
        **filter_: Unpack[JobFilter],
    ) -> Draft[A]:
        """Run all FAILED and CANCELLED jobs that match once more."""
        return self._draft("retry", filter_, {"all": all or None, "jobs_per_second": jobs_per_second})

    def reprioritise(
        self,
        priority: int,
        *,
        all: bool = False,  # noqa: A002 - as the API calls it
        jobs_per_second: int | None = None,
        **filter_: Unpack[JobFilter],
    ) -> Draft[A]:
        """Give all waiting jobs that match a priority."""
        options = {"all": all or None, "jobs_per_second": jobs_per_second, "priority": priority}
        return self._draft("reprioritise", filter_, options)

    def _draft(self, action: str, filter_: JobFilter, options: Mapping[str, Any]) -> Draft[A]:
        named: dict[str, Any] = dict(filter_)
        if isinstance(named.get("status"), str):
            named["status"] = [named["status"]]
        return Draft(action, named, options, self._send)
