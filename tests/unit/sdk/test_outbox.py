"""The outbox without servers: rows, the meaning of responses, settings, imports."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from jobproc.errors import DeclarationError, SubmissionError
from jobproc.outbox import Outbox, Relay, RelaySettings, ddl
from jobproc.outbox.database import connector
from jobproc.outbox.sending import Accepted, HttpSender, Later, Refused, Result, result_of

NOW = 1_800_000_000.0
PROBLEM = b'{"type": "urn:jobproc:problem:invalid-body", "detail": "data"}'


@pytest.mark.parametrize(
    ("status", "content", "expected"),
    [
        (202, b'{"job_id": "a"}', Accepted("a")),
        (200, b'{"job_id": "a"}', Accepted("a")),
        (422, PROBLEM, Refused(PROBLEM.decode())),
        (409, PROBLEM, Refused(PROBLEM.decode())),
    ],
)
def test_a_response_accepts_or_refuses_a_row(status: int, content: bytes, expected: Result) -> None:
    assert result_of(status, content, None) == expected


@pytest.mark.parametrize(
    ("status", "content", "is_certain", "pauses_all"),
    [
        (413, b"<html>", True, False),  # of a proxy: the others may pass
        (401, PROBLEM, True, True),
        (403, PROBLEM, True, True),
        (404, b"", True, True),
        (429, PROBLEM, True, True),
        (503, PROBLEM, False, True),
        (502, b"<html>", False, True),
        (202, b"<html>", False, True),
    ],
)
def test_after_other_responses_a_row_waits(status: int, content: bytes, is_certain: bool, pauses_all: bool) -> None:
    result = result_of(status, content, "7")
    assert isinstance(result, Later)
    assert (result.is_certain, result.pauses_all, result.retry_after_s) == (is_certain, pauses_all, 7.0)


def memory() -> Callable[[], sqlite3.Connection]:
    """Return what gives the same database in memory each time."""
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    for statement in ddl("sqlite"):
        connection.execute(statement)
    return lambda: connection


class Script:
    """A sender that gives the results of a list."""

    def __init__(self, *results: Result) -> None:
        self.results = list(results)
        self.sent: list[str] = []

    def send(self, row_id: str, body: str) -> Result:
        assert json.loads(body)
        self.sent.append(row_id)
        return self.results.pop(0)

    def close(self) -> None:
        pass


def turn(connect: Callable[[], sqlite3.Connection], sender: Script, now: float) -> tuple[int, float]:
    settings = RelaySettings(connections=1)
    relay = Relay(connect, lambda: sender, settings, clock=lambda: now, chance=lambda: 1.0)
    with ThreadPoolExecutor(1) as pool:
        return relay.turn(pool)


def row(connect: Callable[[], sqlite3.Connection], columns: str) -> tuple[object, ...]:
    found: tuple[object, ...] = connect().execute(f"SELECT {columns} FROM jobproc_outbox").fetchone()
    return found


def test_a_delay_begins_with_the_row_and_the_key_is_its_id() -> None:
    connect = memory()
    outbox = Outbox(clock=lambda: NOW)
    id_ = outbox.submit(connect(), "square_sum", {"data": [1]}, delay_seconds=60)
    body, due_at = row(connect, "body, due_at")
    assert json.loads(str(body)) == {
        "operation": "square_sum",
        "input": {"data": [1]},
        "run_at": "2027-01-15T08:01:00Z",
    }
    assert due_at == NOW
    sender = Script(Accepted("job"))
    assert turn(connect, sender, NOW) == (1, 0.0)
    assert sender.sent == [id_]
    assert row(connect, "sent_at, job_id, due_at, unsure_since") == (NOW, "job", None, None)


def test_a_row_is_unsure_from_its_first_submission_without_a_certain_result() -> None:
    connect = memory()
    Outbox(clock=lambda: NOW).submit(connect(), "square_sum")
    turn(connect, Script(Later("none", is_certain=True)), NOW + 1)
    assert row(connect, "unsure_since, attempts") == (None, 1)
    turn(connect, Script(Later("lost", is_certain=False)), NOW + 2)
    assert row(connect, "unsure_since, attempts, due_at") == (NOW + 2, 2, NOW + 4), "its second backoff"
    turn(connect, Script(Later("none", is_certain=True)), NOW + 5)
    assert row(connect, "unsure_since, problem") == (NOW + 2, "none"), "a later certain one does not tell of the first"
    sender = Script()
    turn(connect, sender, NOW + 80_000)
    assert sender.sent == []
    assert "it is unknown" in str(row(connect, "problem")[0])


def test_the_first_row_that_no_other_would_pass_ends_the_turn_and_the_wait_is_that_of_the_api() -> None:
    connect = memory()
    for number in range(3):
        Outbox(clock=lambda number=number: NOW + number).submit(connect(), "square_sum")  # type: ignore[misc]  # a default
    sender = Script(Later("429", is_certain=True, retry_after_s=30.0))
    assert turn(connect, sender, NOW + 5) == (3, 30.0)
    assert len(sender.sent) == 1
    assert connect().execute("SELECT count(*) FROM jobproc_outbox WHERE due_at <= ?", [NOW + 5]).fetchone() == (3,)


def test_what_cannot_work_is_refused_with_a_sentence() -> None:
    with pytest.raises(DeclarationError, match="cannot be the table"):
        Outbox("orders; DROP TABLE orders")
    with pytest.raises(DeclarationError, match="is no database of the outbox"):
        ddl("oracle")
    with pytest.raises(SubmissionError, match="the id of the row is the key"):
        Outbox().submit(memory()(), "square_sum", idempotency_key="x")
    with pytest.raises(SubmissionError, match="cannot be submitted as JSON"):
        Outbox().submit(memory()(), "square_sum", object())
    with pytest.raises(ValueError, match="lease_seconds must be more"):
        RelaySettings(lease_seconds=5, timeout_seconds=5)
    with pytest.raises(ValueError, match="1 to 10000"):
        RelaySettings(batch=0)
    with pytest.raises(ValueError, match="none of postgresql"):
        connector("oracle://x")
    with pytest.raises(ValueError, match="http:// or https:// is expected"):
        HttpSender("ftp://x", "", 1)


def test_the_package_imports_nothing_of_the_outbox_and_the_outbox_no_driver() -> None:
    code = "import sys, {}; print([name for name in sys.modules if name.split('.')[0] in ({!r})])"
    for module, absent in (
        ("jobproc", "django sqlalchemy psycopg asyncpg"),
        ("jobproc.outbox", "django sqlalchemy psycopg asyncpg pymysql"),
    ):
        argv = [sys.executable, "-c", code.format(module, tuple(absent.split()))]
        assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "[]\n"
    argv = [sys.executable, "-c", "import sys, jobproc; print('jobproc.outbox' in sys.modules)"]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "False\n"
