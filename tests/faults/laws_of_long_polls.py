"""The law of long polls."""

from rig.system import TERMINAL

from faults.api_client import CLOSING
from faults.evidence import Evidence
from faults.history import Answer
from faults.laws_of_service import database_was_unavailable
from faults.verdict import Verdict

TIMER_ERROR_S = 0.05


def a_long_poll_is_answered(run: Evidence, verdict: Verdict) -> None:
    """A long poll is answered before its time only with the end of its job, and soon after others saw that end.

    Jobs that may have been retried have no final end, so only the others bound the lateness.
    """
    retried = {call.job_ids[0] for call in run.calls if call.action == "retry" and call.answer is not Answer.REFUSED}
    answered = [call for call in run.calls if call.action in {"read", "wait"} and call.answer is Answer.OK]
    seen_ended_s: dict[str, float] = {}
    for call in answered:
        job_id = call.job_ids[0]
        if call.response["status"] in TERMINAL and job_id not in retried:
            seen_ended_s[job_id] = min(call.ended_s, seen_ended_s.get(job_id, call.ended_s))
    for call in answered:
        if call.action != "wait":
            continue
        job_id, status, result = call.job_ids[0], call.response["status"], call.response["result"]
        took_s = call.ended_s - call.began_s
        early = took_s < call.wait_s - TIMER_ERROR_S and not call.response[CLOSING]
        verdict.expect(
            status in TERMINAL or not early,
            f"{job_id}: a wait of {call.wait_s} s ended after {took_s:.2f} with {status}",
        )
        late_s = call.ended_s - max(call.began_s, seen_ended_s.get(job_id, call.ended_s))
        verdict.expect(
            late_s <= run.wait_limit_s or database_was_unavailable(run, call),
            f"{job_id}: a wait lasted {late_s:.2f} s after others had seen the end",
        )
        stored = [outcome.result for outcome in run.outcomes.get(job_id, ()) if outcome.status == "SUCCESS"]
        verdict.expect(
            stored == [result] if status == "SUCCESS" else result is None,
            f"{job_id}: a wait was answered with {result}, {stored} is stored",
        )
