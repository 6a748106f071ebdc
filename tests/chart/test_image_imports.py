"""The folders and packages of an image: enough to run its part, without those of the other. Needs no Docker engine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from chart.manifests import ROOT
from rig.system import System

SDK = "clients/python/src/jobproc"
ABSENT = """import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name + " is not in this image", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture
def copy_image(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that copies the folders of an image and returns a PYTHONPATH.

    Under this path only those folders and the packages of the image's lock file can be imported.
    """

    def copy(part: str) -> str:
        folder = tmp_path / f"image-{part}"
        for source in ("common", part):
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        if part == "worker":
            shutil.copytree(ROOT / SDK, folder / "jobproc", ignore=shutil.ignore_patterns("__pycache__"))
        locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / part / "requirements.lock").read_text(), re.MULTILINE))
        absent = {
            package
            for package, distributions in packages_distributions().items()
            if locked.isdisjoint(re.sub(r"[-_.]+", "-", distribution).lower() for distribution in distributions)
        }
        assert "pytest" in absent
        absent = absent - {"jobproc"} if part == "worker" else absent | {"jobproc"}
        (folder / "sitecustomize.py").write_text(ABSENT.format(absent=absent))
        return str(folder)

    return copy


@pytest.mark.parametrize(
    ("part", "absent"),
    [("api", ("worker", "jobproc", "kubernetes")), ("worker", ("api", "fastapi", "uvicorn", "asyncpg", "kubernetes"))],
)
def test_an_image_cannot_import_packages_of_the_other_image(
    part: str, absent: tuple[str, ...], copy_image: Callable[[str], str], tmp_path: Path
) -> None:
    env = {"PYTHONPATH": copy_image(part)}
    for module, importable in [(part, True), ("common", True), *((name, False) for name in absent)]:
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is importable, f"{module}: {done.stderr}"


@pytest.fixture
def servers() -> None:
    if "JOBPROC_TESTS_POSTGRES" not in os.environ:
        pytest.skip("no servers: --no-servers")


@pytest.mark.usefixtures("servers")
def test_the_contents_of_the_images_are_enough_to_run_a_job(system: System, copy_image: Callable[[str], str]) -> None:
    api, worker = copy_image("api"), copy_image("worker")
    assert system.spawn("migrate", "common.migrate", PYTHONPATH=api).wait(60) == 0, system.log("migrate")
    # Not started by system.worker(), which waits for the operation `noop` of the tests' package.
    system.spawn("worker", "worker", PYTHONPATH=worker)
    system.api(PYTHONPATH=api).controller(PYTHONPATH=worker)
    assert system.wait(system.submit("square_sum", 1, 2, 3))["result"] == 14.0
