"""What must hold of clients that wait for the end of a job."""

from rig.system import TERMINAL

from faults.clients import CLOSING
from faults.evidence import Evidence
from faults.history import Answer, Call
from faults.verdict import Verdict

EARLY_S = 0.05  # how far a timer may be off


def a_wait_is_told(run: Evidence, verdict: Verdict) -> None:
    """A wait that is answered before its time shows the end, and none lasts on after others have seen its job ended for good."""
    again = {call.ids[0] for call in run.calls if call.what == "retry" and call.answer is not Answer.REFUSED}
    told = [call for call in run.calls if call.what in {"read", "wait"} and call.answer is Answer.OK]
    ended: dict[str, float] = {}
    for call in told:
        if call.seen["status"] in TERMINAL and call.ids[0] not in again:
            ended[call.ids[0]] = min(call.ended_s, ended.get(call.ids[0], call.ended_s))
    for call in told:
        if call.what != "wait":
            continue
        job_id, status, result = call.ids[0], call.seen["status"], call.seen["result"]
        took_s = call.ended_s - call.began_s
        early = took_s < call.wait_s - EARLY_S and not call.seen[CLOSING]
        verdict.that(status in TERMINAL or not early, f"{job_id}: a wait of {call.wait_s} s ended after {took_s:.2f} with {status}")
        late_s = call.ended_s - max(call.began_s, ended.get(job_id, call.ended_s))
        verdict.that(late_s <= run.wait_limit_s or away(run, call), f"{job_id}: a wait lasted {late_s:.2f} s after others had seen the end")
        stored = [end.result for end in run.ends.get(job_id, ()) if end.status == "SUCCESS"]
        verdict.that(stored == [result] if status == "SUCCESS" else result is None, f"{job_id}: a wait was answered with {result}, {stored} is stored")


def away(run: Evidence, call: Call) -> bool:
    """Return whether PostgreSQL could not be relied on during a call."""
    return any(call.began_s <= until_s and from_s <= call.ended_s for from_s, until_s in run.away)
