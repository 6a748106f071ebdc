"""`make faults`: a seeded run of clients and faults, then the laws. `python -m faults.run --seed 7 --seconds 600`.

The same seed makes the same calls and faults in the same order. Their exact timing depends on the machine.
Exit code 0: every law held and every fault happened; 1: a law is broken; 2: a fault never happened.
"""

import argparse
import contextlib
import json
import pickle
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rig.system import until

from common.command_line import command_line
from faults import (
    evidence,
    faults_of_pods,  # noqa: F401 - its faults register themselves
    faults_of_processes,  # noqa: F401 - its faults register themselves
    faults_of_resources,  # noqa: F401 - its faults register themselves
    faults_of_servers,  # noqa: F401 - its faults register themselves
    laws,
)
from faults.environment import LocalEnvironment
from faults.evidence import Evidence, PastFault
from faults.fault import CLUSTER, FAULTS, LOCAL, Fault
from faults.history import History, now_s
from faults.idle_watch import IdleWatch
from faults.load import Load
from faults.verdict import Verdict

DRAIN_MAX_S = 120.0
CALM_S = 10.0  # before the first fault: a flood, and quiet tenants beside it
WORK_S = 0.02  # of the four processes, for each job that is left when the faults are over
EVIDENCE = "evidence.pickle"
_UNFINISHED = """
SELECT (SELECT count(*) FROM live) + (SELECT count(*) FROM bulk_actions WHERE phase IN ('RUNNING', 'UNDOING'))
       + (SELECT count(*) FROM batches WHERE failed IS NULL) + (SELECT count(*) FROM feed_changes)
"""


@dataclass
class Report:
    """The report of a run: its faults and the verdicts of the laws."""

    seed: int
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """Laws that did not hold, or had nothing to judge."""
        return [name for name, verdict in self.verdicts.items() if verdict.violations or not verdict.judged]

    @property
    def never_happened(self) -> list[str]:
        """Faults that missed their window each time."""
        return [name for name in self.missed if not self.happened[name]]

    def judge(self, run: Evidence) -> None:
        """Check the laws on the evidence of a run."""
        self.verdicts = laws.check(run)
        answers = Counter(f"{call.action} {call.answer}" for call in run.calls)
        self.counts = {
            "calls": len(run.calls),
            "jobs": len(run.stored),
            "retried": sum(len(attempts) for attempts in run.attempts.values()),
            "keys": len(run.keys),
            **answers,
        }

    def text(self) -> str:
        """Return the report as text."""
        faults = [
            f"  {name}: {self.happened[name]} times" + f", {self.missed[name]} missed" * bool(self.missed[name])
            for name in self.happened | self.missed
        ]
        return "\n".join([f"seed {self.seed}: {self.counts}", *faults, laws.report(self.verdicts)])


class Run:
    """Clients and faults in an environment."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        clients: int = 4,
        pause_s: float = 0.05,
        make: Callable[[Path], Any] = LocalEnvironment,
    ) -> None:
        """Start the environment. `clients`: random ones; `pause_s`: mean time between two calls of one.

        `make` makes the environment.
        """
        self._folder = folder
        self._report = Report(seed)
        self._chance = random.Random(f"{seed}-faults")
        self._stack = ExitStack()
        # Two threads for all faults, not one for each: a server ends with the thread that started it.
        self._threads = self._stack.enter_context(ThreadPoolExecutor(2))
        try:
            self.environment = make(folder)
            self._stack.callback(self.environment.close)
            fresh_s = self.environment.lease_s - 2 * self.environment.heartbeat_s
            self._watch = self._stack.enter_context(
                IdleWatch(self.environment.postgres_url, fresh_s, self.environment.ending)
            )
            self._history = History(folder / "history.jsonl")
            self._stack.callback(self._history.close)
            self._load = self._stack.enter_context(Load(self.environment, self._history, seed, clients, pause_s))
        except BaseException:
            self._stack.close()
            raise
        self._interrupted = False
        self._faults = list[PastFault]()
        self._disturbed = list[tuple[float, float]]()

    def inject_until(self, faults: Sequence[Fault], gap_s: float, until_s: float, beside: float = 0.0) -> Report:
        """After a calm time inject all faults in random order, repeatedly until a time; then check the laws.

        `gap_s`: mean time between two faults. `beside`: the probability that a second fault of another kind happens at
        the same time. Raises AssertionError when a process does not recover.
        """
        with self._load.running():
            time.sleep(CALM_S)
            for fault in self._in_random_order(faults):
                time.sleep(self._chance.expovariate(1 / gap_s))
                others = [other for other in faults if other.kind != fault.kind]
                second = [self._chance.choice(others)] if others and self._chance.random() < beside else []
                self._inject(fault, *second)
                if now_s() > until_s:
                    break
            time.sleep(gap_s)
        return self._check()

    def each_once(self, faults: Sequence[Fault], tries: int, slack_s: float = 0.0) -> Report:
        """Inject each fault once, in random order, and again if it missed its window; then check the laws.

        `tries`: of each fault, at most. `slack_s`: added to the laws' time limits, on a machine that does other work.
        """
        with self._load.running():
            for fault in self._chance.sample(faults, len(faults)):
                for _ in range(tries):
                    self._inject(fault)
                    if self._report.happened[fault.name]:
                        break
        return self._check(slack_s)

    def _in_random_order(self, faults: Sequence[Fault]) -> Iterator[Fault]:
        while True:
            yield from self._chance.sample(faults, len(faults))

    def _inject(self, *faults: Fault) -> None:
        """Inject faults at the same time, and wait until all are over."""
        futures = [
            self._threads.submit(self._inject_fault, fault, random.Random(self._chance.random())) for fault in faults
        ]
        for future in futures:
            future.result()

    def _inject_fault(self, fault: Fault, chance: random.Random) -> None:
        began_s = now_s()
        self._interrupted |= fault.interrupts
        shown = fault.inject(self.environment, chance)
        (self._report.happened if shown else self._report.missed)[fault.name] += 1
        past = PastFault(fault.name, began_s, now_s())
        self._faults.append(past)
        if fault.may_stop_claims:
            until_s = past.ended_s + self.environment.lease_s
            self._disturbed.append((began_s, until_s))
        line = {"fault": fault.name, "began_s": began_s, "ended_s": past.ended_s, "shown": shown}
        with (self._folder / "faults.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _check(self, slack_s: float = 0.0) -> Report:
        """Wait until all jobs have ended, and check the laws."""
        environment, faults_over_s = self.environment, now_s()
        unfinished = environment.database.value(_UNFINISHED)
        with contextlib.suppress(AssertionError):  # a law reports it
            until("nothing is unfinished", lambda: not environment.database.value(_UNFINISHED), DRAIN_MAX_S)
        drained_s = now_s() - faults_over_s
        unix_s = time.time() - now_s()
        run = Evidence(
            calls=self._history.calls,
            effects=evidence.effects(environment.effects()),
            samples=self._watch.samples,
            wait_limit_s=environment.wait_s + slack_s,
            outages=environment.outages,
            faults=self._faults,
            keys=self._load.keys(),
            feed_readers=self._load.feed_readers(),
            pauses=self._load.pauses,
            fair_wait_s=environment.fair_wait_s + slack_s,
            disturbed=[(unix_s + began_s, unix_s + ended_s) for began_s, ended_s in self._disturbed],
            clock_steps=environment.clock_steps,
            interrupted=self._interrupted,
            drained_s=drained_s,
            drain_limit_s=environment.drain_s + slack_s + unfinished * WORK_S,
            **evidence.tables(environment.database),
        )
        (self._folder / EVIDENCE).write_bytes(pickle.dumps(run))
        self._report.judge(run)
        return self._report

    def close(self) -> None:
        """Stop everything."""
        self._stack.close()


def main() -> None:
    """Run, print the report and exit."""
    parser = command_line("faults.run", __doc__)
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(10**6), help="default: a random one, printed"
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--faults", default="", help="names of faults; default: all of " + ", ".join(FAULTS))
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--gap", type=float, default=1.0, help="mean seconds between two faults")
    parser.add_argument(
        "--beside", type=float, default=0.3, help="probability of two faults at the same time, from 0 to 1"
    )
    parser.add_argument(
        "--cluster", action="store_true", help="run in the cluster of KUBECONFIG, with the images of `make e2e-images`"
    )
    parser.add_argument("--check", type=Path, help="only check the laws again, on the evidence in the folder of a run")
    options = parser.parse_args()
    if options.check:
        report = Report(options.seed)
        report.judge(pickle.loads((options.check / EVIDENCE).read_bytes()))  # noqa: S301 - written by our own run
    else:
        report = _run(options)
    print(report.text())
    sys.exit(1 if report.broken else 2 if report.never_happened else 0)


def _run(options: argparse.Namespace) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="jobproc-faults-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.seconds:g} s, in {folder}", flush=True)
    where = CLUSTER if options.cluster else LOCAL
    names = [name for name in options.faults.split(",") if name] or [
        name for name, fault in FAULTS.items() if fault.where == where
    ]
    run = Run(folder, options.seed, options.clients, make=_in_cluster if options.cluster else LocalEnvironment)
    try:
        for name, need in run.environment.impossible_faults().items():
            if name in names:
                names.remove(name)
                print(f"  NOT RUN: {name}: it needs {need}", flush=True)
        faults = [FAULTS[name] for name in names]
        return run.inject_until(faults, options.gap, now_s() + options.seconds, options.beside)
    finally:
        run.close()


def _in_cluster(folder: Path) -> Any:
    from faults.cluster import ClusterEnvironment  # needs the client of Kubernetes

    return ClusterEnvironment(folder)


if __name__ == "__main__":
    main()
