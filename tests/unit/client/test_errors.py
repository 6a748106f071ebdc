"""The errors of a client: one for each type of problem of the API, and groups for those that are not known."""

import json
import re
from pathlib import Path

import pytest

from jobproc.client import errors
from jobproc.client.connection.refusals import error_of
from jobproc.client.connection.request import Response
from jobproc.client.problems import BY_TYPE

ROOT = Path(__file__).resolve().parents[3]


def test_each_problem_of_the_openapi_document_has_its_error() -> None:
    document = (ROOT / "docs" / "reference" / "openapi.json").read_text()
    documented = set(re.findall(rf"{errors.PREFIX}([a-z-]+)", document))
    assert len(documented) > 50
    assert documented <= set(BY_TYPE)
    listed = re.findall(rf"`{errors.PREFIX}([a-z-]+)`", (ROOT / "docs" / "reference" / "errors.md").read_text())
    assert set(listed) == set(BY_TYPE)


def problem(status: int, name: str, **members: object) -> errors.ApiError:
    body = json.dumps({"type": errors.PREFIX + name, "title": "T", "detail": "D", **members}).encode()
    return error_of(Response(status, {"x-request-id": "r-1", "retry-after": "7"}, body))


def test_an_error_has_all_that_the_response_has() -> None:
    error = problem(422, "invalid-body", errors=[{"field": "priority", "reason": "too large"}], job_id="5")
    assert type(error).__name__ == "InvalidBody"
    assert (error.status, error.problem, error.title, error.detail) == (422, "invalid-body", "T", "D")
    assert error.fields == (("priority", "too large"),)
    assert (error.request_id, error.retry_after_s, error.body["job_id"]) == ("r-1", 7.0, "5")
    assert str(error) == "422 invalid-body: priority: too large (request r-1)"


@pytest.mark.parametrize(
    ("status", "group"),
    [
        (400, errors.InvalidRequest),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.Missing),
        (409, errors.Conflict),
        (418, errors.InvalidRequest),
        (429, errors.Throttled),
        (502, errors.Unavailable),
    ],
)
def test_an_unknown_problem_is_of_the_group_of_its_status(status: int, group: type[errors.ApiError]) -> None:
    assert type(problem(status, "of-a-later-version")) is group
    proxied = error_of(Response(status, {}, b"<html>busy</html>"))
    assert type(proxied) is group
    assert "busy" in str(proxied)


def test_errors_are_also_those_of_python() -> None:
    assert issubclass(errors.WaitTimeout, TimeoutError)
    assert issubclass(errors.ConnectionFailed, ConnectionError)
