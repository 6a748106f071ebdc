"""`make faults`: a run of clients and faults by a seed, then the laws. `python -m faults.run --seed 7 --seconds 600`.

The same seed makes the same calls and the same faults in the same order; when exactly each meets what is up to the machine.
Exit code 0: every law held and every fault happened; 1: a law is broken; 2: a fault never happened, so it has proven nothing.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rig.system import until

from faults import evidence, laws, of_processes, of_servers  # noqa: F401 - the faults register themselves
from faults.clients import Client, Jobs
from faults.evidence import Evidence
from faults.fault import FAULTS, Fault
from faults.history import History, now_s
from faults.laws import Verdict
from faults.place import LEASE_S, TICK_S, Place

DRAIN_S = 3 * LEASE_S + 2 * TICK_S + 6.0  # and Celery's pauses between two tries to reach Redis: 2 s and 4 s
DRAIN_MOST_S = 60.0


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

    def text(self) -> str:
        """Return it for people."""
        faults = [f"  {name}: {self.happened[name]} times" + f", {self.void[name]} missed" * bool(self.void[name]) for name in self.happened | self.void]
        return "\n".join([f"seed {self.seed}: {self.counts}", *faults, laws.report(self.verdicts)])


class Run:
    """Clients and faults in a place."""

    def __init__(self, folder: Path, seed: int, clients: int = 4, pause_s: float = 0.05) -> None:
        self._folder = folder
        self._report = Report(seed)
        self._chance = random.Random(f"{seed}-faults")
        self._place = Place(folder)
        self._history = History(folder / "history.jsonl")
        self._jobs = Jobs()
        url = str(self._place.system.client.base_url)
        self._clients = [Client(number, url, self._history, self._jobs, seed, pause_s) for number in range(1, clients + 1)]
        self._interrupted = False

    def go(self, faults: Sequence[Fault], gap_s: float, until_s: float) -> Report:
        """Let faults happen until a time, each once before any of them again, in orders by chance; then check the laws.

        `gap_s`: mean time between two faults. Raises AssertionError when a process does not come back.
        """
        for client in self._clients:
            client.start()
        try:
            for one in self._in_turn(faults):
                time.sleep(self._chance.expovariate(1 / gap_s))
                self._let_happen(one)
                if now_s() > until_s:
                    break
            time.sleep(gap_s)
        finally:
            over_s = now_s()
            for client in self._clients:
                client.stop()
        return self._check(over_s)

    def _in_turn(self, faults: Sequence[Fault]) -> Iterator[Fault]:
        while True:
            yield from self._chance.sample(faults, len(faults))

    def _let_happen(self, one: Fault) -> None:
        began_s = now_s()
        self._interrupted |= one.interrupts
        shown = one.work(self._place, self._chance)
        (self._report.happened if shown else self._report.void)[one.name] += 1
        line = {"fault": one.name, "began_s": began_s, "ended_s": now_s(), "shown": shown}
        with (self._folder / "faults.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _check(self, over_s: float) -> Report:
        database = self._place.system.database
        with contextlib.suppress(AssertionError):  # a law says so
            until("nothing is unfinished", lambda: not database.one("SELECT count(*) FROM live"), DRAIN_MOST_S)
        drained_s = now_s() - over_s
        calls = self._history.calls
        run = Evidence(
            calls=calls,
            effects=evidence.effects(self._place.system),
            away=self._place.away,
            interrupted=self._interrupted,
            drained_s=drained_s,
            drain_limit_s=DRAIN_S,
            **evidence.tables(database),
        )
        self._report.verdicts = laws.check(run)
        answers = Counter(f"{call.what} {call.answer}" for call in calls)
        self._report.counts = {"calls": len(calls), "jobs": len(run.stored), "retried": sum(len(tried) for tried in run.tried.values()), **answers}
        return self._report

    def close(self) -> None:
        """End everything."""
        self._history.close()
        self._place.close()


def main() -> None:
    """Run, print, exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="by default a new one, printed")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--faults", default="", help="names, by default all: " + ", ".join(FAULTS))
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--gap", type=float, default=1.0, help="mean seconds between two faults")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="jobproc-faults-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.seconds:g} s, in {folder}", flush=True)
    run = Run(folder, options.seed, options.clients)
    try:
        chosen = [FAULTS[name] for name in options.faults.split(",") if name] or list(FAULTS.values())
        report = run.go(chosen, options.gap, now_s() + options.seconds)
    finally:
        run.close()
    print(report.text())
    sys.exit(1 if report.broken else 2 if report.never else 0)


if __name__ == "__main__":
    main()
