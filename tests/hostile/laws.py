"""The laws that a hostile run must keep."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faults.verdict import Verdict

from api.auth.directory import LOOK_INTERVAL_S
from api.web.problem_kinds import SCOPE_MISSING, UNAUTHENTICATED
from hostile.connection import Answer, Exchange
from hostile.requests import REFUSED_TAG

SLOW_S = 1.0
GROWTH_MIB = 64.0
EARLY = {400, 405, 408, 411, 413, 414, 415, 417, 421, 426, 431, 501, 503, 505}
EARLY_PROBLEMS = {(403, "origin-not-allowed"), (404, "not-found")}
_IDS = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
#: Texts of the inside that no answer may have.
_INTERNALS = re.compile(
    rb"Traceback|File \\?\"|asyncpg|sqlalchemy|psycopg|uvicorn|site-packages|postgresql://|redis://|\bSELECT \w|\.py\b"
)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job in PostgreSQL."""

    operation: str
    input: str
    tags: list[str] | None
    metadata: str | None
    tenant: int = 1


@dataclass(frozen=True, slots=True)
class Observations:
    """Everything that a run has seen."""

    exchanges: Sequence[Exchange]
    stored: dict[str, StoredJob]  #: by job id
    slow_again_s: dict[int, float]  #: seconds of the second time, by the index of an exchange that was slow
    ended: list[str]  #: processes that are no longer the ones from the start
    memory_mib: dict[str, tuple[float, float]]  #: after the first tenth of the run and at the end, by process
    work_goes_on: bool  #: a job that was submitted afterwards succeeded


def no_server_error(run: Observations, verdict: Verdict) -> None:
    """No answer is a 5xx but 503."""
    for exchange, answer in _answers(run):
        verdict.expect(answer.status < 500 or answer.status == 503, f"{answer.status}: {_text(exchange)}")


def every_request_is_answered(run: Observations, verdict: Verdict) -> None:
    """A whole request gets an answer, and exactly one."""
    for exchange in run.exchanges:
        if exchange.request:
            verdict.expect(len(exchange.answers) == 1, f"{len(exchange.answers)} answers: {_text(exchange)}")


def no_slow_answer(run: Observations, verdict: Verdict) -> None:
    """No answer takes over a second, also when it is asked for again alone."""
    for index, exchange in enumerate(run.exchanges):
        seconds = min(exchange.seconds, run.slow_again_s.get(index, exchange.seconds))
        limit_s = SLOW_S * max(1, len(exchange.answers))  # broken bytes may be many requests
        limit_s += LOOK_INTERVAL_S if exchange.caller.waits_for_look else 0.0
        verdict.expect(seconds <= limit_s, f"{seconds:.1f} s: {_text(exchange)}")


def nothing_of_the_inside(run: Observations, verdict: Verdict) -> None:
    """No error shows SQL, code, paths or addresses of servers, other than what the request has itself."""
    for exchange, answer in _answers(run):
        if answer.status >= 400:
            found = _INTERNALS.search(answer.body)
            verdict.expect(not found or found[0] in exchange.sent, f"{found and found[0]!r}: {_text(exchange)}")


def accepted_is_stored(run: Observations, verdict: Verdict) -> None:
    """A job that was accepted is stored as it was sent."""
    for exchange, answer in _answers(run):
        body = exchange.request.submission if exchange.request else None
        if body is None or answer.status != 202 or "idempotency-replayed" in answer.headers:
            continue
        stored = run.stored.get(answer.json()["job_id"])
        verdict.expect(
            stored is not None and _agrees(stored, body) and stored.tenant == exchange.caller.tenant,
            f"stored {stored}: {_text(exchange)}",
        )


def strangers_are_refused(run: Observations, verdict: Verdict) -> None:
    """A caller without a valid key gets 401, with a challenge, or is refused for its request before that."""
    for exchange, answer in _answers(run):
        request = exchange.request
        if request and request.scope and not exchange.caller.is_known:
            is_challenged = answer.headers.get("www-authenticate", "").startswith("Bearer")
            named = answer.problem in {UNAUTHENTICATED.name, ""}
            verdict.expect(
                (answer.status == 401 and is_challenged and named) or _is_refused_before(answer),
                f"{exchange.caller.name} got {answer.status} {answer.problem}: {_text(exchange)}",
            )


def callers_do_what_they_may(run: Observations, verdict: Verdict) -> None:
    """A valid key never gets 401. A request succeeds with its scope alone, and 403 names one that the caller lacks."""
    for exchange, answer in _answers(run):
        request, caller = exchange.request, exchange.caller
        if not request or not request.scope or not caller.is_known:
            continue
        allowed = answer.status != 401 and (answer.status >= 300 or request.scope in caller.scopes)
        if answer.problem == SCOPE_MISSING.name:
            allowed = answer.json()["scope"] not in caller.scopes
        verdict.expect(allowed, f"{caller.name} got {answer.status} {answer.problem}: {_text(exchange)}")


def nothing_of_another_tenant(run: Observations, verdict: Verdict) -> None:
    """No answer has the id of another tenant's job but in the words of the request, nor tells its state."""
    for exchange, answer in _answers(run):
        shown = {found.decode() for found in _IDS.findall(answer.text) if answer.status < 400}
        shown |= {found.decode() for found in _IDS.findall(answer.text) if found not in exchange.sent}
        foreign = [job_id for job_id in shown if _is_foreign(run, exchange, job_id)]
        verdict.expect(not foreign, f"{exchange.caller.name} was shown {foreign}: {_text(exchange)}")
        if exchange.request:
            asked = [found.decode() for found in _IDS.findall(exchange.request.target.encode())]
            if asked and _is_foreign(run, exchange, asked[0]):
                verdict.expect(
                    answer.status in {401, 403, 404} or _is_refused_before(answer) or answer.status == 422,
                    f"{exchange.caller.name} asked for another's job and got {answer.status}: {_text(exchange)}",
                )


def refused_is_not_stored(run: Observations, verdict: Verdict) -> None:
    """No job is stored of a caller who may submit none."""
    for exchange in run.exchanges:
        if exchange.request and exchange.request.submission and not exchange.caller.may_submit:
            statuses = {answer.status for answer in exchange.answers}
            verdict.expect(statuses <= {401, 403} or min(statuses) >= 400, f"accepted: {_text(exchange)}")
    for job_id, stored in run.stored.items():
        verdict.expect(REFUSED_TAG not in (stored.tags or []), f"{job_id} is stored: {stored}")


def no_process_ends(run: Observations, verdict: Verdict) -> None:
    """Every process of the start is there at the end, and does its work."""
    verdict.expect(not run.ended, f"ended: {', '.join(run.ended)}")
    verdict.expect(run.work_goes_on, "a job that was submitted afterwards did not succeed")


def memory_is_flat(run: Observations, verdict: Verdict) -> None:
    """No process grows by more than GROWTH_MIB after the first tenth of the run."""
    for name, (early, late) in run.memory_mib.items():
        verdict.expect(late - early <= GROWTH_MIB, f"{name} grew from {early:.0f} to {late:.0f} MiB")


LAWS: list[Callable[[Observations, Verdict], None]] = [
    no_server_error,
    every_request_is_answered,
    no_slow_answer,
    nothing_of_the_inside,
    accepted_is_stored,
    strangers_are_refused,
    callers_do_what_they_may,
    nothing_of_another_tenant,
    refused_is_not_stored,
    no_process_ends,
    memory_is_flat,
]


def check(run: Observations) -> dict[str, Verdict]:
    """Return the verdict of each law."""
    verdicts = {law.__name__: Verdict() for law in LAWS}
    for law in LAWS:
        law(run, verdicts[law.__name__])
    return verdicts


def _is_refused_before(answer: Answer) -> bool:
    """Return True if a request was refused before its caller was looked at: for its form, its path or its page."""
    return answer.status in EARLY or (answer.status, answer.problem) in EARLY_PROBLEMS


def _is_foreign(run: Observations, exchange: Exchange, job_id: str) -> bool:
    return job_id in run.stored and run.stored[job_id].tenant != exchange.caller.tenant


def _answers(run: Observations) -> list[tuple[Exchange, Answer]]:
    return [(exchange, answer) for exchange in run.exchanges for answer in exchange.answers]


def _agrees(stored: StoredJob, body: dict[str, Any]) -> bool:
    sent = {"data": body["data"]} if "data" in body else body["input"]
    return (
        stored.operation == body["operation"]
        and json.loads(stored.input) == sent
        and (stored.tags or []) == list(dict.fromkeys(body.get("tags") or []))
        and (json.loads(stored.metadata) if stored.metadata else None) == body.get("metadata")
    )


def _text(exchange: Exchange) -> str:
    statuses = [answer.status for answer in exchange.answers]
    return f"{exchange.sent[:300]!r}{'…' if len(exchange.sent) > 300 else ''} → {statuses}"
