"""nginx in front of the API, serving it under a path."""

import shutil
import subprocess
from pathlib import Path

import httpx

from tools.servers import free_port, spawn, start_on_a_free_port, stop, wait_for


def missing() -> str:
    """Return the reason why nginx cannot be started, empty if it is installed."""
    return "" if _program() else "nginx is not installed (apt-get install nginx-light)"


def _program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


class Nginx:
    """A proxy that serves an API under `location`, with the lines of an nginx configuration for it."""

    def __init__(self, folder: Path, location: str, lines: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._location, self._lines = location, lines

    def start(self) -> "Nginx":
        """Start nginx and wait until it answers."""
        self.folder.mkdir(exist_ok=True)
        start_on_a_free_port(self, self._serve)
        return self

    def _serve(self) -> None:
        paths = " ".join(
            f"{kind}_temp_path {self.folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            f"daemon off; master_process off; pid {self.folder}/nginx.pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{self.port};\n"
            f"location {self._location} {{ proxy_set_header Host $http_host; {self._lines} }} }} }}\n"
        )
        program = _program()
        assert program is not None, missing()
        self.process = spawn([program, "-c", str(configuration)], self.folder / "nginx.log")
        wait_for("nginx", self._answers, self.process)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/").status_code > 0
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop nginx."""
        stop(self.process)
