"""Problems: one format for every error, none repeats values of the client, every domain error has a kind."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.submit.request_models import Submission
from api.web.exception_handlers import KIND_OF_ERROR
from api.web.problems import MAX_ERRORS, ProblemBody, ProblemError, problem_responses, validation_problem
from api.web.resource_problem_kinds import PROBLEM_KINDS
from common.domain import errors
from common.domain.webhooks import errors as webhook_errors

_submission: TypeAdapter[Submission] = TypeAdapter(Submission)


def problem_of(value: Any) -> dict[str, Any]:
    """Return the body of the problem for an invalid submission."""
    with pytest.raises(ValidationError) as caught:
        _submission.validate_python(value)
    return dict(json.loads(bytes(validation_problem(caught.value).response().body)))


@pytest.mark.parametrize("kind", PROBLEM_KINDS, ids=lambda kind: kind.name)
def test_the_response_of_each_kind_has_all_members_of_a_problem(kind: Any) -> None:
    response = ProblemError(kind).response()
    body = json.loads(bytes(response.body))
    assert ProblemBody.model_validate(body)
    assert body == {
        "type": f"urn:jobproc:problem:{kind.name}",
        "title": kind.title,
        "status": kind.status,
        "detail": kind.detail,
    }
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", kind.name)
    assert response.status_code == kind.status
    assert response.media_type == "application/problem+json"
    assert 400 <= kind.status < 600
    assert ("retry-after" in response.headers) == (kind.status == 503)


def test_the_names_of_kinds_are_unique() -> None:
    assert len({kind.name for kind in PROBLEM_KINDS}) == len(PROBLEM_KINDS) > 10


def test_every_domain_error_that_a_client_can_get_has_a_kind() -> None:
    internal = {errors.JobprocError, errors.StartupError}
    domain_errors = {
        value
        for module in (errors, webhook_errors)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, errors.JobprocError)
    }
    assert domain_errors - internal - {errors.OutcomeUnknown} == set(KIND_OF_ERROR), (
        "OutcomeUnknown has the kind of its base class"
    )
    earlier: list[type[Exception]] = []
    for error_type in KIND_OF_ERROR:
        assert not any(issubclass(error_type, base) for base in earlier), "the first matching entry applies"
        earlier.append(error_type)


def test_a_problem_names_the_first_errors_and_counts_the_others() -> None:
    body = problem_of({"data": [None] * 100, "operation": "square_sum"})
    assert len(body["errors"]) == MAX_ERRORS
    assert body["detail"].endswith("(and 99 more)")


MARK = "Zebra7"


@given(
    st.recursive(
        st.sampled_from([MARK, [MARK], {MARK: MARK}, float("nan"), "\ud800" + MARK, b"x", 10**400, None]),
        lambda inner: st.lists(inner, max_size=3),
    )
)
@settings(deadline=None)
def test_no_problem_repeats_a_value_of_the_client(value: Any) -> None:
    for submission in (
        [value],
        {"data": value},
        {"data": [value], "operation": value},
        {"data": [1], "operation": "x", "extra": value},
    ):
        assert MARK not in json.dumps(problem_of(submission))


@pytest.mark.parametrize("length", [1, 100, 10_000])
def test_the_name_of_an_unknown_field_is_truncated(length: int) -> None:
    body = problem_of({"data": [1], "operation": "square_sum", "k" * length: 1})
    assert body["errors"][0]["field"].startswith("k" * min(length, 50))
    assert len(json.dumps(body)) < 1_000


def test_the_documented_problems_of_a_route_are_the_kinds_it_names_and_internal() -> None:
    responses = problem_responses(PROBLEM_KINDS[0], PROBLEM_KINDS[1], PROBLEM_KINDS[1])
    contents = [media for response in responses.values() for media in response["content"].values()]
    examples = {name for media in contents for name in media["examples"]}
    assert examples == {PROBLEM_KINDS[0].name, PROBLEM_KINDS[1].name, "internal"}
