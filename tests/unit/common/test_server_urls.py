"""The URLs of the database and of Redis: accepted forms, and their form in a log."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn

from common.domain.errors import StartupError
from common.server_urls import masked_url
from common.settings import Settings


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


@pytest.mark.parametrize(
    ("given_url", "plain"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql://u:p@h:5432/db"),
        ("postgres://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql://u:p@h/db"),
        ("postgresql+asyncpg://u:p@h/db?sslmode=require", "postgresql://u:p@h/db?sslmode=require"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgres:///db?host=/run/postgresql&user=u", "postgresql:///db?host=/run/postgresql&user=u"),
        ("postgresql+psycopg2:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgresql://%2Frun%2Fpostgresql/db", "postgresql://%2Frun%2Fpostgresql/db"),
        (
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
            "postgresql://h1:5432,h2:5433/db?target_session_attrs=read-write",
        ),
        ("postgresql://u:p%40ss%2Fword@[::1]:5432/db", "postgresql://u:p%40ss%2Fword@[::1]:5432/db"),
        ("POSTGRES://u:p@h/db", "postgresql://u:p@h/db"),
        ("Postgres:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
    ],
)
def test_every_usual_form_of_a_database_url_is_normalised(bare: pytest.MonkeyPatch, given_url: str, plain: str) -> None:
    """Both drivers read the plain form; libpq's parser confirms that."""
    url = read(bare, DATABASE_URL=given_url).database_url
    assert url == plain
    assert parse_dsn(url)["dbname"] == "db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "db",
        "mysql://h/db",
        "sqlite:///db",
        "host=h dbname=db",
        "postgresql",
        "postgresqls://h/db",
        "postgresql:db",
        "postgresql:/db",
    ],
)
def test_any_other_database_url_is_refused(bare: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(StartupError, match="DATABASE_URL: must begin with postgresql://"):
        read(bare, DATABASE_URL=url)


@pytest.mark.parametrize(
    "url", ["redis://h", "redis://h:6379/0", "rediss://u:p@h:6380/1", "redis://:p@h", "redis://h?ssl_cert_reqs=none"]
)
def test_redis_urls_stay_unchanged(bare: pytest.MonkeyPatch, url: str) -> None:
    assert read(bare, REDIS_URL=url).redis_url == url


@pytest.mark.parametrize("url", ["", "h:6379", "http://h", "amqp://h", "redis"])
def test_any_other_redis_url_is_refused(bare: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(StartupError, match="REDIS_URL: must begin with redis:// or rediss://"):
        read(bare, REDIS_URL=url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db", "postgresql://h/db"),
        ("redis://:secret@h:6379/0", "redis://:***@h:6379/0"),
        ("redis://h/0?password=secret&db=1", "redis://h/0?password=***&db=1"),
        ("postgresql://h/db?user=u&PASSWORD=secret", "postgresql://h/db?user=u&PASSWORD=***"),
        ("postgresql://h/db?sslpassword=secret&sslmode=require", "postgresql://h/db?sslpassword=***&sslmode=require"),
        ("postgresql:///db?host=/run/postgresql&password=secret", "postgresql:///db?host=/run/postgresql&password=***"),
    ],
)
def test_only_the_password_is_masked(url: str, shown: str) -> None:
    assert masked_url(url) == shown


@given(
    st.text(
        st.characters(codec="ascii", categories=["L", "N", "P", "S"], exclude_characters="%&"), min_size=1, max_size=12
    )
)
@settings(deadline=None, max_examples=200)
def test_a_password_is_masked_whatever_characters_it_has(rest: str) -> None:
    """Even unencoded ones: libpq and people are less strict than a URL parser."""
    secret = f"s3cr{rest}Et"
    for url in (f"postgresql://u:{secret}@h/db", f"redis://:{secret}@h:6379/0", f"postgresql://h/db?password={secret}"):
        assert "s3cr" not in masked_url(url)
        assert f"{rest}Et" not in masked_url(url)


def test_the_log_shows_settings_that_differ_from_defaults_without_passwords(bare: pytest.MonkeyPatch) -> None:
    shown = read(
        bare,
        DATABASE_URL="postgres://u:secret@h/db",
        REDIS_URL="redis://:secret@h",
        JOBPROC_LEASE_SECONDS="60",
        JOBPROC_TICK_SECONDS="1",
    ).masked()
    assert shown == {"database_url": "postgresql://u:***@h/db", "redis_url": "redis://:***@h", "lease_seconds": "60.0"}
