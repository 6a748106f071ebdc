"""The laws of pauses and limits of queues."""

from faults.evidence import Evidence
from faults.laws_of_options import take_turns
from faults.verdict import Verdict


def a_paused_queue_starts_nothing(run: Evidence, verdict: Verdict) -> None:
    """No attempt of a tenant's jobs starts between the response of its pause and the request that ends the pause."""
    known = [
        pause for pause in run.pauses if run.clock_was_right(pause.confirmed_at) and run.clock_was_right(pause.until)
    ]
    for pause in known:
        starts = [
            start
            for job_id, job in run.stored.items()
            if job.tenant == pause.tenant
            for number in range(run.last_run_number(job_id) + 1)
            for start in run.attempt_starts(job_id, number)
            if pause.confirmed_at < start < pause.until and run.clock_was_right(start)
        ]
        verdict.expect(
            not starts, f"{len(starts)} attempts started after the pause of {pause.confirmed_at}: {starts[:3]}"
        )


def jobs_of_a_limited_key_take_turns(run: Evidence, verdict: Verdict) -> None:
    """Of two jobs with one concurrency key whose limit is one, the attempts that succeeded do not overlap."""
    take_turns(run, verdict, {job_id: options.concurrency_key for job_id, options in run.options.items()})
