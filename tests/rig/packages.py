"""Packages of operations that a test writes, installed as a third party's by their entry point."""

from pathlib import Path

from rig.system import System


def add_package(system: System, module: str, code: str) -> Path:
    """Install a package of one module for the processes that the system starts from now on. Return its folder."""
    folder = system.folder / "packages"
    write_package(folder, module, code)
    system.env["PYTHONPATH"] = f"{system.env['PYTHONPATH']}:{folder}"
    return folder


def write_package(folder: Path, module: str, code: str) -> None:
    """Write a module and the metadata of its package, with an entry point, into a folder of sys.path."""
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[jobproc.operations]\n{module} = {module}\n")
    (folder / f"{module}.py").write_text(code)
