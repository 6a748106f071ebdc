"""The laws of tenants and of their API keys."""

from collections.abc import Iterator

from faults.evidence import Evidence
from faults.fairness import Wait, lonely_waits, unfair_waits
from faults.history import Answer, Call
from faults.keys import KeyLife
from faults.verdict import Verdict

REVOKED_WITHIN_S = 5.0
QUEUE = "default"  # of all jobs of a run
NOT_FOUND = frozenset(f"urn:jobproc:problem:{name}-not-found" for name in ("job", "bulk-action"))
CLOCK_FAULTS = frozenset({"clock_wrong", "database_clock_set"})


def tenants_are_kept_apart(run: Evidence, verdict: Verdict) -> None:
    """An id of another tenant is unknown. What a client submits, sees and lists is its own tenant's."""
    for call in run.calls:
        if call.action == "intrude" and call.answer is not Answer.UNKNOWN and call.status != 401:
            verdict.expect(
                call.status == 404 and call.problem in NOT_FOUND,
                f"tenant {call.tenant} asked for {call.job_ids or 'a bulk action'} of another, and was answered with"
                f" {call.status} {call.problem}",
            )
        elif call.answer is Answer.OK:
            listed = tuple(job["job_id"] for job in call.response.get("jobs", ()))
            for job_id in call.job_ids + listed:
                owner = run.stored[job_id].tenant if job_id in run.stored else call.tenant
                verdict.expect(
                    owner == call.tenant, f"{job_id} of tenant {owner} was shown to {call.tenant} by {call.action}"
                )


def a_valid_key_is_accepted(run: Evidence, verdict: Verdict) -> None:
    """No request with a valid API key gets 401; after a rotation the old key is valid as long as it overlaps."""
    for call, life in _calls_with_keys(run):
        if call.ended_s <= life.valid_until_s and not _clocks_matter(run, call, life):
            verdict.expect(
                call.status != 401,
                f"{call.action} at {call.ended_s:.2f} was answered with 401; the key {call.key} was valid",
            )


def an_ended_key_is_refused(run: Evidence, verdict: Verdict) -> None:
    """A request with an API key that was revoked or has expired gets 401 five seconds later at the most.

    While PostgreSQL is unavailable the API goes on with the keys that it knows.
    """
    for call, life in _calls_with_keys(run):
        since_s = life.ended_s + REVOKED_WITHIN_S
        away = any(from_s <= call.ended_s and until_s >= life.ended_s for from_s, until_s in _recent(run, call))
        if call.began_s > since_s and call.status is not None and not away and not _clocks_matter(run, call, life):
            verdict.expect(
                call.status == 401,
                f"{call.action} at {call.began_s:.2f} was answered with {call.status}; the key {call.key} of tenant"
                f" {life.tenant} had ended at {life.ended_s:.2f}",
            )


def a_flood_delays_nobody_else(run: Evidence, verdict: Verdict) -> None:
    """A single job of a tenant that wants nothing else waits for a batch at the most, however much another wants.

    Waits during a fault that keeps workers from claiming are not judged.
    """
    waits, disturbed = list(_waits(run)), list(run.disturbed)
    verdict.judged += len(lonely_waits(waits, run.fair_wait_s, disturbed))
    verdict.violations += unfair_waits(waits, run.fair_wait_s, disturbed)


def _calls_with_keys(run: Evidence) -> Iterator[tuple[Call, KeyLife]]:
    return ((call, run.keys[call.key]) for call in run.calls if call.key in run.keys)


def _recent(run: Evidence, call: Call) -> Iterator[tuple[float, float]]:
    """Yield the outages after which, at a call, a read of the keys may not have been due yet."""
    return (outage for outage in run.outages if outage[1] >= call.began_s - REVOKED_WITHIN_S)


def _clocks_matter(run: Evidence, call: Call, life: KeyLife) -> bool:
    """Return True if a clock was wrong between the rotation that gave a key its end and a call."""
    return any(
        fault.name in CLOCK_FAULTS and fault.began_s <= call.ended_s and fault.ended_s >= life.expires_after_s
        for fault in run.faults
    )


def _waits(run: Evidence) -> Iterator[Wait]:
    """Yield the waits of all first attempts. Those that wait for a unique key are not due, and left out."""
    for job_id, options in run.options.items():
        starts = run.attempt_starts(job_id, 0)
        if starts and job_id in run.stored and options.unique_while != "running":
            due = max(options.created_at[0], options.run_at or options.created_at[0])
            yield Wait(job_id, run.stored[job_id].tenant, QUEUE, due.timestamp(), starts[0].timestamp())
