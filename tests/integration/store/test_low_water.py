"""Low-water marks against a model: beside late inserts and rolled back claims, every job runs once."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from integration.store.support.storage import RELEASE, Claimer, Storage, ids, retry_after

from common.domain.decisions import Decision
from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.queues import queue_state

CLAIMERS = st.integers(0, 2)
PRIORITIES = st.sampled_from([0, 5, 5, 9])
SLACK_S = 0.5  # an insert that commits within this time is never below a mark
LATENESS = st.sampled_from([0.0, 0.3, 0.3, 2.0, 70.0])  # seconds between a job's position and its commit


@dataclass
class Model:
    """The expected state."""

    waiting: set[str] = field(default_factory=set)  #: committed, due and not held
    later: set[str] = field(default_factory=set)  #: due after a delay
    held: dict[int, dict[str, ClaimedJob]] = field(default_factory=dict)  #: by claimer
    open: dict[int, dict[str, ClaimedJob]] = field(default_factory=dict)  #: claims that have not been committed
    done: set[str] = field(default_factory=set)
    #: Perhaps below a mark: committed late, or locked while others claimed.
    passed: set[str] = field(default_factory=set)

    @property
    def free(self) -> set[str]:
        """The jobs that a claim can take now."""
        return self.waiting - {job_id for jobs in self.open.values() for job_id in jobs}


class LowWater(RuleBasedStateMachine):
    """Submit, late or not; claim, in a transaction that may roll back; settle, release, retry; requeue strays."""

    storage: Storage
    claimers: list[Claimer]
    controller: WorkerConnection

    @initialize(backlog=st.sampled_from([0, 4, 12]))
    def start(self, backlog: int) -> None:
        for claimer in self.claimers:
            claimer.connection._cursor.execute("ROLLBACK")
            claimer.marks = type(claimer.marks)()
            claimer.renew()
        self.storage.rows("TRUNCATE jobs, live, outcomes, attempts")
        self.model = Model(held={0: {}, 1: {}, 2: {}})
        # A backlog from before the first claim, four jobs a position: it is above every mark until it is claimed.
        self.storage.fill(
            backlog,
            "now() - interval '90 s' + row_number() OVER () / 4 * interval '10 s'",
            priority="(random() * 1)::int * 5",
        )
        self.model.waiting = {row[0] for row in self.storage.rows("SELECT id::text FROM live")}

    @rule(number=st.integers(1, 4), priority=PRIORITIES, late_s=LATENESS)
    def submit(self, number: int, priority: int, late_s: float) -> None:
        for _ in range(number):
            job_id = self.storage.value(
                """WITH new AS (INSERT INTO jobs (id, operation, queue, input, max_attempts, priority)
                     VALUES (uuidv7(), 'square_sum', 'default', '{}', 3, %s) RETURNING id, priority)
                   INSERT INTO live (id, queue, priority, max_attempts, claimable_at)
                   SELECT id, 'default', priority, 3, clock_timestamp() - %s * interval '1 s' FROM new
                   RETURNING id::text""",
                (priority, late_s),
            )
            self.model.waiting.add(job_id)
            if late_s > SLACK_S:
                self.model.passed.add(job_id)

    def _claim(self, claimer: int, limit: int) -> dict[str, ClaimedJob]:
        free = self.model.free
        order = [
            row[0]
            for row in self.storage.rows("SELECT id::text FROM live ORDER BY priority, claimable_at, id")
            if row[0] in free
        ]
        taken = self.claimers[claimer].claim(limit)
        assert set(ids(taken)) <= free, "no job is claimed twice or before it is due"
        assert len(taken) <= limit
        assert ids(taken) == [job_id for job_id in order if job_id in ids(taken)], "in the order of the queue"
        kept = [job_id for job_id in order if job_id in ids(taken) or job_id not in self.model.passed]
        assert ids(taken) == [job_id for job_id in kept if job_id in ids(taken)]
        missed = [job_id for job_id in kept[: len(taken)] if job_id not in ids(taken)]
        assert not missed, "a job that no claimer can have passed is never skipped"
        if len(taken) < limit:
            assert set(kept) == set(ids(taken)), "a short claim leaves only passed jobs"
        self.model.passed |= {job_id for jobs in self.model.open.values() for job_id in jobs}
        return {job.id: job for job in taken}

    @rule(claimer=CLAIMERS, limit=st.sampled_from([1, 2, 3, 20, 20]), publishes=st.booleans())
    def claim(self, claimer: int, limit: int, publishes: bool) -> None:
        if claimer in self.model.open:
            return
        taken = self._claim(claimer, limit)
        self.model.waiting -= set(taken)
        self.model.held[claimer].update(taken)
        if publishes:
            assert self.claimers[claimer].renew()

    @rule(claimer=CLAIMERS, limit=st.sampled_from([1, 3, 20]))
    def begin_claim(self, claimer: int, limit: int) -> None:
        if claimer in self.model.open:
            return
        self.claimers[claimer].connection._cursor.execute("BEGIN")
        self.model.open[claimer] = self._claim(claimer, limit)

    @precondition(lambda self: self.model.open)
    @rule(commits=st.booleans(), data=st.data())
    def end_claim(self, commits: bool, data: st.DataObject) -> None:
        claimer = data.draw(st.sampled_from(sorted(self.model.open)))
        taken = self.model.open.pop(claimer)
        self.claimers[claimer].connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
        if commits:
            self.model.waiting -= set(taken)
            self.model.held[claimer].update(taken)
        else:
            self.model.passed |= set(taken)  # below the marks of the claimer itself

    @rule(
        claimer=CLAIMERS,
        ending=st.sampled_from(["settle", "settle", "release", "retry", "retry later"]),
        data=st.data(),
    )
    def end(self, claimer: int, ending: str, data: st.DataObject) -> None:
        held = self.model.held[claimer]
        if claimer in self.model.open or not held:
            return
        chosen = [held.pop(job_id) for job_id in sorted(data.draw(st.sets(st.sampled_from(sorted(held)), min_size=1)))]
        worker = self.claimers[claimer]
        if ending == "settle":
            assert worker.settle(chosen) == set(ids(chosen))
            self.model.done |= set(ids(chosen))
            return
        decision: Decision = RELEASE if ending == "release" else retry_after(3_600 if ending == "retry later" else 0)
        assert worker.write(chosen, decision) == set(ids(chosen))
        self.model.passed -= set(ids(chosen))  # they get new positions above every mark
        (self.model.later if ending == "retry later" else self.model.waiting).update(ids(chosen))

    @rule(full=st.booleans())
    def requeue_strays(self, full: bool) -> None:
        before = dict(self.storage.rows("SELECT id::text, claimable_at FROM live"))
        queue_state.requeue_strays(self.controller, None if full else 60.0, 100)
        after = dict(self.storage.rows("SELECT id::text, claimable_at FROM live"))
        moved = {job_id for job_id, position in before.items() if after[job_id] != position}
        assert moved <= self.model.passed & self.model.free, "a waiting backlog and held jobs are not requeued"
        self.model.passed -= moved

    def teardown(self) -> None:
        """End all jobs: each runs exactly once."""
        if not hasattr(self, "model"):
            return
        for claimer in list(self.model.open):
            self.claimers[claimer].connection._cursor.execute("ROLLBACK")
        for claimer, held in self.model.held.items():
            if held:
                assert self.claimers[claimer].settle(list(held.values())) == set(held)
        self.storage.rows("UPDATE live SET claimable_at = clock_timestamp() WHERE claimable_at > clock_timestamp()")
        for _ in range(3):  # claim, publish the marks, requeue; requeued jobs are claimed in the next round
            for worker in self.claimers:
                worker.settle(worker.claim(1_000))
                worker.renew()
            queue_state.requeue_strays(self.controller, None, 1_000)
        assert self.storage.value("SELECT count(*) FROM live") == 0
        assert (
            self.storage.value(
                "SELECT count(*) FROM jobs FULL JOIN outcomes USING (id) WHERE status IS DISTINCT FROM 'SUCCESS'"
            )
            == 0
        )


def test_no_interleaving_loses_a_job_or_runs_it_twice(storage: Storage) -> None:
    class Case(LowWater):
        pass

    Case.storage, Case.claimers, Case.controller = (
        storage,
        [storage.claimer() for _ in range(3)],
        storage.connection(by_index=False),
    )
    run_state_machine_as_test(
        Case,
        settings=settings(
            max_examples=50,
            stateful_step_count=20,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
