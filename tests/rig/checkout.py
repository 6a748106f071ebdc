"""A copy of the repository with an environment of its own, in which a test installs packages and calls make."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from rig.project_files import ROOT, all_files
from rig.system import until
from tools.servers import stop

#: The installer may use nothing but what the environment and the folders have: a test needs no network.
OFFLINE = {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}


class Checkout:
    """A copy of the repository. Its environment is a copy of the one that runs the tests, made of hard links.

    So it is there in seconds, without the network; everything else is as after a clone. Files that are deleted or
    replaced in the copy stay as they are in the original.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / ".venv" / "bin" / "python"
        self.env = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("JOBPROC_", "PYTHON", "VIRTUAL_ENV", "DATABASE_URL", "REDIS_URL", "MAKE"))
            },
            **OFFLINE,
            "UV_CACHE_DIR": str(folder / ".uv-cache"),
            "PYTHONDONTWRITEBYTECODE": "1",  # the files of the packages are those of the original
        }
        for file in all_files():
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        shutil.copytree(Path(sys.prefix).resolve(), folder / ".venv", symlinks=True, copy_function=_link_or_copy)
        self.run(
            str(self.python), *["-m", "uv", "pip", "install", "--quiet", "--no-deps", "--editable", "clients/python"]
        )
        (folder / ".venv" / "installed").unlink(missing_ok=True)
        (folder / ".venv" / "installed").touch()  # as `make install` does

    def run(self, *command: str, limit_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command in the copy and return it; fail if it fails."""
        done = self.attempt(*command, limit_s=limit_s)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
        return done

    def attempt(self, *command: str, limit_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a command in the copy and return it."""
        return subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=limit_s, check=False
        )

    @contextmanager
    def running(self, *command: str) -> "Iterator[Running]":
        """Run a command such as `make run` until the end of the block."""
        output = self.folder / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=file, stderr=file, start_new_session=True
            )
        try:
            yield Running(process, output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: to make and to what it runs
            try:
                process.wait(30)
            finally:
                stop(process)
                for log in (output, *(self.folder / ".local" / "log").glob("*.log")):
                    print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-40:], sep="\n")


class Running:
    """A command that goes on, and what it has printed."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def printed(self) -> str:
        return self._output.read_text(errors="replace")

    def processes(self, module: str) -> list[psutil.Process]:
        """Return the processes of a module that the command has started, directly or not."""
        found = []
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                if module in process.cmdline():
                    found.append(process)
        return found

    def says(self, text: str, since: int = 0, limit_s: float = 30) -> str:
        """Wait until the command has printed a text; return all that it has printed since a position."""

        def _said() -> str | None:
            has_ended = self._process.poll() is not None  # before the reading: its last words count
            printed = self.printed[since:]
            assert text in printed or not has_ended, f"ended, and has not said {text!r}: {printed}"
            return printed if text in printed else None

        return str(until(f"the command says {text!r}", _said, limit_s))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        shutil.copy2(source, target)


@contextmanager
def open_folder(name: str) -> Iterator[Path]:
    """Make a folder that all users may enter, and delete it at the end.

    It is none of pytest's: every session closes those to other users, and PostgreSQL may run as one.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"jobproc-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def checkout() -> Iterator[Checkout]:
    """Make a copy of the repository in a folder of its own, and delete that folder at the end."""
    with open_folder("checkout") as folder:
        yield Checkout(folder / "jobproc")
