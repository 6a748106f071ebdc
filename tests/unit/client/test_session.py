"""Retries, tokens and streams of a client without I/O: a script answers, with a clock and chance of its own."""

from collections.abc import Sequence
from typing import Any

import pytest

from jobproc.client.calls import jobs
from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.configuration import Configuration
from jobproc.client.connection.request import Request, Response, get, post
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Emit, Lost, Open, Pause, ReadLine, Send, Step, Steps
from jobproc.client.errors import AuthenticationFailed, ConnectionFailed, Throttled, UnexpectedResponse
from jobproc.client.problems import BY_TYPE, StoreUnavailable
from jobproc.client.views.jobs import StatusView
from jobproc.client.views.view import view

OK = Response(200, {}, b'{"status":"PENDING"}')
SUBMITTED = Response(202, {}, b'{"job_id":"1","status":"PENDING"}')
READ = get("/jobs/1/status", view(StatusView))
CHANGE = post("/jobs/1/retry", view(StatusView))


def refused(status: int, name: str = "", **headers: str) -> Response:
    body = b'{"type":"urn:jobproc:problem:%b","title":"t","detail":"d"}' % name.encode() if name else b"<html>"
    return Response(status, {key.replace("_", "-"): value for key, value in headers.items()}, body)


class Script:
    """The driver of a test: answers from a list, and a clock that pauses move on."""

    def __init__(self, *answers: Any, chance: float = 1.0, policy: RetryPolicy | None = None, **fields: Any) -> None:
        self.answers = list(answers)
        self.sent: list[Send] = []
        self.pauses: list[float] = []
        self.items: list[Any] = []
        self.now = 0.0
        self.line_s = 0.0  #: how long each line of a stream takes
        configuration = Configuration(**{"url": "http://api/prefix", **fields})
        self.session = Session(configuration, policy, lambda: self.now, lambda: chance)

    def run(self, call: Any) -> Any:
        return self.drive(self.session.steps(call))

    def drive(self, steps: Steps[Any]) -> Any:
        outcome: Any = None
        while True:
            try:
                outcome = self.perform(steps.send(outcome))
            except StopIteration as end:
                assert not self.answers, "not all answers were asked for"
                return end.value

    def perform(self, step: Step) -> Any:
        match step:
            case Send():
                self.sent.append(step)
            case Open():
                self.sent.append(step.request)
            case Pause():
                self.pauses.append(step.seconds)
                self.now += step.seconds
                return None
            case Emit():
                self.items.append(step.item)
                return None
            case ReadLine():
                self.now += self.line_s
        return self.answers.pop(0)


def test_a_request_has_its_path_behind_the_base_path_and_the_key() -> None:
    script = Script(OK, api_key="secret")
    assert script.run(READ).status == "PENDING"
    (send,) = script.sent
    assert (send.method, send.url, send.timeout_s) == ("GET", "http://api/prefix/jobs/1/status", 10.0)
    assert send.headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    "answer", [refused(429, "rate-limited"), refused(502), refused(503), refused(504), Lost("x", was_sent=True)]
)
def test_a_read_is_repeated_after_growing_pauses(answer: Any) -> None:
    script = Script(answer, answer, answer, answer, OK)
    script.run(READ)
    assert script.pauses == [0.2, 0.4, 0.8, 1.6]


def test_pauses_are_drawn_from_zero_to_their_limit() -> None:
    script = Script(refused(503), refused(503), OK, chance=0.25)
    script.run(READ)
    assert script.pauses == [0.05, 0.1]


def test_five_tries_are_all_and_the_last_error_is_raised() -> None:
    script = Script(*[refused(503, "store-unavailable")] * 5)
    with pytest.raises(StoreUnavailable):
        script.run(READ)
    assert len(script.sent) == 5
    with pytest.raises(ConnectionFailed, match="http://api/prefix/jobs/1/status: refused"):
        Script(*[Lost("refused", was_sent=False)] * 5).run(READ)


def test_retry_after_is_kept_and_a_longer_one_than_the_total_limit_ends_the_tries() -> None:
    script = Script(refused(429, "rate-limited", retry_after="3"), OK, chance=0.5)
    script.run(READ)
    assert script.pauses == [3.1]
    script = Script(refused(429, "quota-exceeded", retry_after="61"))
    with pytest.raises(Throttled) as caught:
        script.run(READ)
    assert (script.pauses, caught.value.retry_after_s) == ([], 61.0)


@pytest.mark.parametrize("answer", [refused(502), refused(504), Lost("reset", was_sent=True)])
def test_a_change_without_a_key_that_may_have_arrived_is_not_repeated(answer: Any) -> None:
    script = Script(answer)
    with pytest.raises((ConnectionFailed, Exception)):
        script.run(CHANGE)
    assert len(script.sent) == 1
    for known in (refused(503), refused(429), Lost("refused", was_sent=False)):
        assert Script(known, OK).run(CHANGE).status == "PENDING"


def test_a_submission_keeps_its_key_over_all_tries() -> None:
    script = Script(Lost("reset", was_sent=True), refused(502), SUBMITTED)
    script.run(jobs.submit("noop", {}, {}))
    keys = {send.headers["Idempotency-Key"] for send in script.sent}
    assert len(keys) == 1
    other = Script(SUBMITTED)
    other.run(jobs.submit("noop", {}, {"idempotency_key": "mine"}))
    assert other.sent[0].headers["Idempotency-Key"] == "mine"
    assert b"mine" not in (other.sent[0].body or b"")


def test_a_wait_has_its_own_time_limit_of_http() -> None:
    script = Script(Response(200, {}, b'{"job_id":"1","status":"SUCCESS","result":1}'))
    script.run(jobs.outcome("1", 30.0))
    assert (script.sent[0].timeout_s, script.sent[0].url.partition("?")[2]) == (35.0, "wait=30")


def test_a_response_that_is_no_json_is_told_with_its_request() -> None:
    with pytest.raises(UnexpectedResponse, match="GET http://api/prefix/jobs/1/status"):
        Script(Response(200, {}, b"<html>")).run(READ)


def test_the_next_page_is_asked_for_by_its_query_alone() -> None:
    page = get("/jobs/", view(StatusView), tag="a")
    first = Response(200, {}, b'{"jobs":[1,2],"next":"/other/jobs?tag=a&cursor=x%3D"}')
    script = Script(first, Response(200, {}, b'{"jobs":[3],"next":null}'))
    script.run(all_pages(page, lambda found: found["jobs"]))
    assert script.items == [1, 2, 3]
    assert script.sent[1].url == "http://api/prefix/jobs/?tag=a&cursor=x%3D"


# --- tokens

OIDC: dict[str, Any] = {
    "oidc_issuer": "http://op/",
    "oidc_client_id": "me",
    "oidc_client_secret": "s",
    "oidc_scope": "jobs:read",
}
DISCOVERY = Response(200, {}, b'{"token_endpoint":"http://op/token"}')


def token(text: str, expires_in: int = 300) -> Response:
    return Response(200, {}, b'{"access_token":"%b","expires_in":%d}' % (text.encode(), expires_in))


def tokens(sent: Sequence[Send]) -> list[str]:
    return [send.headers.get("Authorization", "") for send in sent if send.url.startswith("http://api")]


def test_a_token_is_kept_until_shortly_before_its_expiry() -> None:
    script = Script(DISCOVERY, token("a"), OK, **OIDC)
    script.run(READ)
    script.now, script.answers = 269.0, [OK]
    script.run(READ)
    script.now, script.answers = 271.0, [token("b"), OK]
    script.run(READ)
    assert tokens(script.sent) == ["Bearer a", "Bearer a", "Bearer b"]
    assert [send.url for send in script.sent if "op" in send.url] == [
        "http://op/.well-known/openid-configuration",
        "http://op/token",
        "http://op/token",
    ]
    assert script.sent[1].body == b"grant_type=client_credentials&scope=jobs%3Aread"


def test_a_refused_token_is_renewed_once() -> None:
    script = Script(DISCOVERY, token("a"), refused(401, "unauthenticated"), token("b"), OK, **OIDC)
    script.run(READ)
    assert tokens(script.sent) == ["Bearer a", "Bearer b"]
    script = Script(DISCOVERY, token("a"), refused(401), token("b"), refused(401, "unauthenticated"), **OIDC)
    with pytest.raises(BY_TYPE["unauthenticated"]):
        script.run(READ)


def test_a_provider_that_refuses_is_named() -> None:
    with pytest.raises(AuthenticationFailed, match=r"http://op/token.*invalid_client"):
        Script(DISCOVERY, Response(401, {}, b'{"error":"invalid_client"}'), **OIDC).run(READ)
    with pytest.raises(AuthenticationFailed, match="has no token_endpoint"):
        Script(Response(200, {}, b"{}"), **OIDC).run(READ)


# --- streams

STREAM: Request[Any] = get("/jobs/1/events", view(StatusView))


def read(name: str, data: str) -> tuple[Any, bool]:
    return (name, data), data == "end"


def test_a_stream_goes_on_behind_its_last_event() -> None:
    opened = Response(200, {}, b"")
    lines = ["retry: 500", "", "event: status", "id: 0.1", "data: a", "", ":", "", "data: b", ""]
    more = ["id: 0.3", "data: c", "data: d", "", "data: end", ""]
    script = Script(opened, *lines, Lost("reset", was_sent=True), opened, *more)
    script.drive(script.session.events(STREAM, read))
    assert script.items == [("status", "a"), ("message", "b"), ("message", "c\nd"), ("message", "end")]
    assert [send.headers.get("Last-Event-ID") for send in script.sent] == [None, "0.1"]
    assert script.pauses == [0.5]


def test_a_stream_ends_with_the_response_that_no_event_follows() -> None:
    script = Script(Response(200, {}, b""), "id: 1", "data: a", "", None, Response(204, {}, b""))
    script.drive(script.session.events(STREAM, read))
    assert script.items == [("message", "a")]


def test_a_stream_that_was_silent_but_for_heartbeats_goes_on_after_a_loss() -> None:
    opened = Response(200, {}, b"")
    script = Script(opened, *[":"] * 20, Lost("reset", was_sent=True), opened, "data: end", "")
    script.line_s = 15.0
    script.drive(script.session.events(STREAM, read))
    assert script.items == [("message", "end")]


def test_a_stream_that_gives_nothing_is_not_opened_for_ever() -> None:
    script = Script(*[Response(200, {}, b""), None] * 5)
    with pytest.raises(ConnectionFailed):
        script.drive(script.session.events(STREAM, read))
