"""What must hold of every run, whatever happened in it. A further promise is one function more in LAWS."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rig.system import TERMINAL

from faults.clients import CLOSING
from faults.evidence import Evidence
from faults.history import Answer, Call, Sent

WRITES = frozenset({"effect", "stumble", "fall", "swell"})  # operations that write to the ledger
MOST_SHOWN = 10
EARLY_S = 0.05  # how far a timer may be off


@dataclass(slots=True)
class Verdict:
    """How many facts a law has judged, and those that break it. Without a fact it has proven nothing: void."""

    judged: int = 0
    broken: list[str] = field(default_factory=list)

    def that(self, holds: bool, otherwise: str) -> None:
        """Judge a fact."""
        self.judged += 1
        if not holds:
            self.broken.append(otherwise)


Law = Callable[[Evidence, Verdict], None]


def expected(sent: Sent) -> float:
    """Return what a job results in: the model of the operations."""
    return sum(number * number for number in sent.data) if sent.operation == "square_sum" else sent.tag


def nothing_is_lost(run: Evidence, verdict: Verdict) -> None:
    """Each accepted job is stored, as it was sent, and has ended once."""
    for call, sent, job_id in _accepted(run.calls):
        row = run.stored.get(job_id)
        verdict.that(row is not None and row.sent == sent, f"{job_id} of {call.what} by client {call.client} was accepted as {sent} and is stored as {row}")
    for job_id in run.stored:
        ends = len(run.ends.get(job_id, ()))
        verdict.that(ends == 1 and job_id not in run.unfinished, f"{job_id} has ended {ends} times{', is unfinished' * (job_id in run.unfinished)}")


def nothing_is_invented(run: Evidence, verdict: Verdict) -> None:
    """Each stored job was sent, once; what was refused is not there; of what nobody knows there is all or nothing, once."""
    rows = Counter(row.sent for row in run.stored.values())
    known: set[Sent] = set()
    for call in run.calls:
        if not call.sent:
            continue
        known.update(call.sent)
        found = [rows[sent] for sent in call.sent]
        wanted = {Answer.OK: {1}, Answer.REFUSED: {0}, Answer.UNKNOWN: {0, 1}}[call.answer]
        verdict.that(
            set(found) <= wanted and len(set(found)) == 1, f"{call.what} by client {call.client}, {call.answer} ({call.status}), is stored {found} times"
        )
    for job_id, row in run.stored.items():
        verdict.that(row.sent in known, f"{job_id} was sent by nobody: {row.sent}")


def an_accepted_job_can_be_read(run: Evidence, verdict: Verdict) -> None:
    """A read that began after the job was accepted finds it; clients read no others."""
    for call in run.calls:
        if call.what in {"read", "wait"} and call.answer is not Answer.UNKNOWN:
            verdict.that(call.answer is Answer.OK, f"{call.ids[0]} was accepted and is answered with {call.status}")


def results_are_right(run: Evidence, verdict: Verdict) -> None:
    """A job that succeeded has the result of its operation, wherever it is seen."""
    for job_id, ends in run.ends.items():
        for end in ends:
            if end.status == "SUCCESS" and job_id in run.stored:
                want = expected(run.stored[job_id].sent)
                verdict.that(end.result == want, f"{job_id} results in {end.result}, not {want}")
            elif end.status == "FAILED":
                verdict.that(end.error_type is not None, f"{job_id} failed for no reason")
    for call in _reads(run.calls):
        job_id, status, result = call.ids[0], call.seen["status"], call.seen["result"]
        verdict.that((status == "SUCCESS") == (result is not None), f"{job_id} is {status} with result {result}")
        if status == "SUCCESS" and job_id in run.stored:
            verdict.that(result == expected(run.stored[job_id].sent), f"{job_id} was shown with result {result}")


def what_was_seen_stays(run: Evidence, verdict: Verdict) -> None:
    """Of two reads, one after the other: attempts do not fall, and once a job has ended nothing of it changes any more."""
    reads: dict[str, list[Call]] = defaultdict(list)
    for call in _reads(run.calls):
        reads[call.ids[0]].append(call)
    for job_id, calls in reads.items():
        by_end = iter(sorted(calls, key=lambda call: call.ended_s))
        before, most, ended = next(by_end), 0, None
        for call in sorted(calls, key=lambda call: call.began_s):
            while before.ended_s < call.began_s:  # all that had been seen when this read began
                most = max(most, before.seen["attempt"])
                ended = ended or (_end(before) if before.seen["status"] in TERMINAL else None)
                before = next(by_end)
            verdict.that(call.seen["attempt"] >= most, f"{job_id} was seen in attempt {most}, later in {call.seen['attempt']}")
            verdict.that(ended is None or _end(call) == ended, f"{job_id} was seen as {ended}, later as {_end(call)}")
        last = {call.seen["status"] for call in calls} & TERMINAL
        stored = {end.status for end in run.ends.get(job_id, ())}
        verdict.that(last <= stored, f"{job_id} was seen as {last} and is stored as {stored}")


def attempts_are_complete(run: Evidence, verdict: Verdict) -> None:
    """The attempts of a job are 1 to n without a gap, the last one ended it, and no more are charged than it may have."""
    for job_id, ends in run.ends.items():
        for end in ends[-1:]:
            numbers = [one.attempt for one in run.tried.get(job_id, ())]
            verdict.that([*numbers, end.attempt] == list(range(1, end.attempt + 1)), f"{job_id} ended in attempt {end.attempt} after {numbers}")
            released = sum(one.ended == "released" for one in run.tried.get(job_id, ()))
            verdict.that(end.released == released, f"{job_id} counts {end.released} releases of {released}")
            if job_id in run.stored:
                charged, most = end.attempt - end.released, run.stored[job_id].max_attempts
                verdict.that(charged <= most, f"{job_id} was charged {charged} attempts of {most}")
                spent = end.status != "FAILED" or end.error_type not in {"worker_lost", "timeout"} or charged == most
                verdict.that(spent, f"{job_id} failed as {end.error_type} after {charged} of {most} attempts")


def attempts_do_not_overlap(run: Evidence, verdict: Verdict) -> None:
    """No attempt begins before the one before it has ended, nor before its pause, by the database's clock."""
    for job_id, tried in run.tried.items():
        begins = [one.started_at for one in tried] + [end.started_at for end in run.ends.get(job_id, ())[-1:] if end.started_at]
        for one, next_began in zip(tried, begins[1:], strict=False):
            verdict.that(one.ended_at <= next_began, f"{job_id}: attempt {one.attempt} ended at {one.ended_at}, the next began at {next_began}")
            verdict.that(one.retry_at <= next_began, f"{job_id}: attempt {one.attempt} paused until {one.retry_at}, the next began at {next_began}")


def effects_are_bounded(run: Evidence, verdict: Verdict) -> None:
    """Every attempt has its effect at most once, every success has one of the attempt that brought it; with no fault there is one."""
    begun, ended = _effects(run, "begin"), _effects(run, "end")
    for job_id, row in run.stored.items():
        if row.sent.operation not in WRITES:
            continue
        for end in run.ends.get(job_id, ())[-1:]:
            counts = begun[job_id]
            verdict.that(max(counts.values(), default=0) <= 1, f"{job_id} had its effect {dict(counts)} times, by attempt")
            verdict.that(set(counts) <= set(range(1, end.attempt + 1)), f"{job_id} had effects in attempts {sorted(counts)} of {end.attempt}")
            won = end.status != "SUCCESS" or end.attempt in ended[job_id]
            verdict.that(won, f"{job_id} succeeded in attempt {end.attempt} with effects of {sorted(ended[job_id])}")
            once = run.interrupted or row.sent.operation != "effect" or sum(counts.values()) == 1
            verdict.that(once, f"{job_id} had {sum(counts.values())} effects and no fault")
    for job_id in begun:
        verdict.that(job_id in run.stored, f"{job_id} had an effect and is not stored")


def errors_are_those_of_an_absent_database(run: Evidence, verdict: Verdict) -> None:
    """No answer is a 5xx, but for a 503 while PostgreSQL is away."""
    for call in run.calls:
        if call.status is not None:
            fine = call.status < 500 or (call.status == 503 and _away(run, call))
            verdict.that(fine, f"{call.what} by client {call.client} at {call.ended_s:.2f} was answered with {call.status}")


def no_due_job_waits_beside_an_idle_worker(run: Evidence, verdict: Verdict) -> None:
    """A process that was idle all the while, and a job that was due all the while: not for longer than two ticks."""
    since: dict[int, float] = {}
    for look in run.looks:
        since = {worker: since.get(worker, look.at_s) for worker in look.idle} if look.due_s else {}
        waited_s = min(look.due_s, max((look.at_s - began_s for began_s in since.values()), default=0.0))
        verdict.that(waited_s <= run.wait_limit_s, f"at {look.at_s:.2f} a due job had waited {waited_s:.1f} s beside one of the idle workers {set(since)}")


def a_wait_is_told(run: Evidence, verdict: Verdict) -> None:
    """A wait that is answered before its time shows the end, and none lasts on after others have seen its job ended."""
    waits = [call for call in run.calls if call.what == "wait" and call.answer is Answer.OK]
    ended: dict[str, float] = {}
    for call in [*_reads(run.calls), *waits]:
        if call.seen["status"] in TERMINAL:
            ended[call.ids[0]] = min(call.ended_s, ended.get(call.ids[0], call.ended_s))
    for call in waits:
        job_id, status, result = call.ids[0], call.seen["status"], call.seen["result"]
        early = call.ended_s - call.began_s < call.wait_s - EARLY_S and not call.seen[CLOSING]
        verdict.that(status in TERMINAL or not early, f"{job_id}: a wait of {call.wait_s} s ended after {call.ended_s - call.began_s:.2f} with {status}")
        late_s = call.ended_s - max(call.began_s, ended.get(job_id, call.ended_s))
        verdict.that(late_s <= run.wait_limit_s or _away(run, call), f"{job_id}: a wait lasted {late_s:.2f} s after others had seen the end")
        right = status != "SUCCESS" or job_id not in run.stored or result == expected(run.stored[job_id].sent)
        verdict.that(right, f"{job_id}: a wait was answered with {result}")


def everything_is_drained(run: Evidence, verdict: Verdict) -> None:
    """Nothing is left so long after the last fault."""
    verdict.that(not run.unfinished and run.drained_s <= run.drain_limit_s, f"{len(run.unfinished)} jobs left {run.drained_s:.1f} s after the last fault")


LAWS: tuple[Law, ...] = (
    nothing_is_lost,
    nothing_is_invented,
    an_accepted_job_can_be_read,
    results_are_right,
    what_was_seen_stays,
    attempts_are_complete,
    attempts_do_not_overlap,
    effects_are_bounded,
    errors_are_those_of_an_absent_database,
    no_due_job_waits_beside_an_idle_worker,
    a_wait_is_told,
    everything_is_drained,
)


def check(run: Evidence, laws: Iterable[Law] = LAWS) -> dict[str, Verdict]:
    """Return the verdict of each law."""
    verdicts = {}
    for law in laws:
        verdicts[law.__name__] = verdict = Verdict()
        law(run, verdict)
    return verdicts


def report(verdicts: dict[str, Verdict]) -> str:
    """Return the verdicts as text, a line a law and the first of what breaks it."""
    lines = []
    for name, verdict in verdicts.items():
        state = "BROKEN" if verdict.broken else "held" if verdict.judged else "VOID"
        lines.append(f"  {state:6} {name.replace('_', ' ')} ({verdict.judged} facts)")
        lines += [f"         {text}" for text in verdict.broken[:MOST_SHOWN]]
    return "\n".join(lines)


def _effects(run: Evidence, phase: str) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = defaultdict(Counter)
    for effect in run.effects:
        if effect.phase == phase:
            found[effect.job][effect.attempt] += 1
    return found


def _accepted(calls: Iterable[Call]) -> Iterable[tuple[Call, Sent, str]]:
    for call in calls:
        if call.sent and call.answer is Answer.OK:
            for sent, job_id in zip(call.sent, call.ids, strict=True):
                yield call, sent, job_id


def _away(run: Evidence, call: Call) -> bool:
    return any(call.began_s <= until_s and from_s <= call.ended_s for from_s, until_s in run.away)


def _reads(calls: Iterable[Call]) -> Iterable[Call]:
    return (call for call in calls if call.what == "read" and call.answer is Answer.OK)


def _end(call: Call) -> dict[str, Any]:
    return {name: call.seen.get(name) for name in ("status", "result", "error", "finished_at", "attempt")}
