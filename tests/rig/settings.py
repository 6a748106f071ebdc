"""Settings with the servers of a test."""

import os

import pytest

from common.settings import Settings


def settings_from(database_url: str, redis_url: str, **others: str) -> Settings:
    """Return the settings that a process would read from an environment with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **others}.items():
            patch.setenv(name, value)
        return Settings.from_env(os.environ)
