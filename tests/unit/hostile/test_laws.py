"""Every law of a hostile run notices what breaks it, and nothing else does."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hostile import laws
from hostile.connection import Answer, Exchange, answers
from hostile.laws import Observations, StoredJob
from hostile.requests import Request, Requests
from hostile.wire import broken

BODY: dict[str, Any] = {"operation": "noop", "data": [1], "tags": ["a", "a"], "metadata": {"b": None}}
SUBMISSION = Request("POST", "/jobs/", json.dumps(BODY).encode(), submission=BODY)
ACCEPTED = Exchange(SUBMISSION.raw(), [Answer(202, b'{"job_id":"1"}')], 0.1, is_closed=False, request=SUBMISSION)
REFUSED = Exchange(b"GET /SELECT x HTTP/1.1\r\n\r\n", [Answer(404, b"no /SELECT x")], 0.1, is_closed=False)
STORED = StoredJob("noop", '{"data":[1]}', ["a"], '{"b":null}')
GOOD = Observations([ACCEPTED, REFUSED], {"1": STORED}, {}, [], {"api": (100, 120)}, work_goes_on=True)


def _with_answers(*given: Answer, seconds: float = 0.1) -> Observations:
    return replace(GOOD, exchanges=[replace(ACCEPTED, answers=list(given), seconds=seconds), REFUSED])


def _stored(**fields: Any) -> Observations:
    return replace(GOOD, stored={"1": replace(STORED, **fields)})


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
        ("no_process_ends", replace(GOOD, ended=["worker"])),
        ("no_process_ends", replace(GOOD, work_goes_on=False)),
        ("memory_is_flat", replace(GOOD, memory_mib={"api": (100, 165)})),
    ],
)
def test_each_law_notices_what_breaks_it(law: str, run: Observations) -> None:
    assert _broken_laws(run) == [law]


def test_an_answer_that_is_slow_once_breaks_no_law() -> None:
    assert _broken_laws(replace(_with_answers(Answer(404, b""), seconds=3), slow_again_s={0: 0.2})) == []


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
        requests = Requests(chance)
        return [segment for _ in range(200) for segment in broken(requests.next().raw(), chance)]

    assert made() == made()
