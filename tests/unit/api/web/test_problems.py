"""Problems: one form for every error, none repeats what came in, every domain error has one."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.submit.parsing import Submission
from api.web.problems import KIND_OF_ERROR, MAX_ERRORS, PROBLEM_KINDS, ProblemBody, ProblemError, problem_responses, validation_problem
from common.domain import errors

_submission: TypeAdapter[Submission] = TypeAdapter(Submission)


def refuse(value: Any) -> dict[str, Any]:
    """Return the problem of a submission that breaks a rule."""
    with pytest.raises(ValidationError) as caught:
        _submission.validate_python(value)
    return dict(json.loads(bytes(validation_problem(caught.value).response().body)))


@pytest.mark.parametrize("kind", PROBLEM_KINDS, ids=lambda kind: kind.name)
def test_each_kind_is_whole(kind: Any) -> None:
    response = ProblemError(kind).response()
    body = json.loads(bytes(response.body))
    assert ProblemBody.model_validate(body)
    assert body == {"type": f"urn:jobproc:problem:{kind.name}", "title": kind.title, "status": kind.status, "detail": kind.detail}
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
    assert response.status_code == kind.status
    assert response.media_type == "application/problem+json"
    assert 400 <= kind.status < 600
    assert ("retry-after" in response.headers) == (kind.status == 503)


def test_kinds_have_names_of_their_own() -> None:
    assert len({kind.name for kind in PROBLEM_KINDS}) == len(PROBLEM_KINDS) > 10


def test_every_error_of_the_domain_that_a_client_can_cause_or_meet_has_a_kind() -> None:
    inside = {errors.JobprocError, errors.PermanentFailure, errors.RetryAfter, errors.Cancelled, errors.StartupError}
    found = {value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.JobprocError)}
    assert found - inside - {errors.OutcomeUnknown} == set(KIND_OF_ERROR), "a kind of its own, or that of what it is a kind of"
    seen: list[type[Exception]] = []
    for of in KIND_OF_ERROR:
        assert not any(issubclass(of, earlier) for earlier in seen), "the first that fits counts"
        seen.append(of)


def test_at_most_so_many_errors_are_named_and_the_rest_counted() -> None:
    body = refuse({"data": [None] * 100, "operation": "square_sum"})
    assert len(body["errors"]) == MAX_ERRORS
    assert body["detail"].endswith("(and 99 more)")


MARK = "Zebra7"


@given(st.recursive(st.sampled_from([MARK, [MARK], {MARK: MARK}, float("nan"), "\ud800" + MARK, b"x", 10**400, None]), lambda one: st.lists(one, max_size=3)))
@settings(deadline=None)
def test_no_problem_repeats_a_value_that_came_in(value: Any) -> None:
    for submission in ([value], {"data": value}, {"data": [value], "operation": value}, {"data": [1], "operation": "x", "extra": value}):
        assert MARK not in json.dumps(refuse(submission))


@pytest.mark.parametrize("length", [1, 100, 10_000])
def test_the_name_of_an_unknown_field_is_cut(length: int) -> None:
    body = refuse({"data": [1], "operation": "square_sum", "k" * length: 1})
    assert body["errors"][0]["field"].startswith("k" * min(length, 50))
    assert len(json.dumps(body)) < 1_000


def test_what_is_documented_for_a_route_are_the_kinds_it_names_and_the_servers_own_fault() -> None:
    found = problem_responses(PROBLEM_KINDS[0], PROBLEM_KINDS[1], PROBLEM_KINDS[1])
    examples = {name for one in found.values() for media in one["content"].values() for name in media["examples"]}
    assert examples == {PROBLEM_KINDS[0].name, PROBLEM_KINDS[1].name, "internal"}
