"""The model: committed jobs and workers, and the changes of each open transaction."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from common.domain.decisions import AttemptOutcome
from common.domain.states import TERMINAL, State, Transition, next_state

#: An attempt that did not end its job: its number, its outcome, its worker.
PastAttempt = tuple[int, str, int]


@dataclass(frozen=True)
class Job:
    """A job. Each method that returns a job is a step of it."""

    queue: str
    max_attempts: int
    state: State = State.PENDING
    attempt: int = 0
    released: int = 0
    rev: int = 0
    worker: int | None = None  #: holds the job, or ran the attempt that ended it
    past_attempts: tuple[PastAttempt, ...] = ()
    result: str | None = None
    error: str | None = None
    cancel_requested: bool = False
    #: Attempts that a rescue released because it was unknown which of several had run.
    suspected: frozenset[int] = frozenset()
    input: str | None = None  #: of a manual retry, None: no manual retry had one
    earlier_runs: tuple["Job", ...] = ()  #: as they ended
    key: str | None = None  #: held while the job runs
    parked: bool = False  #: waits for its key; its state is PENDING

    @property
    def runs(self) -> tuple["Job", ...]:
        return (*self.earlier_runs, self)

    def claim(self, worker: int) -> "Job":
        return self._after(Transition.CLAIM, attempt=self.attempt + 1, worker=worker)

    def settle(self, result: str) -> "Job":
        return (
            self._after(Transition.CANCEL) if self.cancel_requested else self._after(Transition.SUCCEED, result=result)
        )

    def cancel(self) -> "Job":
        """Cancel a waiting job; ask a running one to stop, which cancels it whatever the outcome of its attempt."""
        if self.state in TERMINAL or self.cancel_requested:
            return self
        return (
            replace(self, rev=self.rev + 1, cancel_requested=True)
            if self.state is State.IN_PROGRESS
            else self._after(Transition.CANCEL)
        )

    def retry(self, new_input: str | None) -> "Job":
        """Begin another run of a failed or cancelled job, with a new input or the one that it had."""
        if self.state not in TERMINAL or self.state is State.SUCCESS:
            return self
        state = next_state(self.state, Transition.MANUAL_RETRY)
        return Job(
            self.queue,
            self.max_attempts,
            state,
            rev=self.rev + 1,
            input=new_input or self.input,
            earlier_runs=(*self.earlier_runs, replace(self, earlier_runs=())),
            key=self.key,
        )

    def park(self) -> "Job":
        """Reverse its claim, because another running job holds its key."""
        if self.cancel_requested:
            return self._after(Transition.CANCEL, attempt=self.attempt - 1, worker=None)
        job = self._after(Transition.RELEASE, attempt=self.attempt - 1, worker=None)
        return replace(job, parked=True)

    def give_up(self, outcome: str, error: str, *, later: bool = False) -> "Job":
        """End the attempt without a result. The job fails if no attempt is left."""
        if self.cancel_requested:
            return self._after(Transition.CANCEL)
        if outcome == AttemptOutcome.PERMANENT or (
            outcome != AttemptOutcome.RELEASED and self.attempt - self.released >= self.max_attempts
        ):
            return self._after(Transition.FAIL, error=error)
        past_attempts = (*self.past_attempts, (self.attempt, outcome, self.worker or 0))
        if outcome == AttemptOutcome.RELEASED:
            suspected = self.suspected | ({self.attempt} if error == "worker_lost" else set())
            return self._after(
                Transition.RELEASE,
                worker=None,
                past_attempts=past_attempts,
                released=self.released + 1,
                suspected=suspected,
            )
        job = self._after(Transition.RETRY, worker=None, past_attempts=past_attempts)
        return job if later else replace(job, state=next_state(job.state, Transition.DUE))

    def due(self) -> "Job":
        """End its delay; nothing is written."""
        return replace(self, state=next_state(self.state, Transition.DUE))

    def touch(self) -> "Job":
        """Write to its row without a transition."""
        return replace(self, rev=self.rev + 1)

    def held_by(self, worker: int, attempt: int) -> bool:
        """Return True if the fence lets this attempt of this worker write."""
        return (self.state, self.worker, self.attempt) == (State.IN_PROGRESS, worker, attempt)

    def succeeded_by(self, worker: int, attempt: int) -> bool:
        """Return True if this attempt stored the result of a run, or would have without the cancel."""
        return any(
            run.state in {State.SUCCESS, State.CANCELLED} and (run.worker, run.attempt) == (worker, attempt)
            for run in self.runs
        )

    def ended_by(self, worker: int, attempt: int) -> bool:
        """Return True if the worker itself stored the end of the attempt, of whichever run."""
        return any(run._ended_by(worker, attempt) for run in self.runs)

    def _ended_by(self, worker: int, attempt: int) -> bool:
        if (self.worker, self.attempt) == (worker, attempt) and self.state in TERMINAL:
            return self.error != "worker_lost"
        return attempt not in self.suspected and any(
            (past_attempt, past_worker) == (attempt, worker) and outcome != AttemptOutcome.LOST
            for past_attempt, outcome, past_worker in self.past_attempts
        )

    def _after(self, by: Transition, **changes: object) -> "Job":
        state = next_state(self.state, by)
        changes.setdefault("parked", False)
        return replace(self, state=state, rev=self.rev + 1, **changes)  # type: ignore[arg-type]  # fields of this class


@dataclass(frozen=True)
class Worker:
    """A worker process: if its lease runs, and if its row is marked as ended."""

    alive: bool = True
    ended: bool = False

    @property
    def works(self) -> bool:
        return self.alive and not self.ended


@dataclass
class Transaction:
    """An open transaction. The rows that it has changed are locked."""

    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)  #: got a new position in the queue, above every low-water mark
    passed: set[str] = field(default_factory=set)  #: below a low-water mark when it ends, by commit or rollback
    retried: set[str] = field(default_factory=set)  #: locked by a manual retry, which blocks other manual retries
    holders: dict[str, str] = field(default_factory=dict)  #: by locked key: the job that took it last


@dataclass
class Model:
    """Jobs and workers, by session. A session without an open transaction commits each statement."""

    jobs: dict[str, Job] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    open: dict[str, Transaction] = field(default_factory=dict)
    passed: set[str] = field(default_factory=set)  #: committed, and perhaps below a low-water mark
    holders: dict[str, str] = field(default_factory=dict)  #: by key: the job that took it last

    def visible_jobs(self, session: str) -> dict[str, Job]:
        """Return the jobs as a session sees them."""
        return self.jobs | (self.open[session].jobs if session in self.open else {})

    def worker(self, session: str, worker: int) -> Worker:
        own = self.open.get(session, Transaction())
        return own.workers.get(worker) or self.workers[worker]

    def others(self, session: str) -> dict[str, Transaction]:
        """Return the open transactions of other sessions."""
        return {name: transaction for name, transaction in self.open.items() if name != session}

    def locked(self, session: str) -> set[str]:
        """Return the jobs that other sessions have locked."""
        return {job_id for transaction in self.others(session).values() for job_id in transaction.jobs}

    def locked_workers(self, session: str = "") -> set[int]:
        return {worker for transaction in self.others(session).values() for worker in transaction.workers}

    def claimable(self, session: str, queue: str) -> set[str]:
        """Return the jobs that a claim may take."""
        waiting = {
            job_id
            for job_id, job in self.visible_jobs(session).items()
            if job.queue == queue and job.state is State.PENDING and not job.parked
        }
        return waiting - self.locked(session)

    def holder(self, session: str, key: str) -> str | None:
        """Return the running job that holds a key as a session sees it."""
        own = self.open.get(session, Transaction())
        holder = own.holders.get(key) or self.holders.get(key)
        return holder if holder and self.visible_jobs(session)[holder].state is State.IN_PROGRESS else None

    def held(self, session: str, worker: int) -> set[str]:
        """Return the jobs that a worker holds as a session sees it, locked or not."""
        return {
            job_id
            for job_id, job in self.visible_jobs(session).items()
            if job.worker == worker and job.state is State.IN_PROGRESS
        }

    def expired(self, session: str) -> list[int]:
        """Return the workers that a rescue finds."""
        lost = [w for w in self.workers if not self.worker(session, w).alive and not self.worker(session, w).ended]
        return [w for w in lost if w not in self.locked_workers(session)]

    def orphaned(self, session: str) -> list[int]:
        """Return the ended workers that hold jobs."""
        return [w for w in self.workers if self.worker(session, w).ended and self.held(session, w)]

    def write(self, session: str, jobs: Mapping[str, Job], *, moved: bool = False) -> None:
        """Change jobs; `moved`: each gets a new position in its queue."""
        if session in self.open:
            self.open[session].jobs.update(jobs)
            self.open[session].moved |= set(jobs) if moved else set()
        else:
            self.jobs.update(jobs)
            self.passed -= set(jobs) if moved else set()

    def write_worker(self, session: str, worker: int, now: Worker) -> None:
        (self.open[session].workers if session in self.open else self.workers)[worker] = now

    def recover(self, session: str, worker: int, outcome_of: Callable[[str], tuple[str, str]]) -> set[str]:
        """End the attempts of a worker that no other session has locked, and the worker if it then holds no job.

        `outcome_of` returns the outcome and the error of a job's attempt. Returns the ids of the jobs.
        """
        recovered = self.held(session, worker) - self.locked(session)
        jobs = self.visible_jobs(session)
        self.write(session, {job_id: jobs[job_id].give_up(*outcome_of(job_id)) for job_id in recovered}, moved=True)
        now = self.worker(session, worker)
        self.write_worker(session, worker, now if self.held(session, worker) else replace(now, ended=True))
        return recovered

    def rescue(self, session: str, lost: Iterable[int]) -> set[str]:
        """Rescue the jobs of lost workers; workers that another session has locked are skipped."""
        rescued: set[str] = set()
        for worker in lost:
            if worker not in self.locked_workers(session):
                several = len(self.held(session, worker) - self.locked(session)) > 1
                end = str(AttemptOutcome.RELEASED if several else AttemptOutcome.LOST), "worker_lost"
                rescued |= self.recover(session, worker, lambda _, end=end: end)  # type: ignore[misc]  # default binds it
        return rescued

    def scan(self, session: str) -> None:
        """Scan a queue: jobs that other sessions lock, or have not committed, may fall below the low-water marks."""
        for transaction in self.others(session).values():
            transaction.passed |= set(transaction.jobs)

    def end(self, session: str, *, commits: bool) -> None:
        """End a transaction."""
        ended = self.open.pop(session)
        if commits:
            self.jobs.update(ended.jobs)
            self.workers.update(ended.workers)
            self.holders.update(ended.holders)
            self.passed -= ended.moved
            self.passed |= ended.passed
        else:
            # The marks of the session itself have passed the jobs that it had claimed.
            self.passed |= (ended.passed | set(ended.jobs)) & set(self.jobs)

    def depth(self, queue: str) -> tuple[int, int]:
        """Return the number of waiting jobs that can run, and of running ones."""
        states = [job.state for job in self.jobs.values() if job.queue == queue and not job.parked]
        return states.count(State.PENDING), states.count(State.IN_PROGRESS)
