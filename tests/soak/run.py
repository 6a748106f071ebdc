"""`make soak`: the real system under a steady load, then verdicts on growth. `python -m soak.run --seconds 3600`.

Exit code 0: every finding holds; 1: some do not, and each of these is printed as a sentence.
"""

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

from faults.jobs import SentJob, expected_result
from rig.fork_server import ROOT

from common.command_line import command_line
from common.domain.job import first_job_id
from soak.days import pass_a_day
from soak.environment import PROCESSES, STEADY, SoakEnvironment
from soak.load import BATCH
from soak.samples import Sample, Sampler
from soak.verdicts import Finding, exact, growth, table

DAYS = 20  # simulated in a run
MIN_DAY_S = 3.0
WINDOWS = 40  # of the load in a run, at most: a p99 of 600 submissions each in twenty minutes
DRAIN_S = 60.0
REPORT_S = 60.0


class Run:
    """A load, samples and simulated days in an environment."""

    def __init__(self, folder: Path, seconds: float, every_s: float = 5.0, rate: float = 1.0) -> None:
        """Start the environment. `every_s`: between two samples; `rate`: a factor of the usual load."""
        self._seconds, self._every_s, self._rate = seconds, every_s, rate
        self.environment = SoakEnvironment(folder)
        self._folder = folder
        self._began_s, self._began_ms = 0.0, 0
        self.days = 0
        self.samples: list[Sample] = []
        self.windows: list[dict[str, Any]] = []

    def execute(self) -> list[Finding]:
        """Run, wait until every job has ended, and return the findings."""
        sampler = Sampler(self.environment)
        self._began_s, self._began_ms = time.monotonic(), time.time_ns() // 1_000_000
        load = self.environment.start_load(self._seconds, max(self._every_s, self._seconds / WINDOWS), self._rate)
        day_s, reported_s = max(MIN_DAY_S, self._seconds / DAYS), 0.0
        while (now_s := self._now_s()) < self._seconds:
            self.samples.append(sample := sampler.take(now_s))
            if self._now_s() >= (self.days + 1) * day_s:
                pass_a_day(self.environment.system.database, self.days)
                self.days += 1
            if now_s - reported_s >= REPORT_S:
                reported_s = now_s
                rss = {name[8:]: round(value) for name, value in sample.figures.items() if name.startswith("RSS MiB ")}
                print(
                    f"{now_s:.0f} s: {sample.figures.get('outcomes rows', 0):,.0f} jobs ended, RSS in MiB {rss}",
                    flush=True,
                )
            time.sleep(max(0.0, len(self.samples) * self._every_s - self._now_s()))
        with contextlib.suppress(subprocess.TimeoutExpired, AssertionError):  # a finding reports it
            load.wait(DRAIN_S)
            self.environment.system.wait_all(DRAIN_S)
        lines = (self._folder / "load.jsonl").read_text().splitlines()
        self.windows = [line | {"at_s": round(line["at_s"] - self._began_s, 3)} for line in map(json.loads, lines)]
        return [*growth(self.samples, self.windows), *self._ended()]

    def _now_s(self) -> float:
        return time.monotonic() - self._began_s

    def _ended(self) -> list[Finding]:
        database, counts = self.environment.system.database, self.windows[-1]["counts"]
        since = str(first_job_id(self._began_ms))
        stored = database.value("SELECT count(*) FROM jobs WHERE id >= %s::uuid", (since,))
        ended = database.value("SELECT count(*) FROM outcomes WHERE id >= %s::uuid", (since,))
        accepted = counts.get("accepted", 0)
        max_stored = accepted + counts.get("unknown", 0) * BATCH  # an unanswered call may have stored a batch
        checked = [json.loads(line) for line in (self._folder / "accepted.jsonl").read_text().splitlines()]
        results = dict(
            database.rows(
                "SELECT id::text, result FROM outcomes WHERE id = ANY(%s::uuid[])", ([job["id"] for job in checked],)
            )
        )
        wrong = [job for job in checked if job["id"] not in results or results[job["id"]] != result_of(job)]
        errors = self.environment.errors()
        exited = [part for part in STEADY if self.environment.system.processes[part].poll() is not None]
        pids = {
            process.pid for sample in self.samples for process in sample.processes if process.role == "worker process"
        }
        return [
            exact(
                "accepted jobs are stored",
                accepted,
                accepted if accepted <= stored <= max_stored else stored,
                f"{accepted} jobs were accepted, {stored} are stored",
            ),
            exact("stored jobs have ended", stored, ended, f"{stored} jobs are stored, {ended} have ended"),
            exact(
                "results of a sample",
                len(checked),
                len(checked) - len(wrong),
                f"{len(wrong)} of {len(checked)} results are wrong, such as {wrong[:1]}",
            ),
            exact(
                "calls that failed",
                0,
                counts.get("failed", 0),
                f"{counts.get('failed', 0)} calls were not answered as expected: {counts}",
            ),
            exact("calls without an answer", 0, self.windows[-1]["open"], "the load did not end"),
            exact("errors in the logs", 0, sum(errors.values()), f"the logs have errors: {dict(errors)}"),
            exact("parts that ended", 0, len(exited), f"ended by themselves: {exited}"),
            exact(
                "processes of the worker",
                PROCESSES,
                len(pids),
                f"{len(pids)} processes served the queue without crashing jobs",
            ),
            exact("deadlocks", 0, database.deadlocks(), "a deadlock happened"),
        ]

    def close(self) -> None:
        """Stop everything."""
        self.environment.close()


def result_of(job: dict[str, Any]) -> float | None:
    """Return the result that an accepted job must have, None: it fails."""
    sent = SentJob(job["operation"], tuple(job["data"]))
    return None if sent.operation == "fail_for_good" else expected_result(sent)


def report(findings: Sequence[Finding]) -> int:
    """Print the findings and return the exit code."""
    broken = [finding.otherwise for finding in findings if finding.otherwise]
    print(table(findings))
    print(
        "\n".join(["", *broken])
        if broken
        else "\neverything holds"
        + " (too short to judge growth)" * all(finding.rule == "exact" for finding in findings)
    )
    return 1 if broken else 0


def main() -> None:
    """Run, print the report, write the results and exit."""
    parser = command_line("soak.run", __doc__)
    parser.add_argument("--seconds", type=float, default=1200)
    parser.add_argument("--every", type=float, default=5, help="seconds between two samples")
    parser.add_argument("--rate", type=float, default=1, help="a factor of the usual load")
    parser.add_argument("--out", default="soak-results.json")
    parser.add_argument("--judge", default="", help="only judge again, on the samples of a results file")
    options = parser.parse_args()
    if options.judge:
        written = json.loads(Path(options.judge).read_text())
        samples = [Sample.from_json(sample) for sample in written["samples"]]
        sys.exit(report(growth(samples, written["load"])))
    folder = Path(tempfile.mkdtemp(prefix="jobproc-soak-"))
    folder.chmod(0o755)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout.strip()
    about = {"commit": commit, "python": platform.python_version(), "cores": os.cpu_count(), "options": vars(options)}
    print(f"{options.seconds:g} s, in {folder}", flush=True)
    run = Run(folder, options.seconds, options.every, options.rate)
    findings: list[Finding] = []
    try:
        findings = run.execute()
    finally:
        run.close()
        results = {
            "about": about,
            "findings": [
                {"name": finding.name, "rule": finding.rule, **finding.measured, "otherwise": finding.otherwise}
                for finding in findings
            ],
            "samples": [sample.to_json() for sample in run.samples],
            "load": run.windows,
        }
        Path(options.out).write_text(json.dumps(results))
    if not (code := report(findings)):
        shutil.rmtree(folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
