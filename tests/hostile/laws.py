"""The laws that a hostile run must keep."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from faults.verdict import Verdict

from hostile.connection import Answer, Exchange

SLOW_S = 1.0
GROWTH_MIB = 64.0
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
        verdict.expect(stored is not None and _agrees(stored, body), f"stored {stored}: {_text(exchange)}")


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
    no_process_ends,
    memory_is_flat,
]


def check(run: Observations) -> dict[str, Verdict]:
    """Return the verdict of each law."""
    verdicts = {law.__name__: Verdict() for law in LAWS}
    for law in LAWS:
        law(run, verdicts[law.__name__])
    return verdicts


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
