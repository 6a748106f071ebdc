"""The operations of acme, called as the functions that they are."""

from acme.operations import greet


def test_a_name_is_greeted_with_a_capital() -> None:
    assert greet("ada") == "Hello, Ada!"
