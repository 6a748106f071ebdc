"""The limit of connections that follows from the limit of open files."""

import sys

import pytest
from rig.settings import settings_from

from api.limits.connections import MAX_DEFAULT_CONNECTIONS, connection_limit
from common.domain.errors import StartupError


def limit(max_open_files: int, **settings: str) -> int:
    return connection_limit(
        settings_from("postgresql://x@127.0.0.1:1/x", "redis://127.0.0.1:1/0", **settings), max_open_files
    )


def test_other_files_have_room() -> None:
    assert limit(1_024) == 1_024 - 128 - 5
    assert limit(1_024, JOBPROC_API_POOL_CONNECTIONS="50") == 1_024 - 128 - 50
    assert limit(sys.maxsize) == MAX_DEFAULT_CONNECTIONS


def test_the_setting_must_fit() -> None:
    assert limit(1_024, JOBPROC_MAX_CONNECTIONS="891") == 891
    assert limit(sys.maxsize, JOBPROC_MAX_CONNECTIONS="100000") == 100_000
    with pytest.raises(StartupError, match="JOBPROC_MAX_CONNECTIONS=892: a limit of 1025 open files is needed"):
        limit(1_024, JOBPROC_MAX_CONNECTIONS="892")
    with pytest.raises(StartupError, match=r"connections: a limit of 134 open files is needed .*, it is 133"):
        limit(133)
