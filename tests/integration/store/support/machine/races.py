"""Rules of the state machine: single calls, and races of two or three sessions."""

from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import rule
from integration.store.support.machine.calls import (
    ENDINGS,
    Call,
    Commits,
    all_calls,
    commit_pairs,
    processes,
    selectors,
    session_calls,
    session_of,
)
from integration.store.support.machine.workers import WorkerMachine

SUPERVISIONS = [
    ("rescue", "rescue"),
    ("rescue", "renew"),
    ("rescue", "crash"),
    ("renew", "rescue"),
    ("crash", "rescue"),
]
BESIDE_A_RETRY = [*["retry"] * 4, "cancel", "cancel", "claim", "claim", *ENDINGS]


class RaceMachine(WorkerMachine):
    """Calls drawn by Hypothesis."""

    @rule(call=all_calls)
    def call(self, call: Call) -> None:
        """Run a call, in the open transaction of its session if it has one."""
        self._prepare(call)
        getattr(self, call[0])(**call[1])

    @rule(first=session_calls, then=all_calls, commits=st.booleans())
    def call_beside(self, first: Call, then: Call, commits: bool) -> None:
        """Run a call before the transaction of another one ends."""
        session = session_of(first)
        self._prepare(first)
        self._prepare(then)
        self.begin(session)
        for method, arguments in (first, then):
            getattr(self, method)(**arguments)
        if session in self.model.open:
            self._end(session, commits=commits)

    @rule(
        process=processes,
        selector=selectors,
        first=st.sampled_from(ENDINGS),
        then=st.sampled_from([*ENDINGS, "crash", "rescue"]),
        parent=st.booleans(),
        commits=commit_pairs,
    )
    def end_twice(self, process: str, selector: int, first: str, then: str, parent: bool, commits: Commits) -> None:
        """End the same attempts in two sessions at once: of a process and its parent, in either order."""
        self._prepare(("finish", {"process": process, "stale": False}))
        sessions = ("parent", process) if parent and then in ENDINGS else (process, "parent")
        if not (batch := self._select("", process, selector, stale=False)):
            return
        if then == "rescue" and self.processes[process].id not in self.model.locked_workers():
            self._expire(self.processes[process].id)
        self.begin(sessions[0])
        self._end_attempts(sessions[0], batch, first, commits)
        if then == "rescue":
            self.rescue("controller", orphans=False)
        elif then == "crash":
            self.crash(process, selector, commits)
        else:
            self._end_attempts(sessions[1], batch, then, commits)
        if sessions[0] in self.model.open:
            self._end(sessions[0], commits=commits[0])

    @rule(
        process=processes,
        selector=selectors,
        pair=st.sampled_from(SUPERVISIONS),
        expires=st.booleans(),
        commits=commit_pairs,
    )
    def supervise_twice(
        self, process: str, selector: int, pair: tuple[str, str], expires: bool, commits: Commits
    ) -> None:
        """Supervise a worker process from its parent and a controller at once, or from two controllers."""
        self._prepare(("finish", {"process": process, "stale": False}))
        if expires and self.processes[process].id not in self.model.locked_workers():
            self._expire(self.processes[process].id)
        first = "controller" if pair[0] == "rescue" else "parent"
        self.begin(first)
        for method, session in zip(pair, (first, "parent" if first == "controller" else "controller"), strict=True):
            if method == "rescue":
                self.rescue(session, orphans=False)
            elif method == "crash":
                self.crash(process, selector, commits)
            else:
                self.renew(process, commits)
        if first in self.model.open:
            self._end(first, commits=commits[0])

    @rule(
        process=processes,
        opens=st.booleans(),
        way=st.sampled_from(["expire", "rescue", "crash"]),
        claim_commits=st.booleans(),
        commits=commit_pairs,
    )
    def claim_as_the_lease_ends(
        self, process: str, opens: bool, way: str, claim_commits: bool, commits: Commits
    ) -> None:
        """End the lease while a claim is in progress: that claim may commit, the next one takes nothing."""
        self._prepare(("claim", {"session": process, "queue": "default", "stale": False}))
        if opens:
            self.begin(process)
            self._settle_and_claim(process, [], "default", 1, commits)
        if way == "crash":
            self.crash(process, 0, commits)
        elif self.processes[process].id not in self.model.locked_workers():
            self._expire(self.processes[process].id)
        if way == "rescue":
            self.rescue("controller", orphans=False)
        if process in self.model.open:
            self._end(process, commits=claim_commits)
        self._settle_and_claim(process, [], "default", 20, commits)

    @rule(
        process=processes,
        heir=processes,
        selector=selectors,
        ending=st.sampled_from(ENDINGS),
        commits=commit_pairs,
    )
    def roll_back_a_claim(self, process: str, heir: str, selector: int, ending: str, commits: Commits) -> None:
        """Roll back a claim unknown to its process: the attempt of that number is another process's."""
        self.register(heir)
        self._prepare(("claim", {"session": process, "queue": "default", "stale": False}))
        self.begin(process)
        self._settle_and_claim(process, [], "default", 20, commits)
        batch = self._select(process, process, selector, stale=False)
        if process in self.model.open:
            self._end(process, commits=False)
        self._settle_and_claim(heir, [], "default", 20, commits)
        if batch:
            self._end_attempts(process, batch, ending, commits)

    @rule(process=processes, late_s=st.sampled_from([5, 70]), claim_commits=st.booleans(), commits=commit_pairs)
    def requeue_beside_a_claim(self, process: str, late_s: float, claim_commits: bool, commits: Commits) -> None:
        """Requeue strays while a process with new low-water marks claims them."""
        other = "two" if process == "one" else "one"
        for name in (process, other):
            self.register(name)
        self._settle_and_claim(other, [], "default", 20, commits)
        self.renew(other, commits)
        self.submit("twin" if "api" in self.model.open else "api", 2, "default", 5, 2, late_s)
        self.processes[process].marks.clear()
        self.begin(process)
        self._settle_and_claim(process, [], "default", 1, commits)
        self.requeue_strays(full=True)
        if process in self.model.open:
            self._end(process, commits=claim_commits)

    @rule(
        process=processes,
        heir=processes,
        selector=selectors,
        taken_by=st.sampled_from(["release", "error"]),
        ending=st.sampled_from(ENDINGS),
        commits=commit_pairs,
    )
    def end_too_late(
        self, process: str, heir: str, selector: int, taken_by: str, ending: str, commits: Commits
    ) -> None:
        """End attempts that were taken from their process, once another, or the same, has claimed the jobs again."""
        self._prepare(("finish", {"process": process, "stale": False}))
        if batch := self._select("", process, selector, stale=False):
            self._end_attempts("parent", batch, taken_by, commits)
            self._settle_and_claim(heir, [], "default", 20, commits)
            if ending == "settle":
                self._settle_and_claim(process, batch, "slow", 1, commits)
            else:
                self._end_attempts(process, batch, ending, commits)

    @rule(process=processes, selector=selectors, beside=st.sampled_from(BESIDE_A_RETRY), commits=commit_pairs)
    def retry_beside(self, process: str, selector: int, beside: str, commits: Commits) -> None:
        """Retry a job by request while another call changes its last run, and once more when that has ended."""
        for session in sorted({"api", "twin"} & set(self.model.open)):
            self._end(session, commits=commits[0])
        self.register(process)
        self.submit("api", 1, "default", 0, 2, 0)
        job_id = max(self.model.jobs)
        self.cancel("api", 0, commits)
        first = "api" if beside in {"retry", "cancel"} else process
        calls: dict[str, Callable[[], None]] = {
            "retry": lambda: self._retry("api", job_id, None, commits),
            "cancel": lambda: self.cancel("api", 0, commits),
            "claim": lambda: self._settle_and_claim(process, [], "default", 1, commits),
        }
        if beside != "retry":
            self._retry("api", job_id, '{"data":[2]}', commits)
        if beside in ENDINGS:
            self._settle_and_claim(process, [], "default", 1, commits)
        self.begin(first)
        calls.get(beside, lambda: self.finish("own", process, selector, stale=False, ending=beside, commits=commits))()
        self._retry("twin", job_id, '{"data":[4]}', commits)
        if first in self.model.open:
            self._end(first, commits=commits[1])
        self._retry("twin", job_id, '{"data":[5]}', commits)
        self._settle_and_claim(process, [], "default", 1, commits)

    def _prepare(self, call: Call) -> None:
        """Make something that the call can change, so that it is seldom without effect."""
        method, arguments = call
        if method == "rescue" and arguments["expires"] and not self.model.expired(""):
            self.expire(0)
        if (
            method == "renew"
            and arguments["expires"]
            and self.processes[arguments["process"]].id not in self.model.locked_workers()
        ):
            self._expire(self.processes[arguments["process"]].id)
        if arguments.get("stale", True) and method != "crash":
            return
        process = str(arguments.get("process", arguments.get("session")))
        self.register(process)
        if method == "claim" and not self.model.claimable(process, arguments["queue"]):
            self.submit("twin" if "api" in self.model.open else "api", 2, arguments["queue"], 5, 2, 0)
        elif method != "claim" and not self.model.held(process, self.processes[process].id):
            self._prepare(("claim", {"session": process, "queue": "default", "stale": False}))
            self._settle_and_claim(process, [], "default", 2, (True, True))
