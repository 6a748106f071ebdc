"""Every law of a hostile run notices what breaks it, and nothing else does."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hostile import laws
from hostile.callers import Caller, Callers
from hostile.connection import Answer, Exchange, answers
from hostile.laws import Observations, StoredJob
from hostile.requests import Request, Requests
from hostile.wire import broken

from api.web.problem_kinds import PREFIX
from common.domain.tenancy.scopes import Scope

BODY: dict[str, Any] = {"operation": "noop", "data": [1], "tags": ["a", "a"], "metadata": {"b": None}}
MINE, FOREIGN = "019f0000-0000-7000-8000-000000000001", "019f0000-0000-7000-8000-000000000002"
OWNER = Caller("owner", [(b"Authorization", b"Bearer mine")], 1, frozenset({Scope.JOBS_READ, Scope.JOBS_WRITE}))
READER = Caller("reader", [(b"Authorization", b"Bearer read")], 1, frozenset({Scope.JOBS_READ}))
STRANGER = Caller("stranger")
CHALLENGE = {"www-authenticate": "Bearer"}
SUBMISSION = Request("POST", "/jobs/", json.dumps(BODY).encode(), [], BODY, Scope.JOBS_WRITE, OWNER)
ACCEPTED = Exchange(
    SUBMISSION.raw(), [Answer(202, b'{"job_id":"%s"}' % MINE.encode())], 0.1, False, SUBMISSION, OWNER
)  # fmt: skip
REFUSED = Exchange(b"GET /SELECT x HTTP/1.1\r\n\r\n", [Answer(404, b"no /SELECT x")], 0.1, is_closed=False)
STORED = StoredJob("noop", '{"data":[1]}', ["a"], '{"b":null}')
FOREIGN_STORED = StoredJob("noop", '{"data":[3]}', None, None, tenant=2)


def _asked(
    caller: Caller,
    status: int,
    problem: str = "",
    method: str = "GET",
    target: str = f"/jobs/{FOREIGN}",
    **headers: str,
) -> Exchange:
    """Return the exchange of a submission, or of a read, which is for another's job unless `target` is another one."""
    submission = BODY if method == "POST" else None
    scope = Scope.JOBS_WRITE if submission else Scope.JOBS_READ
    request = Request(method, "/jobs/" if submission else target, scope=scope, caller=caller, submission=submission)
    body = {"type": PREFIX + problem, "scope": scope} if problem else {}
    answer = Answer(status, json.dumps(body).encode(), headers)
    return Exchange(request.raw(), [answer], 0.1, is_closed=False, request=request, caller=caller)


EXCHANGES = [
    ACCEPTED,
    REFUSED,
    _asked(OWNER, 404, "job-not-found"),
    _asked(STRANGER, 401, "unauthenticated", **CHALLENGE),
    _asked(STRANGER, 414, "target-too-long"),
    _asked(READER, 403, "scope-missing", "POST"),
]
GOOD = Observations(
    EXCHANGES, {MINE: STORED, FOREIGN: FOREIGN_STORED}, {}, [], {"api": (100, 120)}, work_goes_on=True
)  # fmt: skip


def _with_answers(*given: Answer, seconds: float = 0.1) -> Observations:
    whole = Request("GET", "/nothing", caller=OWNER)
    exchange = Exchange(whole.raw(), list(given), seconds, is_closed=False, request=whole, caller=OWNER)
    return replace(GOOD, exchanges=[*EXCHANGES, exchange])


def _with(*more: Exchange) -> Observations:
    return replace(GOOD, exchanges=[*EXCHANGES, *more])


def _stored(**fields: Any) -> Observations:
    return replace(GOOD, stored={MINE: replace(STORED, **fields), FOREIGN: FOREIGN_STORED})


def _broken_laws(run: Observations) -> list[str]:
    return [name for name, verdict in laws.check(run).items() if verdict.violations]


def test_no_law_is_broken_by_a_good_run() -> None:
    assert _broken_laws(GOOD) == []
    assert all(verdict.judged for verdict in laws.check(GOOD).values())


@pytest.mark.parametrize(
    ("law", "run"),
    [
        ("no_server_error", _with_answers(Answer(500, b""))),
        ("every_request_is_answered", _with_answers()),
        ("every_request_is_answered", _with_answers(Answer(404, b""), Answer(404, b""))),
        ("no_slow_answer", _with_answers(Answer(404, b""), seconds=1.1)),
        ("nothing_of_the_inside", _with_answers(Answer(400, b"asyncpg.exceptions"))),
        ("accepted_is_stored", replace(GOOD, stored={})),
        ("accepted_is_stored", _stored(input='{"data":[2]}')),
        ("accepted_is_stored", _stored(tags=None)),
        ("accepted_is_stored", _stored(metadata=None)),
        ("accepted_is_stored", _with(replace(ACCEPTED, answers=[Answer(202, b'{"job_id":"x"}')]))),
        ("strangers_are_refused", _with(_asked(STRANGER, 200, target="/jobs"))),
        ("strangers_are_refused", _with(_asked(STRANGER, 404, "job-not-found"))),
        ("strangers_are_refused", _with(_asked(STRANGER, 401, "unauthenticated"))),
        ("callers_do_what_they_may", _with(_asked(OWNER, 401, "unauthenticated", **CHALLENGE))),
        ("callers_do_what_they_may", _with(_asked(OWNER, 403, "scope-missing"))),
        ("nothing_of_another_tenant", _with(_asked(OWNER, 409, "not-retryable"))),
        ("nothing_of_another_tenant", _with_answers(Answer(200, FOREIGN.encode()))),
        ("nothing_of_another_tenant", _with_answers(Answer(404, FOREIGN.encode()))),
        ("refused_is_not_stored", replace(GOOD, stored={**GOOD.stored, "x": replace(STORED, tags=["refused"])})),
        ("no_process_ends", replace(GOOD, ended=["worker"])),
        ("no_process_ends", replace(GOOD, work_goes_on=False)),
        ("memory_is_flat", replace(GOOD, memory_mib={"api": (100, 165)})),
    ],
)
def test_each_law_notices_what_breaks_it(law: str, run: Observations) -> None:
    assert _broken_laws(run) == [law]


def test_an_answer_that_is_slow_once_breaks_no_law() -> None:
    assert _broken_laws(replace(_with_answers(Answer(404, b""), seconds=3), slow_again_s={len(EXCHANGES): 0.2})) == []


def test_a_503_is_no_server_error() -> None:
    assert _broken_laws(_with_answers(Answer(503, b""))) == []


def test_answers_are_read_until_the_first_incomplete_one() -> None:
    whole = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
    continued = b"HTTP/1.1 100 Continue\r\n\r\n" + whole
    assert [answer.status for answer in answers(whole + continued + whole[:-1])] == [404, 404]
    assert [answer.body for answer in answers(whole.replace(b"no", b""), is_head=True)] == [b""]


def test_the_same_seed_makes_the_same_requests_and_the_same_faults() -> None:
    def made() -> list[bytes]:
        chance = random.Random(3)
        requests = Requests(chance, Callers([OWNER, READER], [lambda _: STRANGER]))
        return [segment for _ in range(200) for segment in broken(requests.next().raw(), chance)]

    assert made() == made()
