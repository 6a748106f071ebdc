"""What must hold of jobs that clients direct: keys, times."""

from collections import defaultdict
from datetime import datetime
from itertools import pairwise

from faults.evidence import Evidence
from faults.history import Answer
from faults.verdict import Verdict

LATE = "deadline_exceeded"


def a_key_stores_once(run: Evidence, verdict: Verdict) -> None:
    """All requests of one idempotency key that were answered were answered with the same job."""
    told: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for call in run.calls:
        if call.key is not None and call.answer is Answer.OK:
            told[call.key].add(call.ids)
    for key, ids in told.items():
        verdict.that(len(ids) == 1, f"the key {key} was answered with {sorted(ids)}")


def a_unique_key_is_held_by_one(run: Evidence, verdict: Verdict) -> None:
    """Of two jobs of a unique key the later one came after the earlier one had ended, each of their epochs."""
    held: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    for job_id, chosen in run.chosen.items():
        for end in run.ends.get(job_id, ()) if chosen.unique_key is not None else ():
            held[str(chosen.unique_key)].append((chosen.came_at[end.epoch], end.finished_at, f"{job_id} in epoch {end.epoch}"))
    for key, spans in held.items():
        known = sorted(span for span in spans if run.sure(span[0]) and run.sure(span[1]))
        for (_, until, one), (since, _, other) in pairwise(known):
            verdict.that(until <= since, f"{key} was held by {one} until {until} and taken by {other} at {since}")


def times_are_kept(run: Evidence, verdict: Verdict) -> None:
    """No attempt begins before the time of its job, none after its deadline, and only what has a deadline ends for it, not before."""
    for job_id, chosen in run.chosen.items():
        for end in run.ends.get(job_id, ()):
            begins = [one.started_at for one in run.tried_in(job_id, end.epoch)] + ([end.started_at] if end.started_at else [])
            if chosen.run_at is not None and begins and end.epoch == 0:  # a retry runs at once
                verdict.that(run.in_order(chosen.run_at, begins[0]), f"{job_id} began at {begins[0]}, before {chosen.run_at}")
            if end.error_type == LATE:
                due = chosen.deadline if end.epoch == 0 else None
                verdict.that(due is not None and run.in_order(due, end.finished_at), f"{job_id} ended for its deadline {due} at {end.finished_at}")
            elif chosen.deadline is not None and end.epoch == 0 and end.status == "SUCCESS":
                verdict.that(run.in_order(begins[-1], chosen.deadline), f"{job_id} began at {begins[-1]}, after its deadline {chosen.deadline}")
