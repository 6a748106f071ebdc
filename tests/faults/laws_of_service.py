"""The laws of the service as a whole: its errors, its latency beside idle workers, its recovery."""

from faults.evidence import Evidence
from faults.history import Call
from faults.verdict import Verdict


def errors_are_those_of_an_absent_database(run: Evidence, verdict: Verdict) -> None:
    """No status is 500 or above but 503, while PostgreSQL is unavailable."""
    for call in run.calls:
        if call.status is not None:
            verdict.expect(
                call.status < 500 or (call.status == 503 and database_was_unavailable(run, call)),
                f"{call.action} by client {call.client} at {call.ended_s:.2f} was answered with {call.status}",
            )


def no_due_job_waits_beside_an_idle_worker(run: Evidence, verdict: Verdict) -> None:
    """No job is due, while the same process is idle, for longer than two ticks and a claim."""
    idle_since: dict[int, float] = {}
    for sample in run.samples:
        idle_since = {worker: idle_since.get(worker, sample.at_s) for worker in sample.idle} if sample.due_s else {}
        waited_s = min(sample.due_s, max((sample.at_s - since_s for since_s in idle_since.values()), default=0.0))
        verdict.expect(
            waited_s <= run.wait_limit_s,
            f"at {sample.at_s:.2f} a due job had waited {waited_s:.1f} s beside one of the idle workers"
            f" {set(idle_since)}",
        )


def everything_is_drained(run: Evidence, verdict: Verdict) -> None:
    """All jobs end within the limit after the last fault."""
    verdict.expect(
        not run.unfinished and run.drained_s <= run.drain_limit_s,
        f"{len(run.unfinished)} jobs left {run.drained_s:.1f} s after the last fault",
    )


def database_was_unavailable(run: Evidence, call: Call) -> bool:
    """Return True if PostgreSQL was unreliable at any time of a call."""
    return any(call.began_s <= until_s and from_s <= call.ended_s for from_s, until_s in run.outages)
