"""What must hold of every run, whatever happened in it. A further promise is one function more in LAWS."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from rig.system import TERMINAL

from faults.evidence import Evidence
from faults.history import Answer, Call, Sent
from faults.laws_of_bulk_actions import an_action_has_its_way
from faults.laws_of_cancel_retry import a_cancel_holds, a_retry_is_an_epoch
from faults.laws_of_long_polls import a_wait_is_told, away
from faults.laws_of_options import a_key_stores_once, a_unique_key_is_held_by_one, times_are_kept
from faults.verdict import Law, Verdict

WRITES = frozenset({"effect", "stumble", "fall", "swell", "linger", "await_effect", "await_falter"})  # operations that write to the ledger
FELL = frozenset({"fall", "linger"})  # operations whose process may end, and with it what others in its batch have not stored yet
MOST_SHOWN = 10
FIND = {"read": {200}, "wait": {200}, "cancel": {200, 202}, "retry": {202, 409}}  # how those are answered that find their job


def expected(sent: Sent) -> float:
    """Return what a job results in: the model of the operations."""
    return sum(number * number for number in sent.data) if sent.operation == "square_sum" else sent.tag


def nothing_is_lost(run: Evidence, verdict: Verdict) -> None:
    """Each accepted job is stored, as it was sent, and has ended once, and once more for each retry by request and each undo that put it back."""
    for call, sent, job_id in _accepted(run.calls):
        row = run.stored.get(job_id)
        verdict.that(row is not None and row.sent == sent, f"{job_id} of {call.what} by client {call.client} was accepted as {sent} and is stored as {row}")
    for job_id in run.stored:
        epochs, wanted = [end.epoch for end in run.ends.get(job_id, ())], list(range(1 + run.last_epoch(job_id)))
        done = epochs == wanted and job_id not in run.unfinished
        verdict.that(done, f"{job_id} has ended in the epochs {epochs} of {wanted}{', is unfinished' * (job_id in run.unfinished)}")


def nothing_is_invented(run: Evidence, verdict: Verdict) -> None:
    """Each stored job was sent, once; what was refused is not there; of what nobody knows there is all or nothing, once."""
    rows, by_key = Counter(row.sent for row in run.stored.values()), _answers_by_key(run.calls)
    known: set[Sent] = set()
    for call in run.calls:
        if not call.sent:
            continue
        known.update(call.sent)
        found = [rows[sent] for sent in call.sent]
        answers = by_key.get(call.key, {call.answer})
        wanted = {1} if Answer.OK in answers else {0, 1} if Answer.UNKNOWN in answers else {0}
        verdict.that(
            set(found) <= wanted and len(set(found)) == 1, f"{call.what} by client {call.client}, {call.answer} ({call.status}), is stored {found} times"
        )
    for job_id, row in run.stored.items():
        verdict.that(row.sent in known, f"{job_id} was sent by nobody: {row.sent}")


def an_accepted_job_can_be_read(run: Evidence, verdict: Verdict) -> None:
    """A read, a cancel or a retry that began after the job was accepted finds it; clients name no others."""
    for call in run.calls:
        if call.what in FIND and call.answer is not Answer.UNKNOWN:
            verdict.that(call.status in FIND[call.what], f"{call.ids[0]} was accepted and its {call.what} is answered with {call.status}")


def results_are_right(run: Evidence, verdict: Verdict) -> None:
    """A job that succeeded has the result of its operation, wherever it is seen."""
    for job_id, ends in run.ends.items():
        for end in ends:
            if end.status == "SUCCESS" and job_id in run.stored:
                want = expected(run.sent(job_id, end.epoch))
                verdict.that(end.result == want, f"{job_id} results in {end.result}, not {want}")
            elif end.status == "FAILED":
                verdict.that(end.error_type is not None, f"{job_id} failed for no reason")
    for call in _reads(run.calls):
        job_id, status, result = call.ids[0], call.seen["status"], call.seen["result"]
        verdict.that((status == "SUCCESS") == (result is not None), f"{job_id} is {status} with result {result}")
        if status == "SUCCESS" and job_id in run.stored:
            verdict.that(result == expected(run.sent(job_id, call.seen["epoch"])), f"{job_id} was shown with result {result}")


def what_was_seen_stays(run: Evidence, verdict: Verdict) -> None:
    """Of two reads, one after the other: epochs and their attempts do not fall, and once a job has ended nothing of it changes but by a retry."""
    reads: dict[str, list[Call]] = defaultdict(list)
    for call in _reads(run.calls):
        reads[call.ids[0]].append(call)
    for job_id, calls in reads.items():
        by_end = iter(sorted(calls, key=lambda call: call.ended_s))
        before, most, ended = next(by_end), (0, 0), dict[int, dict[str, Any]]()
        for call in sorted(calls, key=lambda call: call.began_s):
            while before.ended_s < call.began_s:  # all that had been seen when this read began
                most = max(most, _place(before))
                if before.seen["status"] in TERMINAL:
                    ended.setdefault(before.seen["epoch"], _end(before))
                before = next(by_end)
            was = ended.get(call.seen["epoch"])
            verdict.that(_place(call) >= most, f"{job_id} was seen in epoch and attempt {most}, later in {_place(call)}")
            verdict.that(was is None or _end(call) == was, f"{job_id} was seen as {was}, later as {_end(call)}")
        last = {(call.seen["epoch"], call.seen["status"]) for call in calls if call.seen["status"] in TERMINAL}
        stored = {(end.epoch, end.status) for end in run.ends.get(job_id, ())}
        verdict.that(last <= stored, f"{job_id} was seen as {last} and is stored as {stored}")


def attempts_are_complete(run: Evidence, verdict: Verdict) -> None:
    """The attempts of an epoch are 1 to n without a gap, or go on where an undo put the job back; no more are charged than it may have.

    The last one ended it unless it was cancelled between two.
    """
    for job_id, ends in run.ends.items():
        for end in ends:
            tried = run.tried_in(job_id, end.epoch)
            numbers = [one.attempt for one in tried] + [end.attempt] * (end.started_at is not None)
            before = run.before(job_id, end.epoch)
            had, gone = (0, 0) if before is None else (before.attempt, before.released)
            verdict.that(numbers == list(range(had + 1, end.attempt + 1)), f"{job_id} ended in attempt {end.attempt} after {numbers}")
            verdict.that(end.started_at is not None or end.status != "SUCCESS", f"{job_id} succeeded without an attempt")
            released = gone + sum(one.ended == "released" for one in tried)
            verdict.that(end.released == released, f"{job_id} counts {end.released} releases of {released}")
            if job_id in run.stored:
                charged, most = end.attempt - end.released, run.stored[job_id].max_attempts
                verdict.that(charged <= most, f"{job_id} was charged {charged} attempts of {most}")
                spent = end.status != "FAILED" or end.error_type not in {"worker_lost", "timeout"} or charged == most
                verdict.that(spent, f"{job_id} failed as {end.error_type} after {charged} of {most} attempts")


def attempts_do_not_overlap(run: Evidence, verdict: Verdict) -> None:
    """No attempt begins before the one before it has ended, nor before its pause, by the database's clock."""
    for job_id, ends in run.ends.items():
        before: datetime | None = None
        for end in ends:
            runs = [(one.attempt, one.started_at, max(one.ended_at, one.retry_at)) for one in run.tried_in(job_id, end.epoch)]
            last = before  # of the epoch before: a retry by request does not wait for a clock that was set back
            for attempt, began, until in [*runs, (end.attempt, end.started_at, end.finished_at)]:
                if before is not None and began is not None:
                    verdict.that(
                        run.in_order(before, began) if before is last else before <= began,
                        f"{job_id}: attempt {attempt} of epoch {end.epoch} began at {began}, the one before lasted until {before}",
                    )
                before = until


def a_failure_is_of_its_attempt(run: Evidence, verdict: Verdict) -> None:
    """What raises in its first attempts and no later is not written down as failed in a later one, by a worker that had an earlier one."""
    for job_id, row in run.stored.items():
        for one in run.tried_in(job_id, 0) if row.sent.operation in {"stumble", "await_falter"} else ():
            fails = one.attempt <= row.sent.data[0]
            verdict.that(fails or one.ended != "error", f"{job_id} raises in its first {row.sent.data[0]:g} attempts, and failed in attempt {one.attempt}")


def effects_are_bounded(run: Evidence, verdict: Verdict) -> None:
    """Every attempt has its effect at most once, every success has one of the attempt that brought it; with no fault there is one.

    The ledger does not know epochs: attempts of one number may have as many effects as there were.
    """
    begun, ended = _effects(run, "begin"), _effects(run, "end")
    calm = not run.interrupted and all(row.sent.operation not in FELL for row in run.stored.values())
    for job_id, row in run.stored.items():
        if row.sent.operation not in WRITES:
            continue
        counts, ends = begun[job_id], run.ends.get(job_id, ())
        ran = Counter([one.attempt for one in run.tried.get(job_id, ())] + [end.attempt for end in ends if end.started_at is not None])
        verdict.that(counts <= ran, f"{job_id} had its effect {dict(counts)} times, by attempt, and ran {dict(ran)} times")
        for end in ends:
            won = end.status != "SUCCESS" or end.attempt in ended[job_id]
            verdict.that(won, f"{job_id} succeeded in attempt {end.attempt} with effects of {sorted(ended[job_id])}")
        plain = row.sent.operation in {"effect", "await_effect"} and [end.status for end in ends] == ["SUCCESS"]
        verdict.that(not calm or not plain or sum(counts.values()) == 1, f"{job_id} had {sum(counts.values())} effects and no fault")
    for job_id in begun:
        verdict.that(job_id in run.stored, f"{job_id} had an effect and is not stored")


def errors_are_those_of_an_absent_database(run: Evidence, verdict: Verdict) -> None:
    """No answer is a 5xx, but for a 503 while PostgreSQL is away."""
    for call in run.calls:
        if call.status is not None:
            fine = call.status < 500 or (call.status == 503 and away(run, call))
            verdict.that(fine, f"{call.what} by client {call.client} at {call.ended_s:.2f} was answered with {call.status}")


def no_due_job_waits_beside_an_idle_worker(run: Evidence, verdict: Verdict) -> None:
    """A process that was idle all the while, and a job that was due all the while: not for longer than two ticks."""
    since: dict[int, float] = {}
    for look in run.looks:
        since = {worker: since.get(worker, look.at_s) for worker in look.idle} if look.due_s else {}
        waited_s = min(look.due_s, max((look.at_s - began_s for began_s in since.values()), default=0.0))
        verdict.that(waited_s <= run.wait_limit_s, f"at {look.at_s:.2f} a due job had waited {waited_s:.1f} s beside one of the idle workers {set(since)}")


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
    a_failure_is_of_its_attempt,
    effects_are_bounded,
    errors_are_those_of_an_absent_database,
    no_due_job_waits_beside_an_idle_worker,
    a_wait_is_told,
    everything_is_drained,
    a_cancel_holds,
    a_retry_is_an_epoch,
    a_key_stores_once,
    a_unique_key_is_held_by_one,
    times_are_kept,
    an_action_has_its_way,
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


def _answers_by_key(calls: Iterable[Call]) -> dict[str | None, set[Answer]]:
    """Return all answers that requests of one key had: what one of them stored is there for all."""
    found: dict[str | None, set[Answer]] = defaultdict(set)
    for call in calls:
        if call.key is not None:
            found[call.key].add(call.answer)
    return found


def _accepted(calls: Iterable[Call]) -> Iterable[tuple[Call, Sent, str]]:
    for call in calls:
        if call.sent and call.answer is Answer.OK:
            for sent, job_id in zip(call.sent, call.ids, strict=True):
                yield call, sent, job_id


def _reads(calls: Iterable[Call]) -> Iterable[Call]:
    return (call for call in calls if call.what == "read" and call.answer is Answer.OK)


def _place(call: Call) -> tuple[int, int]:
    return call.seen["epoch"], call.seen["attempt"]


def _end(call: Call) -> dict[str, Any]:
    return {name: call.seen.get(name) for name in ("status", "result", "error", "finished_at", "attempt")}
