"""What must hold of jobs that clients cancel and retry."""

from collections import defaultdict
from collections.abc import Iterable

from faults.evidence import Evidence
from faults.history import Answer, Call
from faults.verdict import Verdict

ENDED = {"SUCCESS", "FAILED", "CANCELLED"}


def a_cancel_holds(run: Evidence, verdict: Verdict) -> None:
    """An acknowledged cancel ends its job CANCELLED, which then has no result, or tells how it had ended before; afterwards that epoch does not run."""
    for job_id, end in ((job_id, end) for job_id, ends in run.ends.items() for end in ends if end.status == "CANCELLED"):
        verdict.that(end.result is None and end.error_type is None, f"{job_id} is cancelled with {end.result} and {end.error_type}")
    retries, reads = _by_job(run.calls, "retry", {Answer.OK, Answer.UNKNOWN}), _by_job(run.calls, "read", {Answer.OK})
    for job_id, calls in _by_job(run.calls, "cancel", {Answer.OK}).items():
        for call in calls:
            first, last = _epochs(run, job_id, call, retries[job_id])
            told = "CANCELLED" if call.seen["cancel_requested"] else call.seen["status"]
            found = {end.status for end in run.ends.get(job_id, ()) if first <= end.epoch <= last}
            verdict.that(told in found & ENDED, f"{job_id} was told to end {told}, and has ended {sorted(found)} in its epochs {first} to {last}")
            known = first == last and not call.seen["cancel_requested"]
            for read in (read for read in reads[job_id] if known and read.began_s > call.ended_s and read.seen["epoch"] == first):
                verdict.that(read.seen["status"] == told, f"{job_id} was told to have ended {told}, and was seen as {read.seen['status']} later")


def a_retry_is_an_epoch(run: Evidence, verdict: Verdict) -> None:
    """Each acknowledged retry is an epoch of its own with the input that it brought, of a job that had failed or was cancelled; there is no other epoch."""
    asked = _by_job(run.calls, "retry", {Answer.OK, Answer.UNKNOWN})
    for job_id, calls in asked.items():
        known = [call for call in calls if call.answer is Answer.OK]
        made = run.again.get(job_id, {})
        for call in known:
            epoch = call.seen["epoch"]
            verdict.that(epoch in made and made[epoch] == call.again, f"{job_id}: epoch {epoch} was promised with {call.again} and is stored as {made}")
        promised = [call.seen["epoch"] for call in known]
        verdict.that(len(promised) == len(set(promised)), f"{job_id} was promised the epochs {promised}")
    for job_id, made in run.again.items():
        calls = asked.get(job_id, [])
        promised = [call.seen["epoch"] for call in calls if call.answer is Answer.OK]
        unknown = [call.again for call in calls if call.answer is Answer.UNKNOWN]
        others = [sent for epoch, sent in made.items() if epoch not in promised]
        verdict.that(len(others) <= len(unknown) and set(others) <= set(unknown), f"{job_id} has epochs with {others} that nobody asked for")
        status = {end.epoch: end.status for end in run.ends.get(job_id, ())}
        for epoch in made:
            verdict.that(status.get(epoch - 1) in {"FAILED", "CANCELLED"}, f"{job_id} ended {status.get(epoch - 1)} and has an epoch {epoch}")


def _by_job(calls: Iterable[Call], what: str, answers: set[Answer]) -> dict[str, list[Call]]:
    found: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.what == what and call.answer in answers:
            found[call.ids[0]].append(call)
    return found


def _epochs(run: Evidence, job_id: str, call: Call, retries: Iterable[Call]) -> tuple[int, int]:
    """Return the first and the last epoch that a job may have been in when a call found it."""
    first, last = 0, run.last_epoch(job_id) if job_id in run.undone else 0  # nobody was told when an undo came to it
    for retry in retries:
        if retry.began_s > call.ended_s:
            continue
        if retry.answer is Answer.UNKNOWN:
            last = run.last_epoch(job_id)
        else:
            last = max(last, retry.seen["epoch"])
            first = max(first, retry.seen["epoch"] if retry.ended_s < call.began_s else 0)
    return first, last
