"""The results of many jobs: read by hundreds in a request, whether they were mapped or submitted one by one."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobproc.client.calls import batches
from jobproc.client.connection.request import Request, post
from jobproc.client.connection.steps import END, Emit, Flow, Pause, Take
from jobproc.client.errors import ClientError, WaitTimeout
from jobproc.client.views.jobs import EndedJobView, ManyResultsView
from jobproc.client.views.view import view

MAX_IDS = 1_000  # of one request
MAX_CHUNK_JOBS = 1_000  # of one batch
MAX_CHUNK_S = 0.2  # a slow source does not hold back the jobs that it has given
MIN_PAUSE_S, MAX_PAUSE_S = 0.01, 1.0  # between two reads of which the first found few ended jobs


def results(job_ids: Sequence[str]) -> Request[ManyResultsView]:
    """Retrieve the results of those of up to 1,000 jobs that have ended."""
    return post("/jobs/results", view(ManyResultsView), {"job_ids": job_ids}, repeatable=True)


@dataclass(slots=True)
class Awaited:
    """Jobs whose ends are awaited, in their order, and the pace of the reads."""

    unfinished: dict[str, None] = field(default_factory=dict)
    _pause_s: float = MIN_PAUSE_S

    def add(self, job_ids: Sequence[str]) -> None:
        """Await further jobs."""
        self.unfinished.update(dict.fromkeys(job_ids))

    def read(
        self, ends_at: float | None = None, clock_s: Callable[[], float] | None = None
    ) -> Flow[list[EndedJobView]]:
        """Ask for the oldest ones, and return those that have ended; after a read that found few, pause before it.

        Jobs that go on stand behind the others then, so that one that takes long keeps no other one back.
        """
        asked = list(self.unfinished)[:MAX_IDS]
        found: ManyResultsView = yield results(asked)
        if found.not_found:
            raise ClientError(f"job {found.not_found[0]} does not exist, or no longer")
        for job in found.ended:
            del self.unfinished[job.job_id]
        if found.unfinished and len(self.unfinished) > len(asked):
            for job_id in asked:
                if job_id in self.unfinished:
                    self.unfinished[job_id] = self.unfinished.pop(job_id)
        if len(found.ended) * 2 < len(asked):
            pause = self._pause_s if ends_at is None or clock_s is None else min(self._pause_s, ends_at - clock_s())
            yield Pause(max(0.0, pause))
            self._pause_s = min(MAX_PAUSE_S, self._pause_s * 1.5)
        if found.ended:
            self._pause_s = MIN_PAUSE_S
        return found.ended


def as_completed(job_ids: Sequence[str], timeout_s: float | None, clock_s: Callable[[], float]) -> Flow[None]:
    """Emit the results of jobs as they end. Raises WaitTimeout."""
    awaited = Awaited()
    awaited.add(job_ids)
    ends_at = None if timeout_s is None else clock_s() + timeout_s
    while awaited.unfinished:
        for job in (yield from awaited.read(ends_at, clock_s)):
            yield Emit(job)
        if awaited.unfinished and ends_at is not None and clock_s() >= ends_at:
            raise WaitTimeout(f"{len(awaited.unfinished)} of {len(job_ids)} jobs", timeout_s or 0.0)


@dataclass(slots=True)
class MappedJobs:
    """The facts of a map: its submissions so far, and the results that wait for their turn."""

    source: Iterator[Any] | AsyncIterator[Any]
    body: Callable[[Any], Mapping[str, Any]]
    window: int
    is_ordered: bool
    clock_s: Callable[[], float]
    report: Callable[[int, int], None]  #: is told of the submitted and the emitted jobs
    is_drained: bool = False
    submitted: int = 0
    emitted: int = 0
    awaited: Awaited = field(default_factory=Awaited)
    order: deque[str] = field(default_factory=deque)
    ended: dict[str, EndedJobView] = field(default_factory=dict)

    @property
    def chunk_jobs(self) -> int:
        """The jobs of one batch: a quarter of the window, so that others run while one is read."""
        return max(1, min(MAX_CHUNK_JOBS, self.window // 4))

    def run(self) -> Flow[None]:
        """Submit jobs and emit their results: in order, or as they end. At most `window` are on their way."""
        while not self.is_drained or self.awaited.unfinished:
            while not self.is_drained and self.submitted - self.emitted <= self.window - self.chunk_jobs:
                yield from self._submit()
            if self.awaited.unfinished:
                for job in (yield from self.awaited.read()):
                    self.ended[job.job_id] = job
            yield from self._emit()

    def _submit(self) -> Flow[None]:
        """Take a chunk of inputs and submit it."""
        chunk: list[Mapping[str, Any]] = []
        full_at = self.clock_s() + MAX_CHUNK_S
        while len(chunk) < self.chunk_jobs and (not chunk or self.clock_s() < full_at):
            item = yield Take(self.source)
            if item is END:
                self.is_drained = True
                break
            chunk.append(self.body(item))
        if chunk:
            accepted = yield batches.submit(chunk)
            self.submitted += len(chunk)
            self.awaited.add(accepted.job_ids)
            self.order.extend(accepted.job_ids)
            self.report(self.submitted, self.emitted)

    def _emit(self) -> Flow[None]:
        if self.is_ordered:
            while self.order and self.order[0] in self.ended:
                yield Emit(self.ended.pop(self.order.popleft()))
                self.emitted += 1
        else:
            self.order.clear()
            for job_id in list(self.ended):
                yield Emit(self.ended.pop(job_id))
                self.emitted += 1
        self.report(self.submitted, self.emitted)
