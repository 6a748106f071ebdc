"""`make mutants`: mutation testing of the laws. `python -m faults.mutants`.

Each mutant is a copy of the product with one guard broken, run under the right faults. If no law breaks, the laws or
the faults are too weak. Exit code 0: a law noticed every mutant.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common.command_line import command_line
from faults import mutants_of_webhooks
from faults.mutant import Mutant
from faults.mutants_of_workflows import MUTANTS_OF_WORKFLOWS

ROOT = Path(__file__).resolve().parents[2]
COPIED_FOLDERS = ("api", "worker", "common", "clients", "tests", "tools", "charts")
TIMEOUT_S = 240.0  # of one run, its start and end included


MUTANTS = (
    *MUTANTS_OF_WORKFLOWS,
    Mutant(
        "a result is settled without the fence",
        "common/store/jobs/claims.py",
        'WHERE l.attempt = d.attempt AND l.worker = $1\n    ORDER BY l.id FOR UPDATE OF l)\n"""\nSETTLING',
        'WHERE $1 > 0 ORDER BY l.id FOR UPDATE OF l)\n"""\nSETTLING',
        ("workers_frozen_past_their_leases",),
        ("effects are bounded", "attempts are complete"),
        seconds=60,
    ),
    Mutant(
        "the next instant of a schedule is counted from now",
        "common/domain/schedules/firing.py",
        "for at in schedule.timing.after(schedule.next_at):",
        "for at in schedule.timing.after(max(schedule.next_at, now)):",
        ("no_controller", "leader_frozen"),
        ("a schedule fires each instant once",),
    ),
    Mutant(
        "claims do not ask for policies",
        "common/store/jobs/claims.py",
        "SELECT FROM queue_policies WHERE queue = $8 AND in_force",
        "SELECT FROM queue_policies WHERE queue = $8 AND in_force AND false",
        ("worker_killed",),
        ("a paused queue starts nothing", "jobs of a limited key take turns"),
    ),
    Mutant(
        "places of a key are given without a look at its holders",
        "common/store/jobs/limits/concurrency_keys.py",
        "WHERE l.id = ANY (k.ids) AND l.worker IS NOT NULL AND l.id <> ALL ($4)) AS holders",
        "WHERE false) AS holders",
        ("worker_killed",),
        ("jobs of a limited key take turns",),
    ),
    Mutant(
        "a failure is settled without the fence",
        "common/store/jobs/failures.py",
        "WHERE l.attempt = d.attempt AND l.worker = $1\n    ORDER BY l.id FOR UPDATE OF l\n",
        "WHERE $1 > 0 ORDER BY l.id FOR UPDATE OF l\n",
        ("worker_frozen_past_its_lease", "answers_lost"),
        ("attempts are complete", "attempts do not overlap", "a failure is of its attempt", "effects are bounded"),
        seconds=60,
    ),
    Mutant(
        "a submission is answered before its commit",
        "api/routes/jobs.py",
        "await services.group_commit.submit(job, tenant)\n        return _accepted(",
        "job.__class__.kept = __import__('asyncio').create_task(services.group_commit.submit(job, tenant))\n"
        "        return _accepted(",
        ("api_killed", "postgres_killed"),
        ("nothing is lost", "an accepted job can be read"),
    ),
    Mutant(
        "a commit whose answer was lost is repeated",
        "common/store/jobs/fragments.py",
        "        ON CONFLICT (id) DO NOTHING\n",
        "",
        ("answers_lost",),
        ("errors are those of an absent database", "nothing is invented"),
        seconds=45,
    ),
    Mutant(
        "the jobs of a lost worker are not rescued",
        "worker/controller/rescue.py",
        "for worker in lost:",
        "for worker in lost[:0]:",
        ("worker_killed",),
        ("everything is drained",),
    ),
    Mutant(
        "a retry does not wait for its pause",
        "common/store/jobs/failures.py",
        "claimable_at = mine.retry_at",
        "claimable_at = clock_timestamp()",
        ("worker_process_killed",),
        ("attempts do not overlap",),
    ),
    Mutant(
        "a running job is claimed",
        "common/store/jobs/claims.py",
        'UNCLAIMED, DUE = "l.worker IS NULL", ',
        'UNCLAIMED, DUE = "true", ',
        ("redis_flushed",),
        ("attempts are complete", "attempts do not overlap", "effects are bounded"),
    ),
    Mutant(
        "a released attempt is charged",
        "common/store/jobs/failures.py",
        "WHEN 'released' THEN 1 ELSE 0",
        "WHEN 'released' THEN 0 ELSE 0",
        ("worker_terminated_with_short_grace",),
        ("attempts are complete",),
    ),
    Mutant(
        "an idle worker does not poll",
        "worker/supervision/idle_poll.py",
        "slot.request_poll()",
        "pass",
        ("redis_killed", "redis_hangs"),
        ("no due job waits beside an idle worker", "everything is drained"),
    ),
    Mutant(
        "a failure counts although its job was cancelled",
        "common/store/jobs/failures.py",
        "CASE WHEN cancel_requested THEN 'CANCELLED' ELSE 'FAILED' END,\n"
        "           CASE WHEN NOT cancel_requested THEN error_type END,"
        " CASE WHEN NOT cancel_requested THEN error_text END,",
        "'FAILED', error_type, error_text,",
        ("redis_flushed",),
        ("a cancel holds", "a bulk action is complete"),
    ),
    Mutant(
        "a success counts although its job was cancelled",
        "common/store/jobs/claims.py",
        "CASE WHEN cancel_requested THEN 'CANCELLED' ELSE 'SUCCESS' END,\n"
        "           CASE WHEN cancel_requested THEN NULL ELSE result END,",
        "'SUCCESS', result,",
        ("redis_flushed",),
        ("a cancel holds", "a bulk action is complete"),
    ),
    Mutant(
        "a running job is cancelled like a waiting one",
        "common/store/jobs/keyed_insert.py",
        "DELETE FROM live WHERE {{is_job}} AND tenant = $1 AND worker IS NULL",
        "DELETE FROM live WHERE {{is_job}} AND tenant = $1",
        ("redis_flushed",),
        ("attempts are complete", "effects are bounded"),
    ),
    Mutant(
        "a long poll depends on Redis alone",
        "api/watch/watchers.py",
        "else self._poll_interval_s)",
        "else self._poll_interval_s * 3600)",
        ("redis_killed", "redis_hangs"),
        ("a long poll is answered",),
        seconds=60,
    ),
    Mutant(
        "a job that a bulk action cancelled can be claimed",
        "common/store/bulk_actions/changes.py",
        "(SELECT id FROM mine WHERE worker IS NULL))),\n    ended",
        "(SELECT id FROM mine WHERE worker IS NOT NULL))),\n    ended",
        ("redis_flushed",),
        ("a bulk action is complete", "everything is drained"),
    ),
    Mutant(
        "a batch that ends again after a retry stores its follow-up again",
        "common/store/batches/sql.py",
        "CASE WHEN b.ended_at IS NULL AND b.follow_up",
        "CASE WHEN b.follow_up",
        ("redis_flushed",),
        ("a batch ends once", "nothing is invented"),
        seconds=30,
    ),
    Mutant(
        "a success is retried",
        "common/store/jobs/cancel_retry.py",
        "last.status IN ('FAILED', 'CANCELLED') AND ",
        "",
        ("redis_flushed",),
        ("a manual retry is one more run",),
    ),
    Mutant(
        "a status is read for all tenants",
        "common/store/jobs/reads.py",
        'progress, progress_text FROM job_states WHERE id = $2 AND tenant = $1", _CALLER\n',
        'progress, progress_text FROM job_states WHERE id = $2 AND $1::int > 0",\n'
        '    "(SELECT array_agg(id) FROM tenants)",\n',
        ("redis_flushed",),
        ("tenants are kept apart",),
        seconds=45,
    ),
    Mutant(
        "a key acts for the default tenant",
        "api/auth/directory.py",
        "Principal(key.tenant, tenant.name,",
        "Principal(1, tenant.name,",
        ("redis_flushed",),
        ("tenants are kept apart",),
    ),
    Mutant(
        "a revoked key goes on",
        "api/auth/directory.py",
        "    if key.revoked_at is not None:\n",
        "    if False:\n",
        ("redis_flushed",),
        ("an ended key is refused",),
        seconds=45,
    ),
    *mutants_of_webhooks.MUTANTS,
    Mutant(
        "a reader of the feed leaves out changes that commit late",
        "common/store/feed/numbering.py",
        "SELECT * FROM feed_changes WHERE tenant = $1 ORDER BY id LIMIT $3),",
        "SELECT * FROM feed_changes WHERE tenant = $1 AND at > (SELECT coalesce(max(numbered_at), '-infinity')\n"
        "        FROM feed_pages WHERE feed_pages.tenant = $1) ORDER BY id LIMIT $3),",
        ("redis_flushed",),
        ("a feed has every change once",),
        seconds=45,
    ),
    Mutant(
        "a claim does not look who else waits",
        "common/store/jobs/fair_claims.py",
        "self._was_full = len(jobs) == limit",
        "self._was_full = False",
        ("redis_flushed",),
        ("a flood delays nobody else",),
    ),
)


def survived(mutant: Mutant, seed: int) -> str | None:
    """Run a mutant. Return a description of the run if none of its laws broke, None if one did."""
    with tempfile.TemporaryDirectory(prefix="jobproc-mutant-") as name:
        folder = Path(name)
        for part in COPIED_FOLDERS:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / mutant.file).write_text(broken(mutant, folder))
        faults = ",".join(mutant.faults)
        options = f"--seed {seed} --seconds {mutant.seconds} --faults {faults} --beside 0"
        argv = ["-m", "faults.run", *options.split()]
        env = {
            **os.environ,
            "PYTHONPATH": f"{folder}/tests:{folder}/tests/operations:{folder}/clients/python/src:{folder}",
        }
        try:
            process = subprocess.run(
                [sys.executable, *argv],
                cwd=folder,
                env=env,
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return f"the run did not end within {error.timeout:g} s"
    broken_laws = re.findall(r"^  BROKEN (.*) \(", process.stdout, re.MULTILINE)
    return (
        None
        if set(broken_laws) & set(mutant.laws)
        else f"broken: {broken_laws}, exit code {process.returncode}\n{process.stdout[-3000:]}{process.stderr[-1000:]}"
    )


def broken(mutant: Mutant, root: Path = ROOT) -> str:
    """Return the text of the mutant's file with its guard broken. Raises ValueError unless the guard occurs once."""
    text = (root / mutant.file).read_text()
    if text.count(mutant.original) != 1:
        raise ValueError(f"{mutant.name}: {mutant.file} has {text.count(mutant.original)} times {mutant.original!r}")
    return text.replace(mutant.original, mutant.mutated)


def main() -> None:
    """Run the mutants, print the results and exit."""
    parser = command_line("faults.mutants", __doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="run only mutants with this text in their name")
    options = parser.parse_args()
    survivors = 0
    for mutant in MUTANTS:
        if options.only in mutant.name:
            failure = survived(mutant, options.seed)
            survivors += failure is not None
            print(
                f"  {'SURVIVED' if failure else 'noticed '} {mutant.name}" + (f": {failure}" if failure else ""),
                flush=True,
            )
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
