"""The operations of acme, called as the functions that they are, and run as a worker does."""

from acme.operations import greet

from jobproc.testing import Succeeded, run


def test_a_name_is_greeted_with_a_capital() -> None:
    assert greet("ada") == "Hello, Ada!"


def test_its_input_and_result_are_json() -> None:
    outcome = run(greet, {"name": "ada"})
    assert isinstance(outcome, Succeeded)
    assert outcome.result == "Hello, Ada!"
