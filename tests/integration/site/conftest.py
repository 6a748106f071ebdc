"""The documentation site, built once, and an API that serves it."""

from pathlib import Path

import pytest
from rig.project_files import ROOT
from rig.system import System

from tools.site.__main__ import build


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site."""
    folder = build(ROOT, tmp_path_factory.mktemp("site"))
    assert folder is not None
    return folder


@pytest.fixture
def served(site: Path, system: System) -> System:
    """Return a system whose API serves the site."""
    return system.api(JOBPROC_DOCS_FOLDER=str(site))
