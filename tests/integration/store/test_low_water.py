"""Low-water marks against a model: whatever claimers, late inserts and broken claims do beside each other, every job is had once."""

from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from integration.store.support.storage import BACK, Claimer, Storage, ids, retry_after

from common.domain.decisions import Decision
from common.domain.job import ClaimedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.queues import queue_state

CLAIMERS = st.integers(0, 2)
PRIORITIES = st.sampled_from([0, 5, 5, 9])
SLACK_S = 0.5  # an insert that takes no longer is never below a mark
LATENESS = st.sampled_from([0.0, 0.3, 0.3, 2.0, 70.0])  # seconds between a job's place and its commit


@dataclass
class Model:
    """What must be true, told simply."""

    waiting: set[str] = field(default_factory=set)  #: committed, due, in nobody's hands
    later: set[str] = field(default_factory=set)  #: waits for its delay
    held: dict[int, dict[str, ClaimedJob]] = field(default_factory=dict)  #: by claimer
    open: dict[int, dict[str, ClaimedJob]] = field(default_factory=dict)  #: claims that have not been committed
    done: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)  #: may lie below somebody's marks: late, or locked while others looked

    @property
    def free(self) -> set[str]:
        """What a claim can take now."""
        return self.waiting - {job_id for jobs in self.open.values() for job_id in jobs}


class LowWater(RuleBasedStateMachine):
    """Submit, late or not; claim, in a transaction that may break; settle, release, retry; float."""

    storage: Storage
    claimers: list[Claimer]
    controller: WorkerConnection

    @initialize(backlog=st.sampled_from([0, 4, 12]))
    def start(self, backlog: int) -> None:
        for claimer in self.claimers:
            claimer.connection._cursor.execute("ROLLBACK")
            claimer.marks = type(claimer.marks)()
            claimer.publish()
        self.storage.rows("TRUNCATE jobs, live, outcomes, attempts")
        self.model = Model(held={0: {}, 1: {}, 2: {}})
        # A backlog from before anybody looked, four to a place: it lies above every mark until it is taken.
        self.storage.fill(backlog, "now() - interval '90 s' + row_number() OVER () / 4 * interval '10 s'", priority="(random() * 1)::int * 5")
        self.model.waiting = {row[0] for row in self.storage.rows("SELECT id::text FROM live")}

    @rule(number=st.integers(1, 4), priority=PRIORITIES, late_s=LATENESS)
    def submit(self, number: int, priority: int, late_s: float) -> None:
        for _ in range(number):
            job_id = self.storage.one(
                """WITH new AS (INSERT INTO jobs (id, operation, queue, input, max_attempts, priority)
                     VALUES (uuidv7(), 'square_sum', 'default', '{}', 3, %s) RETURNING id, priority)
                   INSERT INTO live (id, queue, priority, max_attempts, pos)
                   SELECT id, 'default', priority, 3, clock_timestamp() - %s * interval '1 s' FROM new RETURNING id::text""",
                (priority, late_s),
            )
            self.model.waiting.add(job_id)
            if late_s > SLACK_S:
                self.model.passed.add(job_id)

    def _claim(self, who: int, wanted: int) -> dict[str, ClaimedJob]:
        free = self.model.free
        order = [row[0] for row in self.storage.rows("SELECT id::text FROM live ORDER BY priority, pos, id") if row[0] in free]
        taken = self.claimers[who].claim(wanted)
        assert set(ids(taken)) <= free, "nobody has two of one job, nor one that is not due"
        assert len(taken) <= wanted
        assert ids(taken) == [job_id for job_id in order if job_id in ids(taken)], "in the order of the queue"
        kept = [job_id for job_id in order if job_id in ids(taken) or job_id not in self.model.passed]
        assert ids(taken) == [job_id for job_id in kept if job_id in ids(taken)]
        missed = [job_id for job_id in kept[: len(taken)] if job_id not in ids(taken)]
        assert not missed, "what nobody can have passed by is never left out"
        if len(taken) < wanted:
            assert set(kept) == set(ids(taken)), "a short claim leaves nothing but what has been passed by"
        self.model.passed |= {job_id for jobs in self.model.open.values() for job_id in jobs}
        return {job.id: job for job in taken}

    @rule(who=CLAIMERS, wanted=st.sampled_from([1, 2, 3, 20, 20]), publishes=st.booleans())
    def claim(self, who: int, wanted: int, publishes: bool) -> None:
        if who in self.model.open:
            return
        taken = self._claim(who, wanted)
        self.model.waiting -= set(taken)
        self.model.held[who].update(taken)
        if publishes:
            assert self.claimers[who].publish()

    @rule(who=CLAIMERS, wanted=st.sampled_from([1, 3, 20]))
    def begin_claim(self, who: int, wanted: int) -> None:
        if who in self.model.open:
            return
        self.claimers[who].connection._cursor.execute("BEGIN")
        self.model.open[who] = self._claim(who, wanted)

    @precondition(lambda self: self.model.open)
    @rule(commits=st.booleans(), data=st.data())
    def end_claim(self, commits: bool, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(sorted(self.model.open)))
        taken = self.model.open.pop(who)
        self.claimers[who].connection._cursor.execute("COMMIT" if commits else "ROLLBACK")
        if commits:
            self.model.waiting -= set(taken)
            self.model.held[who].update(taken)
        else:
            self.model.passed |= set(taken)  # its own marks have gone by them

    @rule(who=CLAIMERS, how=st.sampled_from(["settle", "settle", "release", "retry", "retry later"]), data=st.data())
    def end(self, who: int, how: str, data: st.DataObject) -> None:
        held = self.model.held[who]
        if who in self.model.open or not held:
            return
        chosen = [held.pop(job_id) for job_id in sorted(data.draw(st.sets(st.sampled_from(sorted(held)), min_size=1)))]
        claimer = self.claimers[who]
        if how == "settle":
            assert claimer.settle(chosen) == set(ids(chosen))
            self.model.done |= set(ids(chosen))
            return
        decision: Decision = BACK if how == "release" else retry_after(3_600 if how == "retry later" else 0)
        assert claimer.write(chosen, decision) == set(ids(chosen))
        self.model.passed -= set(ids(chosen))  # it has a new place, above every mark
        (self.model.later if how == "retry later" else self.model.waiting).update(ids(chosen))

    @rule(full=st.booleans())
    def float_strays(self, full: bool) -> None:
        before = dict(self.storage.rows("SELECT id::text, pos FROM live"))
        queue_state.requeue_strays(self.controller, None if full else 60.0, 100)
        after = dict(self.storage.rows("SELECT id::text, pos FROM live"))
        moved = {job_id for job_id, pos in before.items() if after[job_id] != pos}
        assert moved <= self.model.passed & self.model.free, "a waiting backlog, and what is held, is not touched"
        self.model.passed -= moved

    def teardown(self) -> None:
        """Let everything end: no job may be left, none may be done twice."""
        if not hasattr(self, "model"):
            return
        for who in list(self.model.open):
            self.claimers[who].connection._cursor.execute("ROLLBACK")
        for who, held in self.model.held.items():
            if held:
                assert self.claimers[who].settle(list(held.values())) == set(held)
        self.storage.rows("UPDATE live SET pos = clock_timestamp() WHERE pos > clock_timestamp()")
        for _ in range(3):  # look, say how far, float; what was floated is had in the next look
            for claimer in self.claimers:
                claimer.settle(claimer.claim(1_000))
                claimer.publish()
            queue_state.requeue_strays(self.controller, None, 1_000)
        assert self.storage.one("SELECT count(*) FROM live") == 0
        assert self.storage.one("SELECT count(*) FROM jobs FULL JOIN outcomes USING (id) WHERE status IS DISTINCT FROM 'SUCCESS'") == 0


def test_no_interleaving_loses_a_job_or_gives_it_to_two(storage: Storage) -> None:
    class Case(LowWater):
        pass

    Case.storage, Case.claimers, Case.controller = storage, [storage.claimer() for _ in range(3)], storage.connection(by_index=False)
    run_state_machine_as_test(
        Case,
        settings=settings(
            max_examples=50, stateful_step_count=20, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        ),
    )
