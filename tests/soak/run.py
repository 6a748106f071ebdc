"""`make soak`: the real system under a steady load for long, then what grew. `python -m soak.run --seconds 3600`.

Exit code 0: everything holds; 1: something does not, and each such thing is said in a sentence.
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faults.history import Sent
from faults.laws import expected
from rig.fork_server import ROOT

from common.domain.job import first_job_id
from soak.days import pass_a_day
from soak.environment import PROCESSES, STEADY, Place
from soak.load import BATCH
from soak.samples import Sample, Sampler
from soak.verdicts import Finding, exact, growth, table

DAYS = 20  # that pass in a run
DAY_LEAST_S = 3.0
WINDOWS = 40  # of the load in a run, at most: a p99 of 600 submissions each in twenty minutes
DRAIN_S = 60.0
REPORT_S = 60.0


class Run:
    """A load, samples and days in a place."""

    def __init__(self, folder: Path, seconds: float, every_s: float = 5.0, rate: float = 1.0) -> None:
        """`every_s`: between two samples; `rate`: times the usual load."""
        self._seconds, self._every_s, self._rate = seconds, every_s, rate
        self.place = Place(folder)
        self._folder = folder
        self._began_s, self._began_ms = 0.0, 0
        self.days = 0
        self.samples: list[Sample] = []
        self.windows: list[dict[str, Any]] = []

    def go(self) -> list[Finding]:
        """Run, wait until every job has ended, and judge."""
        sampler = Sampler(self.place)
        self._began_s, self._began_ms = time.monotonic(), time.time_ns() // 1_000_000
        load = self.place.load(self._seconds, max(self._every_s, self._seconds / WINDOWS), self._rate)
        day_s, told_s = max(DAY_LEAST_S, self._seconds / DAYS), 0.0
        while (now_s := self._now_s()) < self._seconds:
            self.samples.append(sample := sampler.take(now_s))
            if self._now_s() >= (self.days + 1) * day_s:
                pass_a_day(self.place.system.database, self.days)
                self.days += 1
            if now_s - told_s >= REPORT_S:
                told_s = now_s
                rss = {name[8:]: round(value) for name, value in sample.figures.items() if name.startswith("RSS MiB ")}
                print(f"{now_s:.0f} s: {sample.figures.get('outcomes rows', 0):,.0f} jobs ended, RSS in MiB {rss}", flush=True)
            time.sleep(max(0.0, len(self.samples) * self._every_s - self._now_s()))
        with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):  # a finding says so
            load.wait(DRAIN_S)
            self.place.system.wait_all(DRAIN_S)
        lines = (self._folder / "load.jsonl").read_text().splitlines()
        self.windows = [line | {"at_s": round(line["at_s"] - self._began_s, 3)} for line in map(json.loads, lines)]
        return [*growth(self.samples, self.windows), *self._ended()]

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def _ended(self) -> list[Finding]:
        database, counts, since = self.place.system.database, self.windows[-1]["counts"], str(first_job_id(self._began_ms))
        stored = database.one("SELECT count(*) FROM jobs WHERE id >= %s::uuid", (since,))
        ended = database.one("SELECT count(*) FROM outcomes WHERE id >= %s::uuid", (since,))
        accepted, most = counts.get("accepted", 0), counts.get("accepted", 0) + counts.get("unknown", 0) * BATCH  # a call without an answer may have stored
        kept = [json.loads(line) for line in (self._folder / "accepted.jsonl").read_text().splitlines()]
        found = dict(database.rows("SELECT id::text, result FROM outcomes WHERE id = ANY(%s::uuid[])", ([one["id"] for one in kept],)))
        wrong = [one for one in kept if one["id"] not in found or found[one["id"]] != wanted(one)]
        errors = self.place.errors()
        gone = [part for part in STEADY if self.place.system.processes[part].poll() is not None]
        lived = len({look.pid for sample in self.samples for look in sample.looks if look.role == "worker process"})
        return [
            exact(
                "accepted jobs are stored", accepted, accepted if accepted <= stored <= most else stored, f"{accepted} jobs were accepted, {stored} are stored"
            ),
            exact("stored jobs have ended", stored, ended, f"{stored} jobs are stored, {ended} have ended"),
            exact("results of a sample", len(kept), len(kept) - len(wrong), f"{len(wrong)} of {len(kept)} results are wrong, such as {wrong[:1]}"),
            exact("calls that failed", 0, counts.get("failed", 0), f"{counts.get('failed', 0)} calls were not answered as they must be: {counts}"),
            exact("calls without an answer", 0, self.windows[-1]["open"], "the load did not end"),
            exact("errors in the logs", 0, sum(errors.values()), f"the logs have errors: {dict(errors)}"),
            exact("parts that ended", 0, len(gone), f"ended by themselves: {gone}"),
            exact("processes of the worker", PROCESSES, lived, f"{lived} processes served the queue whose jobs do no harm"),
            exact("deadlocks", 0, database.deadlocks(), "a deadlock happened"),
        ]

    def close(self) -> None:
        """End everything."""
        self.place.close()


def wanted(one: dict[str, Any]) -> float | None:
    """Return what a job that was sent results in."""
    sent = Sent(one["operation"], tuple(one["data"]))
    return None if sent.operation == "fail_for_good" else expected(sent)


def tell(findings: Sequence[Finding]) -> int:
    """Print the findings; returns the exit code."""
    broken = [one.otherwise for one in findings if one.otherwise]
    print(table(findings))
    print("\n".join(["", *broken]) if broken else "\neverything holds" + " (too short to judge growth)" * all(one.rule == "exact" for one in findings))
    return 1 if broken else 0


def main() -> None:
    """Run, print, write, exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--every", type=float, default=5, help="seconds between two samples")
    parser.add_argument("--rate", type=float, default=1, help="times the usual load")
    parser.add_argument("--out", default="soak-results.json")
    parser.add_argument("--judge", default="", help="judge the samples of such a file again instead of running")
    options = parser.parse_args()
    if options.judge:
        written = json.loads(Path(options.judge).read_text())
        sys.exit(tell(growth([Sample.of(one) for one in written["samples"]], written["load"])))
    folder = Path(tempfile.mkdtemp(prefix="jobproc-soak-"))
    folder.chmod(0o755)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()
    about = {"commit": commit, "python": platform.python_version(), "cores": os.cpu_count(), "options": vars(options)}
    print(f"{options.seconds:g} s, in {folder}", flush=True)
    run = Run(folder, options.seconds, options.every, options.rate)
    findings: list[Finding] = []
    try:
        findings = run.go()
    finally:
        run.close()
        made = {"findings": [{"name": f.name, "rule": f.rule, **f.measured, "otherwise": f.otherwise} for f in findings]}
        Path(options.out).write_text(json.dumps({"about": about, **made, "samples": [s.written() for s in run.samples], "load": run.windows}))
    if not (code := tell(findings)):
        shutil.rmtree(folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
