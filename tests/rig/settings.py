"""Settings with the servers of a test."""

import os

import pytest

from common.settings import Settings

ROLE_PREFIX = "jobproc_test"
#: With which the rig migrates: each part then connects with a role of its own (rig/system.py).
WITH_ROLES = {
    "JOBPROC_DATABASE_ROLES": ROLE_PREFIX,
    **{f"JOBPROC_{part}_DATABASE_PASSWORD": "secret" for part in ("API", "WORKER", "CONTROLLER", "METRICS")},
}


def settings_from(database_url: str, redis_url: str, **others: str) -> Settings:
    """Return the settings that a process would read from an environment with these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **others}.items():
            patch.setenv(name, value)
        return Settings.from_env(os.environ)
