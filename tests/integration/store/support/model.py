"""What must be true of jobs and workers, told simply: what is committed, and what each open transaction has changed beside it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from common.domain.decisions import AttemptOutcome
from common.domain.states import TERMINAL, State, Transition, next_state

Past = tuple[int, str, int]  # an attempt that did not end its job: its number, how it ended, whose it was


@dataclass(frozen=True)
class Job:
    """One job. Each method is a step of it."""

    queue: str
    max_attempts: int
    state: State = State.PENDING
    attempt: int = 0
    released: int = 0
    rev: int = 0
    worker: int | None = None  #: who holds it, or whose attempt ended it
    past: tuple[Past, ...] = ()
    result: str | None = None
    error: str | None = None
    asked: bool = False  #: to stop
    suspected: frozenset[int] = frozenset()  #: attempts that a rescue gave back uncharged, as nobody knew which of several had run
    input: str | None = None  #: that a retry by request brought, None: none did
    before: tuple["Job", ...] = ()  #: its earlier epochs, as they ended

    @property
    def epochs(self) -> tuple["Job", ...]:
        return (*self.before, self)

    def claim(self, worker: int) -> "Job":
        return self._after(Transition.CLAIM, attempt=self.attempt + 1, worker=worker)

    def settle(self, result: str) -> "Job":
        return self._after(Transition.CANCEL) if self.asked else self._after(Transition.SUCCEED, result=result)

    def cancel(self) -> "Job":
        """A client cancels it: what waits ends, what runs is asked to stop, and ends so however its attempt does."""
        if self.state in TERMINAL or self.asked:
            return self
        return replace(self, rev=self.rev + 1, asked=True) if self.state is State.IN_PROGRESS else self._after(Transition.CANCEL)

    def rerun(self, text: str | None) -> "Job":
        """A client asks for another epoch, with an input or with the one that it had; only what failed or was cancelled has one."""
        if self.state not in TERMINAL or self.state is State.SUCCESS:
            return self
        state = next_state(self.state, Transition.MANUAL_RETRY)
        return Job(self.queue, self.max_attempts, state, rev=self.rev + 1, input=text or self.input, before=(*self.before, replace(self, before=())))

    def give_up(self, ended: str, error: str, *, later: bool = False) -> "Job":
        """End the attempt without a result: the budget says whether it is the last."""
        if self.asked:
            return self._after(Transition.CANCEL)
        if ended == AttemptOutcome.PERMANENT or (ended != AttemptOutcome.RELEASED and self.attempt - self.released >= self.max_attempts):
            return self._after(Transition.FAIL, error=error)
        past = (*self.past, (self.attempt, ended, self.worker or 0))
        if ended == AttemptOutcome.RELEASED:
            suspected = self.suspected | ({self.attempt} if error == "worker_lost" else set())
            return self._after(Transition.RELEASE, worker=None, past=past, released=self.released + 1, suspected=suspected)
        job = self._after(Transition.RETRY, worker=None, past=past)
        return job if later else replace(job, state=next_state(job.state, Transition.DUE))

    def due(self) -> "Job":
        """Let its delay be over; nothing is written."""
        return replace(self, state=next_state(self.state, Transition.DUE))

    def touch(self) -> "Job":
        """Write something of it that is no step."""
        return replace(self, rev=self.rev + 1)

    def held_by(self, worker: int, attempt: int) -> bool:
        """Whether the fence lets this attempt of this worker write."""
        return (self.state, self.worker, self.attempt) == (State.IN_PROGRESS, worker, attempt)

    def succeeded_by(self, worker: int, attempt: int) -> bool:
        """Whether this attempt brought the result of an epoch, or would have."""
        return any(one.state in {State.SUCCESS, State.CANCELLED} and (one.worker, one.attempt) == (worker, attempt) for one in self.epochs)

    def ended_by(self, worker: int, attempt: int) -> bool:
        """Whether the attempt is written down as ended, by its own word; which epoch it was of is not asked."""
        return any(one._ended_by(worker, attempt) for one in self.epochs)

    def _ended_by(self, worker: int, attempt: int) -> bool:
        if (self.worker, self.attempt) == (worker, attempt) and self.state in TERMINAL:
            return self.error != "worker_lost"
        told = attempt not in self.suspected
        return told and any((number, whose) == (attempt, worker) and ended != AttemptOutcome.LOST for number, ended, whose in self.past)

    def _after(self, by: Transition, **changed: object) -> "Job":
        return replace(self, state=next_state(self.state, by), rev=self.rev + 1, **changed)  # type: ignore[arg-type]  # fields of this class


@dataclass(frozen=True)
class Worker:
    """A process: whether its lease runs, and whether it has been ended."""

    alive: bool = True
    ended: bool = False

    @property
    def works(self) -> bool:
        return self.alive and not self.ended


@dataclass
class Open:
    """A transaction that has not ended. What it has changed is locked."""

    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)  #: got a new place in the queue, above every mark of then
    passed: set[str] = field(default_factory=set)  #: below somebody's marks when it ends, whichever way
    rerun: set[str] = field(default_factory=set)  #: asked to run again, and locked for others who ask


@dataclass
class Model:
    """Everything, by session. A session without an open transaction commits each statement."""

    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    open: dict[str, Open] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)  #: committed, and maybe below somebody's marks

    def see(self, session: str) -> dict[str, Job]:
        """Return the jobs as a session sees them."""
        return self.jobs | (self.open[session].jobs if session in self.open else {})

    def worker(self, session: str, worker: int) -> Worker:
        mine = self.open.get(session, Open())
        return mine.workers.get(worker) or self.workers[worker]

    def others(self, session: str) -> dict[str, Open]:
        return {name: one for name, one in self.open.items() if name != session}

    def locked(self, session: str) -> set[str]:
        """Return the jobs that others have locked."""
        return {job_id for one in self.others(session).values() for job_id in one.jobs}

    def locked_workers(self, session: str = "") -> set[int]:
        return {worker for one in self.others(session).values() for worker in one.workers}

    def free(self, session: str, queue: str) -> set[str]:
        """Return what a claim may take."""
        waiting = {job_id for job_id, job in self.see(session).items() if job.queue == queue and job.state is State.PENDING}
        return waiting - self.locked(session)

    def held(self, session: str, worker: int) -> set[str]:
        """Return what a worker holds as a session sees it, locked or not."""
        return {job_id for job_id, job in self.see(session).items() if job.worker == worker and job.state is State.IN_PROGRESS}

    def expired(self, session: str) -> list[int]:
        """Return the workers that a rescue finds."""
        lost = [w for w in self.workers if not self.worker(session, w).alive and not self.worker(session, w).ended]
        return [w for w in lost if w not in self.locked_workers(session)]

    def orphaned(self, session: str) -> list[int]:
        return [w for w in self.workers if self.worker(session, w).ended and self.held(session, w)]

    def write(self, session: str, jobs: Mapping[str, Job], *, moved: bool = False) -> None:
        """Change jobs; `moved`: each has a new place in its queue."""
        if session in self.open:
            self.open[session].jobs.update(jobs)
            self.open[session].moved |= set(jobs) if moved else set()
        else:
            self.jobs.update(jobs)
            self.passed -= set(jobs) if moved else set()

    def write_worker(self, session: str, worker: int, now: Worker) -> None:
        (self.open[session].workers if session in self.open else self.workers)[worker] = now

    def give_back(self, session: str, worker: int, ended: Callable[[str], tuple[str, str]]) -> set[str]:
        """Take from a worker what nobody has locked, and end it where that is everything. Returns what was taken."""
        taken = self.held(session, worker) - self.locked(session)
        jobs = self.see(session)
        self.write(session, {job_id: jobs[job_id].give_up(*ended(job_id)) for job_id in taken}, moved=True)
        now = self.worker(session, worker)
        self.write_worker(session, worker, now if self.held(session, worker) else replace(now, ended=True))
        return taken

    def rescue(self, session: str, lost: Iterable[int]) -> set[str]:
        """Do what a rescue of workers does; those that another has locked are passed over."""
        taken: set[str] = set()
        for worker in lost:
            if worker not in self.locked_workers(session):
                several = len(self.held(session, worker) - self.locked(session)) > 1
                ended = str(AttemptOutcome.RELEASED if several else AttemptOutcome.LOST), "worker_lost"
                taken |= self.give_back(session, worker, lambda _, ended=ended: ended)  # type: ignore[misc]  # a default binds it
        return taken

    def look(self, session: str) -> None:
        """Somebody looks through a queue: what others hold back, or have not committed, may fall below the marks."""
        for one in self.others(session).values():
            one.passed |= set(one.jobs)

    def end(self, session: str, *, commits: bool) -> None:
        """End a transaction."""
        mine = self.open.pop(session)
        if commits:
            self.jobs.update(mine.jobs)
            self.workers.update(mine.workers)
            self.passed -= mine.moved
            self.passed |= mine.passed
        else:
            self.passed |= (mine.passed | set(mine.jobs)) & set(self.jobs)  # its own marks have gone by what it had claimed

    def depth(self, queue: str) -> tuple[int, int]:
        """Return how many jobs wait and how many run."""
        states = [job.state for job in self.jobs.values() if job.queue == queue]
        return states.count(State.PENDING), states.count(State.IN_PROGRESS)
