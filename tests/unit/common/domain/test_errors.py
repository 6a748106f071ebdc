"""The tree of errors, and their messages."""

import inspect
import re

import pytest

from common.domain import errors
from common.domain.errors import (
    InvalidSubmission,
    JobNotFound,
    JobprocError,
    Overloaded,
    StartupError,
    StoreUnavailable,
    UnknownOperation,
)

PLAIN = [JobprocError, JobNotFound, StoreUnavailable, Overloaded, StartupError]


def documented_tree() -> dict[str, str | None]:
    """Return each class of the tree in the module's docstring with its parent."""
    path: list[str] = []
    parents: dict[str, str | None] = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"((?:│   |    )*(?:├── |└── )|)([A-Z]\w+)(?:  |$)", line):
            del path[len(match[1]) // 4 :]
            parents[match[2]] = path[-1] if path else None
            path.append(match[2])
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    classes = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, JobprocError)]
    real = {
        class_.__name__: class_.__base__.__name__ if class_.__base__ and class_ is not JobprocError else None
        for class_ in classes
    }
    assert documented_tree() == real


@pytest.mark.parametrize("kind", PLAIN)
def test_the_first_line_of_the_docstring_is_the_default_message(kind: type[JobprocError]) -> None:
    assert str(kind()) == (kind.__doc__ or "").splitlines()[0]
    assert str(kind()).endswith(".")


@pytest.mark.parametrize("kind", PLAIN)
def test_an_explicit_message_replaces_the_default(kind: type[JobprocError]) -> None:
    assert str(kind("the port is taken")) == "the port is taken"


def test_later_paragraphs_of_the_docstring_are_not_part_of_the_message() -> None:
    class Long(JobprocError):
        """It went wrong.

        More about it.
        """

    assert str(Long()) == "It went wrong."
    Long.__doc__ = None
    assert str(Long()) == ""


def test_an_invalid_submission_names_the_field_and_the_reason() -> None:
    error = InvalidSubmission("data.3", "must be finite")
    assert (str(error), error.field, error.reason) == ("data.3: must be finite", "data.3", "must be finite")


def test_an_unknown_operation_names_the_field_and_the_reason() -> None:
    error = UnknownOperation("3.operation", "unknown operation; known ones: square_sum")
    assert str(error) == "3.operation: unknown operation; known ones: square_sum"
    assert error.field == "3.operation"
