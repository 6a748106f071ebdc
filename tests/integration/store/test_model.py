"""The verbs of the store against a model: whatever sessions do beside each other, each job ends once, as a serial order would have it."""

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule, run_state_machine_as_test
from integration.store.support.machine_workers import Workers
from integration.store.support.sessions import Api, Loop, Session
from integration.store.support.storage import Storage
from integration.store.support.verbs import HOW, QUEUES, Doing, anything, ends, picks, processes, session_of, verbs

from common.domain.states import TERMINAL, State
from common.store.jobs import reads
from common.store.queues import queue_state
from common.store.workers import leases

EXAMPLES = int(os.environ.get("JOBPROC_EXAMPLES", "30"))  # as many runs; 500 for a change of the SQL
LOOKS = [("rescue", "rescue"), ("rescue", "renew"), ("rescue", "die"), ("renew", "rescue"), ("die", "rescue")]
STATES = """
SELECT s.id::text, s.status, s.attempt, coalesce(l.released, o.released), s.rev, s.worker, s.result::text, s.error_type,
       (l.id IS NOT NULL)::int + (SELECT count(*) FROM outcomes x WHERE x.id = s.id),
       ARRAY(SELECT epoch || ' ' || status || ' ' || rev FROM outcomes x WHERE x.id = s.id AND x.epoch < s.epoch ORDER BY epoch),
       ARRAY(SELECT epoch || ' ' || attempt || ' ' || ended || ' ' || worker FROM attempts a WHERE a.id = s.id ORDER BY epoch, attempt)
FROM job_states s LEFT JOIN live l ON l.id = s.id LEFT JOIN outcomes o ON o.id = s.id AND o.epoch = s.epoch WHERE s.id = ANY(%s::uuid[])
"""


class Store(Workers):
    """What sessions do, drawn; and what must be true after every step."""

    # --- steps

    @rule(doing=anything)
    def do(self, doing: Doing) -> None:
        """Do something, in the transaction that its session has open, if any."""
        self._prepare(doing)
        getattr(self, doing[0])(**doing[1])

    @rule(first=verbs, then=anything, commits=st.booleans())
    def do_beside(self, first: Doing, then: Doing, commits: bool) -> None:
        """Do something before another's transaction ends."""
        name = session_of(first)
        self._prepare(first)
        self._prepare(then)
        self.begin(name)
        for verb, arguments in (first, then):
            getattr(self, verb)(**arguments)
        if name in self.model.open:
            self._end(name, commits=commits)

    @rule(whose=processes, which=picks, first=st.sampled_from(HOW), then=st.sampled_from([*HOW, "die", "rescue"]), parent=st.booleans(), how=ends)
    def do_twice(self, whose: str, which: int, first: str, then: str, parent: bool, how: tuple[bool, bool]) -> None:
        """Two sessions end the same attempts at the same time: a process and its parent, or its own connection of before."""
        self._prepare(("finish", {"whose": whose, "stale": False}))
        names = ("parent", whose) if parent and then in HOW else (whose, "parent")
        if not (batch := self._pick("", whose, which, stale=False)):
            return
        if then == "rescue" and self.processes[whose].id not in self.model.locked_workers():
            self._expire(self.processes[whose].id)
        self.begin(names[0])
        self._end_attempts(names[0], batch, first, how)
        if then == "rescue":
            self.rescue("controller", leftovers=False)
        elif then == "die":
            self.die(whose, which, how)
        else:
            self._end_attempts(names[1], batch, then, how)
        if names[0] in self.model.open:
            self._end(names[0], commits=how[0])

    @rule(whose=processes, which=picks, pair=st.sampled_from(LOOKS), expires=st.booleans(), how=ends)
    def look_after_twice(self, whose: str, which: int, pair: tuple[str, str], expires: bool, how: tuple[bool, bool]) -> None:
        """A worker's lease and what it holds are looked after by its parent and the controller, or by two controllers."""
        self._prepare(("finish", {"whose": whose, "stale": False}))
        if expires and self.processes[whose].id not in self.model.locked_workers():
            self._expire(self.processes[whose].id)
        first = "controller" if pair[0] == "rescue" else "parent"
        self.begin(first)
        for verb, name in zip(pair, (first, "parent" if first == "controller" else "controller"), strict=True):
            if verb == "rescue":
                self.rescue(name, leftovers=False)
            elif verb == "die":
                self.die(whose, which, how)
            else:
                self.renew(whose, how)
        if first in self.model.open:
            self._end(first, commits=how[0])

    @rule(whose=processes, opens=st.booleans(), way=st.sampled_from(["expire", "rescue", "die"]), commits=st.booleans(), how=ends)
    def claim_as_the_lease_ends(self, whose: str, opens: bool, way: str, commits: bool, how: tuple[bool, bool]) -> None:
        """A claim that is under way as the lease ends may stand; the next one takes nothing."""
        self._prepare(("claim", {"name": whose, "queue": "default", "stale": False}))
        if opens:
            self.begin(whose)
            self._exchange(whose, [], "default", 1, how)
        if way == "die":
            self.die(whose, 0, how)
        elif self.processes[whose].id not in self.model.locked_workers():
            self._expire(self.processes[whose].id)
        if way == "rescue":
            self.rescue("controller", leftovers=False)
        if whose in self.model.open:
            self._end(whose, commits=commits)
        self._exchange(whose, [], "default", 20, how)

    @rule(whose=processes, heir=processes, which=picks, what=st.sampled_from(HOW), how=ends)
    def claim_in_vain(self, whose: str, heir: str, which: int, what: str, how: tuple[bool, bool]) -> None:
        """A claim is rolled back, and whoever made it does not know: the attempt of that number is another's."""
        self.register(heir)
        self._prepare(("claim", {"name": whose, "queue": "default", "stale": False}))
        self.begin(whose)
        self._exchange(whose, [], "default", 20, how)
        batch = self._pick(whose, whose, which, stale=False)
        if whose in self.model.open:
            self._end(whose, commits=False)
        self._exchange(heir, [], "default", 20, how)
        if batch:
            self._end_attempts(whose, batch, what, how)

    @rule(whose=processes, late_s=st.sampled_from([5, 70]), commits=st.booleans(), how=ends)
    def float_beside_a_claim(self, whose: str, late_s: float, commits: bool, how: tuple[bool, bool]) -> None:
        """What one has passed by, another that has only just come may be claiming."""
        other = "two" if whose == "one" else "one"
        for name in (whose, other):
            self.register(name)
        self._exchange(other, [], "default", 20, how)
        self.renew(other, how)
        self.submit("twin" if "api" in self.model.open else "api", 2, "default", 5, 2, late_s)
        self.processes[whose].marks.clear()
        self.begin(whose)
        self._exchange(whose, [], "default", 1, how)
        self.float_strays(full=True)
        if whose in self.model.open:
            self._end(whose, commits=commits)

    @rule(whose=processes, heir=processes, which=picks, back=st.sampled_from(["release", "error"]), what=st.sampled_from(HOW), how=ends)
    def come_too_late(self, whose: str, heir: str, which: int, back: str, what: str, how: tuple[bool, bool]) -> None:
        """A process ends attempts that were taken from it; another has the jobs by then, or the same once more."""
        self._prepare(("finish", {"whose": whose, "stale": False}))
        if batch := self._pick("", whose, which, stale=False):
            self._end_attempts("parent", batch, back, how)
            self._exchange(heir, [], "default", 20, how)
            if what == "settle":
                self._exchange(whose, batch, "slow", 1, how)
            else:
                self._end_attempts(whose, batch, what, how)

    @rule(whose=processes, which=picks, beside=st.sampled_from([*["rerun"] * 4, "cancel", "cancel", "claim", "claim", *HOW]), how=ends)
    def rerun_beside(self, whose: str, which: int, beside: str, how: tuple[bool, bool]) -> None:
        """Another epoch is asked for while something happens to the last one, or somebody else asks too; and once more when that is over."""
        for name in sorted({"api", "twin"} & set(self.model.open)):
            self._end(name, commits=how[0])
        self.register(whose)
        self.submit("api", 1, "default", 0, 2, 0)
        job_id = max(self.model.jobs)
        self.cancel("api", 0, how)
        first = "api" if beside in {"rerun", "cancel"} else whose
        acts: dict[str, Callable[[], None]] = {
            "rerun": lambda: self._rerun("api", job_id, None, how),
            "cancel": lambda: self.cancel("api", 0, how),
            "claim": lambda: self._exchange(whose, [], "default", 1, how),
        }
        if beside != "rerun":
            self._rerun("api", job_id, '{"data":[2]}', how)
        if beside in HOW:
            self._exchange(whose, [], "default", 1, how)
        self.begin(first)
        acts.get(beside, lambda: self.finish("own", whose, which, stale=False, what=beside, how=how))()
        self._rerun("twin", job_id, '{"data":[4]}', how)
        if first in self.model.open:
            self._end(first, commits=how[1])
        self._rerun("twin", job_id, '{"data":[5]}', how)
        self._exchange(whose, [], "default", 1, how)

    def _prepare(self, doing: Doing) -> None:
        """Let there be something to do it to, so that a step is seldom in vain."""
        verb, arguments = doing
        if verb == "rescue" and arguments["expires"] and not self.model.expired(""):
            self.expire(0)
        if verb == "renew" and arguments["expires"] and self.processes[arguments["whose"]].id not in self.model.locked_workers():
            self._expire(self.processes[arguments["whose"]].id)
        if arguments.get("stale", True) and verb != "die":
            return
        whose = str(arguments.get("whose", arguments.get("name")))
        self.register(whose)
        if verb == "claim" and not self.model.free(whose, arguments["queue"]):
            self.submit("twin" if "api" in self.model.open else "api", 2, arguments["queue"], 5, 2, 0)
        elif verb != "claim" and not self.model.held(whose, self.processes[whose].id):
            self._prepare(("claim", {"name": whose, "queue": "default", "stale": False}))
            self._exchange(whose, [], "default", 2, (True, True))

    # --- what must be true after every step

    @invariant()
    def everything_is_what_the_model_says(self) -> None:
        self._jobs_are()
        self._queues_are()
        self._leases_are()

    def _jobs_are(self) -> None:
        ids = [str(job.id) for batch in self.batches for job in batch]
        found = {row[0]: row[1:] for row in self.storage.rows(STATES, (ids,))}
        assert found == {
            job_id: (
                *(j.state, j.attempt, j.released, j.rev, j.worker, j.result, j.error, len(j.epochs)),
                [f"{number} {one.state} {one.rev}" for number, one in enumerate(j.before)],
                [f"{number} {n} {ended} {whose}" for number, one in enumerate(j.epochs) for n, ended, whose in one.past],
            )
            for job_id, j in self.model.jobs.items()
        }

    def _queues_are(self) -> None:
        found = queue_state.depth(self.clerk, 1_000)
        known = {"default"} if all(worker.ended for worker in self.model.workers.values()) else set(QUEUES)
        assert found == {queue: self.model.depth(queue) for queue in known}
        waiting = {job_id: job.queue for job_id, job in self.model.jobs.items() if job.state is State.PENDING}
        due = set(queue_state.due_queues(self.clerk))
        assert {queue for job_id, queue in waiting.items() if job_id not in self.model.passed} & known <= due <= set(waiting.values())

    def _leases_are(self) -> None:
        works = sum(worker.works for worker in self.model.workers.values())
        assert queue_state.workers_alive(self.clerk) == (dict.fromkeys(QUEUES, works) if works else {})
        assert leases.expired_workers(self.clerk, 100) == self.model.expired("")
        assert sorted(leases.orphaned_workers(self.clerk, 100)) == self.model.orphaned("")

    # --- the end

    def teardown(self) -> None:
        """Let everything end: whoever lives goes on from the own marks, so that what was passed by must be floated to be found."""
        if not hasattr(self, "model") or sys.exc_info()[0]:
            return
        for number, name in enumerate(sorted(self.model.open)):
            self._end(name, commits=number % 2 == 0)
        for worker in set(self.model.workers) - {process.id for process in self.processes.values()}:
            self._expire(worker)
        for leftovers in (False, True):
            self.rescue("controller", leftovers=leftovers)
        if not any(self._works(name) for name in self.processes):
            self.register("one")
        self.let_delays_end(1)
        for _ in range(3):  # look, say how far, float; what was floated is had in the next look
            for name in ("one", "two"):
                self._finish_everything(name)
            self.float_strays(full=True)
        assert {job_id for job_id, job in self.model.jobs.items() if job.state not in TERMINAL} == set(), "every job comes to its end"
        self.everything_is_what_the_model_says()
        self._tell_the_history()

    def _tell_the_history(self) -> None:
        """Each attempt of each epoch has one record, first to last; clients are told the result of the one that ended the job."""
        for job_id, job in self.model.jobs.items():
            whole = self.apis["api"].run(partial(reads.job, job_id=UUID(job_id), limit=1_000))
            assert whole is not None
            history = reads.ended_attempts(whole)
            assert [(one["epoch"], one["attempt"]) for one in history] == [
                (number, attempt) for number, one in enumerate(job.epochs) for attempt in range(1, one.attempt + 1)
            ]
            assert [one["ended"] for one in history] == [
                how for one in job.epochs for how in [*(ended for _, ended, _ in one.past), *[one.state.lower()] * (one.worker is not None)]
            ]
            told = self.apis["api"].run(partial(reads.result, job_id=UUID(job_id)))
            assert told is not None
            assert (told[0].status, told[1]) == (job.state, job.result)


@pytest.fixture
def machine(storage: Storage) -> Iterator[type[Store]]:
    class Case(Store):
        pass

    storage.rows(f"ALTER DATABASE {storage.one('SELECT current_database()')} SET synchronous_commit = off")  # a crash is not what is tried here
    loop = Loop()
    Case.storage, Case.clerk = storage, storage.connection()
    Case.sessions = {name: Session(storage) for name in ("one", "two", "parent", "controller")}
    Case.apis = {name: Api(storage, loop) for name in ("api", "twin")}
    yield Case
    for session in Case.sessions.values():
        session.close()
    for api in Case.apis.values():
        api.close()
    loop.close()


@pytest.mark.timeout(600 + 10 * EXAMPLES)  # a failure is made small first
def test_whatever_sessions_do_beside_each_other_each_job_ends_once(machine: type[Store]) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
    )
