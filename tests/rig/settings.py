"""Settings of a test's servers."""

import os

import pytest

from common.settings import Settings


def settings_of(database_url: str, redis_url: str, **others: str) -> Settings:
    """Return settings as a process would read them from this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **others}.items():
            patch.setenv(name, value)
        return Settings.from_env(os.environ)
