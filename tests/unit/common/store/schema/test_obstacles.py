"""Errors of a start: which sentence, and whether PostgreSQL is away or somebody has to do something."""

import ssl

import asyncpg
import psycopg2
import pytest
from rig.settings import settings_from

from common.store.schema.obstacles import of_error

AT = 'connection to server at "127.0.0.1", port 5432 failed: '
PLACE = "127.0.0.1:5432"


@pytest.mark.parametrize(
    ("error", "sentence", "is_outage"),
    [
        (
            psycopg2.OperationalError(f"{AT}Connection refused\n\tIs the server running on that host?\n"),
            f"no PostgreSQL answers at {PLACE}: Connection refused",
            True,
        ),
        (ConnectionRefusedError(111, "Connect call failed"), f"no PostgreSQL answers at {PLACE}: Connect call", True),
        (TimeoutError(), f"no PostgreSQL answers at {PLACE}: no answer in time", True),
        (
            psycopg2.OperationalError(f"{AT}FATAL:  the database system is starting up\n"),
            f"PostgreSQL at {PLACE} refuses the connection: the database system is starting up",
            True,
        ),
        (
            asyncpg.CannotConnectNowError("the database system is starting up"),
            f"PostgreSQL at {PLACE} refuses the connection: the database system is starting up",
            True,
        ),
        (
            psycopg2.OperationalError(f"{AT}FATAL:  sorry, too many clients already\n"),
            f"PostgreSQL at {PLACE} refuses the connection: sorry, too many clients already",
            True,
        ),
        (
            psycopg2.OperationalError(f"{AT}FATAL:  server login has been failing, cached error: connect failed\n"),
            f"PostgreSQL at {PLACE} refuses the connection: server login has been failing",
            True,
        ),
        (
            psycopg2.OperationalError(f'{AT}FATAL:  database "x" does not exist\nDETAIL:  It was dropped.\n'),
            f'PostgreSQL at {PLACE} refuses the connection: database "x" does not exist',
            False,
        ),
        (
            psycopg2.OperationalError(f"{AT}ВАЖНО:  роль не существует\n"),
            f"PostgreSQL at {PLACE} refuses the connection: роль не существует",
            False,
        ),
        (
            asyncpg.InvalidPasswordError("password authentication failed"),
            f"PostgreSQL at {PLACE} refuses the connection: password authentication failed",
            False,
        ),
        (
            psycopg2.OperationalError(f"{AT}SSL error: certificate verify failed\n"),
            f"there is no TLS with PostgreSQL at {PLACE}: certificate verify failed",
            False,
        ),
        (
            psycopg2.OperationalError(f'{AT}server certificate for "a" does not match host name "b"\n'),
            f'there is no TLS with PostgreSQL at {PLACE}: server certificate for "a" does not match host name "b"',
            False,
        ),
        (
            psycopg2.OperationalError(f"{AT}server does not support SSL, but SSL was required\n"),
            f"there is no TLS with PostgreSQL at {PLACE}: server does not support SSL, but SSL was required",
            False,
        ),
        (
            psycopg2.OperationalError(f"{AT}SSL SYSCALL error: EOF detected\n"),
            f"no PostgreSQL answers at {PLACE}: SSL SYSCALL error: EOF detected",
            True,
        ),
        (
            ssl.SSLCertVerificationError(
                1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1006)"
            ),
            f"there is no TLS with PostgreSQL at {PLACE}: certificate has expired",
            False,
        ),
        (
            ConnectionError('PostgreSQL server at "127.0.0.1:5432" rejected SSL upgrade'),
            f"there is no TLS with PostgreSQL at {PLACE}: PostgreSQL server",
            False,
        ),
        (
            asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
            f"PostgreSQL at {PLACE} refuses a statement: canceling statement due to lock timeout",
            True,
        ),
        (
            asyncpg.InsufficientPrivilegeError("permission denied for table x"),
            f"PostgreSQL at {PLACE} refuses a statement: permission denied for table x",
            False,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_error_is_one_sentence_and_an_outage_or_a_refusal(error: Exception, sentence: str, is_outage: bool) -> None:
    obstacle = of_error(error, settings_from(f"postgresql://someone@{PLACE}/x", "redis://127.0.0.1/0"))
    assert obstacle.sentence.startswith(sentence)
    assert "\n" not in obstacle.sentence
    assert "DETAIL" not in obstacle.sentence
    assert obstacle.is_outage is is_outage
