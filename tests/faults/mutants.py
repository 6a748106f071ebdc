"""`make mutants`: break each guard on purpose, in a copy, and see that a run under the right faults breaks a law. `python -m faults.mutants`.

A mutant that no law notices says that the laws, or the faults, are too weak. Exit code 0: every one was noticed.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("api", "worker", "common", "tests", "tools")
RUN_S = 15
LIMIT_S = 240.0  # of one run, its start and end included


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard, broken: `was`, which stands once in the file, becomes `becomes`; under `faults` one of `laws` must break."""

    name: str
    file: str
    was: str
    becomes: str
    faults: tuple[str, ...]
    laws: tuple[str, ...]
    seconds: int = RUN_S


MUTANTS = (
    Mutant(
        "a result is settled whoever has the job",
        "common/store/jobs/claims.py",
        "WHERE l.attempt = d.attempt AND l.worker = $1\n    ORDER BY l.id FOR UPDATE OF l),\ngone",
        "WHERE $1 > 0 ORDER BY l.id FOR UPDATE OF l),\ngone",
        ("workers_frozen_past_their_leases",),
        ("effects are bounded", "attempts are complete"),
        seconds=60,
    ),
    Mutant(
        "a retry is written whoever has the job",
        "common/store/jobs/failures.py",
        "WHERE l.attempt = d.attempt AND l.worker = $1\n    ORDER BY l.id FOR UPDATE OF l\n",
        "WHERE $1 > 0 ORDER BY l.id FOR UPDATE OF l\n",
        ("worker_frozen_past_its_lease", "answers_lost"),
        ("attempts are complete", "attempts do not overlap", "a failure is of its attempt", "effects are bounded"),
        seconds=60,
    ),
    Mutant(
        "it is answered before the commit",
        "api/routes/jobs.py",
        "await services.group_commit.submit(job)\n        return _accepted(",
        "job.__class__.kept = asyncio.create_task(services.group_commit.submit(job))\n        return _accepted(",
        ("api_killed", "postgres_killed"),
        ("nothing is lost", "an accepted job can be read"),
    ),
    Mutant(
        "a commit whose answer was lost is made again",
        "common/store/jobs/insert.py",
        "    ON CONFLICT (id) DO NOTHING\n",
        "",
        ("answers_lost",),
        ("errors are those of an absent database", "nothing is invented"),
        seconds=45,
    ),
    Mutant(
        "nobody rescues the jobs of a lost worker",
        "worker/controller/__main__.py",
        'self._run_task("rescue", lambda: self._rescue.lost_workers(connection, self._operations))',
        "pass",
        ("worker_killed",),
        ("everything is drained",),
    ),
    Mutant(
        "a retry does not wait for its pause",
        "common/store/jobs/failures.py",
        "pos = mine.retry_at",
        "pos = clock_timestamp()",
        ("worker_process_killed",),
        ("attempts do not overlap",),
    ),
    Mutant(
        "a job that runs is claimed",
        "common/store/jobs/claims.py",
        "AND {UNCLAIMED} AND {DUE} AND {_RUNNABLE_HERE}",
        "AND {DUE} AND {_RUNNABLE_HERE}",
        ("redis_flushed",),
        ("attempts are complete", "attempts do not overlap", "effects are bounded"),
    ),
    Mutant(
        "what is given back is charged",
        "common/store/jobs/failures.py",
        "WHEN 'released' THEN 1 ELSE 0",
        "WHEN 'released' THEN 0 ELSE 0",
        ("worker_told_to_end_at_once",),
        ("attempts are complete",),
    ),
    Mutant(
        "nobody looks when nobody rings",
        "worker/supervision/idle_poll.py",
        "slot.request_poll()",
        "pass",
        ("redis_killed", "redis_hangs"),
        ("no due job waits beside an idle worker", "everything is drained"),
    ),
    Mutant(
        "a failure counts although its job was cancelled",
        "common/store/jobs/failures.py",
        "CASE WHEN cancel THEN 'CANCELLED' ELSE 'FAILED' END,\n           CASE WHEN NOT cancel THEN error_type END, CASE WHEN NOT cancel THEN error_text END,",
        "'FAILED', error_type, error_text,",
        ("redis_flushed",),
        ("a cancel holds",),
    ),
    Mutant(
        "a result is kept although its job was cancelled",
        "common/store/jobs/claims.py",
        "CASE WHEN cancel THEN 'CANCELLED' ELSE 'SUCCESS' END,\n           CASE WHEN cancel THEN NULL ELSE result END,",
        "'SUCCESS', result,",
        ("redis_flushed",),
        ("a cancel holds",),
    ),
    Mutant(
        "a job that runs is cancelled as if it waited",
        "common/store/jobs/keyed_insert.py",
        "DELETE FROM live WHERE id = $1 AND worker IS NULL",
        "DELETE FROM live WHERE id = $1",
        ("redis_flushed",),
        ("attempts are complete", "effects are bounded"),
    ),
    Mutant(
        "who waits is told by Redis alone",
        "api/watch/watchers.py",
        "else self._poll_interval_s)",
        "else self._look_every_s * 3600)",
        ("redis_killed", "redis_hangs"),
        ("a wait is told",),
        seconds=60,
    ),
    Mutant(
        "what an action has cancelled can still be claimed",
        "common/store/bulk_actions/changes.py",
        "(SELECT id FROM mine WHERE worker IS NULL))),\n    ended",
        "(SELECT id FROM mine WHERE worker IS NOT NULL))),\n    ended",
        ("redis_flushed",),
        ("an action has its way", "everything is drained"),
    ),
    Mutant(
        "a success is retried",
        "common/store/jobs/cancel_retry.py",
        "last.status IN ('FAILED', 'CANCELLED') AND ",
        "",
        ("redis_flushed",),
        ("a retry is an epoch",),
    ),
)


def survived(mutant: Mutant, seed: int) -> str | None:
    """Try a mutant; returns what was seen instead of a broken law, None when it was noticed."""
    with tempfile.TemporaryDirectory(prefix="jobproc-mutant-") as name:
        folder = Path(name)
        for part in COPIED:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / mutant.file).write_text(broken(mutant, folder))
        argv = ["-m", "faults.run", "--seed", str(seed), "--seconds", str(mutant.seconds), "--faults", ",".join(mutant.faults), "--beside", "0"]
        env = {**os.environ, "PYTHONPATH": f"{folder}/tests:{folder}/tests/operations:{folder}"}
        try:
            ended = subprocess.run([sys.executable, *argv], cwd=folder, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except subprocess.TimeoutExpired as error:
            return f"the run did not end within {error.timeout:g} s"
    found = re.findall(r"^  BROKEN (.*) \(", ended.stdout, re.MULTILINE)
    return None if set(found) & set(mutant.laws) else f"broken: {found}, exit code {ended.returncode}\n{ended.stdout[-3000:]}{ended.stderr[-1000:]}"


def broken(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the text of its file with the guard broken. Raises ValueError where the guard is not there, or twice."""
    text = (root / mutant.file).read_text()
    if text.count(mutant.was) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has {text.count(mutant.was)} times {mutant.was!r}")
    return text.replace(mutant.was, mutant.becomes)


def main() -> None:
    """Try them, print, exit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="a part of the name")
    options = parser.parse_args()
    left = 0
    for mutant in MUTANTS:
        if options.only in mutant.name:
            seen = survived(mutant, options.seed)
            left += seen is not None
            print(f"  {'SURVIVED' if seen else 'noticed '} {mutant.name}" + (f": {seen}" if seen else ""), flush=True)
    sys.exit(1 if left else 0)


if __name__ == "__main__":
    main()
