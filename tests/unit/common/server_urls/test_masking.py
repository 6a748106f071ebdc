"""The form of a URL in a log."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.server_urls import masked_url
from common.settings import Settings


def read(bare: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        bare.setenv(name, value)
    return Settings.from_env(os.environ)


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
