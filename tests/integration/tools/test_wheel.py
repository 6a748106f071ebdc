"""The wheel of the package `jobproc`: built without a network, it needs Pydantic alone and has its types."""

import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

from rig.fork_server import ROOT


def test_the_wheel_has_the_code_its_types_and_one_dependency(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uv", "build", "--quiet", "--offline", "--wheel", "--out-dir", str(tmp_path)]
    subprocess.run([*command, str(ROOT / "clients" / "python")], check=True, timeout=60)
    (wheel,) = tmp_path.glob("jobproc-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (message_from_bytes(archive.read(name)) for name in names if name.endswith("/METADATA"))
    code = {f"jobproc/{path.name}" for path in (ROOT / "clients/python/src/jobproc").iterdir() if path.is_file()}
    assert code | {"jobproc/py.typed"} <= names
    needed = [name for name in metadata.get_all("Requires-Dist") or [] if "extra ==" not in name]
    assert [name.partition(">")[0] for name in needed] == ["pydantic"]
    assert (metadata["License-Expression"], metadata["Requires-Python"]) == ("Apache-2.0", ">=3.11")
