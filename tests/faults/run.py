"""`make faults`: a run of clients and faults by a seed, then the laws. `python -m faults.run --seed 7 --seconds 600`.

The same seed makes the same calls and the same faults in the same order; when exactly each meets what is up to the machine.
Exit code 0: every law held and every fault happened; 1: a law is broken; 2: a fault never happened, so it has proven nothing.
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

from faults import evidence, faults_of_pods, faults_of_processes, faults_of_resources, faults_of_servers, laws  # noqa: F401 - the faults register themselves
from faults.clients import Client, Jobs
from faults.environment import Place
from faults.evidence import Evidence
from faults.fault import CLUSTER, FAULTS, HERE, Fault
from faults.history import History, now_s
from faults.idle_watch import Watch
from faults.verdict import Verdict

DRAIN_MOST_S = 120.0
WORK_S = 0.02  # of the four processes, for each job that is left when the faults are over
EVIDENCE = "evidence.pickle"
_LEFT = "SELECT (SELECT count(*) FROM live) + (SELECT count(*) FROM actions WHERE phase IN ('RUNNING', 'UNDOING'))"


@dataclass
class Report:
    """How a run went."""

    seed: int
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    happened: Counter[str] = field(default_factory=Counter)
    void: Counter[str] = field(default_factory=Counter)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def broken(self) -> list[str]:
        """Laws that did not hold, or had nothing to judge."""
        return [name for name, verdict in self.verdicts.items() if verdict.broken or not verdict.judged]

    @property
    def never(self) -> list[str]:
        """Faults that were tried and never happened."""
        return [name for name in self.void if not self.happened[name]]

    def judge(self, run: Evidence) -> None:
        """Hold the laws against a run."""
        self.verdicts = laws.check(run)
        answers = Counter(f"{call.what} {call.answer}" for call in run.calls)
        self.counts = {"calls": len(run.calls), "jobs": len(run.stored), "retried": sum(len(tried) for tried in run.tried.values()), **answers}

    def text(self) -> str:
        """Return it for people."""
        faults = [f"  {name}: {self.happened[name]} times" + f", {self.void[name]} missed" * bool(self.void[name]) for name in self.happened | self.void]
        return "\n".join([f"seed {self.seed}: {self.counts}", *faults, laws.report(self.verdicts)])


class Run:
    """Clients and faults in a place."""

    def __init__(self, folder: Path, seed: int, clients: int = 4, pause_s: float = 0.05, make: Callable[[Path], Any] = Place) -> None:
        """`pause_s`: mean time between two calls of a client; `make` makes the place."""
        self._folder = folder
        self._report = Report(seed)
        self._chance = random.Random(f"{seed}-faults")
        self._stack = ExitStack()
        self._threads = self._stack.enter_context(ThreadPoolExecutor(2))  # not one for each fault: a server ends with the thread that started it
        try:
            self.place = make(folder)
            self._stack.callback(self.place.close)
            self._watch = self._stack.enter_context(Watch(self.place.postgres_url, self.place.lease_s - 2 * self.place.heartbeat_s))
            self._history = History(folder / "history.jsonl")
            self._stack.callback(self._history.close)
        except BaseException:
            self._stack.close()
            raise
        jobs = Jobs()
        self._clients = [Client(number, self.place.url, self._history, jobs, seed, pause_s) for number in range(1, clients + 1)]
        self._interrupted = False

    @contextlib.contextmanager
    def _load(self) -> Iterator[None]:
        for client in self._clients:
            client.start()
        try:
            yield
        finally:
            for client in self._clients:
                client.stop()

    def go(self, faults: Sequence[Fault], gap_s: float, until_s: float, beside: float = 0.0) -> Report:
        """Let faults happen until a time, each once before any of them again, in orders by chance; then check the laws.

        `gap_s`: mean time between two faults. `beside`: how often, from 0 to 1, a second one of another kind happens at the same
        time. Raises AssertionError when a process does not come back.
        """
        with self._load():
            for one in self._in_turn(faults):
                time.sleep(self._chance.expovariate(1 / gap_s))
                others = [other for other in faults if other.kind != one.kind]
                with_it = [self._chance.choice(others)] if others and self._chance.random() < beside else []
                self._let_happen(one, *with_it)
                if now_s() > until_s:
                    break
            time.sleep(gap_s)
        return self._check()

    def each_once(self, faults: Sequence[Fault], tries: int, slack_s: float = 0.0) -> Report:
        """Let each fault happen, in an order by chance; one that missed is tried again. Then check the laws.

        `slack_s`: how much slower than alone everything may be, on a machine that does other things too.
        """
        with self._load():
            for one in self._chance.sample(faults, len(faults)):
                for _ in range(tries):
                    self._let_happen(one)
                    if self._report.happened[one.name]:
                        break
        return self._check(slack_s)

    def _in_turn(self, faults: Sequence[Fault]) -> Iterator[Fault]:
        while True:
            yield from self._chance.sample(faults, len(faults))

    def _let_happen(self, *together: Fault) -> None:
        for done in [self._threads.submit(self._let_one_happen, one, random.Random(self._chance.random())) for one in together]:
            done.result()

    def _let_one_happen(self, one: Fault, chance: random.Random) -> None:
        began_s = now_s()
        self._interrupted |= one.interrupts
        shown = one.work(self.place, chance)
        (self._report.happened if shown else self._report.void)[one.name] += 1
        line = {"fault": one.name, "began_s": began_s, "ended_s": now_s(), "shown": shown}
        with (self._folder / "faults.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _check(self, slack_s: float = 0.0) -> Report:
        """Wait until all is done and check the laws."""
        place, over_s = self.place, now_s()
        left = place.database.one(_LEFT)
        with contextlib.suppress(AssertionError):  # a law says so
            until("nothing is unfinished", lambda: not place.database.one(_LEFT), DRAIN_MOST_S)
        drained_s = now_s() - over_s
        run = Evidence(
            calls=self._history.calls,
            effects=evidence.effects(place.effects()),
            looks=self._watch.looks,
            wait_limit_s=place.wait_s + slack_s,
            away=place.away,
            steps=place.steps,
            interrupted=self._interrupted,
            drained_s=drained_s,
            drain_limit_s=place.drain_s + slack_s + left * WORK_S,
            **evidence.tables(place.database),
        )
        (self._folder / EVIDENCE).write_bytes(pickle.dumps(run))
        self._report.judge(run)
        return self._report

    def close(self) -> None:
        """End everything."""
        self._stack.close()


def main() -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="by default a new one, printed")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--faults", default="", help="names, by default all: " + ", ".join(FAULTS))
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--gap", type=float, default=1.0, help="mean seconds between two faults")
    parser.add_argument("--beside", type=float, default=0.3, help="how often two faults happen at the same time, from 0 to 1")
    parser.add_argument("--cluster", action="store_true", help="in the cluster of KUBECONFIG, which has the images of `make e2e-images`")
    parser.add_argument("--check", type=Path, help="check the laws again on what a run has left in this folder, and run nothing")
    options = parser.parse_args()
    if options.check:
        report = Report(options.seed)
        report.judge(pickle.loads((options.check / EVIDENCE).read_bytes()))  # noqa: S301 - a run of ours wrote it
    else:
        report = _run(options)
    print(report.text())
    sys.exit(1 if report.broken else 2 if report.never else 0)


def _run(options: argparse.Namespace) -> Report:
    folder = Path(tempfile.mkdtemp(prefix="jobproc-faults-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.seconds:g} s, in {folder}", flush=True)
    where = CLUSTER if options.cluster else HERE
    chosen = [name for name in options.faults.split(",") if name] or [name for name, one in FAULTS.items() if one.where == where]
    run = Run(folder, options.seed, options.clients, make=_in_cluster if options.cluster else Place)
    try:
        for name, what in run.place.absent().items():
            if name in chosen:
                chosen.remove(name)
                print(f"  NOT RUN: {name}: it needs {what}", flush=True)
        return run.go([FAULTS[name] for name in chosen], options.gap, now_s() + options.seconds, options.beside)
    finally:
        run.close()


def _in_cluster(folder: Path) -> Any:
    from faults.cluster import ClusterPlace  # needs the client of Kubernetes

    return ClusterPlace(folder)


if __name__ == "__main__":
    main()
