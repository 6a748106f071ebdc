"""Proxies of operations without I/O: inputs, results, options, and how type checkers see them."""

from datetime import date

import pytest
from pydantic import BaseModel

from jobproc import Context, operation, remote
from jobproc.client import AsyncClient, Client
from jobproc.errors import DeclarationError


class Email(BaseModel):
    to: str
    day: date = date(2026, 1, 12)


class Receipt(BaseModel):
    message_id: str


@operation(name="client_test.send")
def send(email: Email, job: Context) -> Receipt:
    return Receipt(message_id=job.job_id + email.to)


@remote("acme.resize")
def resize(path: str, width: int = 200) -> list[date]:
    raise NotImplementedError


def test_the_decorated_function_stays_the_plain_one() -> None:
    assert not hasattr(send, "submit")
    proxy = remote(send)
    assert proxy.name == "client_test.send"
    with pytest.raises(DeclarationError, match="is no operation"):
        remote(test_the_decorated_function_stays_the_plain_one)


def test_inputs_are_those_of_the_worker() -> None:
    whole = remote(send).input(Email(to="a"))
    assert whole == Email(to="a")
    assert resize.input("a.png") == {"path": "a.png"}
    assert resize.input("a.png", width=3) == {"path": "a.png", "width": 3}
    with pytest.raises(TypeError):
        resize.input()  # type: ignore[call-arg]  # that is what must fail


def test_results_have_the_type_of_the_annotation() -> None:
    assert remote(send).load({"message_id": "1"}) == Receipt(message_id="1")
    assert resize.load(["2026-01-12"]) == [date(2026, 1, 12)]


def test_options_are_kept_by_a_copy() -> None:
    urgent = resize.options(priority=0).options(delay_seconds=60)
    assert urgent.given == {"priority": 0, "delay_seconds": 60}
    assert resize.given == {}
    with Client(url="http://nowhere") as client:
        assert urgent.using(client).given == urgent.given
        assert urgent.using(client).client is client
    assert urgent.using(AsyncClient(url="http://nowhere")).given == urgent.given
